"""What comes back to a sequence: outcomes of actions, its timers, events that a `check_events` waits for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from smd.errors import ActionError, ChartError, brief
from smd.statechart.effects import Send, Settle
from smd.statechart.event import Event, Outcome
from smd.statechart.expression import Expression, ExpressionError
from smd.statechart.model import Action
from smd.statechart.plan import microstep_of, plan_for
from smd.statechart.sequence import (
    NOT_STARTED,
    TIMEOUT,
    Answer,
    action_of,
    actions_of,
    answer,
    begin_again,
    duration_of,
    error_patch,
    fail,
    fail_here,
    key_of,
    put,
    sleep,
    wants,
)
from smd.statechart.snapshot import ARMED, ASKING, READY, SLEEPING, WAITING, WORKING, Sequence, Timer

if TYPE_CHECKING:
    from smd.statechart.run import Run

_OPEN = frozenset({ASKING, WAITING, WORKING, ARMED})
"""Phases in which an outcome is awaited."""


class Received(NamedTuple):
    """What became of an outcome: `accepted` unless its action is over; perhaps an answer to be handled."""

    accepted: bool
    answer: Answer | None = None


# --- timers -------------------------------------------------------------------------------------------------------


def wake(run: Run, timer: Timer) -> Answer | None:
    """A delayed send is due; or a sleep, a retry, a pace or the time that an action may wait is over."""
    if timer.kind == "send":
        _send_id, targets, payload, priority, *job = timer.data  # a snapshot of an earlier release has no job
        run.effects.append(Send(tuple(targets), timer.event, payload, timer.id, priority, *job))
        return None
    if timer.kind == "wait":
        return _wait_timed_out(run, timer)
    if timer.event == TIMEOUT:
        return _timed_out(run, timer)
    record = next((r for r in run.sequences if r.entry == timer.data and r.phase == SLEEPING), None)
    if record is None:
        return None
    if timer.event == "sleep":
        run.stimulus()
        return answer(run, record, run.chart.states[record.state], action_of(run.chart, record).events.get("success"))
    if timer.event == "retry":
        return begin_again(run, record)
    if record.index == NOT_STARTED:
        run.started.add(record.state)
        put(run, record, record._replace(index=0, phase=READY))
    else:
        put(run, record, record._replace(attempt=1, phase=READY))
    return None


def _timed_out(run: Run, timer: Timer) -> Answer | None:
    """The time of a sleep or of a wait is up: a failure of its action, like any other."""
    record = next((r for r in run.sequences if r.entry == timer.data and r.phase in {SLEEPING, WAITING}), None)
    if record is None:
        return None
    run.stimulus()
    run.external, run.direct = record.event, False
    action, error = action_of(run.chart, record), f"timed out after {timer.seconds:g} s"
    if _retries(run, record, action):
        run.tell(error_patch(action, error))
        return None
    return fail(run, record, action, action.events.get("error", "error"), error_patch(action, error), error)


def _wait_timed_out(run: Run, timer: Timer) -> Answer | None:
    at = (r for r in run.sequences if r.state == timer.state and r.index == timer.data and r.phase in {WAITING, ARMED})
    record = next(at, None)
    if record is None:
        return None
    run.stimulus()
    event_type = action_of(run.chart, record).events.get("timeout_event")
    if record.phase == ARMED:
        return _disarm(run, record, event_type)
    return answer(run, record, run.chart.states[record.state], event_type)


def _disarm(run: Run, record: Sequence, event_type: str | None) -> Answer | None:
    put(run, record, None)
    _drop_deadline(run, record)
    run.external, run.direct = record.event, False
    state = run.chart.states[record.state]
    return Answer(state, Event(event_type, {}, source="action")) if event_type else None


def _drop_timeout(run: Run, record: Sequence) -> None:
    """The record's action waits no more. While it waited, its time-out was the only timer of this entry.

    An armed record shares its entry with the one that goes on, whose timer this is; it has its deadline instead.
    """
    if record.phase == ARMED:
        _drop_deadline(run, record)
    elif run.timers:
        run.timers = tuple([t for t in run.timers if t.kind != "sequence" or t.data != record.entry])


def _drop_deadline(run: Run, record: Sequence) -> None:
    if not run.timers:
        return
    run.timers = tuple(t for t in run.timers if (t.kind, t.state, t.data) != ("wait", record.state, record.index))


# --- outcomes -----------------------------------------------------------------------------------------------------


def receive(run: Run, outcome: Outcome, payload: Any) -> Received:
    """Take the outcome of a store or working action whose whole key and attempt are those of an open action.

    A result that cannot be kept is its action's failure. A job that came with it fails: nobody would end it.
    """
    for record in run.sequences:
        if record.phase in _OPEN and record.attempt == outcome.attempt and key_of(run.snapshot, record) == outcome.key:
            break
    else:
        return Received(False)
    action = action_of(run.chart, record)
    run.external, run.direct = record.event, False
    take_jobs(run, record, outcome)
    try:
        run.patch(outcome.patch)
    except ActionError as error:
        _drop_timeout(run, record)
        if (hold := outcome.hold) is not None:
            run.held = tuple([h for h in run.held if (h.job_id, h.epoch) != (hold.job_id, hold.epoch)])
            run.effects.append(Settle(hold.job_id, hold.epoch, "failed", brief(error.message)))
        return Received(True, fail_here(run, record, action, error.message))
    given = _empty(run, record, action, outcome) if outcome.empty else _apply(run, record, action, outcome)
    if given is not None and payload is not None and not given.event.payload:
        given = given._replace(event=given.event._replace(payload=payload))
    return Received(True, given)


def take_jobs(run: Run, record: Sequence, outcome: Outcome) -> None:
    """Change what the machine holds: out with jobs that are settled, in with one that was claimed."""
    if outcome.settled:
        run.held = tuple([h for h in run.held if h.job_id not in outcome.settled])
    if outcome.hold is not None:
        region = run.region(record.state)
        run.held = (*run.held, outcome.hold._replace(region=region) if region else outcome.hold)
        run.stimulus()


def _apply(run: Run, record: Sequence, action: Action, outcome: Outcome) -> Answer | None:
    """Move the record on, or arrange a retry."""
    _drop_timeout(run, record)
    if not outcome.ok:
        if _retries(run, record, action):
            return None
        return fail(run, record, action, outcome.event, (), outcome.error or "failed")
    state = run.chart.states[record.state]
    if outcome.taken is not None:
        return answer(run, record._replace(event=outcome.taken, direct=False), state, outcome.event, old=record)
    if record.phase == ARMED:
        return _disarm(run, record, outcome.event)
    _drop_deadline(run, record)
    return answer(run, record, state, outcome.event)


def _retries(run: Run, record: Sequence, action: Action) -> bool:
    if action.retry is None or record.attempt > action.retry.max or record.phase == ARMED:
        return False
    following = record._replace(attempt=record.attempt + 1, phase=SLEEPING)
    put(run, record, following)
    sleep(run, following, action.retry.pause(record.attempt), "retry")
    return True


# --- empty answers ------------------------------------------------------------------------------------------------


def _empty(run: Run, record: Sequence, action: Action, outcome: Outcome) -> Answer | None:
    """Nothing was there: wait in place when answering would only lead back here, else answer."""
    if record.phase in {WAITING, ARMED}:
        return None
    try:
        return _answer_or_wait(run, record, action, outcome.event)
    except (ExpressionError, ActionError, ChartError) as error:
        return fail_here(run, record, action, error.message)


def _answer_or_wait(run: Run, record: Sequence, action: Action, event_type: str | None) -> Answer | None:
    back, elsewhere = _direction(run, record, event_type)
    state = run.chart.states[record.state]
    if action.watch == "tracked":
        _arm_deadline(run, record, duration_of(run, record, action, "timeout"))
        timed_self = any(
            t.targets == (state,) and set(t.events) & {e.event for e in state.timers} for t in state.transitions
        )
        if not back and (event_type is not None or timed_self):
            run.sequences = (*run.sequences, record._replace(phase=ARMED))
            return answer(run, record, state, event_type)
    elif elsewhere or (action.watch == "jobs" and not back and event_type and _something_follows(run, record)):
        return answer(run, record, state, event_type)
    elif (limit := duration_of(run, record, action, "timeout")) < math.inf:
        sleep(run, record, limit, TIMEOUT)
    put(run, record, record._replace(phase=WAITING))
    run.freed = True
    return None


def _direction(run: Run, record: Sequence, event_type: str | None) -> tuple[bool, bool]:
    """Would this answer lead back into the same state; would it lead elsewhere?"""
    if event_type is None:
        return False, False
    state = run.chart.states[record.state]
    plan = plan_for(run.chart, run.configuration, event_type, state)
    probe = Event(event_type, {}, source="action")
    chosen = next((t for leaf in plan.leaves for t in leaf if _holds(run, t.cond, probe)), None)
    if chosen is None:
        return False, False
    microstep = microstep_of(run.chart, run.configuration, (chosen,), run.history)
    same = microstep.target == run.configuration and (not chosen.targets or state in microstep.entered)
    return same, not same


def _holds(run: Run, cond: Expression | None, event: Event) -> bool:
    try:
        return cond is None or cond.test(run.context, event, run.moment())
    except ExpressionError:
        return False


def _something_follows(run: Run, record: Sequence) -> bool:
    actions = actions_of(run.chart.states[record.state], record)
    return record.index + 1 < len(actions) and not actions[record.index].repeatable


def _arm_deadline(run: Run, record: Sequence, seconds: float) -> None:
    """The deadline of `wait_for_jobs`, which survives a re-entry."""
    if seconds == math.inf or any(
        (t.kind, t.state, t.data) == ("wait", record.state, record.index) for t in run.timers
    ):
        return
    name = f"{record.entry}.{record.index}.wait"
    timer = Timer(name, "wait", run.now + seconds, record.state, TIMEOUT, seconds, record.index)
    run.timers = (*run.timers, timer)


def hand_over(run: Run, event: Event) -> Received:
    """Give an external event that no transition takes to a `check_events` that waits for it.

    If what it waits for cannot be worked out any more, the action fails.
    """
    for record in run.sequences:
        action = action_of(run.chart, record) if record.phase == WAITING else None
        if action is None or action.watch != "events":
            continue
        try:
            wanted = wants(run, record, action, event)
        except (ExpressionError, ActionError) as error:
            _drop_timeout(run, record)
            return Received(True, fail_here(run, record, action, error.message))
        if wanted:
            state = run.chart.states[record.state]
            _drop_timeout(run, record)
            following = record._replace(event=event, direct=False)
            return Received(True, answer(run, following, state, action.events.get("success"), old=record))
    return Received(False)
