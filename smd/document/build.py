"""A checked document → `Statechart`: the parts put together, and all that is said once per chart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from smd.document.actions import ActionReader
from smd.document.flat import DEFAULT_INITIAL, TERMINAL_NAMES, comment_groups, leads_elsewhere, states_by_use
from smd.document.payloads import check_payload_schema
from smd.document.plain import fits_the_store
from smd.document.report import Report, fingerprint
from smd.document.schema import ContractPart, DocumentPart, EventPart, RestartPart, StatePart
from smd.document.transitions import TransitionReader
from smd.document.tree import EMPTY, Tree
from smd.document.without_effect import check_metadata
from smd.problems import shown
from smd.statechart.durations import parse_duration
from smd.statechart.event import PRIORITIES
from smd.statechart.expression import Expression
from smd.statechart.model import FINAL, EventSpec, Restart, Statechart

_EVENT_FIELDS = ("type", "payload", "job_id", "source", "id")
_FORBIDDEN_IN_NAMES = frozenset("/{}")


MACHINE, REPLACED = "machine_default", "custom_replaces"
"""Keys of a stored document beside those of the format."""


class Stored(NamedTuple):
    """What belongs to a chart and is not in its document.

    Attributes:
        machine: its name where the document says none.
        replaced: built-in types for which custom actions stand.
    """

    machine: str = ""
    replaced: tuple[str, ...] = ()

    @classmethod
    def taken_from(cls, plain: dict[str, Any]) -> Stored:
        """Removes these keys from a stored document."""
        name, replaced = plain.pop(MACHINE, ""), plain.pop(REPLACED, ())
        names = replaced if isinstance(replaced, list) else ()
        return cls(name if isinstance(name, str) else "", tuple(n for n in names if isinstance(n, str)))


class Builder:
    """Builds the chart of one document.

    Args:
        document: of the right shape; made from `plain`.
        custom: known custom action types, None for any.
        stored: what the store kept beside the document.

    `groups` are state groups from comments.
    """

    def __init__(
        self,
        report: Report,
        document: DocumentPart,
        plain: dict[str, Any],
        *,
        custom: Collection[str] | None,
        stored: Stored,
    ) -> None:
        self.report = report
        self.document = document
        self.plain = plain
        self.stored = stored
        listed = document.states if isinstance(document.states, list) else []
        self.groups = comment_groups(report.source.text, listed) if document.state_groups is None else {}
        if self.groups and not fits_the_store({**report.source.value, "state_groups": self.groups}):
            self.groups = {}
        self.flat = not isinstance(document.states, dict)
        self._flat_plain: dict[str, Any] = {}
        self.actions = ActionReader(report, custom, flat=self.flat)
        self.actions.replaced.update(stored.replaced)
        self.tree = Tree(report, self.actions)
        self.transitions = TransitionReader(report, self.tree, self.actions, flat=self.flat)

    def build(self) -> Statechart:
        """The chart; worth something only if the report then holds no problem."""
        document = self.document
        self._declare()
        self.actions.states = self.tree.declared.keys()
        self._finish_tree()
        self.transitions.read(document, self.plain)
        self._fill_states()
        self._digest_states()
        check_metadata(self.report, document.metadata)
        if not self.report.problems:
            self.transitions.own_events.check([each.state for each in self.tree.declared.values()], self.plain)
        source = self._source()
        return Statechart(
            self.tree.root,
            hash=fingerprint(source),
            machine=self._machine(),
            label=document.name or "",
            context=document.context,
            events=self._events(),
            flat=self.flat,
            template=document.template,
            restart=self._restart(document.restart),
            state_groups=self._groups(),
            contracts=self._contracts(),
            source=source,
        )

    # --- states ---------------------------------------------------------------------------------------------

    def _declare(self) -> None:
        states = self.document.states
        if isinstance(states, dict):
            for name, part in states.items():
                self.tree.add(name, part or EMPTY, ("states", name), self.tree.root)
        elif states is not None:
            for index, name in enumerate(states):
                self.tree.add(name, self._flat_part(name), ("states", index), self.tree.root)
        else:
            for name in self._used():
                self.tree.add(name, self._flat_part(name), ("states", name), self.tree.root)

    def _used(self) -> list[str]:
        """The states by use, and those that only `actions` names, which nothing leads to, if they are no typo."""
        known = states_by_use(self.document)
        named, unread = set(known), self._rows_unread()
        alone = [name for name in self.document.actions or {} if name not in named]
        for name in alone:
            if not unread and not self.report.nearest(name, known):
                self.report.warn("W101", ("actions", name), "without effect: no row leads to this state")
                named.add(name)
        return [*known, *(name for name in alone if unread or name in named)]

    def _flat_part(self, name: str) -> StatePart:
        ends = name in TERMINAL_NAMES and not leads_elsewhere(name, self.document.transitions or ())
        return StatePart(type="final") if ends else EMPTY

    def _finish_tree(self) -> None:
        document = self.document
        if document.initial is not None and document.initial_state is not None:
            self.report.add("E107", ("initial_state",), "says the same as 'initial'", "keep one of them", key=True)
        key = "initial" if document.initial is not None else "initial_state"
        unread = self.report.says(("initial",)) or self.report.says(("initial_state",)) or self._rows_unread()
        default = DEFAULT_INITIAL if self.flat and not unread else None
        self.tree.finish(document.initial if document.initial is not None else document.initial_state, (key,), default)

    def _rows_unread(self) -> bool:
        """States that only rows name may be unknown, as there are rows that could not be read."""
        told = (problem.path for problem in self.report.problems)
        return self.document.states is None and any(path.startswith("transitions") for path in told)

    def _fill_states(self) -> None:
        for state, part, path in self.tree.declared.values():
            state.sequence = self.actions.sequence(part.actions, (*path, "actions"))
            state.entry = self.actions.block(part.entry, (*path, "entry"))
            state.exit = self.actions.block(part.exit, (*path, "exit"))
            state.busy = part.busy or ""
            state.terminal_on_stop = self.flat and state.id in TERMINAL_NAMES and state.kind != FINAL
            if part.output is not None:
                state.donedata = self.actions.template(part.output, (*path, "output"))
        for name, parts in (self.document.actions or {}).items():
            self._flat_actions(name, parts)

    def _flat_actions(self, name: str, parts: Any) -> None:
        path = ("actions", name)
        state = self.tree.find(name, path)
        actions = self.actions.sequence(parts, path)
        if state is None or not parts:
            return
        self._flat_plain[state.id] = self.plain["actions"][name]
        if state.sequence:
            self.report.add(
                "E107", path, f"the state {shown(state.id)} already has actions:", "keep one of them", key=True
            )
        elif state.is_history or (state.kind == FINAL and state.parent is not self.tree.root):
            self.report.add(
                "E203", path, f"{shown(state.id)} cannot have actions", "only states that last have them", key=True
            )
        state.sequence = actions

    def _digest_states(self) -> None:
        for state, _, path in self.tree.declared.values():
            own = self.plain.get("states")
            for part in path[1:] if isinstance(own, dict) else ():
                own = (own or {}).get(part)
            own = {key: value for key, value in own.items() if key != "states"} if isinstance(own, dict) else None
            children = [child.id for child in state.children]
            rows, actions = self.transitions.rows[state.id], self._flat_plain.get(state.id)
            definition = [state.kind, state.busy, own, children, actions, rows]
            state.digest = fingerprint(definition)[:32]

    # --- the rest -------------------------------------------------------------------------------------------

    def _source(self) -> dict[str, Any]:
        """The plain document, with what else it takes to build the same chart again."""
        name = None if self._given_name() else self.stored.machine
        more = {"state_groups": self.groups, MACHINE: name, REPLACED: sorted(self.actions.replaced)}
        return {**self.report.source.value, **{key: value for key, value in more.items() if value}}

    def _given_name(self) -> str | None:
        document = self.document
        return document.machine or (document.metadata.machine_name if document.metadata else None)

    def _machine(self) -> str:
        document, name = self.document, self._given_name()
        path = ("machine",) if document.machine else ("metadata", "machine_name")
        if name and "@" in name:
            self.report.add(
                "E106",
                path,
                f"instances like {shown(name)} are not supported by this version",
                "name the machine without @, and give each instance a name with --machine-name",
            )
        elif name and (_FORBIDDEN_IN_NAMES & set(name) or name.startswith(".") or len(name.encode()) > 128):
            self.report.add(
                "E102",
                path,
                f"{shown(name)} is not a machine name",
                "up to 128 bytes, no / { } and no dot at the start",
            )
        return name or self.stored.machine

    def _events(self) -> dict[str, EventSpec]:
        events = self.document.events
        if not isinstance(events, dict):
            return {name: EventSpec() for name in events or ()}
        return {name: self._event(part or EventPart(), name) for name, part in events.items()}

    def _event(self, part: EventPart, name: str) -> EventSpec:
        promoted = []
        for key, text in (part.context_map or {}).items():
            path, place = tuple(text.split(".")), ("events", name, "context_map", key)
            if path[0] not in _EVENT_FIELDS or not all(path):
                self.report.add(
                    "E102",
                    place,
                    f"must be a dotted path in the event, like payload.text (got {shown(text)})",
                    self.report.nearest(path[0], _EVENT_FIELDS) or f"it begins with {', '.join(_EVENT_FIELDS)}",
                )
            promoted.append((key, path))
        if part.payload is not None:
            check_payload_schema(self.report, part.payload, ("events", name, "payload"))
        return EventSpec(PRIORITIES[part.priority], tuple(promoted), part.payload)

    def _groups(self) -> Mapping[str, Iterable[str]]:
        groups = self.document.state_groups
        if groups is None:
            return self.groups
        for name, members in groups.items():
            for index, member in enumerate(members):
                self.tree.find(member, ("state_groups", name, index))
        return groups

    def _contracts(self) -> Iterable[Expression]:
        return [e for n, part in enumerate(self.document.contracts or ()) if (e := self._contract(part, n)) is not None]

    def _contract(self, part: ContractPart, index: int) -> Expression | None:
        path = ("contracts", index)
        if (part.always is None) is (part.invariant is None):
            self.report.add("E104", path, "a contract has one of the keys 'always' and 'invariant'")
            return None
        key = "always" if part.always is not None else "invariant"
        return self.actions.expression(part.always if part.always is not None else part.invariant, (*path, key))

    def _restart(self, part: RestartPart | None) -> Restart:
        part = part or RestartPart()
        burst, _, interval = part.limit.partition(" in ")
        delay, longest = parse_duration(part.delay), parse_duration(part.max_delay)
        if longest < delay and "max_delay" in part.model_fields_set:
            self.report.add("E102", ("restart", "max_delay"), "must be at least delay")
        return Restart(part.policy, delay, max(longest, delay), int(burst), parse_duration(interval))
