"""`event` and `payload` in a sequence: the external event that led into its state, the same from first to last."""

from __future__ import annotations

from typing import Any

import pytest

from smd.codec import canonical, loads
from smd.errors import ChartError
from smd.runtime.control import adopt
from smd.statechart.snapshot_json import from_plain, to_plain
from tests.lab import Lab, chart_of

TELL = '{type: log, message: "{event.type} {payload.file}"}'
TOLD = (
    f"actions: [{TELL}, {{type: bash, command: 'true', success: null}}, {TELL}, {{type: sleep, duration: 1}}, {TELL}]"
)
RUN = "{type: bash, command: 'true'}"
WAYS = {
    "a timer": "a: {after: {5s: c}}",
    "a timer beside an ended sequence": f"a: {{actions: [{TELL}], after: {{5s: c}}}}",
    "a timer beside an open sequence": "a: {actions: [{type: sleep, duration: 60}], after: {5s: c}}",
    "the second timer": "a: {after: {1s: {actions: [{type: log, message: one}]}, 5s: c}}",
    "the timer of the parent": "a: {after: {5s: c}, states: {x: }}",
    "two timers": "a: {after: {1s: b}}, b: {after: {4s: c}}",
    "no event": "a: {always: c}",
    "a done event": "a: {states: {x: {type: final}}, on: {done.state.a: c}}",
    "a raised event": "a: {entry: [{type: raise, event: n}], on: {n: c}}",
    "an event raised by an action": "a: {actions: [{type: raise, event: n}], on: {n: c}}",
    "an action's answer": f"a: {{actions: [{RUN}], on: {{job_done: c}}}}",
    "what an action set": "a: {actions: [{type: set_context, key: k, value: 1}], always: {to: c, if: has(context.k)}}",
    "what an outcome set": "a: {actions: [{type: bash, command: 'true', success: null}], "
    "always: {to: c, if: has(context.k)}}",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_state_entered_by(way: str) -> None:
    lab = Lab(f"initial: idle\nstates: {{idle: {{on: {{go: a}}}}, {WAYS[way]}, c: {{{TOLD}}}}}")
    lab.send("go", {"file": "f1"})
    if lab.records("working") and lab.states != ["c"]:
        lab.outcome("job_done" if "answer" in way else None, patch=(("set", ("k",), 1),))
    lab.wait(6)
    assert lab.states == ["c"]
    (record,) = lab.records("working")
    assert record.event is not None
    assert (record.event.type, record.event.payload) == ("go", {"file": "f1"})
    lab.done()
    lab.wait(2)
    assert set(lab.logs) - {"one"} == {"go f1"}
    assert lab.logs.count("go f1") >= 3


def test_regions_keep_their_own() -> None:
    lab = Lab(f"""
        states:
          p:
            type: parallel
            states:
              x: {{states: {{x0: {{on: {{go: x1}}}}, x1: {{after: {{5s: x2}}}}, x2: {{actions: [{TELL}]}}}}}}
              y: {{states: {{y0: {{on: {{run: y1}}}}, y1: {{after: {{6s: y2}}}}, y2: {{actions: [{TELL}]}}}}}}
        """)
    lab.send("go", {"file": 1})
    lab.send("run", {"file": 2})
    lab.wait(7)
    assert lab.logs == ["go 1", "run 2"]


def test_no_event_is_kept_longer_than_it_may_be_asked_for() -> None:
    lab = Lab(f"states: {{i: {{on: {{go: a}}}}, a: {{actions: [{TELL}]}}}}")
    lab.send("go", {"file": "f1"})
    assert [r.event for r in lab.snapshot.sequences] == [None]


def test_it_is_kept_as_it_came() -> None:
    lab = Lab("states: {i: {on: {go: a}}, a: {after: {5s: i, 6s: i}}}")
    lab.send("go", {"file": ["f", {"x": None}]}, id="1", job_id="j", priority=0)
    assert from_plain(lab.chart, loads(canonical(to_plain(lab.snapshot)))) == lab.snapshot
    assert [(t.data.id, t.data.payload) for t in lab.snapshot.timers] == [("1", {"file": ["f", {"x": None}]})] * 2
    plain = to_plain(lab.snapshot)
    wrongs: tuple[Any, ...] = ("go", 1, {"payload": 1}, {"type": 1}, {"type": "x", "more": 1})
    for wrong in wrongs:
        plain["timers"][0][-1] = wrong
        with pytest.raises(ChartError, match="cannot restore a snapshot"):
            from_plain(lab.chart, plain)


def old(lab: Lab, **changed: Any) -> None:
    """The snapshot as versions wrote it that kept no event beside timers."""
    plain = to_plain(lab.snapshot)
    plain["timers"] = [[*t[:-1], None] for t in plain["timers"]]
    plain["sequences"] = [[*r[:5], None, *r[6:]] for r in plain["sequences"]]
    lab.snapshot = from_plain(lab.chart, {**plain, **changed})


@pytest.mark.parametrize("actions", ["", f"actions: [{TELL}], "])
def test_a_snapshot_of_an_earlier_version_has_one_value_too(actions: str) -> None:
    lab = Lab(f"states: {{i: {{on: {{go: a}}}}, a: {{{actions}after: {{5s: c}}}}, c: {{{TOLD}}}}}")
    lab.send("go", {"file": "f1"})
    old(lab)
    lab.effects.clear()
    lab.wait(6)
    lab.done()
    lab.wait(2)
    assert lab.logs == ["timeout(5s) {payload.file}"] * 3


def test_a_reload_keeps_it() -> None:
    text = f"states: {{i: {{on: {{go: a}}}}, a: {{after: {{5s: c}}}}, c: {{{TOLD}}}}}"
    lab = Lab(text)
    lab.send("go", {"file": "f1"})
    lab.chart = chart_of(text.replace("a: {after", "a: {on: {x: i}, after"))
    lab.snapshot = adopt(lab.chart, lab.snapshot, lab.now)
    lab.wait(6)
    assert lab.logs == ["go f1"]
