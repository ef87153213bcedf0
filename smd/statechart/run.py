"""The working copy of a snapshot while one macrostep runs. Lives only inside `interpreter.macrostep`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from smd.errors import ActionError, MachineError
from smd.statechart.configuration import Configuration
from smd.statechart.context import Change, apply_patch
from smd.statechart.effects import Effect, Taken, Warn
from smd.statechart.event import Event, Hold
from smd.statechart.model import EventSpec, Statechart, Transition
from smd.statechart.scope import Lookup, Moment, lookup_in
from smd.statechart.snapshot import NO_LOOP, Sequence, Snapshot, Timer
from smd.statechart.template import MISSING, walk

GUARD = "guard"
"""The kind of error that is a guard's."""
MICROSTEPS = 1_000
"""A macrostep with more of them never ends (architecture, Loops)."""


Measure = Callable[[dict[str, Any], dict[str, Any]], str | None] | None
"""(context, context to be) -> why a machine may not keep it, in words; None if it may."""


class Run:
    """See the module.

    Attributes:
        event: the event being handled (SCXML's _event). `external` is the one that led here, for new sequences.
        active: ids of the states active at this moment.
        entry: counter of state entries; `version` is the one the step will have.
        started: states whose sequences have started in this macrostep.
        failing: transitions whose guard has failed in this macrostep. Each raises its error once: the error event has
            the guards of eventless transitions evaluated again, and would have no end.
        freed: a sequence ended or waits, or its state was left, so deferred events may be tried again.
        measure: judges each change of the context, so that what outgrows it is refused where it is done; None: the
            context as a whole is measured elsewhere.
    """

    __slots__ = ("active", "chart", "configuration", "context", "covered", "deferred", "direct", "effects", "entry",
                 "event", "external", "failing", "freed", "held", "history", "internal", "loop", "measure",
                 "microsteps", "now", "sends", "sequences", "snapshot", "started", "status", "taken", "timers",
                 "version")  # fmt: skip

    def __init__(
        self, chart: Statechart, snapshot: Snapshot, event: Event, now: float, measure: Measure = None
    ) -> None:
        self.chart = chart
        self.measure = measure
        self.snapshot = snapshot
        self.event: Event = event
        self.external: Event | None = None
        self.direct = False
        self.now = now
        self.configuration: Configuration = snapshot.configuration
        self.active: set[str] = set(snapshot.configuration.ids)
        self.context: dict[str, Any] = snapshot.context
        self.history = snapshot.history
        self.timers: tuple[Timer, ...] = snapshot.timers
        self.sequences: tuple[Sequence, ...] = snapshot.sequences
        self.held: tuple[Hold, ...] = snapshot.held
        self.deferred: tuple[Event, ...] = snapshot.deferred
        self.entry = snapshot.entry
        self.version = snapshot.version + 1
        self.status = snapshot.status
        self.loop = snapshot.loop
        self.covered = snapshot.covered
        self.internal: deque[Event] = deque()
        self.effects: list[Effect] = []
        self.taken: list[Taken] = []
        self.started: set[str] = set()
        self.failing: tuple[Transition, ...] = ()
        self.freed = False
        self.microsteps = 0
        self.sends = 0

    def result(self) -> Snapshot:
        """The snapshot after the step."""
        old = self.snapshot
        return Snapshot(
            old.machine, old.life, self.version, old.chart, self.configuration, self.context, self.history, self.timers,
            self.sequences, self.held, self.deferred, self.entry, self.status, self.loop,
            self.covered,
        )  # fmt: skip

    def moment(self) -> Moment:
        """Roots for an expression evaluated now."""
        return Moment(self.snapshot, self.context, self.active, self.now, self.chart)

    def lookup(self, state: str = "", event: Event | None = None) -> Lookup:
        """Values for a template rendered now; `event` is the sequence's, else the one being handled."""
        snapshot = self.snapshot
        return lookup_in(
            self.context, event or self.event, machine=snapshot.machine, state=state or self.configuration.label,
            now=self.now, life=snapshot.life, document=self.chart.source,
        )  # fmt: skip

    def next_entry(self) -> int:
        """A new number for a state entry or a pass."""
        self.entry += 1
        return self.entry

    def set_context(self, context: dict[str, Any]) -> None:
        """Replace the context; a change ends what counts as an idle loop.

        Raises:
            ActionError: it is measured, and too large.
        """
        if context is not self.context:
            if self.measure is not None and (why := self.measure(self.context, context)):
                raise ActionError(why)
            if self.loop != NO_LOOP and context != self.context:
                self.loop = NO_LOOP
            self.context = context

    def patch(self, changes: tuple[Change, ...]) -> None:
        """Apply an outcome's changes.

        Raises:
            ActionError: a path leads through something that is not a map; or the result is too large.
        """
        if changes:
            covered = self.covered.copy()
            self.set_context(apply_patch(self.context, changes, covered))
            self.covered = covered

    def tell(self, changes: tuple[Change, ...]) -> None:
        """Tell the context of a failure; for that there is room, whatever it holds."""
        measure, self.measure = self.measure, None
        self.patch(changes)
        self.measure = measure

    def refuses(self, event: Event) -> str | None:
        """Why the context cannot hold what the event brings into it; None if it can, or nothing is measured."""
        spec = self.chart.events.get(event.type)
        if self.measure is None or spec is None:
            return None
        why = self.measure(self.context, {**self.context, **_mapped(spec, event)})
        return f"cannot keep what '{event.type}' carries: {why}" if why else None

    def promote(self, event: Event) -> None:
        """Copy into the context what the chart's `context_map` says of this event type.

        What cannot be kept is an error, for this event comes from inside, or was taken long ago.
        """
        spec = self.chart.events.get(event.type)
        if spec is None:
            return
        if why := self.refuses(event):
            self.raise_error("error.execution", "action", why, self.configuration.label)
        elif mapped := _mapped(spec, event):
            self.set_context({**self.context, **mapped})

    def stimulus(self) -> None:
        """Something new happened (event, job, timer, change): no loop is idle any more."""
        self.loop = NO_LOOP

    def raise_internal(self, event_type: str, payload: Any = None) -> None:
        """Put an event on the internal queue."""
        self.internal.append(Event(event_type, payload, source=self.snapshot.machine))

    def raise_error(self, event_type: str, kind: str, message: str, state: str = "", why: str = "") -> None:
        """Raise `error.execution` or its like (SCXML 3.12.2); flat charts know them all as `error`."""
        name = "error" if self.chart.flat else event_type
        self.raise_internal(name, _told(kind, message, state))
        self.effects.append(Warn(kind, message, state, why))

    def raised(self) -> tuple[int, int, tuple[Transition, ...]]:
        """How much was raised and told until now, and whose guards failed; for `unraise`."""
        return len(self.effects), len(self.internal), self.failing

    def unraise(self, before: tuple[int, int, tuple[Transition, ...]]) -> None:
        """Forget what was raised and told since, and the guards that failed."""
        effects, internal, self.failing = before
        del self.effects[effects:]
        while len(self.internal) > internal:
            self.internal.pop()

    def nothing_took(self, event: Event) -> None:
        """If the event is one of `raise_error`, say that the failure is unhandled."""
        if not event.type.startswith("error"):
            return
        for effect in self.effects:
            if isinstance(effect, Warn) and event.payload == _told(*effect[:3]):
                what = f"{'a guard' if effect.code == GUARD else 'an action'} in '{effect.state}'"
                self.effects.append(Warn("unhandled_failure", f"{what} failed and nothing handled it", effect.state))
                return

    def count_microstep(self) -> None:
        """Bound the macrostep.

        Raises:
            MachineError: it does not end.
        """
        self.microsteps += 1
        if self.microsteps > MICROSTEPS:
            raise MachineError(
                f"cannot finish the step of '{self.event.type}': more than {MICROSTEPS} microsteps, last in "
                f"'{self.configuration.label}'", code="endless_loop",
                hint="look for eventless transitions or raised events that lead back to themselves",
            )  # fmt: skip

    def region(self, state_id: str) -> str:
        """See `State.region`."""
        return self.chart.states[state_id].region

    def mark_failed(self, state_id: str) -> None:
        """An action of this state failed or was cancelled: jobs taken in its region are no longer well."""
        if self.held:
            self.held = tuple(h._replace(ok=False) if self.reaches(h, state_id) else h for h in self.held)

    def reaches(self, hold: Hold, state_id: str) -> bool:
        """True if what happens in this state concerns the job: it was taken in the same region or around it."""
        state = self.chart.states[state_id]
        return not hold.region or any(s.id == hold.region for s in (state, *state.ancestors))


def _mapped(spec: EventSpec, event: Event) -> dict[str, Any]:
    """What an event of this kind brings into the context."""
    whole = {
        "type": event.type, "payload": event.payload, "job_id": event.job_id, "source": event.source, "id": event.id,
    }  # fmt: skip
    found = {key: walk(whole, path) for key, path in spec.context_map}
    return {key: value for key, value in found.items() if value is not None and value is not MISSING}


def _told(kind: str, message: str, state: str) -> dict[str, str]:
    """The payload of an error event."""
    return {"kind": kind, "message": message, "state": state}
