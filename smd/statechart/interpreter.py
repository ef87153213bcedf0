"""SCXML's algorithm as a pure function: `macrostep(chart, snapshot, event, now) -> Step`.

Theory. A *microstep* takes one optimal set of enabled transitions: leave states (inner first), run the transitions'
content, enter states (outer first). A *macrostep* takes microsteps until nothing is enabled without a new external
event: eventless transitions first, then the internal queue. Names are those of the pseudo-code in "State Chart XML
(SCXML)", W3C Recommendation 2015, appendix D.

What smd adds:

1. When the macrostep settles, the *sequences* of active states go on (`sequence.py`). The answer of each action is a
   small macrostep of its own, after which the sequences go on again, until all of them wait for the world.
2. Events are external (from anywhere), timers (searched only in the state that armed them) or outcomes of actions
   (searched from the sequence's state upwards; accepted only if their whole key is that of the open action).
3. An external event that would re-enter a state while an action of it is under way follows the `busy` rule (`busy.py`).
4. Everything is a value. Nothing here reads a clock, a file or the network; `now` is an argument and ids derive from
   the snapshot's counters. The same arguments give the same step, which is what makes replay and recovery possible.

Steps that are pure changes of the context (`fast.py`) and answers of actions after which nothing depends on data
(`course.py`) take short cuts, which give the same.
"""

from __future__ import annotations

from typing import Any

from smd.errors import ActionError
from smd.statechart import outcome, sequence
from smd.statechart.busy import busy_rule
from smd.statechart.cel_syntax import shown
from smd.statechart.configuration import configuration_of
from smd.statechart.content import BLOCK_LIMIT, Operation, compiled
from smd.statechart.course import course_step
from smd.statechart.effects import DEFERRED, IGNORED, STALE, TAKEN, Warn
from smd.statechart.event import Event, Hold, Outcome
from smd.statechart.expression import ExpressionError
from smd.statechart.fast import simple_step
from smd.statechart.model import IGNORE, QUEUE, RESTART, State, Statechart, Transition
from smd.statechart.plan import COMMUNICATION, Microstep, Plan, entry_blocks, microstep_of, plan_for
from smd.statechart.run import GUARD, Measure, Run
from smd.statechart.sets import compute_entry_set, record_history
from smd.statechart.snapshot import FINISHED, FINISHING, NO_LOOP, RUNNING, Snapshot
from smd.statechart.step import Step, Verdict, why_ignored


def initial(chart: Statechart, *, machine: str, life: int, version: int, context: dict[str, Any], now: float,
            held: tuple[Hold, ...] = (), measure: Measure = None) -> Step:  # fmt: skip
    """The first step of a new life: enter the initial states, then handle the synthetic event `start`.

    Only transitions that name `start` take it; a chart that knows nothing of it is not moved by a wildcard.

    Args:
        version: events consumed in earlier lives; the step's snapshot has one more.
        context: laid over the chart's own first context.
        held: jobs that a parent hands over.

    Raises:
        MachineError: the chart does not settle.
    """
    start = Event("start", {}, source="supervisor")
    nowhere = configuration_of(chart, ())
    context = {**chart.context, **context}
    snapshot = Snapshot(machine, life, version, chart.hash, nowhere, context, {}, (), (), held, (), 0,
                        RUNNING, NO_LOOP)  # fmt: skip
    run = Run(chart, snapshot, start, now, measure)
    run.external = start
    boot = Transition(chart.root, (), chart.root.initial, content=chart.root.initial_content, internal=True)
    entering = compute_entry_set(chart, [boot], {})
    entered = sorted((s for s in entering.states if s.parent is not None), key=lambda s: s.order)
    target = configuration_of(chart, entered)
    blocks = [(s, entry_blocks(s, entering.default_entry, entering.default_history)) for s in entered]
    _take(run, Microstep((boot,), (), tuple(entered), blocks, target))
    _settle_without_sequences(run)
    if run.status == RUNNING and "start" in chart.descriptors:
        run.event = start
        plan = plan_for(chart, run.configuration, "start")
        named = tuple(tuple(t for t in leaf if "start" in t.events) for leaf in plan.leaves)
        _try(run, _select(run, Plan(named, promotes=False)))
    _settle(run)
    return _step(run, TAKEN)


def macrostep(chart: Statechart, snapshot: Snapshot, event: Event, now: float, measure: Measure = None) -> Step:
    """Handle one event until nothing more is enabled and every sequence waits for the world.

    Args:
        now: seconds since the epoch, not earlier than in the step before.
        measure: see `Run`.

    Returns:
        The step; the snapshot given stays valid.

    Raises:
        MachineError: the step does not end. The caller keeps the old snapshot.
    """
    step = None
    if measure is None and event.outcome is not None:
        step = course_step(chart, snapshot, event, event.outcome, now)
    elif measure is None and not event.timer and snapshot.status == RUNNING:
        plan = snapshot.configuration.plans.get(event.type)
        step = simple_step(chart, snapshot, event, plan) if plan is not None else None
    return step or full_step(chart, snapshot, event, now, measure)


def resettle(chart: Statechart, snapshot: Snapshot, event: Event, now: float, measure: Measure = None) -> Step:
    """Let sequences that were set back go on, without any event (after a reload)."""
    run = Run(chart, snapshot, event, now, measure)
    run.freed = True
    _settle(run)
    return _step(run, TAKEN)


# --- one event --------------------------------------------------------------------------------------------------


def full_step(chart: Statechart, snapshot: Snapshot, event: Event, now: float, measure: Measure = None) -> Step:
    """The whole algorithm, without the short cut; same arguments and result as `macrostep`."""
    if chart.flat and event.type == COMMUNICATION and event.outcome is None and not chart.mentions(event.type):
        event = event._replace(type="error")
    run = Run(chart, snapshot, event, now, measure)
    if run.status == FINISHED:
        return _step(run, IGNORED, "finished", "the machine is finished")
    if event.outcome is not None:
        return _outcome(run, event.outcome, event.payload)
    if event.timer:
        return _timer(run, event)
    return _external(run, event)


def _outcome(run: Run, answered: Outcome, payload: Any) -> Step:
    accepted, answer = outcome.receive(run, answered, payload)
    if not accepted:
        return _step(run, STALE, "stale", "the action it answers is over")
    _handle(run, answer)
    _settle(run)
    return _step(run, TAKEN)


def _timer(run: Run, event: Event) -> Step:
    timer = next((t for t in run.timers if t.id == event.timer), None)
    if timer is None:
        return _step(run, STALE, "stale", "the timer is no longer armed")
    run.timers = tuple(t for t in run.timers if t is not timer)
    if timer.kind == "after" and run.status != RUNNING:
        return _step(run, IGNORED, "finishing", "the machine is finishing")
    if timer.kind != "after":
        _handle(run, outcome.wake(run, timer))
    else:
        run.stimulus()
        run.external = timer.data or sequence.leading_event(run, timer.state)
        sequence.remember(run, timer.state, timer.data)
        verdict = _offer(run, _plan_in(run, event.type, timer.state), timer.state)
        if verdict is not None:
            _settle(run)
            return _step(run, *verdict)
    _settle(run)
    return _step(run, TAKEN)


def _plan_in(run: Run, event_type: str, owner: str) -> Plan:
    """A time-out is searched only in the state that armed it, any other event everywhere."""
    if not owner:
        return plan_for(run.chart, run.configuration, event_type)
    return plan_for(run.chart, run.configuration, event_type, run.chart.states[owner], upwards=False)


def _external(run: Run, event: Event) -> Step:
    if run.status == FINISHING:
        return _step(run, IGNORED, "finishing", "the machine is finishing")
    if why := run.refuses(event):
        return _step(run, IGNORED, "context_too_large", why)
    run.stimulus()
    run.external, run.direct = event, True
    plan = plan_for(run.chart, run.configuration, event.type)
    verdict = _offer(run, plan)
    _settle(run)
    return _step(run, *(verdict or (TAKEN,)))


def _offer(run: Run, plan: Plan, owner: str = "") -> Verdict | None:
    """Let an external or timer event act; None if it was taken, else (disposition, code, reason).

    `owner` is the state whose timer it is.
    """
    microstep, rule = _look(run, plan)
    if rule == QUEUE:
        run.deferred = (*run.deferred, run.event._replace(timer="", owner=owner))
        if owner:
            sequence.remember(run, owner, run.external)
        return DEFERRED, "busy", f"'{run.configuration.label}' is busy; it follows when the action has ended"
    return _process(run, plan, microstep, rule)


def _look(run: Run, plan: Plan) -> tuple[Microstep | None, str]:
    """What the event would do, and the busy rule it meets: ignored it promotes nothing, put off it leaves no trace."""
    before, raised = (run.context, run.loop), run.raised()
    run.failing = ()
    run.promote(run.event)
    enabled = _select(run, plan)
    if not enabled:
        return None, RESTART
    microstep = microstep_of(run.chart, run.configuration, enabled, run.history)
    rule = busy_rule(run, microstep)
    if rule != RESTART:
        run.context, run.loop = before
    if rule == QUEUE:
        run.unraise(raised)
    return microstep, rule


def _process(run: Run, plan: Plan, microstep: Microstep | None, rule: str, since: int = 0) -> Verdict | None:
    """`since`: how many effects there were before the event was looked at."""
    if microstep is None:
        accepted, answer = outcome.hand_over(run, run.event)
        _handle(run, answer)
        return None if accepted else why_ignored(run, plan, since)
    if rule == IGNORE:
        return IGNORED, "busy", f"'{run.configuration.label}' is busy and its busy rule is ignore"
    _take(run, microstep)
    return None


# --- the algorithm ----------------------------------------------------------------------------------------------


def _select(run: Run, plan: Plan) -> tuple[Transition, ...]:
    """SCXML's selectTransitions for the event being handled; conflicts are removed by the microstep."""
    enabled: dict[Transition, None] = {}
    for leaf in plan.leaves:
        for transition in leaf:
            if _condition_match(run, transition):
                enabled[transition] = None
                break
    return tuple(enabled)


def _condition_match(run: Run, transition: Transition) -> bool:
    cond = transition.cond
    if cond is None:
        return True
    try:
        return cond.test(run.context, run.event, run.moment())
    except ExpressionError as error:
        if transition in run.failing:
            return False
        run.failing = (*run.failing, transition)
        why = error.message.removeprefix(f"cannot evaluate '{shown(cond.text)}': ")
        run.raise_error("error.execution", GUARD, f"guard ({transition.at}): {error.message}",
                        transition.source.id, why)  # fmt: skip
        return False


def _try(run: Run, enabled: tuple[Transition, ...]) -> bool:
    if enabled:
        _take(run, microstep_of(run.chart, run.configuration, enabled, run.history))
    return bool(enabled)


def _settle(run: Run) -> None:
    """Microsteps and sequences, until every one of them waits for the world; then deferred events get their turn."""
    while True:
        _settle_without_sequences(run)
        answer = sequence.advance(run)
        if answer is not None:
            _handle(run, answer)
        elif not sequence.any_ready(run) and not _retry_deferred(run):
            break
    if run.status == FINISHING and sequence.all_ended(run):
        _exit_interpreter(run)
    for event in run.internal:
        run.nothing_took(event)


def _handle(run: Run, answer: sequence.Answer | None) -> None:
    """Handle the answer of an action: transitions are searched from its state upwards."""
    if answer is None or run.status != RUNNING:
        return
    run.event = answer.event
    run.promote(answer.event)
    taken = _try(run, _select(run, plan_for(run.chart, run.configuration, answer.event.type, answer.state)))
    if not taken and answer.failed:
        sequence.mark_unhandled(run, answer.failed)


def _settle_without_sequences(run: Run) -> None:
    while run.status == RUNNING:
        if run.configuration.eventless and _try(run, _select(run, plan_for(run.chart, run.configuration, None))):
            continue
        if not run.internal:
            return
        run.event = run.internal.popleft()
        run.promote(run.event)
        if not _try(run, _select(run, plan_for(run.chart, run.configuration, run.event.type))):
            run.count_microstep()
            run.nothing_took(run.event)


def _retry_deferred(run: Run) -> bool:
    """Offer deferred events again, oldest first, until one is taken; those whose action still goes on stay."""
    if not run.deferred or not run.freed or run.status != RUNNING:
        return False
    run.freed = False
    waiting: tuple[Event, ...] = run.deferred
    kept: list[Event] = []
    for place, event in enumerate(waiting):
        owner, since, before = event.owner, len(run.effects), (run.event, run.external, run.direct)
        run.event, run.direct = event._replace(led=None) if owner else event, not owner
        run.external = sequence.leading_event(run, owner) if owner else event
        plan = _plan_in(run, event.type, owner)
        microstep, rule = _look(run, plan)
        if rule == QUEUE:
            kept.append(event)
            run.event, run.external, run.direct = before
            continue
        run.deferred = (*kept, *waiting[place + 1 :])  # what states left by it own goes with them
        sequence.remember(run, owner, event.led)
        run.microsteps = 0
        run.stimulus()
        verdict = _process(run, plan, microstep, rule, since)
        if verdict is None:
            run.started.clear()  # what it enters again starts at once, as if the event had just come
            run.freed = True
            return True
        run.effects.append(Warn("dropped", f"deferred event '{event.type}' is ignored: {verdict[2]}"))
    return bool(run.internal)


def _take(run: Run, microstep: Microstep) -> None:
    """SCXML's microstep: exitStates, executeTransitionContent, enterStates."""
    run.count_microstep()
    run.taken.append(microstep.taken(run.event.type))
    if microstep.remembers:
        run.history = {**run.history, **record_history(microstep.exited, run.configuration.states)}
    for state, block in microstep.exits:
        execute_block(run, block, state.id)
        run.active.discard(state.id)
    sequence.leave(run, microstep)
    for block in microstep.content:
        execute_block(run, block, run.configuration.label)
    run.configuration = microstep.target
    for state, blocks in microstep.entries:
        run.active.add(state.id)
        for block in blocks:
            execute_block(run, block, state.id)
        sequence.enter(run, state, microstep)
        for final, finished in microstep.done:
            if final is state:
                _raise_done(run, final, finished)
    if microstep.ends is not None or (run.event.type == "stop" and any(s.terminal_on_stop for s in microstep.entered)):
        run.status = FINISHING


def _raise_done(run: Run, final: State, finished: State) -> None:
    payload: Any = None
    if final.donedata is not None and finished is final.parent:
        try:
            payload = final.donedata.render(run.lookup(final.id))
        except (ExpressionError, ActionError) as error:
            run.raise_error("error.execution", "action", f"output: {error.message}", final.id)
    run.raise_internal(f"done.state.{finished.id}", payload)


def execute_block(run: Run, block: tuple[Operation, ...], state: str) -> None:
    """Run a block in order; its first failure ends it and raises `error.execution` (SCXML 4.9)."""
    if len(block) > BLOCK_LIMIT:
        run.raise_error("error.execution", "block", f"block of '{state}' has more than {BLOCK_LIMIT} actions", state)
        return
    for operation in block:
        try:
            if operation.cond is None or operation.cond.test(run.context, run.event, run.moment()):
                operation.apply(run, state, None)
        except (ExpressionError, ActionError) as error:
            run.raise_error("error.execution", "action", f"{operation.action.type}: {error.message}", state)
            return


def _exit_interpreter(run: Run) -> None:
    """SCXML's exitInterpreter: exit blocks of what is still active; the configuration stays as the last word."""
    run.status = FINISHED
    for state in reversed(run.configuration.states):
        execute_block(run, compiled(state.exit), state.id)
    for timer in run.timers:
        if timer.kind == "send":
            run.effects.append(Warn("dropped", f"'{timer.event}' is not sent any more: the machine is finished"))
    run.timers = ()
    for event in run.deferred:
        run.effects.append(Warn("dropped", f"deferred event '{event.type}' comes too late: the machine is finished"))
    run.deferred = ()
    sequence.release_all(run)


def _step(run: Run, disposition: str, code: str = "", reason: str = "") -> Step:
    return Step(run.result(), tuple(run.taken), tuple(run.effects), disposition, code, reason)


__all__ = ["Step", "initial", "macrostep"]
