"""How lives begin: of machines that ended, and of those whose state could not be restored.

What is left of a machine that is removed, or could not be restored, is given up by a row of its journal, so that a
replay begins from nothing there, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from smd import codec
from smd.errors import ConflictError, NotFoundError, SmdError, StoreError
from smd.runtime import control
from smd.runtime.inbox import Reply
from smd.runtime.units import Once, ask_one
from smd.statechart.effects import CONTROL
from smd.statechart.event import HIGH, Event
from smd.statechart.model import Statechart
from smd.store.base import Consumed, Enqueue, FindMachine, MachineRow, PutChart, Record, Save, UpdateMachine

if TYPE_CHECKING:
    from smd.runtime.machine import Machine
    from smd.runtime.supervisor import Supervisor


async def begin(supervisor: Supervisor, machine: Machine, wanted: Callable[[], bool] | None = None) -> None:
    """Begin a new life of a machine that does not run, with the chart that its file held when that was last read.

    Args:
        wanted: asked right before the start goes into the inbox; if it is not, nothing happens.

    Raises:
        ConflictError: the machine runs, or its chart could not be restored.
    """
    name = machine.name
    chart = _chart(supervisor, machine)
    row = await supervisor.store.machine(name)
    context = codec.loads(row.initial_context) if row is not None else {}
    while machine.lost and machine.submitted:
        await supervisor.store.submit(ask_one(FindMachine(name)))  # comes after the turn that is under way
    if wanted is not None and not wanted():
        return
    payload = {"context": context, "chart": chart.hash}
    if machine.lost:
        await supervisor.answered(lambda reply: _begin_from_nothing(supervisor, machine, chart, payload, reply))
    else:
        await supervisor.control(name, control.START, payload)


def not_restored(verb: str, machine: Machine) -> ConflictError:
    """Why a verb is refused that needs the state of a machine which could not be restored."""
    return ConflictError(
        f"cannot {verb} '{machine.name}': {machine.lost}", code="not_restored",
        hint=f"smctl restart {machine.name} gives up what the store has of it and begins a new life",
    )  # fmt: skip


def given_up(row: MachineRow, kind: str, now: float, error: str | None = None) -> Record:
    """The record by which a machine's state is gone; its chart and its place in the journal stay."""
    event = Event(kind, {}, source="supervisor", priority=HIGH, sent_at=now)
    consumed = Consumed(event, None, CONTROL, now, row.label, "", error)
    return Record(row.name, row.life, row.version, row.version + 1, "stopped", "", None, [consumed],
                  lifecycle="Offline", health="Healthy")  # fmt: skip


def _chart(supervisor: Supervisor, machine: Machine) -> Statechart:
    try:
        return machine.next_chart or supervisor.charts.known(machine.chart.hash)
    except NotFoundError:
        raise ConflictError(
            f"cannot begin '{machine.name}' anew: {machine.lost}", code="not_restored",
            hint=f"start smd with a file of it, or smctl remove {machine.name}",
        ) from None  # fmt: skip


def _begin_from_nothing(
    supervisor: Supervisor, machine: Machine, chart: Statechart, payload: dict[str, Any], reply: Reply
) -> None:
    """Give up what could not be restored, and start, in one unit; no turn of the machine runs beside it."""
    now = supervisor.clock.now()
    start = Event(control.START, payload, source="supervisor", priority=HIGH, sent_at=now)

    def recipe() -> Any:
        row = yield FindMachine(machine.name)
        if row is None:
            raise NotFoundError(f"cannot begin '{machine.name}' anew: it was removed", code="unknown_machine")
        yield PutChart(chart.hash, codec.dumps(chart.source))
        yield Save(given_up(row, control.DISCARD, now, machine.lost)._replace(chart=chart.hash))
        yield UpdateMachine(machine.name, {"snapshot": None})
        seq, _ = yield Enqueue(machine.name, start, now)
        return row.version + 1, seq

    def ended(value: Any, error: BaseException | None) -> None:
        machine.submitted = False
        if error is not None:
            reply(error if isinstance(error, SmdError) else StoreError(f"cannot begin '{machine.name}' anew: {error}"))
            machine.go_on()
            return
        machine.version, seq = value
        machine.chart, machine.lost = chart, ""
        machine.status, machine.health, machine.error = "stopped", "Healthy", None
        machine.deliver(seq, start, reply)

    machine.submitted = True
    supervisor.store.run(Once(recipe), ended)
