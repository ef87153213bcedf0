"""Names of events that smd itself causes: `timeout(5)`, `done.state.x`, `done.machine.x`, `error.machine.x`.

A mistyped one would be taken for an event that somebody sends, and would never come.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from smd.document.report import Path, Report
from smd.document.schema import duration_fault
from smd.errors import ChartError
from smd.problems import shown
from smd.statechart.durations import parse_duration
from smd.statechart.model import COMPOUND, FINAL, PARALLEL, State, TimerSpec
from smd.statechart.selection import matches

_TIMER = re.compile(r"timeout\((.*)\)", re.DOTALL)
_MEANT_FOR_A_TIMER = re.compile(r"\s*timeout\s*\(", re.IGNORECASE)
_STATE = "done.state."
_MACHINE = ("done.machine.", "error.machine.")
_DONE = "only a state with a final state in it can be done, or a parallel one whose regions all can"


class OwnEvents:
    """The transitions of one document that wait for an event of smd's own."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._awaited: list[tuple[str, Path]] = []

    def timers(self, events: Iterable[tuple[str, Path]], *, key: bool) -> list[TimerSpec]:
        """The timers among events, each with its place, at whose key (or value) a mistyped one is told."""
        found = []
        for event, path in events:
            if event.startswith((_STATE, *_MACHINE)):
                self._awaited.append((event, path))
            elif _MEANT_FOR_A_TIMER.match(event):
                found += self._timer(event, path, key=key)
        return found

    def _timer(self, event: str, path: Path, *, key: bool) -> list[TimerSpec]:
        match = _TIMER.fullmatch(event)
        if match is None:
            told = f"must be a timer like timeout(5) (got {shown(event)})"
            self._report.add("E105", path, told, "nothing before timeout(, nothing after )", key=key)
            return []
        try:
            return [TimerSpec(event, parse_duration(match[1]))]
        except ChartError as error:
            self._report.add("E105", path, duration_fault(error.message, match[1]), error.hint, key=key)
            return []

    def check(self, states: Collection[State], plain: Any) -> None:
        """Warn of what never comes; only for a document without mistakes, whose states are all known.

        Args:
            states: all of them.
            plain: the document.
        """
        if not self._awaited:
            return
        done = [f"{_STATE}{state.id}" for state in states if _can_be_done(state)]
        children = sorted(_children(plain))
        for event, path in self._awaited:
            if event.startswith(_STATE):
                self._check(event, path, done, "no such state is ever done", _DONE)
            elif not any("{" in name for name in children):
                head = event[: event.index(".machine.") + len(".machine.")]
                known = [f"{head}{name}" for name in children]
                self._check(event, path, known, "no start_fsm here starts such a machine", "")

    def _check(self, event: str, path: Path, known: Sequence[str], why: str, hint: str) -> None:
        if not any(matches(event, one) for one in known):
            near = self._report.nearest(event, known, 0.8)
            self._report.warn("W104", path, f"{shown(event)} never comes: {why}", near or hint)


def _can_be_done(state: State) -> bool:
    inner = [child for child in state.children if not child.is_history]
    if state.kind == COMPOUND:
        return any(child.kind == FINAL for child in inner)
    return state.kind == PARALLEL and all(_can_be_done(child) for child in inner)


def _children(plain: Any) -> Iterator[str]:
    """The machines that actions of a document start; `{` for one whose name only a run will know."""
    if isinstance(plain, dict):
        if plain.get("type") == "start_fsm":
            inner = plain["params"] if isinstance(plain.get("params"), dict) else {}
            name = plain.get("machine_name", inner.get("machine_name"))
            yield name if isinstance(name, str) else "{"
        for each in plain.values():
            yield from _children(each)
    elif isinstance(plain, list):
        for each in plain:
            yield from _children(each)
