"""JSON, numbers and files of a command line: checked here, so that a mistake is a usage error (exit 2)."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from smd.files import read_file

MAX_STDIN = 8 * 1024 * 1024
"""Bytes of the largest body the daemon takes."""

MAX_FILE = 32 * 1024 * 1024
"""Bytes of a file that are read: more than fits in any request, whose own limit the daemon tells."""


def seconds(text: str) -> float:
    """A span of time in seconds, finite and not negative: the type of an option.

    Raises:
        click.BadParameter: it is not.
    """
    return _span(text, "seconds")


def hours(text: str) -> float:
    """A span of time in hours; see `seconds`."""
    return _span(text, "hours")


def _span(text: str, unit: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise click.BadParameter(f"'{text}' is not a number of {unit}, 0 or more")
    return number


def read_json(text: str | bytes, what: str) -> Any:
    """Parse strict JSON (no NaN, no infinities).

    Args:
        text: the JSON text.
        what: where it stands, for the error.

    Raises:
        click.UsageError: not JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise click.UsageError(f"cannot read {what} as JSON: nested too deeply") from error
    except ValueError as error:
        raise click.UsageError(f"cannot read {what} as JSON: {error}") from error


def word(text: str) -> Any:
    """A value of `-p key=value`: JSON if it parses, else the text itself."""
    try:
        return read_json(text, "")
    except click.UsageError:
        return text


def source(text: str, what: str) -> str | bytes:
    """The text itself, `@file` for a file's content, `-` for stdin.

    Raises:
        click.UsageError: the file cannot be read, or it or stdin is far larger than any body may be.
    """
    if text == "-":
        return stdin(what)
    if not text.startswith("@"):
        return text
    return _content(text[1:])


def stdin(what: str) -> bytes:
    """All of stdin.

    Raises:
        click.UsageError: nothing is there, or more than the daemon takes.
    """
    data = sys.stdin.buffer.read(MAX_STDIN + 1) if sys.stdin is not None else b""
    if not data.strip():
        raise click.UsageError(f"cannot read {what}: stdin is empty")
    if len(data) > MAX_STDIN:
        raise click.UsageError(f"cannot read {what}: stdin holds more than {MAX_STDIN} bytes")
    return data


def _content(name: str) -> bytes:
    """A file's content, or what comes through a pipe: `@<(command)` is one."""
    try:
        return read_file(name, MAX_FILE, pipes=True)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"cannot read '{name}': {getattr(error, 'strerror', None) or error}") from error


def payload(data: str | None, pairs: Sequence[str]) -> Any:
    """The payload of `-d` with the members of `-p key=value` put over it; None when neither is given.

    Raises:
        click.UsageError: not JSON, a pair without `=`, or pairs over something that is no object.
    """
    value = None if data is None else read_json(source(data, "the payload"), "the payload")
    if not pairs:
        return value
    if value is not None and not isinstance(value, dict):
        raise click.UsageError("cannot add -p to a payload that is not an object")
    members = dict(value or {})
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise click.UsageError(f"cannot read -p '{pair}': expected key=value")
        members[key] = word(text)
    return members


def given(**members: Any) -> dict[str, Any]:
    """The members that are not None: a request holds only what was said."""
    return {key: value for key, value in members.items() if value is not None}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number
