"""What a machine does when its turn could not be committed.

- The store failed and nothing was written: senders hear so, the rest waits, and the machine tries again by itself.
- The commit may have happened, or the row is not where it was thought: the row decides, and nothing is guessed.
- The unit must not stay as it was (`Again`), or broke on a bug: it is repeated event by event, until the one event
  that cannot be handled is alone; that one is recorded as what failed the machine.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import structlog

from smd import codec
from smd.errors import MachineError, OutcomeUnknownError, SmdError, StoreError
from smd.runtime.inbox import tell
from smd.runtime.result import Result
from smd.runtime.turn import Again, Turn
from smd.statechart.snapshot_json import from_plain
from smd.store.base import StaleVersion

if TYPE_CHECKING:
    from smd.runtime.machine import Machine

_log = structlog.get_logger("smd.machine")

TRY_AGAIN = 0.5
"""Seconds before a machine tries again after the store failed."""
PATIENCE = 5
"""Failed turns in a row, for no fault of the store's, after which the event at hand is held to be the cause."""


def turn_failed(machine: Machine, turn: Turn, error: BaseException) -> None:
    """Decide what becomes of the events of a turn that failed."""
    machine.troubles += 1
    if isinstance(error, Again):
        _narrow(machine, turn, error.error)
    elif isinstance(error, StoreError) and not isinstance(error, OutcomeUnknownError):
        _keep(machine, turn, error)
        machine.supervisor.hosting.store_failed(machine, error)
        machine.submitted = True
        machine.supervisor.hosting.later(lambda: _try_again(machine))
    elif isinstance(error, StaleVersion | OutcomeUnknownError) and machine.troubles <= PATIENCE:
        machine.submitted = True
        machine.supervisor.hosting.spawn(_look(machine, turn, error, turn.result))
    else:
        trace = "".join(traceback.format_exception(error))
        _log.error("turn crashed", machine=machine.name, trace=trace)
        _narrow(machine, turn, MachineError(f"cannot step: {type(error).__name__}: {error}", code="internal"))


def _narrow(machine: Machine, turn: Turn, error: MachineError) -> None:
    if turn.verdict is not None:
        _keep(machine, turn, error)
        machine.status, machine.error = "failed", error.message
        _log.error("cannot even record a failure", machine=machine.name, why=error.message)
        return
    machine.wake = machine.wake or turn.wakes
    machine.inbox.put_back(turn.batch[1:])
    first = turn.batch[:1]
    alone = len(turn.batch) <= 1 and (not turn.wakes or not first)
    machine.submit(Turn(machine, first, error if alone else None))


def _keep(machine: Machine, turn: Turn, error: SmdError) -> None:
    """Senders that wait hear of it; what has no sender to tell stays in the inbox (rows stay in the store)."""
    again = []
    for item in turn.batch:
        if item.reply is not None:
            tell(item, error)
        elif item.seq is None:
            again.append(item)
        else:
            machine.inbox.overflow = True
    machine.inbox.put_back(again)
    machine.wake = machine.wake or turn.wakes


def _try_again(machine: Machine) -> None:
    machine.submitted = False
    machine.go_on()


async def _look(machine: Machine, turn: Turn, error: BaseException, result: Result | None) -> None:
    """Read the row: either the commit happened after all, leaving `result`, or it did not, or it is another's."""
    hosting, store = machine.supervisor.hosting, machine.supervisor.store
    told = error if isinstance(error, SmdError) else OutcomeUnknownError("cannot say what became of the event")
    try:
        row = await store.machine(machine.name)
    except SmdError as unread:
        _keep(machine, turn, told)
        hosting.store_failed(machine, unread)
        hosting.later(lambda: hosting.spawn(_look(machine, Turn(machine, []), error, None)))
        return
    machine.submitted = False
    if row is not None and result is not None and result.consumed and row.version == result.version != machine.version:
        machine.committed(turn)
        return
    unchanged = row is not None and row.version == machine.version
    _keep(machine, turn, StoreError("cannot take the event: the store did not write it") if unchanged else told)
    if row is None:
        hosting.gone(machine)
        return
    if not unchanged:
        plain = await hosting.chart_source(row.chart)
        machine.chart = machine.supervisor.charts.restore(row.chart, plain)
        machine.snapshot = from_plain(machine.chart, codec.loads(row.snapshot)) if row.snapshot else None
        machine.status, machine.life, machine.version = row.status, row.life, row.version
        machine.health, machine.error = row.health, row.error
    machine.inbox.drop_rows()
    machine.inbox.overflow = True
    machine.align(resumed=True)
    machine.go_on()
