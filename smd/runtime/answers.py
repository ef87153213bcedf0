"""What senders and operators are told. Plain values; the HTTP layer and the client use the same names."""

from __future__ import annotations

import difflib
from typing import Any, NamedTuple

from smd.statechart.model import Statechart


class Answer(NamedTuple):
    """What became of one event (P3).

    Attributes:
        seq: its number in the journal; 0 for a duplicate whose row is gone.
        disposition: taken, ignored, deferred, queued, duplicate or failed.
        states: active leaf states after it, in document order.
        before: the same before it.
        reason: why it was not taken, in words; empty when taken.
        code: stable word for the reason (`unknown_event`, `no_transition`, `guard_false`, `busy`,
            `not_running`, `paused` ...), empty when taken.
        hint: the next step, or nearest names.
    """

    machine: str
    type: str
    seq: int
    disposition: str
    states: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    reason: str = ""
    code: str = ""
    hint: str = ""

    def plain(self) -> dict[str, Any]:
        """The JSON form, empty explanations left out."""
        machine, kind, seq, disposition, states, before, reason, code, hint = self
        plain: dict[str, Any] = {
            "machine": machine, "type": kind, "seq": seq, "disposition": disposition,
            "states": states, "before": before,
        }  # fmt: skip
        if reason or code or hint:
            plain |= {name: told for name, told in (("reason", reason), ("code", code), ("hint", hint)) if told}
        return plain


class MachineView(NamedTuple):
    """A machine as shown to people and programs. Times are seconds since the epoch.

    `status` is running, paused, stopped, failed or finished. `waiting_for` says in words what the running
    sequence waits for, or a machine that ended; `action` is the type of the working action now running, if any.
    `pending` counts the events that wait in memory alone; those in the store are known to the store
    (`pending_counts`).
    """

    name: str
    label: str
    status: str
    states: tuple[str, ...]
    since: float
    life: int
    version: int
    last_event: str
    lifecycle: str
    operational: str
    health: str
    error: str | None
    restarts: int
    parent: str | None
    origin: str
    pending: int
    stuck: bool
    action: str | None
    waiting_for: str | None
    enabled: tuple[str, ...]
    timers: tuple[dict[str, Any], ...] = ()
    held: tuple[str, ...] = ()

    def plain(self, stored: int = 0) -> dict[str, Any]:
        """The JSON form.

        Args:
            stored: events that wait in the store; counted before the view was taken, so that none counts twice.
        """
        plain = self._asdict()
        plain["pending"] += stored
        return plain


_LIFECYCLES = {"running": "Active", "paused": "Suspended"}


def lifecycle_of(status: str) -> str:
    """The lifecycle layer of a machine of this status."""
    return _LIFECYCLES.get(status, "Offline")


def nearest_events(chart: Statechart, event_type: str) -> str:
    """A hint with the event types of the chart nearest to a name."""
    known = {*chart.events, *(d for d in chart.descriptors if "*" not in d and "(" not in d)}
    near = difflib.get_close_matches(event_type, known, n=3)
    if near:
        return f"did you mean {' or '.join(repr(n) for n in near)}?"
    return f"it knows {', '.join(sorted(known)[:8])}" if known else "it knows none"
