"""Which transitions are enabled: descriptor matching and SCXML's conflict removal (appendix D)."""

from __future__ import annotations

from collections.abc import Iterable

from smd.statechart.model import Action, State, Statechart, Transition
from smd.statechart.sets import History, compute_exit_set, is_descendant


def matches(descriptor: str, event_type: str) -> bool:
    """`a.b` matches exactly itself; `a.b.*` itself and everything below; `*` anything."""
    if descriptor == "*":
        return True
    if descriptor.endswith(".*"):
        stem = descriptor[:-2]
        return event_type == stem or event_type.startswith(stem + ".")
    return descriptor == event_type


def candidates(state: State, event_type: str | None, *, upwards: bool = True) -> tuple[Transition, ...]:
    """Transitions of the state, then of its ancestors, that an event (None: no event) may take, in order."""
    sources = (state, *state.ancestors) if upwards else (state,)
    return tuple(t for s in sources for t in s.transitions if _answers(t, event_type))


def _answers(transition: Transition, event_type: str | None) -> bool:
    if event_type is None:
        return not transition.events
    return any(matches(d, event_type) for d in transition.events)


EXECUTION = "error.execution"
"""An expression or an argument failed."""


def event_of_fault(chart: Statechart, state: State, action: Action) -> str | None:
    """The event type that says that an expression or an argument of the action, in the state's sequence, failed.

    What the action names for `error`; else `error` in flat charts, `error.execution` in others. But where, from the
    state upwards, the first transition to name one of them names only `error`, it is meant to have this failure too.
    """
    if "error" in action.events:
        return action.events["error"]
    if chart.flat:
        return "error"
    for source in (state, *state.ancestors):
        named = [d for t in source.transitions for d in t.events if d != "*"]
        told = next((name for name in (EXECUTION, "error") if any(matches(d, name) for d in named)), None)
        if told is not None:
            return told
    return EXECUTION


def remove_conflicting_transitions(
    chart: Statechart, enabled: Iterable[Transition], active: tuple[State, ...], history: History
) -> tuple[Transition, ...]:
    """Of transitions whose exit sets meet, the inner one wins, else the one first in document order."""
    kept: list[Transition] = []
    for one in enabled:
        leaving = compute_exit_set(chart, [one], active, history)
        rivals = [two for two in kept if leaving & compute_exit_set(chart, [two], active, history)]
        if all(is_descendant(one.source, two.source) for two in rivals):
            kept = [two for two in kept if two not in rivals]
            kept.append(one)
    return tuple(kept)
