"""The short cuts give what the full algorithm gives, and copies of a snapshot through JSON step alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from smd.codec import canonical
from smd.errors import MachineError
from smd.statechart.course import course_step
from smd.statechart.event import Event, Hold, Outcome
from smd.statechart.interpreter import full_step, macrostep
from smd.statechart.model import Statechart
from smd.statechart.sequence import action_of, key_of
from smd.statechart.snapshot import ASKING, WAITING, WORKING, Snapshot
from smd.statechart.snapshot_json import from_plain, to_plain
from smd.statechart.step import Step
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
        step = both_ways(chart, snapshot, event)
        if step is None:
            return
        snapshot = from_plain(chart, to_plain(step.snapshot))


def both_ways(chart: Statechart, snapshot: Snapshot, event: Event) -> Step | None:
    """The step, the same by the short cuts as without them; None if both say that it never ends."""
    try:
        full = full_step(chart, snapshot, event, 5.0)
    except MachineError:
        with pytest.raises(MachineError):
            macrostep(chart, snapshot, event, 5.0)
        return None
    for _ in range(2):  # the second time the plans are remembered
        step = macrostep(chart, snapshot, event, 5.0)
    same(step, full)
    return step


def same(step: Step, full: Step) -> None:
    assert canonical(to_plain(step.snapshot)) == canonical(to_plain(full.snapshot))
    assert step[1:] == full[1:]


# --- answers of actions -------------------------------------------------------------------------------------------

LASTING: list[dict[str, Any]] = [
    {"type": "check_database_queue", "success": "a"},
    {"type": "claim_job", "success": "b"},
    {"type": "run", "argv": ["true"], "success": "a"},
    {"type": "run", "argv": ["true"], "success": "c", "error": "b"},
    {"type": "wait_for_jobs", "success": "b"},
    {"type": "wait_for_jobs", "success": "a", "timeout": 5},
    {"type": "run", "argv": ["true"], "success": "a", "retry": {"max": 1, "delay": 1}},
    {"type": "run", "argv": ["true"], "success": "b", "repeatable": True},
    {"type": "check_events", "event_types": ["c"], "success": "a"},
    {"type": "sleep", "duration": 1},
    {"type": "sleep", "duration": 2, "timeout": 1},
    {"type": "claim_job", "success": "a", "timeout": 5},
    {"type": "check_events", "event_types": ["b"], "success": "a", "timeout": 5, "retry": {"max": 1, "delay": 1}},
]
AT_ONCE: list[dict[str, Any]] = [
    {"type": "set_context", "key": "n", "value": "{n}", "success": "b"},
    {"type": "set_context", "key": "who", "value": "{machine_name}/{current_state}/{event_data.type}"},
    {"type": "set_context", "key": "e", "value": "{event.type}", "success": "a"},
    {"type": "assign", "set": {"n": "context.n + 1"}, "success": "c"},
    {"type": "assign", "set": {"here": "in_state('s1')", "v": "machine.version"}},
    {"type": "assign", "set": {"z": "context.none"}, "success": "c"},
    {"type": "pop_from_list", "list_key": "l", "store_as": "x", "success": "a", "empty": "b"},
    {"type": "log", "message": "{n} in {current_state}", "success": "b"},
    {"type": "raise", "event": "c", "success": "a"},
    {"type": "raise", "event": "b"},
    {"type": "send_event", "target_machine": "o", "event_type": "e", "payload": {"n": "{n}"}, "success": "c"},
    {"type": "send_event", "target_machine": "o", "event_type": "e", "success": "a", "fire_and_forget": True},
    {"type": "send_event", "target_machine": "o", "event_type": "e", "delay": 3, "success": "b"},
    {"type": "set_context", "key": "p", "value": "{event.payload}/{payload.x}"},
    {"type": "assign", "set": {"n": "context.n + 1"}, "success": "a", "if": "context.n < 2"},
]


@st.composite
def working_charts(draw: st.DrawFn) -> dict[str, Any]:
    rare = st.integers(0, 9).map(lambda number: number == 9)
    parallel, remembers = draw(rare), draw(rare)
    leaves = ["s1", "s2", "s3", "c1", "c2", *(["x1", "x2", "y1"] if parallel else [])]
    names = [*leaves, *(["h"] if remembers else [])]

    def state() -> dict[str, Any]:
        actions = draw(st.lists(st.sampled_from(AT_ONCE), max_size=2))
        if draw(st.integers(0, 3)):
            actions += draw(st.lists(st.sampled_from(LASTING), min_size=1, max_size=2))
        made: dict[str, Any] = {"on": {}, "actions": actions}
        for event in draw(st.lists(st.sampled_from(EVENTS), unique=True, max_size=3)):
            row: dict[str, Any] = {"to": draw(st.sampled_from(names))}
            if draw(st.integers(0, 3)) == 0:
                row["actions"] = [draw(st.sampled_from(ACTIONS))]
            if row["to"] in leaves and draw(rare):
                row["actions"] = [draw(st.sampled_from(LASTING))]
            if draw(st.integers(0, 4)) == 0:
                row["if"] = draw(st.sampled_from(GUARDS))
            made["on"][event] = [row]
        if draw(st.integers(0, 5)) == 0:
            made[draw(st.sampled_from(["entry", "exit"]))] = [draw(st.sampled_from(ACTIONS))]
        if draw(rare):
            more = {"after": {"5s": names[0]}, "busy": "queue", "always": [{"to": names[1], "if": GUARDS[1]}]}
            key = draw(st.sampled_from(sorted(more)))
            made[key] = more[key]
        return made

    inner: dict[str, Any] = {"on": {"b": "s1"}, "states": {"c1": state(), "c2": state()}}
    if remembers:
        inner["states"]["h"] = {"type": "history"}
    if draw(st.booleans()):
        inner["actions"] = [draw(st.sampled_from([*AT_ONCE, *LASTING]))]
    states = {"s1": state(), "s2": state(), "s3": state(), "c": inner}
    if parallel:
        regions = {"x": {"states": {"x1": state(), "x2": state()}}, "y": {"states": {"y1": state()}}}
        states["p"] = {"type": "parallel", "on": {"a": "s1"}, "states": regions}
    made = {"machine": "m", "context": {"n": 0, "l": [1]}, "initial": draw(st.sampled_from(leaves)), "states": states}
    return {**made, "events": {"c": {"context_map": {"who": "type"}}}} if draw(rare) else made


def answered(draw: Any, snapshot: Snapshot, actions: Any) -> Event | None:
    """An answer to one of the open actions; None when none is open."""
    records = [r for r in snapshot.sequences if r.phase in {ASKING, WAITING, WORKING}]
    if not records:
        return None
    record = draw(st.sampled_from(records))
    name = draw(st.sampled_from([actions(record).events.get("success"), *EVENTS, None]))
    patch = draw(st.sampled_from([(), (("set", ("n",), 3),), (("unset", ("x",)), ("set", ("m", "k"), "v"))]))
    hold = Hold("j", 1, auto=True) if record.phase == ASKING and draw(st.booleans()) else None
    ok = draw(st.integers(0, 9)) > 0
    outcome = Outcome(
        key_of(snapshot, record), record.attempt, ok, name, patch, hold=hold, settled=("j",) if hold else (),
        empty=ok and hold is None and record.phase == ASKING and draw(st.booleans()), error=None if ok else "broke",
    )  # fmt: skip
    return Event(name or "smd.outcome", draw(st.sampled_from([{}, None, []])), source="action", outcome=outcome)


def fired(draw: Any, snapshot: Snapshot) -> Event:
    """One of the timers is due."""
    timer = draw(st.sampled_from(snapshot.timers))
    return Event(timer.event if timer.kind == "after" else f"smd.{timer.kind}", {}, source="timer", timer=timer.id)


@settings(max_examples=100, deadline=None)
@given(working_charts(), st.data())
def test_answers_take_the_same_course(plain: dict[str, Any], data: st.DataObject) -> None:
    chart = chart_of(json.dumps(plain))
    try:
        snapshot = Lab(chart).snapshot
    except MachineError:
        reject()
    for number in range(8):
        event = answered(data.draw, snapshot, lambda record: action_of(chart, record))
        if snapshot.timers and (event is None or number % 3 == 2):
            event = fired(data.draw, snapshot)
        elif event is None or number % 5 == 4:
            event = Event(data.draw(st.sampled_from(EVENTS)), {"x": number})
        step = both_ways(chart, snapshot, event)
        if step is None:
            return
        snapshot = from_plain(chart, to_plain(step.snapshot))


RUN = "{type: run, argv: ['true'], success: t}"
BENDS = {
    "payload": "a: {actions: [RUN], on: {t: {actions: [{type: set_context, key: p, value: '{event.payload}'}]}}}",
    "deadline": "a: {actions: [{type: wait_for_jobs, success: t, timeout: 9}], on: {t: b}}, b: ",
    "time-out": "a: {actions: [{type: claim_job, success: t, timeout: 9}], on: {t: b}}, b: ",
    "deferred": "a: {busy: queue, actions: [RUN], on: {x: {to: a, actions: [{type: log, message: x}]}}}",
    "timer": "a: {actions: [RUN], on: {t: b}}, b: {after: {5s: a}}",
    "history": "c: {states: {a: {actions: [RUN], on: {t: b}}, h: {type: history}}}, b: {on: {x: h}}",
    "head": "a: {actions: [RUN], on: {t: {to: b, actions: [RUN]}}}, b: ",
    "head of another": "a: {actions: [RUN], on: {t: b, x: {to: b, actions: [RUN]}}}, b: ",
    "eventless": "a: {actions: [RUN], on: {t: b}}, b: {always: c}, c: ",
    "condition": "a: {actions: [RUN, {type: log, message: m, success: u, if: 'false'}], on: {u: b}}, b: ",
    "repeatable": "a: {actions: [{type: run, argv: ['true'], success: t, repeatable: true}]}",
    "silent": "a: {actions: [RUN, {type: send_event, target_machine: o, event_type: e, success: u, "
              "fire_and_forget: true}], on: {u: b}}, b: ",
    "promoted": "a: {actions: [RUN], on: {t: b}}, b: ",
}  # fmt: skip


@pytest.mark.parametrize("name", BENDS)
def test_where_a_course_may_not_be_taken(name: str) -> None:
    """Each of these would come out otherwise if the short cut were taken, or taken carelessly."""
    events = "{t: {context_map: {k: type}}}" if name == "promoted" else "{}"
    lab = Lab(f"machine: m\nevents: {events}\nstates: {{{BENDS[name].replace('RUN', RUN)}}}")
    if name in {"deadline", "time-out"}:
        lab.outcome(None, phase=ASKING, empty=True)
        assert lab.snapshot.timers
    if name == "deferred":
        assert lab.send("x") == "deferred"
    (record,) = lab.snapshot.sequences
    answer = Outcome(key_of(lab.snapshot, record), record.attempt, True, "t")
    payloads: list[Any] = [{}, None, [], 0]
    for payload in payloads:
        event = Event("t", payload, source="action", outcome=answer)
        full = full_step(lab.chart, lab.snapshot, event, lab.now)
        for _ in range(2):
            same(macrostep(lab.chart, lab.snapshot, event, lab.now), full)


def test_a_course_ends_where_a_macrostep_does() -> None:
    """A step may have a thousand microsteps, however it is taken."""
    first = {"type": "run", "argv": ["true"], "success": "t"}
    then = [{"type": "log", "message": "x", "success": "t"}] * 1000
    again = {"t": [{"actions": [{"type": "log", "message": "y"}]}]}
    for actions, breaks in ((then[1:], False), (then, True)):
        lab = Lab(json.dumps({"machine": "m", "states": {"a": {"actions": [first, *actions], "on": again}}}))
        if breaks:
            with pytest.raises(MachineError, match="more than 1000 microsteps"):
                lab.done()
        else:
            lab.done()
            assert lab.logs.count("y") == 1000


ROUND = """
machine: m
initial: waiting
states:
  waiting: {actions: [{type: check_database_queue}], on: {new_job: working}}
  working:
    entry: [{type: log, message: "{id}"}]
    actions: [{type: set_context, key: last, value: "{id}", success: job_done}]
    on: {job_done: waiting}
"""


def test_a_worker_s_round_is_a_course() -> None:
    """The round that every worker makes is one that can be foreseen, or the short cut is none."""
    lab = Lab(ROUND)
    for number in range(3):
        (record,) = lab.snapshot.sequences
        job = (("set", ("current_job",), {"id": f"j{number}", "job_id": f"j{number}"}),)
        answer = Outcome(key_of(lab.snapshot, record), 1, True, "new_job", job, hold=Hold(f"j{number}", 1, auto=True))
        event = Event("new_job", {}, source="action", outcome=answer)
        step = course_step(lab.chart, lab.snapshot, event, answer, 5.0)
        assert step is not None
        same(step, full_step(lab.chart, lab.snapshot, event, 5.0))
        lab.answer(answer)
    assert lab.context["last"] == "j2"
    assert lab.logs == ["j0", "j1", "j2"]
