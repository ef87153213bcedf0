"""Replay: the journal, folded again from its base, gives the stored snapshot (P10)."""

from __future__ import annotations

from collections.abc import Iterable

from smd.runtime import control
from smd.runtime.charts import Charts
from smd.runtime.sizes import outgrown
from smd.statechart.effects import CONTROL, FAILED
from smd.statechart.event import Event
from smd.statechart.model import Statechart
from smd.statechart.snapshot import Snapshot
from smd.statechart.snapshot_json import outcome_from_plain
from smd.store.base import JournalRow


def event_of(row: JournalRow) -> Event:
    """The event a journal row keeps."""
    detail = row.detail or {}
    outcome = outcome_from_plain(detail["outcome"]) if "outcome" in detail else None
    payload = row.payload
    if row.type == control.START and row.consumed_no is not None:
        payload = {**payload, "life": row.life, "version": row.consumed_no - 1, "machine": row.machine}
    return Event(
        row.type, payload, row.id, row.source, row.priority, row.job_id, row.at, detail.get("origin_layer"),
        detail.get("timer", ""), outcome,
    )  # fmt: skip


def replay(
    charts: Charts, rows: Iterable[JournalRow], base: tuple[Statechart, Snapshot] | None = None
) -> Snapshot | None:
    """Fold consumed rows, in order of consumption, over the base (None: from nothing).

    Args:
        charts: knows every chart the rows mention.
    """
    chart, snapshot = base if base is not None else (None, None)
    for row in rows:
        event = event_of(row)
        if event.type in {control.REMOVE, control.DISCARD}:
            chart = snapshot = None
            continue
        detail = row.detail or {}
        if (
            row.disposition == FAILED
            or detail.get("refused")
            or (control.is_control(event) and row.disposition != CONTROL)
        ):
            left = control.failed if row.disposition == FAILED else control.consumed
            snapshot = left(snapshot) if snapshot is not None else None
            continue
        if event.type in {control.START, control.RELOAD}:
            chart = charts.known(event.payload["chart"])
        if chart is not None:
            measure = outgrown if detail.get("measured") else None
            snapshot = control.advance(chart, snapshot, event, row.now or 0.0, measure).snapshot
    return snapshot
