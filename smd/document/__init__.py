"""A YAML document → `Statechart`, with all its mistakes at once and each with its place.

    text ─ yaml_source ─ plain ─ check (schema) ─ parts ─ build (tree, transitions, actions) ─ Statechart

The format is interfaces.md §1; the predecessor's flat form is part of it, alone or beside the nested one.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePath
from typing import Any

from smd.document.build import Builder, Stored
from smd.document.check import check_shape
from smd.document.files import machine_files
from smd.document.json_schema import json_schema
from smd.document.plain import plain_source
from smd.document.report import Report
from smd.problems import CODES, DocumentError, Problem, arranged, render_problems
from smd.statechart.model import Statechart
from smd.yaml_source import Source, scan_yaml

STORED = "the stored chart"
"""What stands for the file's name in messages about a chart that comes from the store."""


def load_document(text: str | bytes, file: str, *, custom: Collection[str] = ()) -> Statechart:
    """The chart of a document.

    Args:
        text: YAML, as read from the file.
        file: its path, for messages; its stem is the machine's name where the document gives none.
        custom: custom action types that exist. One named like a built-in type replaces it, but for `log`
            and `sleep`.

    Raises:
        DocumentError: with every mistake found.
    """
    chart, problems, source = _load(text, file, custom)
    if problems or chart is None:
        raise DocumentError(problems, source.text)
    return chart


def check_document(text: str | bytes, file: str, *, custom: Collection[str] = ()) -> list[Problem]:
    """Every mistake of a document, in the order of their places; empty if it would load."""
    return arranged(_load(text, file, custom)[1])


def chart_from_plain(plain: dict[str, Any], *, custom: Collection[str] | None = None) -> Statechart:
    """The chart again, from the `Statechart.source` that the store kept.

    Args:
        plain: not changed; the order of its keys matters, as it is the document order.
        custom: as for `load_document`; None takes any unknown action type for a custom one.

    Raises:
        DocumentError: the plain document is wrong; its problems have no line.
    """
    report = plain_source(plain, STORED)
    source, problems = report.source, report.problems
    chart = None
    if not problems:
        source.value = dict(plain)
        chart, problems = _build(source, custom, Stored.taken_from(source.value))
    if problems or chart is None:
        raise DocumentError(problems)
    return chart


def _load(text: str | bytes, file: str, custom: Collection[str]) -> tuple[Statechart | None, list[Problem], Source]:
    source, problems = scan_yaml(text, file)
    if problems and source.value is None:
        return None, problems, source
    chart, more = _build(source, custom, Stored(PurePath(file).stem))
    return chart, problems + more, source


def _build(source: Source, custom: Collection[str] | None, stored: Stored) -> tuple[Statechart | None, list[Problem]]:
    report = Report(source)
    if not isinstance(source.value, dict):
        report.add("E100", (), "a document is a mapping with the key states:, or states: and transitions:")
        return None, report.problems
    shape = check_shape(report)
    if shape is None or report.lost_states:
        return None, report.problems
    document, trimmed = shape
    report.back = trimmed.original
    chart = Builder(report, document, trimmed.value, custom=custom, stored=stored).build()
    return chart, report.problems


__all__ = [
    "CODES",
    "DocumentError",
    "Problem",
    "chart_from_plain",
    "check_document",
    "json_schema",
    "load_document",
    "machine_files",
    "render_problems",
]
