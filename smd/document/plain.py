"""Plain documents that were read before and come back from the store."""

from __future__ import annotations

import re
from typing import Any

from smd.document.report import Path, Report
from smd.problems import shown
from smd.yaml_source import MAX_DEPTH, MAX_NODES, Source

_NOT_STORED = re.compile("[\0\ud800-\udfff]")


def plain_source(value: Any, name: str) -> Report:
    """A report on a source without text: a mapping of JSON values within the bounds of `yaml_source`."""
    report = Report(Source(name, "", value))
    if not isinstance(value, dict):
        report.add("E100", (), "a document is a mapping")
        return report
    stack: list[tuple[Any, Path]] = [(value, ())]
    for count in range(MAX_NODES + 1):
        if not stack:
            return report
        part, path = stack.pop()
        if count == MAX_NODES or len(path) > MAX_DEPTH:
            break
        stack.extend(_inside(report, part, path))
    report.add("E006", (), f"more than {MAX_NODES} values, or nested deeper than {MAX_DEPTH} levels")
    return report


def fits_the_store(value: Any) -> bool:
    """No more values than `plain_source` takes."""
    stack = [value]
    for _ in range(MAX_NODES + 1):
        if not stack:
            return True
        part = stack.pop()
        if isinstance(part, dict | list):
            stack.extend(part.values() if isinstance(part, dict) else part)
    return False


def _inside(report: Report, part: Any, path: Path) -> list[tuple[Any, Path]]:
    if isinstance(part, dict):
        for key in part:
            if not isinstance(key, str) or _NOT_STORED.search(key):
                report.add("E004", path, f"a key must be a text, not {shown(key)}")
        return [(inner, (*path, key)) for key, inner in part.items() if isinstance(key, str)]
    if isinstance(part, list):
        return [(inner, (*path, index)) for index, inner in enumerate(part)]
    if not _is_json_scalar(part):
        report.add("E007", path, f"JSON has no such value: {type(part).__name__}")
    return []


def _is_json_scalar(value: Any) -> bool:
    if isinstance(value, float):
        return abs(value) < float("inf")
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    if isinstance(value, str):
        return not _NOT_STORED.search(value)
    return value is None or isinstance(value, bool)
