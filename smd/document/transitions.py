"""Transitions and timers, from `on`, `always`, `after` and the rows of the flat form, in file order.

The order within one source state is that of the document: keys of the state as they stand, and rows before or
after them as `transitions` stands before or after `states`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from smd.catalogue import Kind
from smd.document.actions import ActionReader
from smd.document.flat import ANY, names_in
from smd.document.own_events import OwnEvents
from smd.document.report import Path, Report, fingerprint
from smd.document.schema import AfterPart, DocumentPart, RowPart, TransitionPart, duration_fault
from smd.document.tree import Declared, Tree
from smd.errors import ChartError
from smd.problems import shown
from smd.statechart.durations import parse_duration
from smd.statechart.expression import Expression
from smd.statechart.model import ATOMIC, FINAL, Action, State, TimerSpec, Transition

MAX_TRANSITIONS = 100_000
"""Of one chart, each counted once per event; rows from * multiply."""

_FEWER = "put the states under a common parent, and one transition there"


class _Body(NamedTuple):
    """What the transitions of one row, or one entry of `on`, share: compiled once, used for each source."""

    targets: tuple[State, ...]
    path: Path
    cond: Expression | None = None
    content: tuple[Action, ...] = ()
    internal: bool = False


class TransitionReader:
    """Adds transitions and timers to the states of a tree.

    `rows` collects, by state id, fingerprints of the rows that concern it, for its digest; `own_events` those that
    wait for an event of smd's own.
    """

    def __init__(self, report: Report, tree: Tree, actions: ActionReader, *, flat: bool) -> None:
        self.report = report
        self.tree = tree
        self.actions = actions
        self.flat = flat
        self.own_events = OwnEvents(report)
        self.rows: defaultdict[str, list[str]] = defaultdict(list)
        self._timers: defaultdict[State, dict[str, TimerSpec]] = defaultdict(dict)
        self._explicit: set[tuple[str, str]] = set()
        self._count = 0
        self._top: tuple[State, ...] = ()

    def read(self, document: DocumentPart, plain: dict[str, Any]) -> None:
        """Read all transitions; `plain` is the value `document` was made from, for the order of its keys."""
        self._top = tuple(self.tree.top_level())
        for key, value in plain.items():
            if key == "states" and isinstance(document.states, dict):
                for declared in self.tree.declared.values():
                    self._of_state(declared, _at(plain, declared.path))
            elif key == "transitions":
                self._read_rows(document.transitions or (), value)
        for state, timers in self._timers.items():
            state.timers = tuple(timers.values())
        if self._count > MAX_TRANSITIONS:
            self.report.add("E006", ("transitions",), f"more than {MAX_TRANSITIONS} transitions", _FEWER, key=True)

    def _read_rows(self, rows: Iterable[RowPart], plain: list[Any]) -> None:
        for index, row in enumerate(rows):
            if self._count > MAX_TRANSITIONS:
                return
            self._row(row, plain[index], ("transitions", index))

    # --- nested form ----------------------------------------------------------------------------------------

    def _of_state(self, declared: Declared, keys: Any) -> None:
        state, part, path = declared
        if state.kind == FINAL or state.is_history:
            return
        for key in keys or ():
            if key == "on":
                for name, target in (part.on or {}).items():
                    self._entry(state, (name,), target, (*path, "on", name))
            elif key == "always" and part.always is not None:
                self._entry(state, (), part.always, (*path, "always"))
            elif key == "after":
                for name, after in (part.after or {}).items():
                    self._after(state, name, after, (*path, "after", name))

    def _entry(self, state: State, events: tuple[str, ...], target: Any, path: Path) -> None:
        for event in events:
            self._check_descriptor(event, path, key=True)
        self._arm(state, self.own_events.timers(((event, path) for event in events), key=True))
        for one, place in _each(target, path):
            self._add(state, events, self._body(one, place))

    def _after(self, state: State, text: str, after: Any, path: Path) -> None:
        try:
            seconds = parse_duration(text)
        except ChartError as error:
            self.report.add("E105", path, duration_fault(error.message, text), error.hint, key=True)
            return
        event = f"timeout({text.strip()})"
        self._arm(state, [TimerSpec(event, seconds)])
        for one, place in _each(after, path):
            if isinstance(one, AfterPart) and "on_restart" in one.model_fields_set:
                self._set_restart(state, event, one.on_restart, (*place, "on_restart"))
            self._add(state, (event,), self._body(one, place))

    # --- flat form ------------------------------------------------------------------------------------------

    def _row(self, row: RowPart, plain: Any, path: Path) -> None:
        if not row.actions and not self.report.says((*path, "to")):
            self.report.add("E104", path, "the key 'to' is missing", "a row without it needs actions:")
        events = tuple(names_in(row.event))
        place = (*path, "event")
        placed = [(event, (*place, n) if isinstance(row.event, list) else place) for n, event in enumerate(events)]
        for event, at in placed:
            self._check_descriptor(event, at)
        body = self._body(row, path)
        timers = self.own_events.timers(placed, key=False)
        print_of_row = fingerprint(plain)
        for state in self._sources(row, path):
            if self._count > MAX_TRANSITIONS:
                return
            self.rows[state.id].append(print_of_row)
            self._arm(state, timers)
            self._add(state, events, body)

    def _sources(self, row: RowPart, path: Path) -> Iterable[State]:
        found: dict[State, None] = {}
        wild = False
        for index, name in enumerate(names_in(row.from_)):
            place = (*path, "from", index) if isinstance(row.from_, list) else (*path, "from")
            if name == ANY:
                found.update(dict.fromkeys(() if wild else self._top))
                wild = True
            elif (state := self.tree.find(name, place)) is not None and self._may_leave(state, place):
                found[state] = None
        return found

    def _may_leave(self, state: State, path: Path) -> bool:
        if state.is_history:
            self.report.add("E204", path, f"{shown(state.id)} is a history state: nothing can lead out of it")
        elif state.kind == FINAL and self.flat:
            self.report.warn("W101", path, f"without effect: in {shown(state.id)} the machine has ended")
        elif state.kind == FINAL:
            self.report.add("E203", path, f"{shown(state.id)} is a final state: nothing can lead out of it")
        return state.kind != FINAL and not state.is_history

    # --- both -----------------------------------------------------------------------------------------------

    def _body(self, part: TransitionPart | str | None, path: Path) -> _Body:
        if part is None or isinstance(part, str):
            return _Body(self.tree.find_all(part, path), path)
        return _Body(
            self.tree.find_all(part.to, (*path, "to")),
            path,
            self.actions.expression(part.if_, (*path, "if")),
            self.actions.content(part.actions, (*path, "actions")),
            part.internal,
        )

    def _add(self, source: State, events: tuple[str, ...], body: _Body) -> None:
        self._count += max(1, len(events))
        if self._count > MAX_TRANSITIONS:
            return
        first = next((n for n, action in enumerate(body.content) if action.kind != Kind.INSTANT), len(body.content))
        transition = Transition(
            source,
            events,
            body.targets,
            cond=body.cond,
            content=body.content[:first],
            internal=body.internal,
            order=len(source.transitions),
            at=self.report.at(body.path),
        )
        source.transitions.append(transition)
        lasting = body.content[first:]
        if not lasting:
            return
        if len(body.targets) == 1 and _may_head(body.targets[0]):
            body.targets[0].heads[transition] = lasting
        else:
            self.report.add(
                "E305",
                (*body.path, "actions"),
                f"{lasting[0].type} takes time: it needs one target without inner states, whose "
                "actions it then precedes",
                "put it under actions: of the state that is entered",
            )

    def _check_descriptor(self, event: str, path: Path, *, key: bool = False) -> None:
        if "*" in event and event != "*" and ("*" in event[:-1] or not event.endswith(".*") or event == ".*"):
            self.report.add(
                "E102",
                path,
                f"{shown(event)} is not an event: * stands for all, or for the rest after a dot",
                "write * or a.b.*",
                key=key,
            )

    # --- timers ---------------------------------------------------------------------------------------------

    def _arm(self, state: State, timers: Iterable[TimerSpec]) -> None:
        for timer in timers:
            self._timers[state].setdefault(timer.event, timer)

    def _set_restart(self, state: State, event: str, on_restart: str, path: Path) -> None:
        known = self._timers[state][event]
        if (state.id, event) in self._explicit and known.on_restart != on_restart:
            self.report.add("E107", path, f"the timer {event} of this state already has on_restart: {known.on_restart}")
            return
        self._explicit.add((state.id, event))
        self._timers[state][event] = known._replace(on_restart=on_restart)


def _each(target: Any, path: Path) -> Iterator[tuple[Any, Path]]:
    if isinstance(target, list):
        yield from ((one, (*path, index)) for index, one in enumerate(target))
    else:
        yield target, path


def _may_head(state: State) -> bool:
    return state.kind == ATOMIC or (state.kind == FINAL and state.parent is not None and state.parent.parent is None)


def _at(plain: Any, path: Path) -> Any:
    for part in path:
        plain = plain[part]
    return plain
