"""What is computed once per configuration: which transitions an event may take, and what taking them does.

A *plan* belongs to (configuration, event type): the candidate transitions of every active leaf, in order of
precedence. A *microstep* belongs to (configuration, transitions): the sets left and entered, the next
configuration, the done events, and whether it is *simple*: nothing but pure changes of the context, so that
`interpreter.macrostep` can apply it without further ado.

Every table is bounded: of event types that the chart does not mention, and of combinations of transitions, only the
first ones are remembered (`Configuration.room`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from smd.statechart.configuration import Configuration, configuration_of, is_in_final_state
from smd.statechart.content import Operation, PureOperation, compiled
from smd.statechart.effects import Taken
from smd.statechart.event import Event
from smd.statechart.model import FINAL, PARALLEL, State, Statechart, Transition
from smd.statechart.scope import Moment
from smd.statechart.selection import candidates, remove_conflicting_transitions
from smd.statechart.sets import History, compute_entry_set, compute_exit_set, record_history

_TRACES = 16
"""Event types for which a microstep remembers its trace entry; a wildcard may bring any number."""


class Done(NamedTuple):
    """A done event to raise once `final` was entered, for `state`."""

    final: State
    state: State


class Microstep:
    """One microstep, worked out. Blocks stand in the order of execution.

    Attributes:
        exits: (state, exit block), innermost first.
        content: blocks of the transitions, in order.
        entries: (state, blocks), outermost first; the blocks are the entry block, then initial or history content.
        done: done events by the final state whose entry raises them.
        ends: a top-level final state that is entered.
        left, again: ids of the states left, and of those entered again.
        remembers: a history state must record what is left.
        simple: pure operations when nothing else is to be done, else None.
    """

    __slots__ = ("_traces", "again", "content", "done", "ends", "entered", "entries", "exited", "exits", "heads",
                 "left", "remembers", "simple", "sources", "target", "transitions")  # fmt: skip

    def __init__(
        self, transitions: tuple[Transition, ...], exited: tuple[State, ...], entered: tuple[State, ...],
        blocks: list[tuple[State, tuple[tuple[Operation, ...], ...]]], target: Configuration,
    ) -> None:  # fmt: skip
        self.transitions = transitions
        self.sources = tuple(t.source.id for t in transitions)
        self.left = frozenset(s.id for s in exited)
        self.again = frozenset(s.id for s in exited if s in set(entered))
        self.remembers = any(c.is_history for s in exited for c in s.children)
        self._traces: dict[str, Taken] = {}
        self.exited = exited
        self.entered = frozenset(entered)
        self.exits = tuple((s, compiled(s.exit)) for s in exited)
        self.content = tuple(compiled(t.content) for t in transitions if t.content)
        self.entries = tuple(blocks)
        self.target = target
        self.heads = {t.targets[0]: t for t in transitions if t.targets and t in t.targets[0].heads}
        self.ends = next((s for s in entered if s.kind == FINAL and s.parent and s.parent.parent is None), None)
        self.done = _done_events(entered, target)
        self.simple = self._simple()

    def _simple(self) -> tuple[PureOperation, ...] | None:
        busy = any(_needs_care(s) for s in (*self.exited, *self.entered))
        if busy or self.ends or self.done or self.heads or self.target.eventless:
            return None
        blocks = [b for _, b in self.exits] + list(self.content) + [b for _, bs in self.entries for b in bs]
        pure: list[PureOperation] = []
        for operation in (op for block in blocks for op in block):
            if operation.pure is None:
                return None
            pure.append(operation.pure)
        return tuple(pure)

    def taken(self, event_type: str) -> Taken:
        """The trace entry."""
        known = self._traces.get(event_type)
        if known is None:
            entered = tuple(s.id for s, _ in self.entries)
            known = Taken(event_type, self.sources, tuple(s.id for s in self.exited), entered)
            if len(self._traces) < _TRACES:
                self._traces[event_type] = known
        return known


def _needs_care(state: State) -> bool:
    history = any(c.is_history for c in state.children)
    return bool(state.sequence or state.heads or state.timers or history or state.terminal_on_stop)


def _done_events(entered: tuple[State, ...], target: Configuration) -> tuple[Done, ...]:
    """SCXML's order: of the final state's parent, then of each parallel state above it whose regions are now all done.

    The pseudo-code of appendix D asks only the first of these; by SCXML 3.4 a parallel that is a region counts, too.
    """
    staying = set(target.states) - set(entered)
    active = set(staying)
    done: list[Done] = []
    for state in entered:
        active.add(state)
        parent = state.parent
        if state.kind != FINAL or parent is None or parent.parent is None:
            continue
        done.append(Done(state, parent))
        for above in parent.ancestors:
            if above.kind != PARALLEL or not is_in_final_state(above, active):
                break
            done.append(Done(state, above))
    return tuple(done)


def microstep_of(
    chart: Statechart, configuration: Configuration, transitions: tuple[Transition, ...], history: History
) -> Microstep:
    """The microstep for these enabled transitions (conflicts not yet removed), remembered unless history decides."""
    known = configuration.microsteps.get(transitions)
    if known is not None:
        return known
    kept = remove_conflicting_transitions(chart, transitions, configuration.states, history)
    leaving = compute_exit_set(chart, kept, configuration.states, history)
    if any(child.is_history for state in leaving for child in state.children):
        history = {**history, **record_history(leaving, configuration.states)}
    entering = compute_entry_set(chart, kept, history)
    entered = tuple(sorted((s for s in entering.states if s.parent is not None), key=lambda s: s.order))
    exited = tuple(sorted(leaving, key=lambda s: s.order, reverse=True))
    target = configuration_of(chart, (set(configuration.states) - leaving) | set(entered))
    blocks = [(s, entry_blocks(s, entering.default_entry, entering.default_history)) for s in entered]
    made = Microstep(kept, exited, entered, blocks, target)
    # What is preempted depends on history too where it targets one.
    dynamic = entering.dynamic or any(target.is_history for t in transitions for target in t.targets)
    if not dynamic and len(configuration.microsteps) < configuration.room:
        configuration.microsteps[transitions] = made
    return made


def entry_blocks(
    state: State, default_entry: set[State], default_history: dict[State, State]
) -> tuple[tuple[Operation, ...], ...]:
    """Blocks run on entering a state: its own, then initial content, then a history's default content."""
    blocks = [compiled(state.entry)]
    if state in default_entry:
        blocks.append(compiled(state.initial_content))
    if state in default_history:
        blocks.append(compiled(default_history[state].initial_content))
    return tuple(block for block in blocks if block)


COMMUNICATION = "error.communication"
"""A message did not arrive; flat charts that do not mention it know it as `error`."""

Test = Callable[[dict[str, Any], Event | None, Moment | None], bool]


class Row(NamedTuple):
    """A candidate of the fast path: its guard's test (or None), then what `macrostep` needs."""

    test: Test | None
    pure: tuple[PureOperation, ...]
    target: Configuration
    taken: tuple[Taken, ...]


class Plan:
    """Candidates per leaf for one event type in one configuration.

    `rows` is the fast path, complete or None: every candidate is simple and reads only context and event.
    `pairs` is the same for several leaves: candidates per leaf; `steps` then remembers each combination.
    """

    __slots__ = ("leaves", "pairs", "promotes", "rows", "steps")

    def __init__(self, leaves: tuple[tuple[Transition, ...], ...], *, promotes: bool) -> None:
        self.leaves = leaves
        self.promotes = promotes
        self.rows: tuple[Row, ...] | None = None
        self.pairs: tuple[tuple[tuple[Test | None, Transition], ...], ...] | None = None
        self.steps: dict[tuple[Transition, ...], Row | None] = {}


def plan_for(
    chart: Statechart, configuration: Configuration, event_type: str | None, origin: State | None = None,
    *, upwards: bool = True,
) -> Plan:  # fmt: skip
    """The plan for an event type (None: eventless), searched from `origin` when given, else from every leaf."""
    key: object = event_type if origin is None else (event_type, origin, upwards)
    known = configuration.plans.get(key)
    if known is not None:
        return known
    starts = configuration.leaves if origin is None else (origin,)
    found = tuple(candidates(s, event_type, upwards=upwards) for s in starts)
    spec = chart.events.get(event_type) if event_type is not None else None
    plan = Plan(tuple(c for c in found if c), promotes=bool(spec and spec.context_map))
    exact = event_type is None or event_type in chart.events or event_type in chart.descriptors
    if len(configuration.plans) < configuration.room or (exact and configuration.room):
        if origin is None and event_type is not None and not plan.promotes:
            _make_fast(chart, configuration, event_type, plan)
        configuration.plans[key] = plan
    return plan


def _make_fast(chart: Statechart, configuration: Configuration, event_type: str, plan: Plan) -> None:
    transitions = [t for leaf in plan.leaves for t in leaf]
    if not transitions or any(t.cond and (t.cond.roots - {"context", "event"} or t.cond.states) for t in transitions):
        return
    if any(t.targets and any(s.is_history for s in t.targets) for t in transitions):
        return
    if chart.flat and event_type == COMMUNICATION:  # from outside it comes under another name, see `full_step`
        return
    if len(plan.leaves) == 1:
        rows = [row_of(chart, configuration, event_type, (t,), t.cond.test if t.cond else None) for t in plan.leaves[0]]
        if all(rows):
            plan.rows = tuple(row for row in rows if row)
    else:
        plan.pairs = tuple(tuple((t.cond.test if t.cond else None, t) for t in leaf) for leaf in plan.leaves)


def row_of(
    chart: Statechart, configuration: Configuration, event_type: str, transitions: tuple[Transition, ...],
    test: Test | None = None,
) -> Row | None:  # fmt: skip
    """The fast form of taking these transitions, or None where the full algorithm must run."""
    microstep = microstep_of(chart, configuration, transitions, {})
    if microstep.simple is None or transitions not in configuration.microsteps:
        return None
    return Row(test, microstep.simple, microstep.target, (microstep.taken(event_type),))
