"""Calls of actions for tests: made by hand, or by the loader from one line of YAML."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from smd.actions.base import Call
from smd.catalogue import ACTIONS
from smd.document import load_document
from smd.statechart.context import apply_patch
from smd.statechart.event import Event, Hold, Outcome
from smd.statechart.scope import lookup_in
from smd.store.base import Recipe


class Told:
    """What an action wrote to the machine's log and to its output."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.output: list[tuple[str, bytes]] = []


def call_of(
    kind: str, folder: Path, *, context: dict[str, Any] | None = None, event: Event | None = None,
    held: tuple[Hold, ...] = (), region: str | None = None, told: Told | None = None, **params: Any,
) -> Call:  # fmt: skip
    """A call of an action as the loader makes it: its type, its parameters, what the machine knows."""
    plain = {"initial": "a", "states": {"a": {"actions": [{"type": kind, **params}]}}}
    chart = load_document(json.dumps(plain), "test.yaml", custom=() if kind in ACTIONS else (kind,))
    action = chart.states["a"].sequence[0]
    context = context or {}
    lookup = lookup_in(context, event, machine="m", state="a", now=1000.0)
    told = told or Told()
    rendered: Any = action.params.render(lookup)
    return Call(
        machine="m", life=1, state="a", key="m/1/1/0", full_key="store/m/1/1/0", attempt=1, action=action,
        params=rendered, context=context, event=event, lookup=lookup, held=held, now=1000.0, work_folder=folder,
        log=lambda level, message: told.lines.append((level, message)),
        output=lambda stream, data: told.output.append((stream, data)), region=region,
    )  # fmt: skip


def after(call: Call, outcome: Outcome) -> dict[str, Any]:
    """The context once the outcome's patch is applied."""
    return apply_patch(call.context, outcome.patch)


def claim(job_id: str, data: Any, source: str | None = None) -> tuple[Any, ...]:
    """The change by which a claimed job comes into the context."""
    job = {"id": job_id, "job_id": job_id, "source_job_id": source, "job_type": "t", "data": data, "priority": 5}
    return ("claim", ("current_job",), job)


def drive(asking: Generator[Any, Any, Outcome], *answers: Any) -> tuple[list[Any], Outcome]:
    """Run a store action by hand: the operations it asked, each given the next answer, and its outcome."""
    asked: list[Any] = []
    answer, rest = None, list(answers)
    while True:
        try:
            asked.append(asking.send(answer))
        except StopIteration as end:
            assert not rest, f"not asked for: {rest}"
            return asked, end.value
        answer = rest.pop(0)


class Asked:
    """A unit that asks one store action, or single operations."""

    def __init__(self, recipe: Callable[[], Recipe]) -> None:
        self._recipe = recipe

    def begin(self, room: int) -> int:
        return min(1, room)

    def run(self) -> Recipe:
        return self._recipe()


def one(operation: Any) -> Asked:
    """A unit of a single operation, resolving to its answer."""

    def recipe() -> Recipe:
        return (yield operation)

    return Asked(recipe)
