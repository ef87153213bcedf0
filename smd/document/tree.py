"""The tree of states: ids, kinds, what each kind may have, initial and default targets (SCXML 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from smd.document.actions import ActionReader
from smd.document.flat import names_in
from smd.document.report import Path, Report
from smd.document.schema import InitialPart, StatePart
from smd.problems import shown
from smd.statechart.model import ATOMIC, COMPOUND, FINAL, HISTORY_DEEP, HISTORY_SHALLOW, PARALLEL, State

EMPTY = StatePart()
Initial = str | list[str] | InitialPart

_REACTS = frozenset(("entry", "exit", "actions", "on", "always", "after", "busy"))
_MAY_HAVE = {
    ATOMIC: _REACTS,
    COMPOUND: _REACTS | {"states", "initial"},
    PARALLEL: _REACTS | {"states"},
    FINAL: frozenset(("entry", "exit", "actions", "output")),
    HISTORY_SHALLOW: frozenset(("deep", "default")),
    HISTORY_DEEP: frozenset(("deep", "default")),
}
_WHY_NOT = {
    FINAL: "a final state ends its parent and is not left by itself",
    PARALLEL: "all regions of a parallel state are entered at once",
    HISTORY_SHALLOW: "a history state stands for others and is never active itself",
    HISTORY_DEEP: "a history state stands for others and is never active itself",
}
_BELONGS_TO = {
    "default": "history states",
    "deep": "history states",
    "output": "final states",
    "initial": "compound states",
}


class Declared(NamedTuple):
    """A state with the part of the document that defines it."""

    state: State
    part: StatePart
    path: Path


class Tree:
    """All states of one document.

    Attributes:
        root: the root, a compound state with the empty id.
        declared: by id, in document order.
    """

    def __init__(self, report: Report, actions: ActionReader) -> None:
        self.report = report
        self.actions = actions
        self.root = State("", COMPOUND)
        self.declared: dict[str, Declared] = {}

    # --- making ---------------------------------------------------------------------------------------------

    def add(self, name: str, part: StatePart, path: Path, parent: State) -> None:
        """Add a state and all below it; an id that is taken is a problem, what is below it still is read."""
        if name == "*":
            self.report.add("E102", path, "a state cannot be named '*'", "that means any state in from:", key=True)
        if name in self.declared:
            first = self.report.at(self.declared[name].path).rsplit(":", 2)[1:]
            where = f"; it stands first in line {first[0]}" if first else ""
            self.report.add(
                "E201", path, f"the state {shown(name)} stands twice", f"names are unique in a chart{where}", key=True
            )
        else:
            state = State(name, _kind_of(part), parent)
            state.at = self.report.at(path)
            self.declared[name] = Declared(state, part, path)
        for child, inner in (part.states or {}).items():
            self.add(child, inner or EMPTY, (*path, "states", child), self.declared[name].state)

    def finish(self, initial: Initial | None, path: Path, default: str | None) -> None:
        """Check each state against the rules of its kind, and set initial and default targets.

        Args:
            initial: of the root.
            path: where it stands.
            default: name of the root's initial state when the document says none; its first state if None.
        """
        if not self.declared:
            self.report.add("E203", ("states",), "a chart needs at least one state")
            return
        if initial is None and default is not None and default not in self.declared:
            first = next(iter(self.declared))
            self.report.add(
                "E202",
                ("states",),
                f"no initial_state is given, and there is no state {shown(default)}",
                f"write initial_state: {first}",
                key=True,
            )
            default = None
        for declared in self.declared.values():
            self._check(declared)
        self._initial(self.root, initial if initial is not None else default, path)
        for state, part, place in self.declared.values():
            if state.kind == COMPOUND:
                self._initial(state, part.initial, (*place, "initial"))
        for declared in self.declared.values():
            if declared.state.is_history:
                self._history(declared)

    # --- looking up -----------------------------------------------------------------------------------------

    def find(self, name: str, path: Path) -> State | None:
        """The state of a name or dotted path; None with the problem told."""
        known = self.declared.get(name)
        if known is not None:
            return known.state
        ends = (name[at + 1 :] for at, letter in enumerate(name) if letter == ".")
        candidates = [self.declared[end].state for end in ends if end in self.declared]
        fitting = [s for s in candidates if f".{_full_name(s)}".endswith(f".{name}")]
        if len(fitting) == 1:
            return fitting[0]
        self.report.add("E202", path, f"unknown state {shown(name)}", self.report.nearest(name, self.declared))
        return None

    def find_all(self, names: str | list[str] | None, path: Path) -> tuple[State, ...]:
        """The states of several names that can be active together."""
        listed = isinstance(names, list)
        found = [self.find(name, (*path, index) if listed else path) for index, name in enumerate(names_in(names))]
        states = tuple(dict.fromkeys(state for state in found if state is not None))
        if (clash := _clash(states)) is not None:
            self.report.add(
                "E206",
                path,
                f"{shown(clash[0].id)} and {shown(clash[1].id)} cannot be active together",
                "several targets must lie in different regions of a parallel state",
            )
        return states

    def top_level(self) -> Iterator[State]:
        """The children of the root that transitions may leave."""
        return (s for s in self.root.children if s.kind != FINAL and not s.is_history)

    # --- rules ----------------------------------------------------------------------------------------------

    def _check(self, declared: Declared) -> None:
        state, part, path = declared
        for key in sorted(part.model_fields_set - {"type", "description"} - _MAY_HAVE[state.kind]):
            value = getattr(part, key)
            if value is not None and value is not False:
                self._excess(state, key, path)
        inner = [child for child in state.children if not child.is_history]
        if state.kind in {COMPOUND, PARALLEL} and not inner:
            self.report.add("E203", path, f"a {state.kind} state needs at least one state in states:", key=True)
        if state.kind == FINAL:
            self._check_final(declared)
        if state.is_history and state.parent is self.root:
            self.report.add("E204", path, "a history state must lie inside another state", key=True)

    def _excess(self, state: State, key: str, path: Path) -> None:
        kind = "a history" if state.is_history else "an atomic" if state.kind == ATOMIC else f"a {state.kind}"
        belongs = f"only {_BELONGS_TO[key]} have it" if key in _BELONGS_TO else "leave type: atomic away"
        hint = _WHY_NOT.get(state.kind, belongs)
        self.report.add("E203", (*path, key), f"{kind} state cannot have {key}:", hint, key=True)

    def _check_final(self, declared: Declared) -> None:
        state, part, path = declared
        if state.parent is not self.root and part.actions:
            self.report.add(
                "E203",
                (*path, "actions"),
                "only a final state at the top level may have actions",
                "use entry: for instant actions",
                key=True,
            )
        if state.parent is not None and state.parent.kind == PARALLEL:
            self.report.add(
                "E203",
                path,
                "a parallel state has regions, and a region cannot be a final state",
                "wrap it in a compound state",
                key=True,
            )

    def _initial(self, state: State, initial: Initial | None, path: Path) -> None:
        inner = [child for child in state.children if not child.is_history]
        state.initial = tuple(inner[:1])
        if initial is None:
            return
        names, place = _names(initial, path)
        targets = self.find_all(names, place)
        for target in targets:
            if state not in _ancestors(target):
                self.report.add(
                    "E205",
                    place,
                    f"{shown(target.id)} does not lie in {shown(state.id)}",
                    self.report.nearest(target.id, (child.id for child in inner)),
                )
        state.initial = targets or state.initial
        if isinstance(initial, InitialPart):
            state.initial_content = self.actions.block(initial.actions, (*path, "actions"))

    def _history(self, declared: Declared) -> None:
        state, part, path = declared
        parent = state.parent
        if parent is None or parent is self.root:
            return
        inner = tuple(child for child in parent.children if not child.is_history)
        own = tuple(s for s in parent.initial if not s.is_history) or inner[:1]
        state.initial = inner if parent.kind == PARALLEL else own
        if part.default is None:
            return
        names, place = _names(part.default, (*path, "default"))
        targets = self.find_all(names, place)
        for target in targets:
            if target.is_history:
                self.report.add("E204", place, "the default of a history state cannot be a history state")
            elif parent not in _ancestors(target):
                self.report.add(
                    "E204", place, f"{shown(target.id)} does not lie in {shown(parent.id)}, as the history does"
                )
            elif state.kind == HISTORY_SHALLOW and target.parent is not parent:
                self.report.add(
                    "E204",
                    place,
                    f"{shown(target.id)} is not a child of {shown(parent.id)}",
                    "write deep: true to remember descendants",
                )
        state.initial = targets or state.initial
        if isinstance(part.default, InitialPart):
            state.initial_content = self.actions.block(part.default.actions, (*path, "default", "actions"))


def _kind_of(part: StatePart) -> str:
    if part.type == "history":
        return HISTORY_DEEP if part.deep else HISTORY_SHALLOW
    return part.type or (COMPOUND if part.states else ATOMIC)


def _names(initial: Initial, path: Path) -> tuple[str | list[str], Path]:
    return (initial.to, (*path, "to")) if isinstance(initial, InitialPart) else (initial, path)


def _ancestors(state: State) -> list[State]:
    """From the parent up to the root; the chart fills in `State.ancestors` only later."""
    found = []
    while state.parent is not None:
        state = state.parent
        found.append(state)
    return found


def _full_name(state: State) -> str:
    return ".".join(reversed([state.id, *(s.id for s in _ancestors(state) if s.parent is not None)]))


def _place(target: State) -> State:
    """A history state may bring any state of its parent, so it takes the place of the parent."""
    return target.parent if target.is_history and target.parent is not None else target


def _clash(states: Iterable[State]) -> tuple[State, State] | None:
    """The first two states that cannot be active together, each way to the root walked no further than needed."""
    above: dict[State, State] = {}
    for state in states:
        place = _place(state)
        step: State | None = place
        while step is not None and step not in above:
            above[step] = state
            step = step.parent
        if step is not None and (step in {place, _place(above[step])} or step.kind != PARALLEL):
            return above[step], state
    return None
