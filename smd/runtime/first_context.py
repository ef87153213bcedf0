"""The context that a command line gives a machine which is there already: its next life begins with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import structlog

from smd import codec
from smd.runtime import control
from smd.runtime.units import ask_one
from smd.statechart.snapshot import FINISHED
from smd.store.base import UpdateMachine

if TYPE_CHECKING:
    from smd.runtime.machine import Machine
    from smd.runtime.supervisor import Supervisor

_log = structlog.get_logger("smd.hosting")


async def give_context(supervisor: Supervisor, machine: Machine, context: dict[str, Any]) -> None:
    """Have the machine's lives from the next on begin with a context.

    A life under way keeps the context it has; that is told, unless it began with just this one.
    """
    row = await supervisor.store.machine(machine.name)
    stored = codec.loads(row.initial_context) if row is not None else None
    if machine.snapshot is not None and machine.snapshot.status != FINISHED:
        began = await _began(supervisor, machine)
        if (stored if began is None else began) != context:
            _log.warning("kept the context", machine=machine.name, why="its life goes on with the context it has; the "
                         f"initial context given now is for its next life: smctl restart {machine.name}")  # fmt: skip
    if stored != context:
        columns = {"initial_context": json.dumps(context).encode()}
        await supervisor.store.submit(ask_one(UpdateMachine(machine.name, columns)))


async def _began(supervisor: Supervisor, machine: Machine) -> dict[str, Any] | None:
    """The context that the present life was given, if the journal still has its start."""
    rows = await supervisor.store.events(machine.name, types=(control.START,), disposition="control", limit=1)
    given: dict[str, Any] | None = rows[0].payload.get("context") if rows else None
    return given
