"""The fast path: steps that `plan.py` found to be pure changes of the context.

It must give what the full algorithm of `interpreter.py` gives; a property test compares them.
"""

from __future__ import annotations

from typing import Any

from smd.errors import ActionError
from smd.statechart.effects import TAKEN
from smd.statechart.event import Event
from smd.statechart.expression import ExpressionError
from smd.statechart.model import Statechart, Transition
from smd.statechart.plan import Plan, Row, row_of
from smd.statechart.snapshot import NO_LOOP, Snapshot
from smd.statechart.step import Step

_new = tuple.__new__  # half the cost of calling the classes


def simple_step(chart: Statechart, snapshot: Snapshot, event: Event, plan: Plan) -> Step | None:
    """The step, if a candidate of the plan is simple and holds; None leaves it to the full algorithm."""
    context = snapshot.context
    try:
        row = _row(context, event, plan.rows) if plan.rows is not None else _combined_row(chart, snapshot, event, plan)
        if row is None:
            return None
        for change in row.pure:
            context = change(context, event, None)
    except (ExpressionError, ActionError):
        return None
    name, life, version, source, _, _, history, timers, sequences, held, deferred, entry, status, _, covered = snapshot
    after = _new(Snapshot, (name, life, version + 1, source, row.target, context, history, timers, sequences, held,
                            deferred, entry, status, NO_LOOP, covered))  # fmt: skip
    return _new(Step, (after, row.taken, (), TAKEN, "", ""))


def _row(context: dict[str, Any], event: Event, rows: tuple[Row, ...]) -> Row | None:
    for row in rows:
        test = row.test
        if test is None or test(context, event, None):
            return row
    return None


def _combined_row(chart: Statechart, snapshot: Snapshot, event: Event, plan: Plan) -> Row | None:
    """Of several leaves: the first candidate of each that holds, as one remembered microstep."""
    if plan.pairs is None:
        return None
    context = snapshot.context
    chosen: tuple[Transition, ...] = ()
    for leaf in plan.pairs:
        for test, transition in leaf:
            if test is None or test(context, event, None):
                if transition not in chosen:
                    chosen = (*chosen, transition)
                break
    if not chosen:
        return None
    if chosen not in plan.steps:
        if len(plan.steps) >= snapshot.configuration.room:
            return None
        plan.steps[chosen] = row_of(chart, snapshot.configuration, event.type, chosen)
    return plan.steps[chosen]
