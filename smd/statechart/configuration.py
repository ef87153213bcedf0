"""Configurations: the sets of states a machine can be in, made once each and shared by all machines of a chart.

The table of them is bounded: a chart whose regions can be combined in many ways begins a new one when it is full. So
configurations are compared by `==`, and two equal ones are the same object as long as neither was put out.

A configuration carries what selection and microsteps have already computed for it (see `plan.py`, `course.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from smd.errors import ChartError
from smd.statechart.model import COMPOUND, FINAL, PARALLEL, State, Statechart

if TYPE_CHECKING:
    from smd.statechart.course import Course
    from smd.statechart.model import Transition
    from smd.statechart.plan import Microstep, Plan

_CONFIGURATIONS = 1_000
"""Configurations that a chart remembers."""
_ROOM = 256
"""Entries that each table of a configuration may have."""


class Configuration:
    """One set of active states. Equal are those with the same states of the same chart.

    Attributes:
        states: all active states but the root, in document order.
        leaves: the atomic and final ones, which name the configuration.
        label: their ids joined by commas.
        eventless: some active state has a transition without event.
        sequenced: active states that have actions to run.
        room: entries that each table (plans, courses, microsteps) may have; none once the chart forgot it.
    """

    __slots__ = ("courses", "eventless", "ids", "label", "leaf_ids", "leaves", "microsteps", "plans", "room",
                 "sequenced", "states")  # fmt: skip

    def __init__(self, states: tuple[State, ...]) -> None:
        self.states = states
        self.ids = frozenset(s.id for s in states)
        self.leaves = tuple(s for s in states if s.is_leaf)
        self.leaf_ids = tuple(s.id for s in self.leaves)
        self.label = ",".join(self.leaf_ids)
        self.eventless = any(not t.events for s in states for t in s.transitions)
        self.sequenced = tuple(s for s in states if s.sequence or s.heads)
        self.room = _ROOM
        self.plans: dict[object, Plan] = {}
        self.courses: dict[object, Course | None] = {}
        self.microsteps: dict[tuple[Transition, ...], Microstep] = {}

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Configuration) and self.states == other.states)

    def __hash__(self) -> int:
        return hash(self.states)

    def forget(self) -> None:
        """Drop what was computed and keep nothing more, so that it holds no other configuration alive."""
        self.room = 0
        self.plans, self.courses, self.microsteps = {}, {}, {}

    def __repr__(self) -> str:
        return f"<Configuration {self.label}>"


def configuration_of(chart: Statechart, states: Iterable[State]) -> Configuration:
    """The configuration with exactly these active states (ancestors given, root left out)."""
    key = tuple(sorted((s for s in states if s.parent is not None), key=lambda s: s.order))
    known = chart.configurations.get(key)
    if known is None:
        if len(chart.configurations) >= _CONFIGURATIONS:
            old, chart.configurations = chart.configurations, {}
            for configuration in old.values():
                configuration.forget()
        known = chart.configurations[key] = Configuration(key)
    return known


def restore_configuration(chart: Statechart, leaf_ids: Iterable[str]) -> Configuration:
    """The configuration named by its leaves, checked to be possible (SCXML 3.11, legal state configurations).

    Raises:
        ChartError: an unknown or pseudo state, two states of one compound, a missing region.
    """
    active: set[State] = set()
    for leaf_id in leaf_ids:
        leaf = chart.states.get(leaf_id)
        if leaf is None or not leaf.is_leaf:
            raise ChartError(f"cannot restore state '{leaf_id}': the chart has no such atomic state")
        active.update((leaf, *leaf.ancestors))
    if not active:
        raise ChartError("cannot restore a configuration: it names no state")
    for state in active:
        inside = [c for c in state.children if c in active]
        if (state.kind == COMPOUND or state.parent is None) and len(inside) != 1:
            raise ChartError(
                f"cannot restore {sorted(leaf_ids)}: '{state.id}' must have one active child, not {len(inside)}"
            )
        if state.kind == PARALLEL and len(inside) != len([c for c in state.children if not c.is_history]):
            raise ChartError(f"cannot restore {sorted(leaf_ids)}: a region of '{state.id}' is missing")
    return configuration_of(chart, active)


def is_in_final_state(state: State, active: Iterable[State]) -> bool:
    """SCXML's isInFinalState: a compound whose active child is final, a parallel all of whose regions are."""
    members = set(active)
    if state.kind == COMPOUND:
        return any(c.kind == FINAL and c in members for c in state.children)
    if state.kind == PARALLEL:
        return all(is_in_final_state(c, members) for c in state.children if not c.is_history)
    return False
