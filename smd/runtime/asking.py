"""Store actions inside a turn: build the call, let its family ask the store, watch what it changed."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from smd import codec
from smd.actions import STORE
from smd.actions.base import Call, Log, kept
from smd.actions.machines import StartChild
from smd.errors import ActionError, SmdError, StoreError, brief
from smd.runtime import control
from smd.runtime.charts import check_name
from smd.statechart.event import HIGH, Event, Outcome
from smd.statechart.expression import ExpressionError
from smd.statechart.model import Action, Statechart
from smd.statechart.scope import Lookup, lookup_in
from smd.statechart.selection import event_of_fault
from smd.statechart.sequence import action_of, key_of
from smd.statechart.snapshot import Sequence, Snapshot
from smd.store.base import (
    AddJob,
    ClaimJob,
    ClearPending,
    CreateMachine,
    Enqueue,
    FindMachine,
    FindPending,
    JobStates,
    MachineRow,
    PendingJobs,
    PutChart,
    SettleJob,
    UpdateMachine,
)

if TYPE_CHECKING:
    from smd.runtime.machine import Machine
    from smd.runtime.turn import Turn

Recipe = Generator[Any, Any, Any]

_LOOKS = (FindMachine, FindPending, JobStates, PendingJobs)
"""Operations that change nothing."""
_LEASES = frozenset({ClaimJob, SettleJob})


def lookup_for(chart: Statechart, snapshot: Snapshot, record: Sequence, now: float) -> Lookup:
    """What the templates of a sequence's action see."""
    return lookup_in(
        snapshot.context, record.event, machine=snapshot.machine, state=record.state, now=now, life=snapshot.life,
        document=chart.source,
    )  # fmt: skip


def call_for(
    machine: Machine, chart: Statechart, snapshot: Snapshot, record: Sequence, action: Action, now: float
) -> Call:
    """The call of the action that a record stands at.

    Raises:
        ActionError: a parameter cannot be rendered.
    """
    look = lookup_for(chart, snapshot, record, now)
    params = action.params.value if action.params.constant else action.params.render(look)
    key = key_of(snapshot, record)
    return Call(
        machine=snapshot.machine, life=snapshot.life, state=record.state, key=key,
        full_key=f"{machine.supervisor.store_id}/{key}", attempt=record.attempt, action=action,
        params=params if isinstance(params, dict) else {}, context=snapshot.context, event=record.event, lookup=look,
        held=snapshot.held, now=now, work_folder=machine.work_folder, log=machine.log,
        output=partial(machine.output, key), region=chart.states[record.state].region, flat=chart.flat,
        fault=partial(event_of_fault, chart, chart.states[record.state], action), chart=chart,
    )  # fmt: skip


def refused(
    chart: Statechart, snapshot: Snapshot, record: Sequence, action: Action, error: SmdError, log: Log
) -> Outcome:
    """The outcome of an action that could not even be called; `log` gets its error whole if that is long."""
    if isinstance(error, ActionError | ExpressionError):
        event = event_of_fault(chart, chart.states[record.state], action)
    else:
        event = action.events.get("error", "error")
    words = kept(f"{action.type}: {error.message}", log)
    patch = (("set", ("last_error",), words), ("set", ("last_error_action",), action.type))
    return Outcome(key_of(snapshot, record), record.attempt, False, event, patch, error=brief(error.message))


def ask(turn: Turn, record: Sequence) -> Recipe:
    """Ask the store on behalf of a record; returns the Outcome.

    Raises:
        StoreError: the store failed; nothing is known of the answer.
    """
    result = turn.result
    snapshot, chart = result.snapshot, result.chart
    if snapshot is None:
        raise ActionError("cannot ask for a machine that has not started")
    action = action_of(chart, record)
    answer: Any = None
    try:
        family = STORE[action.type](call_for(turn.machine, chart, snapshot, record, action, turn.now))
        while True:
            operation = family.send(answer)
            if type(operation) in _LEASES:
                result.asked = True
                answer = yield operation
                if answer is not None:
                    result.jobs.append((answer.status, answer))
            else:
                answer = yield from _operate(turn, operation)
    except StopIteration as end:
        return end.value
    except StoreError:
        raise
    except (ActionError, ExpressionError, SmdError) as error:
        return refused(chart, snapshot, record, action, error, turn.machine.log)


def _operate(turn: Turn, operation: Any) -> Recipe:
    """Pass an operation on, noting what it changes for others."""
    result = turn.result
    if isinstance(operation, StartChild):
        return (yield from _start_child(turn, operation))
    if isinstance(operation, ClearPending):
        consumed = {row.seq for row in result.consumed if row.seq is not None}
        operation = operation._replace(keep=tuple(consumed))
    result.asked = result.asked or not isinstance(operation, _LOOKS)
    answer = yield operation
    if isinstance(operation, AddJob) and answer[1]:
        result.jobs.append(("available", answer[0]))
    elif isinstance(operation, ClearPending):
        result.cleared |= set(answer)
    elif isinstance(operation, Enqueue):
        result.delivered.append((operation.machine, answer[0], operation.event))
    return answer


def _start_child(turn: Turn, operation: StartChild) -> Recipe:
    """A child is a machine row and its start a pending row, both in this transaction."""
    supervisor, parent = turn.machine.supervisor, turn.machine
    try:
        check_name(operation.name)
        path = supervisor.charts.resolve(operation.path, parent.work_folder)
        chart, origin = supervisor.charts.load(path)
    except SmdError as error:
        return {"started": False, "existing": False, "error": error.message}
    turn.result.asked = True
    yield PutChart(chart.hash, codec.dumps(chart.source))
    row = MachineRow(
        operation.name, 0, chart.hash, "stopped", 0, parent=operation.parent, linked=operation.linked, origin=origin,
        initial_context=codec.dumps(operation.context), work_folder=str(parent.work_folder), born_of=operation.key,
    )  # fmt: skip
    existing = yield CreateMachine(row)
    if existing is not None and existing.born_of == operation.key:
        return {"started": True, "existing": True, "error": None}
    if existing is not None and (yield FindPending(operation.name, (control.START,))) is not None:
        return {"started": False, "existing": True, "error": "a machine of that name is about to start"}
    own = existing is not None and existing.parent == parent.name and existing.status in {"stopped", "failed"}
    if existing is not None and existing.status != "finished" and not own:
        why = f"a machine of that name is {existing.status}"
        return {"started": False, "existing": True, "error": why}
    if existing is not None:
        columns = ("chart", "parent", "linked", "origin", "initial_context", "work_folder", "born_of")
        yield UpdateMachine(operation.name, {name: getattr(row, name) for name in columns})
    held = [list(hold) for hold in _handed(turn, operation)]
    payload = {"context": operation.context, "held": held, "chart": chart.hash}
    start = Event(control.START, payload, source=parent.name, priority=HIGH)
    seq, _ = yield Enqueue(operation.name, start, turn.now)
    stored = yield FindMachine(operation.name)
    turn.result.children.append((stored, chart))
    turn.result.delivered.append((operation.name, seq, start))
    return {"started": True, "existing": existing is not None, "error": None}


def _handed(turn: Turn, operation: StartChild) -> list[Any]:
    """The parent's holds of the jobs it hands over."""
    snapshot = turn.result.snapshot
    handed = set(operation.held)
    return [h._replace(auto=False, handed=True) for h in (snapshot.held if snapshot else ()) if h.job_id in handed]
