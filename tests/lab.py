"""A bench for charts: feeds events and time to the pure interpreter, and plays store and actions by hand."""

from __future__ import annotations

from typing import Any

from smd.document import load_document
from smd.statechart.effects import Effect, Log, Send
from smd.statechart.event import Event, Outcome
from smd.statechart.interpreter import initial, macrostep
from smd.statechart.model import Action, Statechart
from smd.statechart.sequence import action_of, key_of
from smd.statechart.snapshot import Sequence, Snapshot
from smd.statechart.snapshot_json import from_plain, to_plain
from smd.statechart.step import Step


def chart_of(text: str) -> Statechart:
    """A chart from YAML text."""
    return load_document(text, "test.yaml")


class Lab:
    """One machine under test; every step's snapshot is also taken through its JSON form."""

    def __init__(self, text: str | Statechart, **context: Any) -> None:
        self.chart = chart_of(text) if isinstance(text, str) else text
        self.now = 1000.0
        self.effects: list[Effect] = []
        self.step: Step = initial(self.chart, machine="m", life=1, version=0, context=context, now=self.now)
        self._keep(self.step)

    def _keep(self, step: Step) -> Step:
        self.step = step
        self.snapshot: Snapshot = from_plain(self.chart, to_plain(step.snapshot))
        assert to_plain(self.snapshot) == to_plain(step.snapshot)
        self.effects.extend(step.effects)
        return step

    @property
    def states(self) -> list[str]:
        return list(self.snapshot.configuration.leaf_ids)

    @property
    def context(self) -> dict[str, Any]:
        return self.snapshot.context

    @property
    def logs(self) -> list[str]:
        return [e.message for e in self.effects if isinstance(e, Log)]

    @property
    def sends(self) -> list[Send]:
        return [e for e in self.effects if isinstance(e, Send)]

    def send(self, event_type: str, payload: Any = None, **more: Any) -> str:
        """Send an external event; the disposition."""
        return self._keep(
            macrostep(self.chart, self.snapshot, Event(event_type, payload or {}, **more), self.now)
        ).disposition

    def records(self, phase: str) -> list[Sequence]:
        return [r for r in self.snapshot.sequences if r.phase == phase]

    def open(self, phase: str = "working") -> Action:
        """The one action that is open."""
        (record,) = self.records(phase)
        return action_of(self.chart, record)

    def outcome(self, event: str | None = None, *, phase: str = "working", ok: bool = True, **more: Any) -> str:
        """Answer the one open action of this phase."""
        record = self.records(phase)[0]
        answer = Outcome(key_of(self.snapshot, record), record.attempt, ok, event, **more)
        return self.answer(answer)

    def done(self, **more: Any) -> str:
        """The open working action ends well, answering its success event."""
        record = self.records("working")[0]
        return self.outcome(action_of(self.chart, record).events.get("success"), **more)

    def fail(self, error: str = "broke") -> str:
        record = self.records("working")[0]
        event = action_of(self.chart, record).events.get("error", "error")
        return self.outcome(event, ok=False, error=error)

    def answer(self, outcome: Outcome) -> str:
        event = Event(outcome.event or "smd.outcome", {}, source="action", outcome=outcome)
        return self._keep(macrostep(self.chart, self.snapshot, event, self.now)).disposition

    def wait(self, seconds: float) -> int:
        """Let time pass; every timer that comes due fires, in order. How many fired."""
        end, fired = self.now + seconds, 0
        while True:
            due = sorted((t for t in self.snapshot.timers if t.due <= end), key=lambda t: t.due)
            if not due:
                self.now = end
                return fired
            self.now = max(self.now, due[0].due)
            timer = due[0]
            kind = timer.event if timer.kind == "after" else f"smd.{timer.kind}"
            self._keep(macrostep(self.chart, self.snapshot, Event(kind, {}, source="timer", timer=timer.id), self.now))
            fired += 1
