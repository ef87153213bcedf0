"""Courses: what follows an action's answer, worked out once.

The answer of a sequence's action leads, by transitions without guards and actions that are done at once, to where the
machine waits again: a worker's round from one job to the next is one course. Nothing on that way depends on data but
what the actions compute, so `course_step` runs just them.

A course gives what the full algorithm of `interpreter.py` gives; a property test compares them. Where something turns
out otherwise (an action fails or answers otherwise, an event is raised, a state comes round again in an idle loop)
there is no step from here, and the full algorithm begins with the same snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from smd.catalogue import Kind
from smd.errors import ActionError, ChartError
from smd.statechart.configuration import Configuration
from smd.statechart.content import BLOCK_LIMIT, Operation, operation_of
from smd.statechart.effects import TAKEN, Taken
from smd.statechart.event import Event, Outcome
from smd.statechart.expression import Expression, ExpressionError
from smd.statechart.model import State, Statechart
from smd.statechart.outcome import take_jobs
from smd.statechart.plan import Microstep, microstep_of, plan_for
from smd.statechart.run import MICROSTEPS, Run
from smd.statechart.sequence import NOT_STARTED, actions_of, key_of
from smd.statechart.snapshot import ASKING, ENDED, READY, RUNNING, WAITING, WORKING, Sequence, Snapshot
from smd.statechart.step import Step

_OPEN = frozenset({ASKING, WAITING, WORKING})
_NO_PAYLOAD: tuple[Any, ...] = ({}, None)


class Deed(NamedTuple):
    """An instant action on the way, and what it sees while it is done.

    `event` is the event then being handled, None for the outcome itself; `leading`: it is an action of the sequence,
    which sees the event that led into its state.
    """

    apply: Callable[[Run, str, Event | None], str]
    cond: Expression | None
    event: Event | None
    state: str
    leading: bool
    configuration: Configuration
    active: set[str]


class Course(NamedTuple):
    """The whole way. `steps` are deeds, and ids of states whose sequences start.

    `end` is where the machine's record then stands, None if it has none; its entry counts those on the way, `entries`
    in all, and is 0 if it is still the record that answered.
    """

    steps: tuple[Deed | str, ...]
    taken: tuple[Taken, ...]
    target: Configuration
    entries: int
    end: Sequence | None


def course_step(chart: Statechart, snapshot: Snapshot, event: Event, outcome: Outcome, now: float) -> Step | None:
    """The step of an action's answer; None leaves it to the full algorithm."""
    if not outcome.ok or outcome.empty or outcome.taken is not None or event.payload not in _NO_PAYLOAD:
        return None
    if len(snapshot.sequences) != 1:
        return None
    (record,) = snapshot.sequences
    if record.phase not in _OPEN or record.attempt != outcome.attempt or key_of(snapshot, record) != outcome.key:
        return None
    if record.event is None or record.failed or record.passes or snapshot.timers:
        return None
    if snapshot.deferred or snapshot.status != RUNNING:
        return None
    course = _course(chart, snapshot.configuration, record, outcome.event)
    if course is None:
        return None
    run = Run(chart, snapshot, event, now)
    try:
        take_jobs(run, record, outcome)
        run.patch(outcome.patch)
        if not _follow(run, course, record.event):
            return None
    except (ExpressionError, ActionError, ChartError):
        return None
    run.configuration = course.target
    run.sequences = _records(course, record, run.entry)
    run.entry += course.entries
    return Step(run.result(), course.taken, tuple(run.effects), TAKEN)


def _follow(run: Run, course: Course, led: Event | None) -> bool:
    """Do what there is to do; False when it turns out otherwise."""
    for step in course.steps:
        if isinstance(step, str):
            visited, turns = run.loop
            if step in visited:
                return False
            run.loop = ((*visited, step), turns)
            continue
        apply, cond, event, state, leading, run.configuration, run.active = step
        if event is not None:
            run.event = event
        if cond is None or cond.test(run.context, run.event, run.moment()):
            answered = apply(run, state, led if leading else None)
            if (leading and answered != "success") or run.internal:
                return False
    return True


def _records(course: Course, record: Sequence, entry: int) -> tuple[Sequence, ...]:
    end = course.end
    if end is None:
        return ()
    led = record.event if end.phase != ENDED else None
    if end.entry:
        return (Sequence(end.state, entry + end.entry, end.index, 1, end.phase, led),)
    return (record.moved(end.index, end.phase)._replace(event=led),)


def _course(chart: Statechart, configuration: Configuration, record: Sequence, answer: str | None) -> Course | None:
    key = (record.state, record.index, record.head, answer)
    if key not in configuration.courses:
        course = _Way(chart, configuration).after(record._replace(entry=0), answer)
        if len(configuration.courses) >= configuration.room:
            return course
        configuration.courses[key] = course
    return configuration.courses[key]


class _UnforeseeableError(Exception):
    """What comes next depends on more than the answer."""


class _Way:
    """Goes along with the full algorithm, noting what would be done."""

    def __init__(self, chart: Statechart, configuration: Configuration) -> None:
        self._chart = chart
        self._configuration = configuration
        self._active = set(configuration.ids)
        self._steps: list[Deed | str] = []
        self._taken: list[Taken] = []
        self._started: set[str] = set()
        self._entries = 0
        self._record: Sequence | None = None
        self._event: Event | None = None

    def after(self, record: Sequence, answer: str | None) -> Course | None:
        """The course after this answer of the record's action, if it can be foreseen."""
        try:
            self._answered(record, answer)
            while self._record is not None and self._record.phase == READY:
                self._go_on(self._record)
        except _UnforeseeableError:
            return None
        return Course(tuple(self._steps), tuple(self._taken), self._configuration, self._entries, self._record)

    def _go_on(self, record: Sequence) -> None:
        if record.index == NOT_STARTED:
            self._demand(record.state not in self._started)
            self._started.add(record.state)
            self._steps.append(record.state)
            self._record = record.moved(0, READY)
            return
        actions = actions_of(self._chart.states[record.state], record)
        if record.index == len(actions):
            self._demand(not any(action.repeatable for action in actions))
            self._record = record.moved(record.index, ENDED)
            return
        action = actions[record.index]
        self._demand(action.cond is None and action.kind != Kind.TIMED and action.watch != "events")
        if action.kind == Kind.INSTANT:
            self._note((operation_of(action),), record.state, leading=True)
            params = action.params.value
            silent = isinstance(params, dict) and params.get("fire_and_forget") is True
            self._answered(record, None if silent else action.events.get("success"))
        else:
            self._record = record.moved(record.index, ASKING if action.kind == Kind.STORE else WORKING)

    def _answered(self, record: Sequence, answer: str | None) -> None:
        """The record moves on; then the answer's transitions."""
        self._demand(not self._configuration.eventless)
        self._record = record.moved(record.index + 1, READY)
        if answer is None:
            return
        self._event = Event(answer, {}, source="action")
        plan = plan_for(self._chart, self._configuration, answer, self._chart.states[record.state])
        self._demand(not plan.promotes)
        chosen = plan.leaves[0][0] if plan.leaves else None
        if chosen is not None:
            self._demand(chosen.cond is None)
            self._take(microstep_of(self._chart, self._configuration, (chosen,), {}), answer)

    def _take(self, microstep: Microstep, answer: str) -> None:
        target = microstep.target
        self._demand(microstep.transitions in self._configuration.microsteps and not microstep.remembers)
        self._demand(not (microstep.ends or microstep.done or microstep.heads or target.eventless))
        self._demand(len(self._taken) < MICROSTEPS)
        self._taken.append(microstep.taken(answer))
        for state, block in microstep.exits:
            self._note(block, state.id)
            self._active = self._active - {state.id}
        if self._record is not None and self._record.state in microstep.left:
            self._record = None
        for block in microstep.content:
            self._note(block, self._configuration.label)
        self._configuration = target
        for state, blocks in microstep.entries:
            self._active = self._active | {state.id}
            for block in blocks:
                self._note(block, state.id)
            self._enter(state)

    def _enter(self, state: State) -> None:
        self._demand(not (state.timers or state.terminal_on_stop))
        if state.sequence or state.heads:
            self._entries += 1
        if state.sequence:
            self._demand(self._record is None)
            self._record = Sequence(state.id, self._entries, NOT_STARTED)

    def _note(self, block: tuple[Operation, ...], state: str, *, leading: bool = False) -> None:
        self._demand(len(block) <= BLOCK_LIMIT)
        for operation in block:
            self._steps.append(
                Deed(operation.apply, operation.cond, self._event, state, leading, self._configuration, self._active)
            )

    @staticmethod
    def _demand(foreseeable: object) -> None:
        if not foreseeable:
            raise _UnforeseeableError
