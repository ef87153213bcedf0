"""What one event did."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from smd.statechart.effects import IGNORED, Effect, Taken, Warn
from smd.statechart.run import GUARD, Run
from smd.statechart.snapshot import Snapshot

if TYPE_CHECKING:
    from smd.statechart.plan import Plan

Verdict = tuple[str, str, str]
"""Of an event that is not taken: its disposition, a stable code, and why."""


class Step(NamedTuple):
    """What one event did.

    Attributes:
        snapshot: the next snapshot; its version is one higher.
        taken: the microsteps, in order.
        effects: what to send, log and report, in order.
        disposition: taken, ignored, deferred or stale.
        code, reason: why it was not taken; empty when taken.
    """

    snapshot: Snapshot
    taken: tuple[Taken, ...]
    effects: tuple[Effect, ...]
    disposition: str
    code: str = ""
    reason: str = ""


def why_ignored(run: Run, plan: Plan, since: int) -> Verdict:
    """Why nothing took the run's event; `since`: how many effects there were before it was looked at."""
    event = run.event
    for effect in run.effects[since:]:
        if isinstance(effect, Warn) and effect.code == GUARD:
            return IGNORED, "guard_failed", f"the guard of '{event.type}' failed: {effect.why}"
    if plan.leaves:
        return IGNORED, "guard_false", f"no guard of '{event.type}' holds in '{run.configuration.label}'"
    if not run.chart.mentions(event.type):
        return IGNORED, "unknown_event", f"the chart knows no event '{event.type}'"
    return IGNORED, "no_transition", f"'{run.configuration.label}' has no transition for '{event.type}'"
