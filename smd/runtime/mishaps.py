"""What a machine does when its turn could not be committed.

- The store failed: everyone who waits hears so, the rest is kept, and the machine tries again by itself for as long
  as it takes. It is never failed for that.
- The commit may have happened, or the row is not where it was thought: the row decides, and nothing is guessed.
- The context became too large: it is repeated with each change measured, so that what is to blame is refused.
- The unit must not stay as it was (`Again`), or broke on a bug: it is repeated event by event, until the one event
  that cannot be handled is alone; that one is recorded as what failed the machine. If even that cannot be stored,
  it is recorded without all that its sender chose but its type.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import structlog

from smd import codec
from smd.errors import MachineError, OutcomeUnknownError, SmdError, StoreError, brief, storable
from smd.runtime.control import is_control
from smd.runtime.inbox import Item, tell
from smd.runtime.result import Again
from smd.runtime.turn import Turn
from smd.statechart.event import Event
from smd.statechart.model import Statechart
from smd.statechart.snapshot import Snapshot
from smd.statechart.snapshot_json import from_plain
from smd.store.base import MachineRow, StaleVersion

if TYPE_CHECKING:
    from smd.runtime.machine import Machine

_log = structlog.get_logger("smd.machine")

PATIENCE = 5
"""Times in a row that a machine's row was not where it was thought, after which the event at hand is held to be why."""


def turn_failed(machine: Machine, turn: Turn, error: BaseException) -> None:
    """Decide what becomes of the events of a turn that failed."""
    if isinstance(error, Again):
        if error.outgrown:
            machine.submit(Turn(machine, turn.batch, wakes=turn.wakes, measured=True))
        else:
            _narrow(machine, turn, error.error)
        return
    if isinstance(error, StoreError) and not isinstance(error, OutcomeUnknownError):
        _hold(machine, turn, error)
        return
    if isinstance(error, StaleVersion):
        machine.troubles += 1
    if isinstance(error, OutcomeUnknownError) or (isinstance(error, StaleVersion) and machine.troubles <= PATIENCE):
        machine.submitted = True
        machine.supervisor.hosting.spawn(_look(machine, turn, error))
        return
    trace = "".join(traceback.format_exception(error))
    _log.error("turn crashed", machine=machine.name, trace=trace)
    _narrow(machine, turn, MachineError(f"cannot step: {type(error).__name__}: {error}", code="internal"))


def hold(machine: Machine, error: StoreError) -> None:
    """Tell every sender that waits at the machine, and let it try again: what has no sender to tell stays."""
    told = machine.supervisor.store.trouble.error or StoreError(error.message, hint=error.hint)
    refuse_waiting(machine, told)
    machine.supervisor.hosting.again(machine, error)


def _hold(machine: Machine, turn: Turn, error: StoreError) -> None:
    _keep(machine, turn, error)
    hold(machine, error)


def refuse_waiting(machine: Machine, error: SmdError) -> None:
    """Tell every sender that waits at the machine; what is a row, or has no sender, stays."""
    waiting = machine.inbox.take(machine.inbox.weight)
    for item in (*waiting, *machine.behind):
        tell(item, error)
    left = [item._replace(reply=None) for item in waiting if item.reply is None or item.seq is not None]
    machine.inbox.put_back(left)
    machine.behind = [item for item in machine.behind if item.reply is None]


def _narrow(machine: Machine, turn: Turn, error: MachineError) -> None:
    if turn.verdict is not None:
        _record_plainly(machine, turn, turn.verdict, error)
        return
    machine.wake = machine.wake or turn.wakes
    machine.inbox.put_back(turn.batch[1:])
    first = turn.batch[:1]
    alone = len(turn.batch) <= 1 and (not turn.wakes or not first)
    verdict = MachineError(brief(error.message), code=error.code, hint=brief(error.hint)) if alone else None
    machine.submit(Turn(machine, first, verdict))


def _record_plainly(machine: Machine, turn: Turn, verdict: MachineError, error: MachineError) -> None:
    """Record the failure once more, with an event of which any store can keep all; what hinders that too is a bug."""
    batch = [_plain(item) for item in turn.batch]
    _log.error("cannot record a failure" if batch != turn.batch else "cannot even record a failure",
               machine=machine.name, events=[item.event.type for item in turn.batch], why=error.message)  # fmt: skip
    if batch != turn.batch:
        machine.submit(Turn(machine, batch, verdict))
        return
    for item in batch:  # an event that nobody waits for goes: it would keep all others from their turn
        tell(item, error)
        machine.inbox.overflow = machine.inbox.overflow or item.seq is not None
    refuse_waiting(machine, error)
    machine.status, machine.error = "failed", error.message


def _plain(item: Item) -> Item:
    """The item with an event that has its type and its source only."""
    event = Event(storable(item.event.type), {}, source=storable(item.event.source))
    return item._replace(event=event, client=False)


def _keep(machine: Machine, turn: Turn, error: SmdError) -> None:
    """Senders that wait hear of it; what has no sender to tell stays in the inbox (rows stay in the store)."""
    again = []
    for item in turn.batch:
        tell(item, error)
        if item.seq is None and item.reply is None:
            again.append(item)
        elif item.seq is not None and is_control(item.event):  # rows are not read for a machine that does not run
            again.append(item._replace(reply=None))
        elif item.seq is not None:
            machine.inbox.overflow = True
    machine.inbox.put_back(again)
    machine.wake = machine.wake or turn.wakes


async def _look(machine: Machine, turn: Turn, error: StaleVersion | OutcomeUnknownError) -> None:
    """Read the row: either the commit happened after all, or it did not, or the row is another's.

    Where it cannot be read the next turn finds out: it is refused if the row is not where it was thought.
    """
    try:
        row, chart, snapshot = await _stored(machine)
    except SmdError as unread:
        machine.submitted = False
        why = StoreError(unread.message, hint=unread.hint)
        _keep(machine, turn, error if isinstance(error, OutcomeUnknownError) else why)
        hold(machine, why)
        return
    machine.submitted = False
    if row is None or machine.supervisor.machines.get(machine.name) is not machine:
        machine.inbox.put_back(turn.batch)
        machine.supervisor.hosting.gone(machine)
    elif isinstance(error, OutcomeUnknownError) and row.version == machine.version:
        # Should the machine's host die now, the commit may come back; so its senders hear that it is unknown.
        _hold(machine, turn, error)
    elif isinstance(error, OutcomeUnknownError) and turn.result.consumed and row.version == turn.result.version:
        machine.committed(turn)
    else:
        if isinstance(error, StaleVersion):  # nothing of the unit was kept: its events can be taken anew
            machine.inbox.put_back(turn.batch)
            machine.wake = machine.wake or turn.wakes
        else:
            _keep(machine, turn, error)
        _follow(machine, row, chart, snapshot)


async def _stored(machine: Machine) -> tuple[MachineRow | None, Statechart, Snapshot | None]:
    """The machine's row, its chart and its snapshot."""
    supervisor = machine.supervisor
    row = await supervisor.store.machine(machine.name)
    if row is None or row.version == machine.version:
        return row, machine.chart, machine.snapshot
    chart = supervisor.charts.restore(row.chart, await supervisor.hosting.chart_source(row.chart))
    return row, chart, from_plain(chart, codec.loads(row.snapshot)) if row.snapshot else None


def _follow(machine: Machine, row: MachineRow, chart: Statechart, snapshot: Snapshot | None) -> None:
    """Go on from what the store has."""
    machine.chart, machine.snapshot, machine.lost = chart, snapshot, ""
    machine.status, machine.life, machine.version = row.status, row.life, row.version
    machine.health, machine.error = row.health, row.error
    machine.inbox.drop_rows()
    machine.inbox.overflow = True
    machine.align(resumed=True)
    machine.go_on()
