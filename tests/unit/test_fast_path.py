"""The short cut gives what the full algorithm gives, and copies of a snapshot through JSON step alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from smd.errors import MachineError
from smd.statechart.event import Event
from smd.statechart.interpreter import full_step, macrostep
from smd.statechart.snapshot_json import from_plain, to_plain
from tests.lab import Lab, chart_of

EVENTS = ["a", "b", "c"]
GUARDS = ["context.n % 2 == 0", "context.n < 3", "event.payload.x > 1", "has(context.none)", "context.none > 1"]
ACTIONS: list[dict[str, Any]] = [
    {"type": "assign", "set": {"n": "context.n + 1"}},
    {"type": "set_context", "key": "m.k", "value": "{n}"},
    {"type": "set_context", "key": "n", "value": 0},
    {"type": "add_to_list", "list_key": "l", "value": "{payload.x|default:0}"},
    {"type": "raise", "event": "c"},
    {"type": "log", "message": "{n}"},
    {"type": "assign", "set": {"z": "context.none"}},
]


@st.composite
def transitions(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for event in draw(st.lists(st.sampled_from(EVENTS), unique=True, max_size=3)):
        row: dict[str, Any] = {"actions": draw(st.lists(st.sampled_from(ACTIONS), max_size=2))}
        if draw(st.booleans()):
            row["to"] = draw(st.sampled_from(names))
        if draw(st.booleans()):
            row["if"] = draw(st.sampled_from(GUARDS))
        rows[event] = [row]
    return rows


@st.composite
def charts(draw: st.DrawFn) -> dict[str, Any]:
    names = ["s1", "s2", "p", "x1", "x2", "y1", "y2"]

    def leaf() -> dict[str, Any]:
        state: dict[str, Any] = {"on": draw(transitions(names))}
        for block in ("entry", "exit"):
            if draw(st.integers(0, 3)) == 0:
                state[block] = [draw(st.sampled_from(ACTIONS))]
        return state

    parallel = {
        "type": "parallel",
        "on": draw(transitions(names)),
        "states": {"x": {"states": {"x1": leaf(), "x2": leaf()}}, "y": {"states": {"y1": leaf(), "y2": leaf()}}},
    }
    return {"machine": "m", "context": {"n": 0, "l": []}, "states": {"s1": leaf(), "p": parallel, "s2": leaf()}}


@settings(max_examples=100, deadline=None)
@given(charts(), st.lists(st.tuples(st.sampled_from([*EVENTS, "unknown"]), st.integers(0, 3)), max_size=12))
def test_the_short_cut_gives_the_same_step(plain: dict[str, Any], events: list[tuple[str, int]]) -> None:
    chart = chart_of(json.dumps(plain))
    try:
        snapshot = Lab(chart).snapshot
    except MachineError:
        reject()  # a chart that never settles has no first snapshot
    for name, x in events:
        event = Event(name, {"x": x})
        try:
            full = full_step(chart, snapshot, event, 5.0)
        except MachineError:
            with pytest.raises(MachineError):
                macrostep(chart, snapshot, event, 5.0)
            return
        for _ in range(2):  # the second time the plans are remembered
            step = macrostep(chart, snapshot, event, 5.0)
        assert to_plain(step.snapshot) == to_plain(full.snapshot)
        assert (step.disposition, step.code, step.taken, step.effects) == (
            full.disposition,
            full.code,
            full.taken,
            full.effects,
        )
        snapshot = from_plain(chart, to_plain(step.snapshot))
