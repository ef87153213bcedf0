"""Placeholders in action parameters: `{a.b}`, `{x|length|default:0}` (interfaces.md §1; predecessor spec §3).

A path is letters, digits and `_`, keys joined by dots; filters follow after `|`. Anything else in braces is
plain text. Text is scanned once, at compile time: what a value says is never read as a placeholder, so data
cannot become a reference.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from smd.errors import ActionError, ChartError

MAX_DEPTH = 100
Path = tuple[str, ...]


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()
"""What a look-up answers when there is nothing under that path."""
Lookup = Callable[[Path], Any]
_Filter = Callable[[Any], Any]
_PATH = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*"
_PLACEHOLDER = re.compile(rf"\{{({_PATH}(?:\|[^{{}}]*)?)\}}")
_INSIDE = re.compile(rf"({_PATH})((?:\|[^{{}}]*)?)")
_WORD = re.compile(rf"""\|\s*({_PATH})\s*(?::\s*("(?:[^"\\]|\\.)*"\s*|'[^']*'\s*|[^|]*))?""")
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,40}\s*")


def walk(value: object, parts: Path) -> Any:
    """The value under a dotted path: keys of maps only, no list index, no attributes; else MISSING."""
    for part in parts:
        if not isinstance(value, dict) or part not in value:
            return MISSING
        value = value[part]
    return value


def _absent(value: object) -> bool:
    return value is MISSING or value is None


def _length(value: Any) -> Any:
    if _absent(value):
        return 0
    return len(value) if isinstance(value, str | list | dict) else MISSING


def _json(value: Any) -> Any:
    return value if _absent(value) else _dumped(value)


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _int(value: Any) -> Any:
    if _absent(value):
        return value
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not (whole or (isinstance(value, str) and _INTEGER.fullmatch(value))):
        raise ActionError(f"cannot use {_dumped(value)[:80]} as an integer: it is not a whole number")
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ActionError("cannot use the value as an integer: it is larger than 64 bits")
    return number


def _default(text: str) -> _Filter:
    text = text.strip()
    try:
        chosen = None if text == "none" else json.loads(text)
    except ValueError:
        chosen = text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
    if isinstance(chosen, list | dict) or (isinstance(chosen, float) and not math.isfinite(chosen)):
        chosen = text
    return lambda value: _Chosen(chosen) if _absent(value) else value


_FILTERS: dict[str, _Filter] = {"length": _length, "json": _json, "int": _int}


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A default: it stands even if it is null."""

    value: Any


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One placeholder: its text without the braces, its paths in order of preference, its filters."""

    text: str
    paths: tuple[Path, ...]
    filters: tuple[_Filter, ...] = ()

    def render(self, lookup: Lookup) -> Any:
        """The value, or MISSING: nothing found (or null) and no filter made up for it.

        Raises:
            ActionError: `int` of something that is no whole number.
        """
        value: Any = MISSING
        for path in self.paths:
            value = lookup(path)
            if not _absent(value):
                break
        chosen = False
        for apply in self.filters:
            value = apply(value)
            if isinstance(value, _Chosen):
                value, chosen = value.value, True
        return value if chosen or value is not None else MISSING


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled JSON value.

    `constant` tells that it has no placeholder; `paths` are those it looks up; `value` is what was written.
    """

    constant: bool
    paths: frozenset[Path]
    _render: Callable[[Lookup], Any] = field(repr=False)
    value: Any = field(default=None, repr=False)

    def render(self, lookup: Lookup) -> Any:
        """The value with each placeholder replaced; `lookup(path)` gives a JSON value or MISSING.

        A constant template returns the very object it was made from; callers do not change it. A placeholder
        without a value stays as written.

        Raises:
            ActionError: the filter `int` met something that is no whole number.
        """
        return self._render(lookup)


def names(template: Template) -> set[Path]:
    """The paths a template looks up."""
    return set(template.paths)


def compile_placeholder(text: str, fallback: bool = False) -> Placeholder:  # noqa: FBT001 - reads well by name
    """Reads the text inside braces, like `a.b|default:x`.

    Args:
        text: without the braces.
        fallback: `{a|b}` means the first of the keys a and b that is not null; a known filter's name wins.

    Returns:
        A placeholder; with an unknown filter one that always renders MISSING, which leaves it as written.

    Raises:
        ChartError: the text is no placeholder at all.
    """
    found = _INSIDE.fullmatch(text)
    if not found:
        raise ChartError(
            f"cannot read placeholder '{{{text[:80]}}}': a path is letters, digits, '_' and '.'",
            hint="write it like {payload.file} or {items|length}",
        )
    paths, filters, at = [tuple(found[1].split("."))], [], found.start(2)
    while at < len(text):
        word = _WORD.match(text, at)
        if not word or (word.end() < len(text) and text[word.end()] != "|"):
            return Placeholder(text, ())
        name, argument, at = word[1], word[2], word.end()
        if name == "default" and argument is not None:
            filters.append(_default(argument))
        elif argument is None and name in _FILTERS:
            filters.append(_FILTERS[name])
        elif argument is None and fallback and not filters:
            paths.append(tuple(name.split(".")))
        else:
            return Placeholder(text, ())
    return Placeholder(text, tuple(paths), tuple(filters))


def sole_placeholder(text: object) -> Placeholder | None:
    """The placeholder a text consists of; None if it is anything else, or the placeholder has an unknown filter."""
    found = _PLACEHOLDER.fullmatch(text) if isinstance(text, str) else None
    slot = compile_placeholder(found[1]) if found else None
    return slot if slot and slot.paths else None


def compile_template(value: object, *, fallback: bool = False) -> Template:
    """Compiles a JSON value: strings in maps (values, never keys) and lists at any depth.

    Raises:
        ChartError: the value is nested deeper than 100.
    """
    return replace(_compiled(value, fallback, 0), value=value)


def _compiled(value: object, fallback: bool, depth: int) -> Template:  # noqa: FBT001 - passed down
    if depth > MAX_DEPTH:
        raise ChartError(f"cannot read parameters: they are nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        return _text(value, fallback)
    if isinstance(value, dict):
        parts = {key: _compiled(each, fallback, depth + 1) for key, each in value.items()}
        if any(not part.constant for part in parts.values()):
            return _mapping(parts, value)
    elif isinstance(value, list):
        items = [_compiled(each, fallback, depth + 1) for each in value]
        if any(not item.constant for item in items):
            used = frozenset().union(*[item.paths for item in items])
            return Template(False, used, lambda lookup: [item.render(lookup) for item in items])
    return Template(True, frozenset(), lambda _lookup: value)


def _mapping(parts: dict[str, Template], value: dict[str, Any]) -> Template:
    used = frozenset().union(*[part.paths for part in parts.values()])
    open_parts = [(key, part.render) for key, part in parts.items() if not part.constant]

    def render(lookup: Lookup) -> dict[str, Any]:
        made = value.copy()
        for key, part in open_parts:
            made[key] = part(lookup)
        return made

    return Template(False, used, render)


def _text(text: str, fallback: bool) -> Template:  # noqa: FBT001 - passed down
    pieces = _PLACEHOLDER.split(text)
    if len(pieces) == 1:
        return Template(True, frozenset(), lambda _lookup: text)
    slots = [compile_placeholder(inside, fallback=fallback) for inside in pieces[1::2]]
    used = frozenset(path for slot in slots for path in slot.paths)
    if len(slots) == 1 and not pieces[0] and not pieces[2]:
        return Template(False, used, lambda lookup: _whole(slots[0], text, lookup))

    def render(lookup: Lookup) -> str:
        made = pieces.copy()
        for number, slot in enumerate(slots):
            value = slot.render(lookup)
            made[2 * number + 1] = f"{{{slot.text}}}" if value is MISSING else embedded(value)
        return "".join(made)

    return Template(False, used, render)


def _whole(slot: Placeholder, text: str, lookup: Lookup) -> Any:
    value = slot.render(lookup)
    return text if value is MISSING else value


def embedded(value: Any) -> str:
    """How a value reads within a text: lists and maps as JSON, null as nothing."""
    if value is None:
        return ""
    return _dumped(value) if isinstance(value, dict | list) else str(value)
