"""What becomes of an event that would enter a state again while an action of it is under way (architecture 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smd.statechart.model import QUEUE, RESTART, State, Statechart
from smd.statechart.sequence import is_pacing
from smd.statechart.snapshot import ASKING, SLEEPING, WORKING, Sequence

if TYPE_CHECKING:
    from smd.statechart.plan import Microstep
    from smd.statechart.run import Run


def is_busy(record: Sequence) -> bool:
    """An action of the record is under way: it is asked of the store, it runs, or its next attempt is to come."""
    return record.phase in {ASKING, WORKING} or (record.phase == SLEEPING and not is_pacing(record))


def busy_rule(run: Run, microstep: Microstep) -> str:
    """`restart`, `queue` or `ignore`: what this microstep meets, of several the first that is not `restart`."""
    for record in run.sequences:
        if is_busy(record):
            rule = _rule(run.chart, run.chart.states[record.state], microstep.again)
            if rule != RESTART:
                return rule
    return RESTART


def _rule(chart: Statechart, state: State, again: frozenset[str]) -> str:
    """The rule of the innermost state that says one: the action's own or one around it, if it is entered again."""
    said = next((s.busy for s in (state, *state.ancestors) if s.busy and s.id in again), None)
    return said or (QUEUE if chart.flat and state.id in again else RESTART)
