"""The chart: states, transitions, actions. Built once by `smd.document`, never changed, shared by all its machines.

Names are SCXML's. The root is a compound state with the empty id, SCXML's <scxml> element.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from smd.catalogue import Kind
from smd.statechart.event import NORMAL
from smd.statechart.expression import Expression
from smd.statechart.template import Template

ATOMIC, COMPOUND, PARALLEL, FINAL = "atomic", "compound", "parallel", "final"
HISTORY_SHALLOW, HISTORY_DEEP = "history", "deep_history"

RESTART, QUEUE, IGNORE = "restart", "queue", "ignore"


class Retry(NamedTuple):
    """How often a failed working action is tried again; seconds. `max` counts the retries, not the first run."""

    max: int
    delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 60.0

    def pause(self, attempt: int) -> float:
        """Seconds before attempt number `attempt + 1`; attempts count from 1."""
        try:
            return min(self.delay * self.factor ** (attempt - 1), self.max_delay)
        except OverflowError:
            return self.max_delay


class Action:
    """One action of a block or a sequence, ready to run.

    Attributes:
        type: as written in the document (`bash`, `log`, a custom type ...).
        params: template of all parameters with defaults filled in and aliases resolved, `timeout` included.
            Of `bash` the command is left out (see `program`), of `assign` the expressions.
        events: event type per parameter that names one (`success`, `error`, `empty`, ...), defaults filled in but
            for `error`; None says no event.
        error_events: exit code (as text) to event type.
        program: what the loader compiled: a `ShellProgram` for `bash`, pairs (key path, Expression) for
            `assign`, else None.
        custom: true for a user's Python action.
        limited: the `timeout` among the parameters of a custom action bounds its run; else it is the action's own.
        watch: what an empty answer waits for (`jobs`, `events`, `tracked`), else None.
        at: `file:line:column` for messages.
    """

    __slots__ = ("at", "cond", "custom", "description", "error_events", "events", "kind", "limited", "operation",
                 "params", "program", "repeatable", "retry", "type", "watch")  # fmt: skip

    def __init__(
        self,
        type: str,  # noqa: A002 - the word of the document
        kind: Kind,
        params: Template,
        *,
        events: Mapping[str, str | None] | None = None,
        error_events: Mapping[str, str] | None = None,
        cond: Expression | None = None,
        retry: Retry | None = None,
        repeatable: bool = False,
        custom: bool = False,
        limited: bool = False,
        program: Any = None,
        watch: str | None = None,
        description: str = "",
        at: str = "",
    ) -> None:
        self.type = type
        self.kind = kind
        self.params = params
        self.events = dict(events or {})
        self.error_events = dict(error_events or {})
        self.cond = cond
        self.retry = retry
        self.repeatable = repeatable
        self.custom = custom
        self.limited = limited
        self.program = program
        self.watch = watch
        self.description = description
        self.at = at
        self.operation: Any = None  # what `content.operation_of` made of an instant action


class TimerSpec(NamedTuple):
    """A deadline armed on entry. `event` is the event type that fires, `timeout(5)` for five seconds.

    `on_restart`: `deadline` keeps the absolute time, `remaining` what was left, `restart` begins anew.
    """

    event: str
    seconds: float
    on_restart: str = "deadline"


class Transition:
    """One transition. No `events`: eventless. No `targets`: targetless (content only).

    `order` is the document order within its source. `internal` is SCXML's type="internal".
    """

    __slots__ = ("at", "cond", "content", "events", "internal", "order", "source", "targets")

    def __init__(
        self,
        source: State,
        events: tuple[str, ...],
        targets: tuple[State, ...],
        *,
        cond: Expression | None = None,
        content: tuple[Action, ...] = (),
        internal: bool = False,
        order: int = 0,
        at: str = "",
    ) -> None:
        self.source = source
        self.events = events
        self.targets = targets
        self.cond = cond
        self.content = content
        self.internal = internal
        self.order = order
        self.at = at

    def __repr__(self) -> str:
        return f"<Transition {self.source.id} --{' '.join(self.events)}--> {[t.id for t in self.targets]}>"


class State:
    """One state. The builder fills the lists, then calls `Statechart`, which completes `order` and `ancestors`.

    Attributes:
        kind: one of the six words above.
        initial: targets of the initial transition of a compound state, the default of a history state.
        initial_content: actions of that transition.
        sequence: the actions run while in the state. `heads` are lasting actions of the transitions that lead
            here, by transition; they run before the sequence.
        busy: its busy rule, empty where the document says none (see `busy.py`).
        terminal_on_stop: entering it by the event `stop` ends the machine (flat files).
        region: id of the part of the innermost parallel state that it lies in; empty outside parallel states.
        digest: hash of the definition, to tell a changed state on reload.
    """

    __slots__ = ("ancestors", "at", "busy", "children", "digest", "donedata", "entry", "exit", "heads", "id", "initial",
                 "initial_content", "kind", "order", "parent", "region", "sequence", "terminal_on_stop", "timers",
                 "transitions")  # fmt: skip

    def __init__(self, id: str, kind: str, parent: State | None = None) -> None:  # noqa: A002 - SCXML's word
        self.id = id
        self.kind = kind
        self.parent = parent
        self.children: list[State] = []
        self.initial: tuple[State, ...] = ()
        self.initial_content: tuple[Action, ...] = ()
        self.entry: tuple[Action, ...] = ()
        self.exit: tuple[Action, ...] = ()
        self.sequence: tuple[Action, ...] = ()
        self.heads: dict[Transition, tuple[Action, ...]] = {}
        self.transitions: list[Transition] = []
        self.timers: tuple[TimerSpec, ...] = ()
        self.busy = ""
        self.donedata: Template | None = None
        self.terminal_on_stop = False
        self.digest = ""
        self.at = ""
        self.order = 0
        self.ancestors: tuple[State, ...] = ()
        self.region = ""
        if parent is not None:
            parent.children.append(self)

    @property
    def is_leaf(self) -> bool:
        """Atomic or final: the states that name a configuration."""
        return self.kind in {ATOMIC, FINAL}

    @property
    def is_history(self) -> bool:
        """A history pseudo-state, never active itself."""
        return self.kind in {HISTORY_SHALLOW, HISTORY_DEEP}

    def __repr__(self) -> str:
        return f"<State {self.id}>"


class EventSpec(NamedTuple):
    """A declared event: its place in the order of consumption, what it promotes into the context, its payload.

    `context_map`: context key to dotted path from the event (`payload.user.name`, `job_id`, `type`).
    `payload`: JSON Schema of the payload, or None.
    """

    priority: int = NORMAL
    context_map: tuple[tuple[str, tuple[str, ...]], ...] = ()
    payload: Any = None


class Restart(NamedTuple):
    """Restart policy in systemd's words: `no`, `on-failure` or `always`; at most `burst` starts in `interval` s."""

    policy: str = "no"
    delay: float = 1.0
    max_delay: float = 60.0
    burst: int = 5
    interval: float = 60.0


class Statechart:
    """A whole chart, shared by every machine that runs it.

    Args:
        root: the root state with all its descendants.
        hash: content hash of the source document; machines remember it.
        machine: default machine name; `label` is for people.
        context: first context, JSON.
        events: declared events by type.
        flat: written in the predecessor's flat form.
        contracts: conditions that must hold after every step.
        source: the plain document, from which the chart can be built again.
    """

    def __init__(
        self,
        root: State,
        *,
        hash: str,  # noqa: A002 - the design's word
        machine: str = "",
        label: str = "",
        context: Mapping[str, Any] | None = None,
        events: Mapping[str, EventSpec] | None = None,
        flat: bool = False,
        template: bool = False,
        restart: Restart | None = None,
        state_groups: Mapping[str, Iterable[str]] | None = None,
        contracts: Iterable[Expression] = (),
        source: Any = None,
    ) -> None:
        self.root = root
        self.hash = hash
        self.machine = machine
        self.label = label
        self.context = dict(context or {})
        self.events = dict(events or {})
        self.flat = flat
        self.template = template
        self.restart = restart or Restart()
        self.state_groups = {name: tuple(states) for name, states in (state_groups or {}).items()}
        self.contracts = tuple(contracts)
        self.source = source
        self.states: dict[str, State] = {}
        self._number(root, (), [0])
        self.descriptors = frozenset(d for s in self.states.values() for t in s.transitions for d in t.events)
        self.configurations: dict[tuple[State, ...], Any] = {}

    def _number(self, state: State, ancestors: tuple[State, ...], counter: list[int]) -> None:
        state.order = counter[0]
        counter[0] += 1
        state.ancestors = ancestors
        if state.parent is not None:
            state.region = state.id if state.parent.kind == PARALLEL else state.parent.region
        self.states[state.id] = state
        for child in state.children:
            self._number(child, (state, *ancestors), counter)

    def mentions(self, event_type: str) -> bool:
        """True if the chart declares this event type or a descriptor other than `*` matches it."""
        if event_type in self.events or event_type in self.descriptors:
            return True
        parts = event_type.split(".")
        return any(".".join(parts[:n]) + ".*" in self.descriptors for n in range(1, len(parts) + 1))
