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
    kept = [t.data for t in lab.snapshot.timers]
    assert [(e.id, e.payload) for e in kept if e] == [("1", {"file": ["f", {"x": None}]})]
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


# --- once is enough -----------------------------------------------------------------------------------------------


def kept_in(lab: Lab) -> int:
    """How often the snapshot has the payload of `go`."""
    return canonical(to_plain(lab.snapshot)).count(b"f1f1")


TICK = "{actions: [{type: log, message: '{event.type}'}]}"


@pytest.mark.parametrize("first", ["1s", "9s"])
@pytest.mark.parametrize("actions", ["", f"actions: [{TELL}], "])
def test_a_state_keeps_it_once_however_many_timers_it_has(first: str, actions: str) -> None:
    timers = ", ".join(f"{n}s: {TICK}" for n in range(2, 8))
    lab = Lab(f"""
        initial: i
        states:
          i: {{on: {{go: a}}}}
          a: {{{actions}after: {{{first}: {TICK}, {timers}, 8s: c}}}}
          c: {{{TOLD}}}
        """)
    lab.send("go", {"file": "f1f1"})
    seen = [kept_in(lab)]
    while lab.states == ["a"]:
        lab.wait(1)
        seen.append(kept_in(lab))
    assert set(seen) == {1}
    assert lab.logs[-1] == "go f1f1"


def test_a_snapshot_with_a_copy_in_every_timer_goes_on() -> None:
    """As versions wrote it that gave each timer its own."""
    lab = Lab(f"states: {{i: {{on: {{go: a}}}}, a: {{after: {{1s: {TICK}, 2s: {TICK}, 5s: c}}}}, c: {{{TOLD}}}}}")
    lab.send("go", {"file": "f1f1"})
    plain = to_plain(lab.snapshot)
    plain["timers"] = [[*t[:-1], plain["timers"][0][-1]] for t in plain["timers"]]
    lab.snapshot = from_plain(lab.chart, loads(canonical(plain)))
    assert kept_in(lab) == 3
    lab.wait(6)
    assert (lab.logs[-1], kept_in(lab)) == ("go f1f1", 1)


# --- deferred time-outs -------------------------------------------------------------------------------------------

SLOW = "{type: sleep, duration: 10}"
LATE = {
    "a compound": f"p: {{busy: queue, after: {{5s: p}}, states: {{x: {{actions: [{TELL}, {SLOW}]}}}}}}",
    "a sequence that ends": f"p: {{busy: queue, after: {{5s: p}}, actions: [{TELL}, {SLOW}]}}",
    "the first of two": f"p: {{busy: queue, after: {{5s: p, 6s: p}}, states: {{x: {{actions: [{TELL}, {SLOW}]}}}}}}",
    "the second, the first is dropped": f"p: {{busy: queue, after: {{5s: {{to: p, if: '!has(context.k)'}}, 6s: p}}, "
    f"states: {{x: {{actions: [{TELL}, {SLOW}, {{type: set_context, key: k, value: 1}}]}}}}}}",
    "the first, the second is dropped before": f"p: {{busy: queue, after: {{5s: p, 6s: {{to: p, if: '!has(context.k)'}}}}, "
    f"states: {{x: {{actions: [{TELL}, {SLOW}, {{type: set_context, key: k, value: 1}}]}}}}}}",
}


@pytest.mark.parametrize("way", LATE)
def test_a_deferred_time_out_remembers_it(way: str) -> None:
    lab = Lab(f"states: {{i: {{on: {{go: p}}}}, {LATE[way]}}}")
    lab.send("go", {"file": "f1f1"})
    own = "sequence" in way
    lab.wait(7)
    assert [e.owner for e in lab.snapshot.deferred] == ["p"] * (1 if own else len(lab.chart.states["p"].timers))
    assert kept_in(lab) == (1 if own else 2)  # p's and, where it has one, that of the sequence inside
    lab.wait(3)
    assert lab.logs == ["go f1f1"] * 2
    assert not lab.snapshot.deferred


def test_what_a_deferred_time_out_remembers_is_checked() -> None:
    lab = Lab(f"states: {{i: {{on: {{go: p}}}}, {LATE['a compound']}}}")
    lab.send("go", {"file": "f1"})
    lab.wait(7)
    plain = loads(canonical(to_plain(lab.snapshot)))
    assert from_plain(lab.chart, plain) == lab.snapshot
    for wrong in ("go", 1, {"payload": 1}, {"type": 1}, {"type": "x", "more": 1}):
        plain["deferred"][0]["led"] = wrong
        with pytest.raises(ChartError, match="cannot restore a snapshot"):
            from_plain(lab.chart, plain)
    del plain["deferred"][0]["led"]  # as versions wrote it that forgot it
    lab.snapshot = from_plain(lab.chart, plain)
    lab.wait(3)
    assert (lab.states, lab.snapshot.deferred) == (["x"], ())
