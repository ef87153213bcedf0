"""Values on their way to a child: one value, one argument, checked before anything starts."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from smd.errors import ActionError

MAX_ARGUMENT = 131_071
"""The most bytes one argument may hold: Linux's MAX_ARG_STRLEN without the closing NUL."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]+\Z")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z")


def _fail(what: str, why: str, hint: str = "") -> NoReturn:
    raise ActionError(f"cannot use {what} as an argument: {why}", code="bad_argument", hint=hint)


def _jsonable(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return list(value)
    raise TypeError(f"a value of type {type(value).__name__} is no JSON")


def _as_text(value: object, what: str) -> str:
    if value is None:
        _fail(what, "unknown placeholder", "give the key a value, or write {name|default:…}")
    if isinstance(value, str):
        return value
    try:
        if isinstance(value, (bool, int, float)):
            return str(value)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_jsonable)
    except (ValueError, TypeError, RecursionError) as error:
        _fail(what, str(error))


def check_argument(value: object, what: str = "the value") -> str:
    """Turn a value into the text of exactly one argument.

    Strings stand as they are, numbers and booleans as Python's str() writes them (`True`, `1.5`), mappings
    and sequences as compact JSON.

    Args:
        value: a JSON value.
        what: how an error names it.

    Raises:
        ActionError: the value is None, holds NUL or text that UTF-8 cannot encode, or is longer than 131,071
            bytes; nothing has started then.
    """
    text = _as_text(value, what)
    if "\0" in text:
        _fail(what, "it holds a NUL character", "give it through stdin:, which carries any bytes")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        _fail(what, "it holds text that cannot be encoded as UTF-8", "give it through stdin: as JSON")
    if size > MAX_ARGUMENT:
        why = f"it has {size:,} bytes and one argument holds {MAX_ARGUMENT:,}; give it through stdin:"
        _fail(what, why, "long values belong in stdin:")
    return text


_FREE = "write -- before the placeholder, or set allow_dash: true"


def check_no_dash(text: str, what: str, hint: str = _FREE) -> None:
    """Refuse a value that its program would take for an option.

    Raises:
        ActionError: the text begins with `-`.
    """
    if text.startswith("-"):
        _fail(what, f"{text[:20]!r} begins with - and would be an option", hint)


def check_integer(text: str, what: str) -> str:
    """Return the integer in its shortest form, so that no shell reads a leading zero as octal.

    Raises:
        ActionError: the text is no decimal integer of at most 19 digits.
    """
    if not _INTEGER.match(text):
        _fail(what, f"arithmetic needs an integer, not {text[:40]!r}")
    return str(int(text))


def check_target(text: str, what: str, roots: Sequence[str], *, leads: bool, extended: bool) -> None:
    """Refuse a value that would lead a redirection out of the declared roots.

    A plain name passes. A path passes where it begins the target and, after normalisation, lies under a root;
    a relative path is compared with relative roots only, since both are taken from the command's cwd.

    Args:
        text: the value.
        what: how an error names it.
        roots: folders, absolute or relative.
        leads: True if nothing stands before the value in the target.
        extended: True if the target goes on behind the value within the same path component.

    Raises:
        ActionError: the value is neither.
    """
    if _PLAIN_NAME.match(text) and text not in {".", ".."}:
        return
    if not (leads and text and any(_is_under(text, root, strictly=extended) for root in roots)):
        why = f"{text[:80]!r} is no plain name ([A-Za-z0-9._-]) and lies under no declared root"
        _fail(f"{what} as a redirection target", why, "declare the folder as a root, or let the program write it")


def _is_under(path: str, root: str, *, strictly: bool) -> bool:
    path, root = (posixpath.normpath(re.sub(r"\A/+", "/", each)) for each in (path, root))
    if path.startswith("/") != root.startswith("/") or path.startswith(".."):
        return False
    if path == root:
        return not strictly
    return path.startswith("" if root == "." else root.rstrip("/") + "/")
