"""What an action's child process is given, `env:` and `limits:`, as far as the document alone can tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from smd.catalogue import LIMITS, amount
from smd.document.report import Path, Report
from smd.document.schema import duration_fault
from smd.document.values import is_open
from smd.errors import ActionError, ChartError
from smd.problems import shown
from smd.shell import check_argument, chooses_program, name_fault
from smd.statechart.durations import parse_duration

_BRACES = re.compile(r"\{([^{}]*)\}")


def check_environment(report: Report, env: object, path: Path) -> None:
    """Tell what is wrong with an `env:`: names, constant values, and data where it would choose a program (P9)."""
    if not isinstance(env, Mapping):
        told = f"must be a mapping (got {shown(env)}): data never chooses names of variables"
        report.add("E304", path, told, "write each name, and its value as a placeholder: NAME: '{payload.name}'")
        return
    for name, value in env.items():
        _check_variable(report, name, value, (*path, name))


def _check_variable(report: Report, name: str, value: object, path: Path) -> None:
    if is_open(name):
        told = f"the name must be literal (got {shown(name)}): data never chooses names of variables"
        report.add("E304", path, told, "write the name, and the placeholder as its value", key=True)
    elif fault := name_fault(name):
        hint = "letters, digits and _, no digit first" if "smd" not in fault else "use another name"
        report.add("E304", path, f"{shown(name)} cannot be a variable: {fault}", hint, key=True)
    elif held := next(_placeholders(value), None):
        if chooses_program(name):
            told = f"cannot use {{{held}}} in {name}: with it the value chooses what runs"
            report.add(
                "E307", path, told, "write it constant; pass the value as an argument or in a variable of your own"
            )
    elif value is not None:
        try:
            check_argument(value, f"env: {name}")
        except ActionError as error:
            report.add("E304", path, error.message, error.hint)


def carried_by(env: object) -> dict[str, str]:
    """The variables of an `env:` whose values come from data, with a placeholder of each; a checked integer is none."""
    found: dict[str, str] = {}
    for name, value in env.items() if isinstance(env, Mapping) else ():
        held = (text for text in _placeholders(value) if not re.search(r"\|\s*int\s*\Z", text))
        if (first := next(held, None)) is not None:
            found[name] = first
    return found


def _placeholders(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from (text for text in _BRACES.findall(value) if is_open(f"{{{text}}}"))
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _placeholders(each)


def check_limits(report: Report, limits: object, path: Path) -> None:
    """Tell what is wrong with `limits:`; values that only a run will know are checked then."""
    for name, value in limits.items() if isinstance(limits, Mapping) else ():
        if name not in LIMITS:
            hint = report.nearest(name, LIMITS) or f"known limits are {', '.join(LIMITS)}"
            report.add("E304", (*path, name), f"unknown limit {shown(name)}", hint, key=True)
        elif value is not None and not is_open(value):
            _check_limit(report, name, value, (*path, name))


def _check_limit(report: Report, name: str, value: Any, path: Path) -> None:
    try:
        if name == "cpu":
            parse_duration(value)
        else:
            amount(value)
    except ChartError as error:
        if name == "cpu":
            report.add("E105", path, duration_fault(error.message, value), error.hint)
        else:
            report.add("E304", path, error.message, error.hint)
