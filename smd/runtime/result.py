"""What a turn leaves, to be acted on after the commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from smd.errors import MachineError, SmdError
from smd.jobs import JobStatus
from smd.runtime.answers import Answer
from smd.runtime.inbox import Item
from smd.statechart.effects import Send, Settle
from smd.statechart.event import Event
from smd.statechart.model import Statechart
from smd.statechart.snapshot import Snapshot
from smd.statechart.step import Step
from smd.store.base import Consumed, MachineRow

if TYPE_CHECKING:
    from smd.runtime.machine import Machine


Row = tuple[Item, "Step | Answer | SmdError", tuple[str, ...]]
"""A consumed event: its item, what it did (or what its sender hears), the leaf states before it."""


class Again(Exception):  # noqa: N818 - not an error of anybody: the unit is rolled back and run otherwise
    """What this unit did in the store must not stay: run it event by event, or as the failure it ends in.

    `outgrown`: the context became too large; run it with each change of the context measured.
    """

    def __init__(self, error: MachineError, *, outgrown: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.outgrown = outgrown


class Result:
    """What a turn leaves, to be acted on after the commit.

    Attributes:
        consumed, rows: the events consumed, for the store and for replies and notices; `seqs` are their numbers.
        told: (item, answer) for events that left no consumed row.
        jobs: (status, job) that changed.
        children: (row, chart) of machines created.
        delivered: (machine, seq, event) of pending rows that were made for others.
        enqueued: some event was put by for later.
        asked: the store was changed on behalf of an action of this turn.
        left: some event found no room to wait for an action: it was put by, or stays the row it is.
        cleared: pending rows that `clear_events` discarded.
        parked: outcomes of a paused machine, kept for its resumption.
        later: events that wait behind those put by in the store before the machine came up.
        untimed: a timer's event was dropped; if it is still armed it fires again.
    """

    __slots__ = (
        "asked",
        "chart",
        "children",
        "cleared",
        "consumed",
        "delivered",
        "enqueued",
        "error",
        "health",
        "jobs",
        "later",
        "left",
        "life",
        "parked",
        "rows",
        "sends",
        "seqs",
        "settles",
        "snapshot",
        "status",
        "told",
        "traces",
        "untimed",
        "version",
    )  # fmt: skip

    def __init__(self, machine: Machine) -> None:
        self.snapshot: Snapshot | None = machine.snapshot
        self.chart = machine.chart
        self.status = machine.status
        self.life = machine.life
        self.version = machine.version
        self.health = machine.health
        self.error = machine.error
        self.consumed: list[Consumed] = []
        self.rows: list[Row] = []
        self.seqs: Sequence[int] = ()
        self.told: list[tuple[Item, Answer | SmdError]] = []
        self.sends: list[Send] = []
        self.settles: list[Settle] = []
        self.jobs: list[tuple[str, Any]] = []
        self.children: list[tuple[MachineRow, Statechart]] = []
        self.delivered: list[tuple[str, int, Event]] = []
        self.parked: list[Item] = []
        self.later: list[Item] = []
        self.left = False
        self.untimed = False
        self.enqueued = False
        self.traces: list[str] = []
        self.asked = False
        self.cleared: frozenset[int] = frozenset()

    def taken_jobs(self) -> set[str]:
        """Ids of the jobs that were claimed."""
        return {job.job_id for status, job in self.jobs if status == JobStatus.RUNNING}

    @property
    def label(self) -> str:
        """Active leaf states."""
        return self.snapshot.configuration.label if self.snapshot is not None else ""


def tell_parent(machine: Machine, result: Result) -> list[Send]:
    """The event by which a child that ended tells its parent: `done.machine.<name>` or `error.machine.<name>`."""
    if machine.parent is None:
        return []
    kind = "done" if result.status == "finished" else "error"
    context = result.snapshot.context if result.snapshot is not None else {}
    payload = {
        "machine": machine.name, "status": result.status, "states": result.label, "error": result.error,
        "context": context,
    }  # fmt: skip
    key = f"{machine.name}/{result.life}/{result.version}/{kind}"
    return [Send((machine.parent,), f"{kind}.machine.{machine.name}", payload, key)]
