"""JSON in and out of the program: the only importer of orjson."""

from __future__ import annotations

from typing import Any

import orjson

from smd.errors import RequestError

dumps = orjson.dumps
"""Compact UTF-8 JSON; keeps key order."""


def canonical(value: Any) -> bytes:
    """The one byte form of a JSON value: sorted keys, no white space."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


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
        raise RequestError(f"cannot read JSON: {error}", code="invalid_json") from error
