"""The durable program counter: how the actions of active states go on, one after another (architecture 2.2).

A sequence is a record in the snapshot. It moves when the macrostep has settled:

- an instant action is done at once and its answer handled as a small macrostep; without an answer, what it set off
  inside (raised events, transitions without event) is handled before the next action;
- a store action turns the record to *asking*: the unit asks the store and comes back with an outcome;
- a working action turns it to *working*: the runtime reads that off the snapshot, runs it, and posts the outcome;
- `sleep`, retries and the pace of idle loops are timers of the snapshot (*sleeping*), and so is the time-out of an
  action that waits.

The record moves on before its answer's transitions are searched; if they leave the state, the record is gone with it,
and if they enter it again there is a new record with a new entry number. So no answer can reach a later entry.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from smd.catalogue import Kind
from smd.errors import ActionError, ChartError, brief
from smd.statechart.content import operation_of
from smd.statechart.context import Change
from smd.statechart.durations import parse_duration
from smd.statechart.effects import Settle, Warn
from smd.statechart.event import Event
from smd.statechart.expression import ExpressionError
from smd.statechart.model import Action, State
from smd.statechart.plan import Microstep
from smd.statechart.selection import EXECUTION, event_of_fault, matches
from smd.statechart.snapshot import ARMED, ASKING, ENDED, READY, RUNNING, SLEEPING, WORKING, Sequence, Snapshot, Timer

if TYPE_CHECKING:
    from smd.statechart.model import Statechart
    from smd.statechart.run import Run

PACE, SLOWEST = 0.05, 0.5
"""Seconds before an idle loop goes round again: the first time, and at most."""

NOT_STARTED = -1

TIMEOUT = "timeout"
"""What the timer of an action's time-out says."""


class Answer(NamedTuple):
    """An action's answer to be handled: `event`, searched from `state` upwards.

    `failed` is the entry number of a record whose action failed, so that an unhandled failure is remembered; else 0.
    """

    state: State
    event: Event
    failed: int = 0


# --- what others ask of a record ---------------------------------------------------------------------------------


def actions_of(state: State, record: Sequence) -> tuple[Action, ...]:
    """The record's actions: lasting actions of the transition that led here, then the state's own."""
    if record.head < 0:
        return state.sequence
    return tuple(state.heads.values())[record.head] + state.sequence


def action_of(chart: Statechart, record: Sequence) -> Action:
    """The action the record stands at."""
    return actions_of(chart.states[record.state], record)[record.index]


def key_of(snapshot: Snapshot, record: Sequence) -> str:
    """The action key: `machine/life/entry/index`."""
    return f"{snapshot.machine}/{snapshot.life}/{record.entry}/{record.index}"


def is_pacing(record: Sequence) -> bool:
    """The record only waits for the pace of its loop; nothing of it is under way."""
    return record.index == NOT_STARTED or (record.passes > 0 and record.phase == SLEEPING and record.attempt == 0)


def leading_event(at: Run | Snapshot, state_id: str) -> Event | None:
    """The external event that led into a state, as its sequence, a timer or a deferred time-out remembers it."""
    told = next((r.event for r in at.sequences if r.state == state_id and r.event is not None), None)
    told = told or next((t.data for t in at.timers if t.state == state_id and t.kind == "after" and t.data), None)
    return told or next((e.led for e in at.deferred if e.owner == state_id and e.led), None)


def remember(run: Run, state_id: str, led: Event | None) -> None:
    """Have a timer or else a deferred time-out of the state, if any is left, keep what led there; once is enough."""
    if led is None or leading_event(run, state_id) is not None:
        return
    heir = next((t for t in run.timers if t.state == state_id and t.kind == "after"), None)
    late = next((e for e in run.deferred if e.owner == state_id), None)
    if heir is not None:
        run.timers = tuple([t._replace(data=led) if t is heir else t for t in run.timers])
    elif late is not None:
        run.deferred = tuple([e._replace(led=led) if e is late else e for e in run.deferred])


def any_ready(run: Run) -> bool:
    """Some sequence can go on."""
    return READY in [r.phase for r in run.sequences]


def all_ended(run: Run) -> bool:
    """No sequence has anything left to do."""
    return all(r.phase in {ENDED, ARMED} for r in run.sequences)


# --- entering and leaving states ----------------------------------------------------------------------------------


def leave(run: Run, microstep: Microstep) -> None:
    """Forget the records, timers and deferred time-outs of states that are left.

    Deadlines of `wait_for_jobs` survive a re-entry.
    """
    if not microstep.exited:
        return
    left, again = microstep.left, microstep.again
    for record in run.sequences:
        if record.state in left:
            run.freed = True
            if record.phase == WORKING or (record.phase == SLEEPING and not is_pacing(record)):
                run.mark_failed(record.state)
            if run.external is None:
                run.external = record.event
    if run.sequences:
        run.sequences = tuple([r for r in run.sequences if r.state not in left])
    if run.deferred:
        run.deferred = tuple([e for e in run.deferred if e.owner not in left])
    if run.timers:
        run.timers = tuple([t for t in run.timers if t.state not in left or (t.kind == "wait" and t.state in again)])


def enter(run: Run, state: State, microstep: Microstep) -> None:
    """Arm the state's timers and give it a record, not started yet."""
    if not (state.timers or state.sequence or state.heads):
        return
    entry = run.next_entry()
    if run.external is None:
        run.external = run.event
    led: Event | None = run.external
    leading = microstep.heads.get(state)
    head = list(state.heads).index(leading) if leading is not None else -1
    if state.sequence or head >= 0:
        record = Sequence(state.id, entry, NOT_STARTED, 1, READY, led, False, head, 0, run.direct)
        run.sequences = _in_order(run, (*run.sequences, record)) if run.sequences else (record,)
        led = None
    for number, spec in enumerate(state.timers):
        timer = Timer(f"{entry}.{number}", "after", run.now + spec.seconds, state.id, spec.event, spec.seconds, led)
        run.timers = (*run.timers, timer)
        led = None


def _in_order(run: Run, records: tuple[Sequence, ...]) -> tuple[Sequence, ...]:
    order = run.chart.states
    return tuple(sorted(records, key=lambda r: order[r.state].order))


def put(run: Run, old: Sequence, new: Sequence | None) -> None:
    """Replace a record, or remove it."""
    if len(run.sequences) == 1:
        run.sequences = () if new is None else (new,)
    else:
        run.sequences = tuple([r for r in [new if r is old else r for r in run.sequences] if r is not None])


def sleep(run: Run, record: Sequence, seconds: float, what: str) -> None:
    """Arm the timer that wakes the record: its phase says from what, and `what` to what."""
    timer = Timer(f"{record.entry}.{record.index}.{what}", "sequence", run.now + seconds, record.state, what, seconds,
                  record.entry)  # fmt: skip
    run.timers = (*run.timers, timer)


# --- going on -----------------------------------------------------------------------------------------------------


def advance(run: Run) -> Answer | None:
    """Go on with the first record that can, until one answers with an event or sets something off inside.

    Returns None then, or when all wait.
    """
    while True:
        for record in run.sequences:
            if record.phase == READY:
                break
        else:
            return None
        if record.index == NOT_STARTED:
            _start(run, record)
        else:
            before = run.context
            given = _perform(run, record)
            if given is not None:
                return given
            set_off = run.internal or (run.context is not before and run.configuration.eventless)
            if set_off and run.status == RUNNING:
                return None


def _start(run: Run, record: Sequence) -> None:
    """First turn of a record: an idle loop is slowed down, a busy one ends the macrostep."""
    visited, turns = run.loop
    if record.state in visited:
        run.loop = ((record.state,), turns + 1)
        delay = min(PACE * 2.0 ** min(turns, 10), SLOWEST)
    elif record.state in run.started:
        run.loop = ((*visited, record.state), turns)
        delay = 0.0
    else:
        run.started.add(record.state)
        run.loop = ((*visited, record.state), turns)
        put(run, record, record.moved(0, READY))
        return
    put(run, record, record._replace(phase=SLEEPING))
    sleep(run, record, delay, "pace")


def _perform(run: Run, record: Sequence) -> Answer | None:
    state = run.chart.states[record.state]
    actions = actions_of(state, record)
    if record.index >= len(actions):
        _end(run, record, actions)
        return None
    action = actions[record.index]
    try:
        if (record.passes and not action.repeatable) or not _condition(run, record, action):
            put(run, record, record._replace(index=record.index + 1))
            return None
        return _begin(run, record, action, state)
    except (ExpressionError, ActionError, ChartError) as error:
        return fail_here(run, record, action, error.message)


def begin_again(run: Run, record: Sequence) -> Answer | None:
    """Begin the action the record stands at once more: its next attempt."""
    action = action_of(run.chart, record)
    try:
        return _begin(run, record, action, run.chart.states[record.state])
    except (ExpressionError, ActionError, ChartError) as error:
        return fail_here(run, record, action, error.message)


def _condition(run: Run, record: Sequence, action: Action) -> bool:
    return action.cond is None or action.cond.test(run.context, record.event or run.event, run.moment())


def _begin(run: Run, record: Sequence, action: Action, state: State) -> Answer | None:
    if action.kind == Kind.INSTANT:
        verdict = operation_of(action).apply(run, record.state, record.event)
        params = action.params.value
        silent = isinstance(params, dict) and params.get("fire_and_forget") is True
        return answer(run, record, state, None if silent else action.events.get(verdict))
    if action.kind == Kind.TIMED:
        seconds, limit = duration_of(run, record, action, "duration"), duration_of(run, record, action, "timeout")
        what, seconds = (TIMEOUT, limit) if limit < seconds else ("sleep", seconds)
        sleep(run, record, seconds, what)
        put(run, record, record._replace(phase=SLEEPING))
        return None
    if action.watch == "events":
        found = _already_here(run, record, action)
        if found is not None:
            return answer(run, found, state, action.events.get("success"), old=record)
    phase = ASKING if action.kind == Kind.STORE else WORKING
    put(run, record, record.moved(record.index, phase) if record.attempt == 1 else record._replace(phase=phase))
    return None


def duration_of(run: Run, record: Sequence, action: Action, name: str) -> float:
    """Seconds that a parameter of the record's action says; endless where it says nothing.

    Raises:
        ChartError: what it renders to is no duration.
    """
    params: Any = action.params.render(run.lookup(record.state, record.event))
    return math.inf if params[name] is None else parse_duration(params[name])


def _already_here(run: Run, record: Sequence, action: Action) -> Sequence | None:
    """`check_events`: the event that led into the state is the one it looks for, or one that was deferred is."""
    if record.direct and record.event is not None and wants(run, record, action, record.event):
        return record._replace(direct=False)
    for place, event in enumerate(run.deferred):
        if not event.owner and wants(run, record, action, event):
            run.deferred = (*run.deferred[:place], *run.deferred[place + 1 :])
            return record._replace(event=event, direct=False)
    return None


def wants(run: Run, record: Sequence, action: Action, event: Event) -> bool:
    """Does this `check_events` look for this event?"""
    params: Any = action.params.render(run.lookup(record.state, record.event))
    types = params["event_types"]
    if params.get("target_machine") not in {None, run.snapshot.machine}:
        return False
    listed = types if isinstance(types, list) else [types]
    return any(isinstance(t, str) and matches(t, event.type) for t in listed)


def answer(
    run: Run, record: Sequence, state: State, event_type: str | None, old: Sequence | None = None
) -> Answer | None:
    """Move on (`record` takes the place of `old`); with an event type, also answer with it.

    An armed record let its sequence go on before, so it ends instead.
    """
    put(run, old or record, None if record.phase == ARMED else record.moved(record.index + 1, READY))
    run.external, run.direct = record.event, False
    return None if event_type is None else Answer(state, Event(event_type, {}, source="action"))


def fail(
    run: Run, record: Sequence, action: Action, event_type: str | None, patch: tuple[Change, ...], error: str
) -> Answer | None:
    """The action failed for good: tell the context, the held jobs and the operator; move on, answering the error."""
    run.tell(patch)
    run.mark_failed(record.state)
    told = error if error.startswith(f"{action.type}: ") else f"{action.type}: {error}"
    run.effects.append(Warn("action_failed", told, record.state))
    given = answer(run, record, run.chart.states[record.state], event_type)
    if given is None:
        mark_unhandled(run, record.entry)
        return None
    if event_type == EXECUTION:
        payload = {"kind": "action", "message": told, "state": record.state}
        given = given._replace(event=given.event._replace(payload=payload))
    return given._replace(failed=record.entry)


def fail_here(run: Run, record: Sequence, action: Action, error: str) -> Answer | None:
    """An expression or argument of the action failed: like `fail`, with its own patch and error event."""
    event_type = event_of_fault(run.chart, run.chart.states[record.state], action)
    return fail(run, record, action, event_type, error_patch(action, error), error)


def error_patch(action: Action, error: str) -> tuple[Change, ...]:
    """What the context is told of a failure."""
    return (("set", ("last_error",), brief(f"{action.type}: {error}")), ("set", ("last_error_action",), action.type))


def mark_unhandled(run: Run, entry: int) -> None:
    """No transition took the failure of this record's action."""
    present = next((r for r in run.sequences if r.entry == entry and r.phase != ARMED), None)
    if present is not None:
        put(run, present, present._replace(failed=True))


def _end(run: Run, record: Sequence, actions: tuple[Action, ...]) -> None:
    run.freed = True
    if record.failed:
        run.effects.append(
            Warn("unhandled_failure", f"an action of '{record.state}' failed and nothing handled it", record.state)
        )
        _fail_held(run, record)
    again = next((n for n, a in enumerate(actions) if a.repeatable), None)
    if again is None or run.status != RUNNING:
        timed = any(t.kind == "after" and t.state == record.state for t in run.timers)
        timed = timed or any(e.owner == record.state for e in run.deferred)
        put(run, record, record._replace(phase=ENDED, event=record.event if timed else None))
        return
    following = record._replace(
        entry=run.next_entry(), index=again, attempt=0, phase=SLEEPING, passes=record.passes + 1
    )
    put(run, record, following)
    sleep(run, following, min(PACE * 2.0 ** min(record.passes, 10), SLOWEST), "pace")


def _fail_held(run: Run, record: Sequence) -> None:
    mine = [h for h in run.held if run.reaches(h, record.state)]
    for hold in mine:
        run.effects.append(
            Settle(hold.job_id, hold.epoch, "failed", brief(str(run.context.get("last_error") or "an action failed")))
        )
    run.held = tuple(h for h in run.held if h not in mine)


def release_all(run: Run) -> None:
    """The machine ends: a job whose last action ended well is completed, one handed to it fails, others are free."""
    for hold in run.held:
        status = "completed" if hold.auto and hold.ok else "failed" if hold.handed else "available"
        error = "its machine ended without settling it" if status == "failed" else None
        run.effects.append(Settle(hold.job_id, hold.epoch, status, error))
    run.held = ()


def pending(snapshot: Snapshot) -> Sequence | None:
    """The first record whose store action must be asked now."""
    for record in snapshot.sequences:
        if record.phase == ASKING:
            return record
    return None
