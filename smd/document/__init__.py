"""A YAML document → `Statechart`, with all its mistakes at once and each with its place.

    text ─ yaml_source ─ plain ─ check (schema) ─ parts ─ build (tree, transitions, actions) ─ Statechart

The format is interfaces.md §1; the predecessor's flat form is part of it, alone or beside the nested one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path, PurePath
from typing import Any

from smd import codec
from smd.document.build import Builder, Stored
from smd.document.check import check_shape
from smd.document.files import NO_MACHINES, Names, machine_files, read_document
from smd.document.json_schema import json_schema
from smd.document.plain import plain_source
from smd.document.report import Report
from smd.document.schema import takes_numbers
from smd.problems import CODES, DocumentError, Problem, arranged, render_problems, shown
from smd.statechart.context import CONTEXT_LIMIT
from smd.statechart.model import Statechart
from smd.yaml_source import Source, scan_yaml

STORED = "the stored chart"
"""What stands for the file's name in messages about a chart that comes from the store."""

ANOTHER_NAME = "give one of them another name with machine:, or leave one out"
"""What to do about two files of one machine."""


def load_document(
    text: str | bytes,
    file: str,
    *,
    custom: Collection[str] = (),
    warned: Callable[[Problem], object] | None = None,
    machine: str | None = None,
) -> Statechart:
    """The chart of a document.

    Args:
        text: YAML, as read from the file.
        file: its path, for messages.
        custom: custom action types that exist. One named like a built-in type replaces it, but for `log`
            and `sleep`. In a mapping each has what is wrong with its file, or an empty text.
        warned: called with each warning, in the order of their places, if the document loads.
        machine: its name where the document gives none; the file's stem unless given.

    Raises:
        DocumentError: with every mistake found.
    """
    chart, problems, warnings, source = _load(text, file, custom, machine)
    if problems or chart is None:
        raise DocumentError(problems, source.text)
    if warned is not None:
        for warning in arranged(warnings):
            warned(warning)
    return chart


def check_document(
    text: str | bytes, file: str, *, custom: Collection[str] = (), names: Names | None = None
) -> list[Problem]:
    """Every mistake and warning of a document, in the order of their places; no mistake if it would load.

    Args:
        text, file, custom: as for `load_document`.
        names: of the documents checked before, which this one is not to share its machine with.
    """
    chart, problems, warnings, source = _load(text, file, custom)
    if names is not None and chart is not None and not problems and not chart.template:
        problems = _shared_name(names, chart.machine, source)
    return arranged(problems + warnings)


def _shared_name(names: Names, machine: str, source: Source) -> list[Problem]:
    other = names.also_in(machine, Path(source.name))
    if other is None:
        return []
    report = Report(source)
    path = ("machine",) if source.value.get("machine") else ("metadata", "machine_name")
    report.add("E107", path, f"machine {shown(machine)} is in '{other}' too", ANOTHER_NAME)
    return report.problems


def chart_from_plain(plain: dict[str, Any], *, custom: Collection[str] | None = None) -> Statechart:
    """The chart again, from the `Statechart.source` that the store kept.

    Args:
        plain: not changed; the order of its keys matters, as it is the document order.
        custom: as for `load_document`; None takes any unknown action type for a custom one.

    Raises:
        DocumentError: the plain document is wrong; its problems have no line.
    """
    value: Any = plain
    stored = Stored()
    if isinstance(value, dict):
        value = dict(value)
        stored = Stored.taken_from(value)
    report = plain_source(value, STORED)
    problems = report.problems
    chart = None
    if not problems:
        chart, report = _build(report.source, custom, stored)
        problems = report.problems
    if problems or chart is None:
        raise DocumentError(problems)
    return chart


def _load(
    text: str | bytes, file: str, custom: Collection[str], machine: str | None = None
) -> tuple[Statechart | None, list[Problem], list[Problem], Source]:
    """The chart as far as it goes, the mistakes, the warnings, the source."""
    source, problems = scan_yaml(text, file, takes_numbers)
    if problems and source.value is None:
        return None, problems, [], source
    chart, report = _build(source, custom, Stored(PurePath(file).stem if machine is None else machine))
    if chart is not None and not report.problems:
        _check_context(report, chart)
    return chart, problems + [_placed(problem) for problem in report.problems], report.warnings, source


def _check_context(report: Report, chart: Statechart) -> None:
    if codec.size(codec.canonical(chart.context)) > CONTEXT_LIMIT:
        told = f"a machine's context has at most {CONTEXT_LIMIT} bytes as JSON"
        report.add("E006", ("context",), told, "keep large data in files and pass their names", key=True)


def _placed(problem: Problem) -> Problem:
    """In a text without any value the place is its start."""
    return problem if problem.line else problem._replace(line=1, column=1)


def _build(source: Source, custom: Collection[str] | None, stored: Stored) -> tuple[Statechart | None, Report]:
    report = Report(source)
    if not isinstance(source.value, dict):
        report.add("E100", (), "a document is a mapping with the key states:, or states: and transitions:")
        return None, report
    shape = check_shape(report)
    if shape is None or report.lost_states:
        return None, report
    document, trimmed = shape
    report.back = trimmed.original
    chart = Builder(report, document, trimmed.value, custom=custom, stored=stored).build()
    return chart, report


__all__ = [
    "ANOTHER_NAME",
    "CODES",
    "NO_MACHINES",
    "DocumentError",
    "Names",
    "Problem",
    "chart_from_plain",
    "check_document",
    "json_schema",
    "load_document",
    "machine_files",
    "read_document",
    "render_problems",
]
