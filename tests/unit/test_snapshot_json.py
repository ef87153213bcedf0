"""No impossible snapshot is ever restored; every possible one comes back as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from smd.codec import canonical, loads
from smd.errors import ChartError
from smd.statechart.snapshot_json import from_plain, to_plain
from tests.lab import Lab
from tests.unit.acting import claim

CHART = """
machine: m
states:
  a: {on: {go: p}, after: {1h: p}, actions: [{type: bash, command: 'true'}]}
  p:
    type: parallel
    states:
      x: {states: {x1: {actions: [{type: sleep, duration: 5}]}, x2: {}, h: {type: history, default: x1}}}
      y: {states: {y1: {}, y2: {}}}
"""

CLAIMING = """
machine: m
context: {name: own, set: null, deep: {x: 1}}
states: {w: {on: {new_job: w, no_jobs: w}, actions: [{type: check_database_queue, job_type: t}]}}
"""

Spoil = Callable[[dict[str, Any]], Any]


def test_a_snapshot_comes_back_as_it_was() -> None:
    lab = Lab(CHART)
    for event in ("go", "noise"):
        lab.send(event, {"deep": [1, {"x": None}]})
        assert from_plain(lab.chart, to_plain(lab.snapshot)) == lab.snapshot


def test_what_a_job_covers_is_kept_and_a_snapshot_without_it_reads_as_before() -> None:
    lab = Lab(CLAIMING)
    bare = to_plain(lab.snapshot)
    assert "covered" not in bare
    assert from_plain(lab.chart, bare).covered == {}
    lab.outcome("new_job", phase="asking", patch=(claim("j1", {"name": "A", "set": 1, "deep": 2, "more": 3}),))
    kept = {"name": "own", "set": None, "deep": {"x": 1}}
    assert loads(canonical(to_plain(lab.snapshot)))["covered"] == kept
    wrongs: tuple[Any, ...] = (None, [], "x")
    for wrong in wrongs:
        with pytest.raises(ChartError, match="'covered' of the snapshot"):
            from_plain(lab.chart, {**to_plain(lab.snapshot), "covered": wrong})


@pytest.mark.parametrize(
    ("why", "spoil"),
    [
        ("no such atomic state", lambda p: p.update(configuration=["nowhere"])),
        ("no such atomic state", lambda p: p.update(configuration=["x"])),
        ("names no state", lambda p: p.update(configuration=[])),
        ("must have one active child", lambda p: p.update(configuration=["x1", "x2", "y1"])),
        ("region of 'p' is missing", lambda p: p.update(configuration=["x1"])),
        ("must have one active child", lambda p: p.update(configuration=["a", "x1", "y1"])),
        ("not active", lambda p: p["timers"].append(["1.0", "after", 5.0, "a", "timeout(1h)", 3600.0, None])),
        ("not active", lambda p: p["sequences"].append(["a", 1, 0, 1, "working", None, False, -1, 0, False])),
        ("stands at action 7", lambda p: p["sequences"][0].__setitem__(2, 7)),
        ("phase 'dancing'", lambda p: p["sequences"][0].__setitem__(4, "dancing")),
        ("not there", lambda p: p["sequences"][0].__setitem__(7, 3)),
        ("no history state", lambda p: p["history"].update(x1=["x2"])),
        ("not there", lambda p: p["history"].update(h=["gone"])),
        ("status 'asleep'", lambda p: p.update(status="asleep")),
        ("KeyError", lambda p: p.pop("entry")),
        ("TypeError", lambda p: p.update(timers=[["too", "short"]])),
        ("'context' of the snapshot is \\[\\], not dict", lambda p: p.update(context=[])),
        ("'index' of a sequence is 'x', not int", lambda p: p["sequences"][0].__setitem__(2, "x")),
        ("'failed' of a sequence is 0, not bool", lambda p: p["sequences"][0].__setitem__(6, 0)),
        ("'entry' of the snapshot is True, not int", lambda p: p.update(entry=True)),
        (
            "'due' of a timer is '5', not float or int",
            lambda p: p["timers"].append(["1", "after", "5", "p", "t", 1, None]),
        ),
        ("of kind 'never'", lambda p: p["timers"].append(["1", "never", 5, "p", "t", 1, None])),
        ("of kind 'wait' with None", lambda p: p["timers"].append(["1", "wait", 5, "p", "t", 1, None])),
        ("'targets' of a delayed send", lambda p: p["timers"].append(["1", "send", 5, "", "t", 1, ["i", "o", {}, 1]])),
        ("is no list of names", lambda p: p["timers"].append(["1", "send", 5, "", "t", 1, ["i", [5], {}, 1]])),
        ("'epoch' of a held job is None", lambda p: p["held"].append(["j", None, True, True, "", False])),
        ("'type' of an event is 5", lambda p: p["deferred"].append({"type": 5})),
        ("'outcome' of an event", lambda p: p["deferred"].append({"type": "e", "outcome": {}})),
        ("'turns' of the loop is 1.5", lambda p: p.update(loop=[[], 1.5])),
        ("is no list of names", lambda p: p.update(loop=[[5], 1])),
        ("TypeError", lambda p: p.update(configuration=[["x1"]])),
        ("never active together", lambda p: p["history"].update(h=["x1", "x2"])),
        ("never active together", lambda p: p["history"].update(h=[])),
        ("names a state that is not there", lambda p: p["history"].update(h=["h"])),
        ("asks the store for 'sleep'", lambda p: p["sequences"][0].__setitem__(4, "asking")),
    ],
)
def test_an_impossible_snapshot_is_refused_with_the_reason(why: str, spoil: Spoil) -> None:
    lab = Lab(CHART)
    lab.send("go")
    plain = to_plain(lab.snapshot)
    plain = {**plain, "timers": [list(t) for t in plain["timers"]], "sequences": [list(s) for s in plain["sequences"]]}
    spoil(plain)
    with pytest.raises(ChartError, match=why):
        from_plain(lab.chart, plain)
