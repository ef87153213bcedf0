"""SCXML's algorithm once more, as the pseudo-code of the Recommendation's appendix D has it.

Where it departs from the pseudo-code, for its text says more or smd promises more, a comment says why.

It interprets the same documents as smd, without plans, caches or short cuts, and knows only what `random_charts.py`
writes: the conditions and actions of `CONDITIONS` and `Machine.action`. Names are those of the pseudo-code in "State
Chart XML (SCXML)", W3C Recommendation 2015, appendix D; it shares no code with smd.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

Part = dict[str, Any]

MOST_STEPS = 250


class EndlessError(Exception):
    """The machine does not settle."""


class FailedError(Exception):
    """A condition or action cannot be evaluated."""


class State:
    """A state of the document; `order` is document order, `ancestors` run from the parent to the root."""

    def __init__(self, name: str, parent: State | None, part: Part, order: int) -> None:
        self.id, self.parent, self.part, self.order = name, parent, part, order
        self.kind: str = part.get("type") or ("compound" if part.get("states") else "atomic")
        self.children: list[State] = []
        self.transitions: list[Transition] = []
        self.ancestors: list[State] = [] if parent is None else [parent, *parent.ancestors]

    @property
    def is_atomic(self) -> bool:
        return self.kind in {"atomic", "final"}

    @property
    def regions(self) -> list[State]:
        return [child for child in self.children if child.kind != "history"]


class Transition:
    def __init__(self, source: State, events: list[str], targets: list[State], part: Part) -> None:
        self.source, self.events, self.targets = source, events, targets
        self.cond: str | None = part.get("if")
        self.content: list[Part] = part.get("actions") or []
        self.internal: bool = part.get("internal", False)


class Chart:
    """The states of a document in smd's form of nested maps."""

    def __init__(self, document: Part) -> None:
        self.states: dict[str, State] = {}
        self.root = self._add("", None, {"type": "compound", "states": document["states"]})
        for state in self.states.values():
            for event, rows in (state.part.get("on") or {}).items():
                state.transitions += [self._transition(state, [event], row) for row in rows]
            if "always" in state.part:
                state.transitions.append(self._transition(state, [], state.part["always"]))

    def _add(self, name: str, parent: State | None, part: Part) -> State:
        state = self.states[name] = State(name, parent, part, len(self.states))
        for child, inner in (part.get("states") or {}).items():
            state.children.append(self._add(child, state, inner))
        return state

    def _transition(self, source: State, events: list[str], part: Part) -> Transition:
        return Transition(source, events, self._named(part.get("to", [])), part)

    def _named(self, names: str | list[str]) -> list[State]:
        return [self.states[name] for name in ([names] if isinstance(names, str) else names)]

    def default(self, state: State) -> tuple[list[State], list[Part]]:
        """Targets and content of the initial transition, or of a history state's default transition."""
        key = "default" if state.kind == "history" else "initial"
        said = state.part.get(key)
        if isinstance(said, dict):
            return self._named(said["to"]), said.get("actions") or []
        if said is not None:
            return self._named(said), []
        if state.kind != "history" or state.parent is None:
            return state.regions[:1], []
        if state.parent.kind == "parallel":
            return state.parent.regions, []
        own = [found for found in self.default(state.parent)[0] if found.kind != "history"]
        return own or state.parent.regions[:1], []


class EntrySet:
    def __init__(self) -> None:
        self.states: set[State] = set()
        self.default_entry: set[State] = set()
        self.default_history: dict[State, list[Part]] = {}


def is_descendant(one: State, two: State) -> bool:
    return two in one.ancestors


def name_match(descriptor: str, event: str) -> bool:
    stem = descriptor.removesuffix(".*")
    return descriptor in {"*", event} or (stem != descriptor and (event == stem or event.startswith(stem + ".")))


class Machine:
    """One session.

    Attributes:
        log: messages of `log` actions since the caller last cleared it.
    """

    def __init__(self, document: Part, context: Part) -> None:
        self.chart = Chart(document)
        self.context = dict(context)
        self.configuration: set[State] = set()
        self.history: dict[State, list[State]] = {}
        self.internal: deque[str] = deque()
        self.running = True
        self.event = "start"
        self.log: list[str] = []
        self.steps = 0
        self.failing: list[Transition] = []
        root = self.chart.root
        self.enter_states([Transition(root, [], self.chart.default(root)[0], {"internal": True})])
        self.settle()

    def send(self, event: str) -> bool:
        """One macrostep; True if a transition took the event."""
        if not self.running:
            return False
        self.steps, self.event = 0, event
        self.failing.clear()
        enabled = self.select_transitions(event)
        self.microstep(enabled)
        self.settle()
        return bool(enabled)

    # --- the datamodel ---------------------------------------------------------------------------------------

    def condition_match(self, transition: Transition) -> bool:
        try:
            return transition.cond is None or CONDITIONS[transition.cond](self)
        except FailedError:
            # Once a macrostep: with the pseudo-code the guard of an eventless transition raises an error event after
            # each error event, and the macrostep has no end.
            if transition not in self.failing:
                self.failing.append(transition)
                self.internal.append("error.execution")
            return False

    def execute_content(self, block: Iterable[Part]) -> None:
        try:
            for part in block:
                self.action(part)
        except FailedError:
            self.internal.append("error.execution")

    def action(self, part: Part) -> None:
        match part["type"]:
            case "log":
                message = part["message"].replace("{n}", str(self.context["n"]))
                self.log.append(message.replace("{event.type}", self.event))
            case "raise":
                self.internal.append(part["event"])
            case "assign":
                self.context |= {key: VALUES[value](self) for key, value in part["set"].items()}
            case other:
                raise ValueError(other)

    # --- selecting -------------------------------------------------------------------------------------------

    def select_transitions(self, event: str | None) -> list[Transition]:
        enabled: list[Transition] = []
        for state in sorted((s for s in self.configuration if s.is_atomic), key=lambda s: s.order):
            chosen = self._first_enabled(state, event)
            if chosen is not None and chosen not in enabled:
                enabled.append(chosen)
        return self.remove_conflicting_transitions(enabled)

    def _first_enabled(self, state: State, event: str | None) -> Transition | None:
        for source in (state, *state.ancestors):
            for transition in source.transitions:
                if event is None:
                    answers = not transition.events
                else:
                    answers = any(name_match(d, event) for d in transition.events)
                if answers and self.condition_match(transition):
                    return transition
        return None

    def remove_conflicting_transitions(self, enabled: list[Transition]) -> list[Transition]:
        filtered: list[Transition] = []
        for one in enabled:
            rivals = [two for two in filtered if self.compute_exit_set([one]) & self.compute_exit_set([two])]
            if all(is_descendant(one.source, two.source) for two in rivals):
                filtered = [two for two in filtered if two not in rivals] + [one]
        return filtered

    # --- sets ------------------------------------------------------------------------------------------------

    def get_effective_target_states(self, targets: list[State]) -> list[State]:
        found: list[State] = []
        for target in targets:
            if target.kind != "history":
                found.append(target)
            elif target in self.history:
                found += self.history[target]
            else:
                found += self.get_effective_target_states(self.chart.default(target)[0])
        return found

    def get_transition_domain(self, transition: Transition) -> State | None:
        targets = self.get_effective_target_states(transition.targets)
        source = transition.source
        if not targets:
            return None
        if transition.internal and source.kind == "compound" and all(is_descendant(s, source) for s in targets):
            return source
        compounds = (s for s in source.ancestors if s.kind == "compound")
        return next(s for s in compounds if all(is_descendant(target, s) for target in targets))

    def compute_exit_set(self, transitions: Iterable[Transition]) -> set[State]:
        domains = [self.get_transition_domain(t) for t in transitions]
        return {s for s in self.configuration for domain in domains if domain is not None and domain in s.ancestors}

    def compute_entry_set(self, transitions: Iterable[Transition]) -> EntrySet:
        entering = EntrySet()
        for transition in transitions:
            for target in transition.targets:
                self.add_descendant_states_to_enter(target, entering)
            domain = self.get_transition_domain(transition)
            for target in self.get_effective_target_states(transition.targets):
                self.add_ancestor_states_to_enter(target, domain, entering)
        return entering

    def add_descendant_states_to_enter(self, state: State, entering: EntrySet) -> None:
        if state.kind == "history":
            assert state.parent is not None
            if state in self.history:
                self._enter_below(self.history[state], state.parent, entering)
            else:
                targets, entering.default_history[state.parent] = self.chart.default(state)
                self._enter_below(targets, state.parent, entering)
            return
        entering.states.add(state)
        if state.kind == "compound":
            entering.default_entry.add(state)
            self._enter_below(self.chart.default(state)[0], state, entering)
        elif state.kind == "parallel":
            self._enter_regions(state, entering)

    def _enter_below(self, targets: list[State], ancestor: State, entering: EntrySet) -> None:
        for target in targets:
            self.add_descendant_states_to_enter(target, entering)
        for target in self.get_effective_target_states(targets):
            self.add_ancestor_states_to_enter(target, ancestor, entering)

    def _enter_regions(self, parallel: State, entering: EntrySet) -> None:
        for region in parallel.regions:
            if not any(s is region or is_descendant(s, region) for s in entering.states):
                self.add_descendant_states_to_enter(region, entering)

    def add_ancestor_states_to_enter(self, state: State, ancestor: State | None, entering: EntrySet) -> None:
        for found in state.ancestors:
            if found is ancestor:
                return
            entering.states.add(found)
            if found.kind == "parallel":
                self._enter_regions(found, entering)

    # --- steps -----------------------------------------------------------------------------------------------

    def settle(self) -> None:
        while self.running:
            enabled = self.select_transitions(None)
            if not enabled:
                if not self.internal:
                    return
                self._count()
                self.event = self.internal.popleft()
                enabled = self.select_transitions(self.event)
            self.microstep(enabled)
        self.internal.clear()
        for state in sorted(self.configuration, key=lambda s: -s.order):
            self.execute_content(state.part.get("exit") or [])

    def _count(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise EndlessError

    def microstep(self, enabled: list[Transition]) -> None:
        if not enabled:
            return
        self._count()
        self.exit_states(enabled)
        for transition in enabled:
            self.execute_content(transition.content)
        self.enter_states(enabled)

    def exit_states(self, enabled: list[Transition]) -> None:
        leaving = sorted(self.compute_exit_set(enabled), key=lambda s: -s.order)
        for state in leaving:
            for pseudo in (child for child in state.children if child.kind == "history"):
                deep = pseudo.part.get("deep")
                active = sorted(self.configuration, key=lambda s: s.order)
                self.history[pseudo] = [
                    s for s in active if (s.is_atomic and is_descendant(s, state) if deep else s.parent is state)
                ]
        for state in leaving:
            self.execute_content(state.part.get("exit") or [])
            self.configuration.remove(state)

    def enter_states(self, enabled: list[Transition]) -> None:
        entering = self.compute_entry_set(enabled)
        for state in sorted(entering.states - {self.chart.root}, key=lambda s: s.order):
            self.configuration.add(state)
            self.execute_content(state.part.get("entry") or [])
            if state in entering.default_entry:
                self.execute_content(self.chart.default(state)[1])
            self.execute_content(entering.default_history.get(state, []))
            if state.kind == "final":
                self._final(state)

    def _final(self, state: State) -> None:
        parent = state.ancestors[0]
        if parent is self.chart.root:
            self.running = False
            return
        self.internal.append(f"done.state.{parent.id}")
        # The pseudo-code stops at the grandparent. Section 3.4 says of every parallel that it is done when all its
        # children are, and isInFinalState counts a parallel child: without going on, the last region of an inner
        # parallel to end would be no news to the outer one.
        for above in parent.ancestors:
            if above.kind != "parallel" or not self.is_in_final_state(above):
                break
            self.internal.append(f"done.state.{above.id}")

    def is_in_final_state(self, state: State) -> bool:
        if state.kind == "compound":
            return any(child.kind == "final" and child in self.configuration for child in state.children)
        return state.kind == "parallel" and all(self.is_in_final_state(s) for s in state.regions)


def _fails(_machine: Machine) -> bool:
    raise FailedError


class _InState(dict[str, Callable[[Machine], Any]]):
    """Besides what is listed: `in_state('NAME')`."""

    def __missing__(self, text: str) -> Callable[[Machine], Any]:
        name = text.removeprefix("in_state('").removesuffix("')")
        return lambda machine: any(state.id == name for state in machine.configuration)


CONDITIONS = _InState({
    "context.n % 2 == 0": lambda machine: machine.context["n"] % 2 == 0,
    "context.n < 6": lambda machine: machine.context["n"] < 6,
    "event.type == 'a'": lambda machine: machine.event == "a",
    "context.none > 1": _fails,
})  # fmt: skip
VALUES = _InState({"context.n + 1": lambda machine: machine.context["n"] + 1, "context.none": _fails})
