"""Children that end with their parent (`linked: true`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smd.runtime import control
from smd.statechart.event import HIGH, Event
from smd.store.base import MachineRow

if TYPE_CHECKING:
    from smd.runtime.machine import Machine
    from smd.runtime.supervisor import Supervisor


class Linked:
    """Which machines are whose linked children."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._children: dict[str, set[str]] = {}

    def note(self, row: MachineRow) -> None:
        """A machine is hosted."""
        if row.linked and row.parent:
            self._children.setdefault(row.parent, set()).add(row.name)

    def forget(self, machine: Machine) -> None:
        """A machine is gone."""
        self._children.pop(machine.name, None)
        self._children.get(machine.parent or "", set()).discard(machine.name)

    def follow(self, parent: Machine, *, at_start: bool = False) -> None:
        """Stop the children of a machine that runs no more.

        `at_start`: but for those that somebody started after the parent's end.
        """
        if parent.status in {"running", "paused"}:
            return
        for name in self._children.get(parent.name, ()):
            child = self._supervisor.machines.get(name)
            if child is None or not child.linked or child.parent != parent.name:
                continue
            if child.status in {"running", "paused"} and not (at_start and child.since > parent.since):
                child.post(Event(control.STOP, {}, source=parent.name, priority=HIGH))
