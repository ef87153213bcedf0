"""The values of action parameters, read as the catalogue describes them.

A value that is or contains a placeholder is known only when the action runs; its type is checked then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from smd.catalogue import Parameter, Value
from smd.document.schema import duration_fault
from smd.errors import ChartError
from smd.problems import did_you_mean, shown
from smd.statechart.durations import parse_duration
from smd.statechart.template import compile_template

TRUE_WORDS, FALSE_WORDS = frozenset(("true", "1", "yes", "on")), frozenset(("false", "0", "no", "off", ""))
_EXIT_CODE = re.compile(r"-?[0-9]{1,5}", re.ASCII)


def is_open(value: Any) -> bool:
    """The value is or contains a placeholder.

    Raises:
        ChartError: a template that cannot be read.
    """
    return not compile_template(value).constant


def read_value(parameter: Parameter, value: Any) -> Any:
    """The value as the action gets it.

    Raises:
        ChartError: it is not what the parameter holds; the message fits behind the parameter's path.
    """
    return _READERS[parameter.value](parameter, value)


def read_boolean(value: Any) -> bool:
    """A boolean, or one of the predecessor's words for it.

    Raises:
        ChartError: anything else; junk is never taken for false.
    """
    if isinstance(value, bool):
        return value
    word = str(value).lower() if isinstance(value, str | int) else None
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ChartError(f"must be true or false (got {shown(value)})")


def _wrong(what: str, value: Any, hint: str = "") -> ChartError:
    return ChartError(f"must be {what} (got {shown(value)})", hint=hint)


def _any(_parameter: Parameter, value: Any) -> Any:
    return value


def _open_or(what: str, *types: type) -> Callable[[Parameter, Any], Any]:
    def read(_parameter: Parameter, value: Any) -> Any:
        if isinstance(value, types) and not (isinstance(value, bool) and bool not in types):
            return value
        if isinstance(value, str) and is_open(value):
            return value
        raise _wrong(what, value)

    return read


def _text(parameter: Parameter, value: Any) -> Any:
    if not isinstance(value, str):
        raise _wrong("a text", value)
    if parameter.choices and not is_open(value):
        _check_choice(parameter, value)
    return value


def _check_choice(parameter: Parameter, value: str) -> None:
    if value.lower() not in parameter.choices:
        raise _wrong(f"one of {', '.join(parameter.choices)}", value, did_you_mean(value, parameter.choices))


def _duration(_parameter: Parameter, value: Any) -> Any:
    if isinstance(value, str) and is_open(value):
        return value
    try:
        return parse_duration(value)
    except ChartError as error:
        raise ChartError(duration_fault(error.message, value), hint=error.hint) from error


def _names(_parameter: Parameter, value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item for item in items):
        raise _wrong("a name or a list of names", value)
    return value


def _argv(_parameter: Parameter, value: Any) -> Any:
    if not isinstance(value, list) or not value:
        raise _wrong("a list: the program, then its arguments", value, "for shell text use type: bash")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise ChartError(f"each argument must be a text or a number (got {shown(item)})")
    if not isinstance(value[0], str) or not value[0]:
        raise _wrong("a list that begins with the name of a program", value)
    if is_open(value[0]):
        raise ChartError(
            f"the program must be literal (got {shown(value[0])}): data never chooses what runs",
            code="program",
            hint="write the program's name, and pass the value as an argument",
        )
    return value


def _shell(_parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong("a text with a command", value, "for a list of arguments use type: run")
    return value


def _expressions(_parameter: Parameter, value: Any) -> dict[str, str]:
    """Texts are expressions; other scalars stand for themselves."""
    if not isinstance(value, dict) or not value:
        raise _wrong("a mapping of context key to expression", value)
    for key, text in value.items():
        if not all(key.split(".")):
            raise ChartError(f"{shown(key)} is not a context key")
        if isinstance(text, dict | list):
            raise ChartError(f"{key} must be an expression (got {shown(text)})", hint="use set_context for a constant")
    return {key: text if isinstance(text, str) else json.dumps(text) for key, text in value.items()}


def _event(_parameter: Parameter, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise _wrong("an event type, or null for no event", value)
    if is_open(value):
        raise ChartError(f"must be literal (got {shown(value)}): data never chooses an event")
    return value


def _events(parameter: Parameter, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _wrong("a mapping of exit code to event type", value)
    for code, event in value.items():
        if not _EXIT_CODE.fullmatch(code):
            raise ChartError(f"{shown(code)} is not an exit code")
        if code != str(int(code)):
            raise ChartError(f"{shown(code)} never matches an exit code", hint=f"write {int(code)}")
        if _event(parameter, event) is None:
            raise ChartError(f"{code} must be an event type (got null)")
    return dict(value)


def _paths(_parameter: Parameter, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise _wrong("a list of folders", value)
    if any(is_open(item) for item in value):
        raise ChartError("folders must be literal: data never chooses a path's root")
    return value


def _word(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str) or not value or is_open(value):
        raise _wrong("a literal text", value)
    if parameter.choices:
        _check_choice(parameter, value)
    return value.lower() if parameter.choices else value


_READERS: dict[Value, Callable[[Parameter, Any], Any]] = {
    Value.ANY: _any,
    Value.TEXT: _text,
    Value.NUMBER: _open_or("a number", int, float),
    Value.INTEGER: _open_or("a whole number", int),
    Value.BOOLEAN: lambda _, value: read_boolean(value),
    Value.DURATION: _duration,
    Value.MAPPING: _open_or("a mapping", dict),
    Value.LIST: _open_or("a list", list),
    Value.NAMES: _names,
    Value.ARGV: _argv,
    Value.SHELL: _shell,
    Value.EXPRESSIONS: _expressions,
    Value.EVENT: _event,
    Value.EVENTS: _events,
    Value.PATHS: _paths,
    Value.WORD: _word,
}
