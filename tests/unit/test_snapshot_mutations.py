"""A stored snapshot in which one value is wrong is refused with the one error, or is one a machine can live with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smd.codec import canonical, loads
from smd.errors import ChartError, MachineError
from smd.statechart.event import Event, Hold
from smd.statechart.interpreter import macrostep
from smd.statechart.snapshot_json import from_plain, to_plain
from tests.lab import Lab
from tests.unit.acting import claim

CHART = """
machine: m
context: {n: 0, l: [], deep: {x: 1}}
states:
  a:
    on: {go: p, work: w, watch: e, claim: q, idle: i, back: p.x.h}
    after: {1h: a}
    actions: [{type: sleep, duration: 5}]
  p:
    type: parallel
    on: {leave: a, go: {actions: [{type: assign, set: {n: context.n + 1}}]}}
    states:
      x:
        states:
          x1: {on: {go: x2}, actions: [{type: bash, command: 'true', retry: {max: 2, delay: 1}}]}
          x2: {actions: [{type: wait_for_jobs, timeout: 30, success: go}]}
          h: {type: history, default: x1}
      y:
        states:
          y1: {on: {go: y2, later: {actions: [{type: send_event, target: o, event: e, delay: 9, payload: {a: 1}}]}}}
          y2: {}
  w:
    busy: queue
    on: {work: w, leave: a}
    actions: [{type: bash, command: 'true', repeatable: true}, {type: log, message: "{payload.x}"}]
  e: {on: {leave: a}, actions: [{type: check_events, event_types: [found]}, {type: bash, command: 'true'}]}
  q: {on: {leave: a, no_jobs: q}, actions: [{type: check_database_queue, job_type: t}]}
  i: {on: {leave: a, x: i}, actions: [{type: log, message: hi, success: x}]}
"""
WAYS: dict[str, tuple[str, ...]] = {
    "asleep": (),
    "parallel": ("go", "later"),
    "history": ("go", "go", "leave"),
    "waits for jobs": ("go", "go", "!empty"),
    "retries": ("go", "!fail"),
    "deferred": ("work", "work", "other"),
    "goes round": ("work", "!done"),
    "watches events": ("watch", "!empty"),
    "claims": ("claim", "!empty"),
    "holds a job": ("claim", "!claim"),
    "idle loop": ("idle",),
}
EVENTS = ("go", "work", "watch", "claim", "idle", "back", "leave", "later", "found", "unknown", "stop")
NAMES = ("a", "p", "x", "x1", "h", "y1", "w", "i", "working", "sleeping", "waiting", "armed", "asking", "ready", "ended",
         "finishing", "send", "wait", "sequence", "after", "sleep", "retry", "pace", "", "m")  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, -7, 7, 1100, 1 << 40, 1.5, -1e300, [], {}, [[]], [5], ["a"], ["x1"], ["h"], ["x1", "x2"], [None, {}],
    {"a": 1}, {"type": 5}, {"type": "go", "payload": [1]}, {"h": ["a"]}, {"h": ["x2"]}, {"h": ["x1", "x2"]}, {"h": []}, {"h": ["h"]}, [["a"], 3], *NAMES,
)  # fmt: skip


def _walked(way: str) -> Lab:
    lab = Lab(CHART)
    for step in WAYS[way]:
        phase = lab.snapshot.sequences[0].phase if lab.snapshot.sequences else "asking"
        if step == "!fail":
            lab.fail()
        elif step == "!done":
            lab.done()
        elif step == "!empty":
            lab.outcome("no_jobs" if way == "claims" else None, phase=phase, empty=True)
        elif step == "!claim":
            lab.outcome(None, phase=phase, hold=Hold("j", 1, True), patch=(claim("j", {"n": 5}),))
        else:
            lab.send(step, {"x": [1, {"y": None}]}, id="e-1", job_id="j")
    return lab


LABS = {way: _walked(way) for way in WAYS}
SOURCES = {way: canonical(to_plain(lab.snapshot)) for way, lab in LABS.items()}


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value stands: every field, item and key, and one place behind the end of each list."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
        yield (*path, "another")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _places(inner, (*path, place))
        yield (*path, len(value))


PLACES = {way: list(_places(loads(source))) for way, source in SOURCES.items()}


def _spoilt(way: str, path: tuple[Any, ...], value: Any) -> Any:
    plain = inner = loads(SOURCES[way])
    for key in path[:-1]:
        inner = inner[key]
    if isinstance(inner, list) and path[-1] == len(inner):
        inner.append(value)
    else:
        inner[path[-1]] = value
    return plain


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_one_wrong_value_is_refused_or_does_no_harm(data: st.DataObject) -> None:
    way = data.draw(st.sampled_from(list(WAYS)))
    path, value = data.draw(st.sampled_from(PLACES[way])), data.draw(st.sampled_from(VALUES))
    survives(way, path, value)


def survives(way: str, path: tuple[Any, ...], value: Any) -> None:
    chart = LABS[way].chart
    try:
        snapshot = from_plain(chart, _spoilt(way, path, value))
    except ChartError:
        return
    events = [Event(kind, {"x": 1}) for kind in EVENTS]
    events += [Event("smd.timer", {}, timer=timer.id) for timer in snapshot.timers]
    for event in events:
        try:
            step = macrostep(chart, snapshot, event, 5000.0)
        except MachineError:
            continue
        from_plain(chart, loads(canonical(to_plain(step.snapshot))))


@pytest.mark.parametrize("way", WAYS)
def test_the_ways_lead_to_snapshots_that_come_back(way: str) -> None:
    """So that the mutations begin with what a machine really stores."""
    snapshot = from_plain(LABS[way].chart, loads(SOURCES[way]))
    assert canonical(to_plain(snapshot)) == SOURCES[way]
