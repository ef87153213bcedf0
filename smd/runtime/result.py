"""What a turn leaves, to be acted on after the commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smd.errors import SmdError
from smd.runtime.answers import Answer
from smd.runtime.inbox import Item
from smd.statechart.effects import Send, Settle
from smd.statechart.event import Event
from smd.statechart.snapshot import Snapshot
from smd.statechart.step import Step
from smd.store.base import Consumed, Saved

if TYPE_CHECKING:
    from smd.runtime.machine import Machine


class Result:
    """What a turn leaves, to be acted on after the commit.

    Attributes:
        answers: (item, Answer) in order, for senders.
        steps: (event, step, label before) for notices.
        jobs: (what, job) that changed: `available` or an end.
        children: names of machines created.
    """

    def __init__(self, machine: Machine) -> None:
        self.snapshot: Snapshot | None = machine.snapshot
        self.chart = machine.chart
        self.status = machine.status
        self.life = machine.life
        self.version = machine.version
        self.health = machine.health
        self.error = machine.error
        self.consumed: list[Consumed] = []
        self.answers: list[tuple[Item, Answer | SmdError]] = []
        self.numbers: list[tuple[int, int]] = []  # (place in answers, place in consumed)
        self.steps: list[tuple[Event, Step, str]] = []
        self.sends: list[Send] = []
        self.settles: list[Settle] = []
        self.jobs: list[tuple[str, Any]] = []
        self.children: list[Any] = []
        self.delivered: list[tuple[str, int, Event]] = []
        self.parked: list[Item] = []
        self.enqueued: set[str] = set()
        self.traces: list[str] = []

    @property
    def label(self) -> str:
        """Active leaf states."""
        return self.snapshot.configuration.label if self.snapshot is not None else ""

    def number(self, saved: Saved) -> None:
        """Put journal numbers into the answers of consumed events."""
        for place, row in self.numbers:
            item, answer = self.answers[place]
            if isinstance(answer, Answer):
                self.answers[place] = (item, answer._replace(seq=saved.seqs[row]))


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
