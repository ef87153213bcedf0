"""What expressions and templates can see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smd.statechart.event import Event
from smd.statechart.model import Statechart
from smd.statechart.snapshot import Snapshot
from smd.statechart.template import MISSING, walk

_JOB_WORDS = frozenset(("id", "job_id", "source_job_id", "job_type"))
Lookup = Callable[[tuple[str, ...]], Any]


class Moment:
    """The roots of an expression beside `context` and `event`; computed only when an expression asks.

    Args:
        snapshot: of a finished step, or the one a step under way began with.
        active: ids of the states active at that moment, which within a step differ from the snapshot's.
        chart: the chart of a step under way; None: the step is finished.
    """

    __slots__ = ("_chart", "_context", "_snapshot", "active", "now")

    def __init__(
        self, snapshot: Snapshot, context: dict[str, Any], active: frozenset[str] | set[str], now: float,
        chart: Statechart | None = None,
    ) -> None:  # fmt: skip
        self._snapshot = snapshot
        self._context = context
        self.active = active
        self.now = now
        self._chart = chart

    @property
    def machine(self) -> dict[str, Any]:
        """`machine.name`, `.life`, `.version` (events consumed, with the one of the step), `.states` (active now)."""
        snapshot, chart = self._snapshot, self._chart
        version = snapshot.version if chart is None else snapshot.version + 1
        return {"name": snapshot.machine, "life": snapshot.life, "version": version, "states": self._states()}

    def _states(self) -> list[str]:
        configuration, chart = self._snapshot.configuration, self._chart
        if chart is None or self.active == configuration.ids:
            return list(configuration.leaf_ids)
        leaves = [state for name in self.active if (state := chart.states[name]).is_leaf]
        return [state.id for state in sorted(leaves, key=lambda state: state.order)]

    @property
    def job(self) -> Any:
        """The job in hand: the context's `current_job`, or null."""
        return self._context.get("current_job")

    def in_state(self, name: str) -> bool:
        """SCXML's In()."""
        return name in self.active


def event_data(event: Event | None) -> dict[str, Any] | None:
    """The event as the predecessor's charts know it: `event_data.type`, `.event_name`, `.payload`, `.job_id`."""
    if event is None:
        return None
    data = {"type": event.type, "event_name": event.type, "payload": event.payload, "source": event.source}
    if event.job_id is not None:
        data["job_id"] = event.job_id
    if event.id:
        data["id"] = event.id
    return data


def lookup_in(
    context: dict[str, Any], event: Event | None, *, machine: str, state: str, now: float, life: int = 1,
    document: Any = None,
) -> Lookup:  # fmt: skip
    """How a template finds its values.

    The machine's own words (`machine_name`, `current_state`, `event`, `event_data`) cannot be shadowed; then the
    context's keys; then `payload` (the event's), `context`, `now`, `life`, and `config`, the chart's `document`.
    """

    def lookup(parts: tuple[str, ...]) -> Any:
        head = parts[0]
        if head in {"event_data", "event"}:
            return walk({head: event_data(event)}, parts)
        if head == "machine_name":
            return machine
        if head == "current_state":
            return state
        job = context.get("current_job")
        if head in _JOB_WORDS and isinstance(job, dict):
            known = job.get("job_id", job.get("id")) if head in {"id", "job_id"} else job.get(head)
            if known is not None:
                return walk(known, parts[1:])
        if head in context:
            return walk(context, parts)
        data = job.get("data") if isinstance(job, dict) else None
        if isinstance(data, dict) and data.get(head) is not None:
            return walk(data, parts)
        if head == "payload" and event is not None:
            return walk({"payload": event.payload}, parts)
        if head == "context":
            return walk({"context": context}, parts)
        if head == "config":
            return MISSING if document is None else walk(document, parts[1:])
        return {"now": now, "life": life}.get(head, MISSING)

    return lookup
