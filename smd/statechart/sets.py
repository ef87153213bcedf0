"""Exit and entry sets: SCXML's algorithm for what a set of transitions leaves and enters.

Names are those of the pseudo-code in "State Chart XML (SCXML)", W3C Recommendation 2015, appendix D.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from smd.statechart.model import COMPOUND, HISTORY_DEEP, PARALLEL, State, Statechart, Transition

History = Mapping[str, tuple[str, ...]]


class EntrySet:
    """What is entered: the states, for which compounds the initial content runs, which history default content.

    `dynamic` is true when a recorded history decided it, so that the result may not be remembered.
    """

    __slots__ = ("default_entry", "default_history", "dynamic", "states")

    def __init__(self) -> None:
        self.states: set[State] = set()
        self.default_entry: set[State] = set()
        self.default_history: dict[State, State] = {}
        self.dynamic = False


def is_descendant(state: State, ancestor: State) -> bool:
    """True if `ancestor` is a proper ancestor of `state`."""
    return ancestor in state.ancestors


def get_effective_target_states(chart: Statechart, transition: Transition, history: History) -> list[State]:
    """Targets with history states replaced by what they stand for."""
    found: list[State] = []
    for target in transition.targets:
        found.extend(_dereference(chart, target, history))
    return found


def _dereference(chart: Statechart, target: State, history: History) -> list[State]:
    if not target.is_history:
        return [target]
    recorded = history.get(target.id)
    if recorded is not None:
        return [chart.states[name] for name in recorded]
    return [found for default in target.initial for found in _dereference(chart, default, history)]


def find_lcca(states: Sequence[State]) -> State:
    """Least common compound ancestor of the first state and all others."""
    head, *tail = states
    for ancestor in head.ancestors:
        if (ancestor.kind == COMPOUND or ancestor.parent is None) and all(is_descendant(s, ancestor) for s in tail):
            return ancestor
    return head.ancestors[-1]


def get_transition_domain(chart: Statechart, transition: Transition, history: History) -> State | None:
    """The compound state within which everything the transition leaves and enters lies; None if targetless."""
    targets = get_effective_target_states(chart, transition, history)
    if not targets:
        return None
    source = transition.source
    if transition.internal and source.kind == COMPOUND and all(is_descendant(s, source) for s in targets):
        return source
    return find_lcca([source, *targets])


def compute_exit_set(
    chart: Statechart, transitions: Iterable[Transition], active: Iterable[State], history: History
) -> set[State]:
    """Every active state that the transitions leave."""
    members = tuple(active)
    leaving: set[State] = set()
    for transition in transitions:
        domain = get_transition_domain(chart, transition, history)
        if domain is not None:
            leaving.update(s for s in members if is_descendant(s, domain))
    return leaving


def compute_entry_set(chart: Statechart, transitions: Iterable[Transition], history: History) -> EntrySet:
    """Every state that the transitions enter."""
    entering = EntrySet()
    for transition in transitions:
        for target in transition.targets:
            add_descendant_states_to_enter(chart, target, entering, history)
        domain = get_transition_domain(chart, transition, history)
        for target in get_effective_target_states(chart, transition, history):
            add_ancestor_states_to_enter(chart, target, domain, entering, history)
    return entering


def add_descendant_states_to_enter(chart: Statechart, state: State, entering: EntrySet, history: History) -> None:
    """Add the state and, downwards, what entering it by default enters."""
    if state.is_history:
        _add_history(chart, state, entering, history)
        return
    entering.states.add(state)
    if state.kind == COMPOUND:
        entering.default_entry.add(state)
        for target in state.initial:
            add_descendant_states_to_enter(chart, target, entering, history)
        for target in state.initial:
            for found in _dereference(chart, target, history):
                add_ancestor_states_to_enter(chart, found, state, entering, history)
    elif state.kind == PARALLEL:
        _add_missing_regions(chart, state, entering, history)


def _add_history(chart: Statechart, state: State, entering: EntrySet, history: History) -> None:
    entering.dynamic = True
    recorded = history.get(state.id)
    parent = state.parent
    if recorded is not None:
        targets = [chart.states[name] for name in recorded]
    else:
        targets = list(state.initial)
        if parent is not None:
            entering.default_history[parent] = state
    for target in targets:
        add_descendant_states_to_enter(chart, target, entering, history)
    for target in targets:
        for found in _dereference(chart, target, history):
            add_ancestor_states_to_enter(chart, found, parent, entering, history)


def add_ancestor_states_to_enter(
    chart: Statechart, state: State, ancestor: State | None, entering: EntrySet, history: History
) -> None:
    """Add the ancestors of `state` below `ancestor`, and the regions that parallel ones need."""
    for found in state.ancestors:
        if found is ancestor:
            return
        entering.states.add(found)
        if found.kind == PARALLEL:
            _add_missing_regions(chart, found, entering, history)


def _add_missing_regions(chart: Statechart, parallel: State, entering: EntrySet, history: History) -> None:
    for child in parallel.children:
        if child.is_history or child in entering.states:
            continue
        if not any(is_descendant(s, child) for s in entering.states):
            add_descendant_states_to_enter(chart, child, entering, history)


def record_history(exiting: Iterable[State], active: Iterable[State]) -> dict[str, tuple[str, ...]]:
    """What the history states of the states being left must remember."""
    members = tuple(active)
    recorded: dict[str, tuple[str, ...]] = {}
    for state in exiting:
        for pseudo in state.children:
            if pseudo.kind == HISTORY_DEEP:
                recorded[pseudo.id] = tuple(s.id for s in members if s.is_leaf and is_descendant(s, state))
            elif pseudo.is_history:
                recorded[pseudo.id] = tuple(s.id for s in members if s.parent is state)
    return recorded
