"""JSON in and out of the program: the only importer of orjson."""

from __future__ import annotations

from typing import Any

import orjson

from smd.errors import RequestError

_WORDS = {
    "str is not valid UTF-8: surrogates not allowed": "it is not UTF-8",
    "Input is a zero-length, empty document": "it is empty",
    "number is infinity when parsed as double": "a number is too large",
    "no low surrogate in string": "half a surrogate pair stands in a string",
    "depth limit exceeded": "it is nested too deeply",
}
_AS_A_WHOLE = frozenset(("it is not UTF-8", "it is empty"))

dumps = orjson.dumps
"""Compact UTF-8 JSON; keeps key order."""


def canonical(value: Any) -> bytes:
    """The one byte form of a JSON value: sorted keys, no white space."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def size(data: bytes) -> int:
    """Bytes of JSON that this module wrote, an escaped character counted as the one byte it stands for.

    So a limit means as much text of any kind: a line end, say, takes no more of it than a letter.
    """
    data = data.replace(b"\\\\", b"x")
    return len(data) - data.count(b"\\") - 4 * data.count(b"\\u")


def text(value: Any) -> str:
    """Compact JSON as text."""
    return orjson.dumps(value).decode()


def loads(data: bytes | str) -> Any:
    """Read JSON.

    Raises:
        RequestError: not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        why = _WORDS.get(error.msg, error.msg)
        place = "" if why in _AS_A_WHOLE else f" (line {error.lineno}, column {error.colno})"
        raise RequestError(f"cannot read JSON: {why}{place}", code="invalid_json") from error
