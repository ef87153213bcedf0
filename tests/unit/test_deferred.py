"""Events that come while an action is under way: each waits until the sequence of the one before has ended."""

from __future__ import annotations

from typing import Any

import pytest

from smd.runtime import control
from smd.statechart.effects import Warn
from smd.statechart.event import Event
from smd.statechart.interpreter import resettle
from smd.statechart.snapshot import ASKING, SLEEPING, WORKING
from tests.lab import Lab, chart_of

SET = "{type: add_to_list, list_key: seen, value: '{payload.i|default:start}'}"
BASH = "{type: bash, command: 'true'}"
ADD = "{type: add_job, job_type: x, job_id: 'job-{payload.i}'}"


def flat(actions: str, rows: str = "", more: str = "") -> Lab:
    return Lab(f"""
        machine: m
        initial_state: w
        states: [w, z]
        {more}
        transitions: [{{from: w, to: w, event: e}}, {{from: w, to: z, event: out}}{rows}]
        actions: {{w: [{actions}]}}
        """)


def go_on(lab: Lab) -> bool:
    """End whatever is under way; False when nothing is."""
    if lab.records(ASKING):
        lab.outcome(None, phase=ASKING)
    elif lab.records(WORKING):
        lab.outcome(None)
    elif lab.records(SLEEPING):
        lab.wait(1)
    else:
        return False
    return True


def sent(lab: Lab, *numbers: int) -> list[str]:
    return [lab.send("e", {"i": number}) for number in numbers]


def told(lab: Lab) -> list[str]:
    return [e.message for e in lab.effects if isinstance(e, Warn) and e.code == "dropped"]


@pytest.mark.parametrize(
    "actions",
    [
        f"{ADD}, {BASH}, {SET}",
        f"{BASH}, {ADD}, {SET}",
        f"{ADD}, {SET}, {ADD}",
        f"{SET}, {{type: sleep, duration: 1}}",
        f"{{type: bash, command: 'true', if: '!has(event.payload.i) || event.payload.i % 2 == 0'}}, {SET}",
        f"{{type: bash, command: 'true', if: '!has(event.payload.i)'}}, {SET}",
    ],
)
def test_each_deferred_event_has_its_whole_sequence(actions: str) -> None:
    lab = flat(actions)
    assert sent(lab, 1, 2, 3, 4) == ["deferred"] * 4
    while go_on(lab):
        pass
    assert lab.context["seen"] == ["start", 1, 2, 3, 4]
    assert (lab.snapshot.deferred, lab.snapshot.timers, told(lab)) == ((), (), [])


def test_a_store_action_that_is_asked_is_not_abandoned() -> None:
    lab = flat(f"{ADD}, {SET}")
    entry = lab.records(ASKING)[0].entry
    assert sent(lab, 1) == ["deferred"]
    assert lab.records(ASKING)[0].entry == entry


def test_a_sequence_that_waits_is_not_busy_for_those_that_were_deferred_either() -> None:
    lab = flat(f"{BASH}, {SET}, {{type: wait_for_jobs, timeout: 60}}")
    assert sent(lab, 1, 2) == ["deferred"] * 2
    for number in range(3):
        lab.outcome(None)
        lab.outcome(None, phase=ASKING, empty=True)
        assert (lab.context["seen"], len(lab.snapshot.deferred)) == (["start", 1, 2][: number + 1], max(1 - number, 0))
    assert len(lab.records("waiting")) == 1
    assert sent(lab, 3) == ["taken"]


def test_repeatable_actions_let_a_deferred_event_in_between_two_rounds() -> None:
    lab = flat(f"{SET}, {{type: bash, command: 'true', repeatable: true}}")
    assert sent(lab, 1, 2) == ["deferred"] * 2
    for _ in range(2):
        lab.outcome(None)
    assert (lab.context["seen"], lab.snapshot.deferred) == (["start", 1, 2], ())
    lab.outcome(None)
    assert sent(lab, 3) == ["taken"]


def test_a_retry_to_come_is_not_abandoned() -> None:
    lab = flat(f"{{type: bash, command: 'true', retry: {{max: 1, delay: 5}}}}, {SET}")
    assert sent(lab, 1, 2) == ["deferred"] * 2
    lab.fail()
    assert sent(lab, 3) == ["deferred"]
    lab.wait(5)
    while go_on(lab):
        pass
    assert lab.context["seen"] == ["start", 1, 2, 3]


def test_a_deferred_event_does_not_speed_up_an_idle_loop_beside_it() -> None:
    lab = Lab(f"""
        states:
          p:
            type: parallel
            states:
              r: {{states: {{a: {{busy: queue, actions: [{BASH}], on: {{e: a}}}}}}}}
              s: {{states: {{b: {{actions: [{{type: log, message: x, success: again}}], on: {{again: b}}}}}}}}
        """)
    assert lab.send("e") == "deferred"
    lab.wait(2)
    assert lab.wait(2) == 4


def test_a_reload_without_the_action_lets_deferred_events_go_on() -> None:
    lab = flat(BASH)
    sent(lab, 1)
    chart = chart_of("{machine: m, initial_state: w, states: [w, z], transitions: [{from: w, to: z, event: e}]}")
    reload = Event(control.RELOAD, {"chart": chart.hash}, source="supervisor")
    step = control.advance(chart, lab.snapshot, reload, lab.now)
    assert (step.snapshot.configuration.leaf_ids, step.snapshot.deferred) == (("z",), ())


# --- context_map --------------------------------------------------------------------------------------------------

MAPPED = "events: {e: {context_map: {file: payload.file}}}"


@pytest.mark.parametrize("rule", ["queue", "ignore"])
def test_an_event_that_is_not_processed_yet_promotes_nothing(rule: str) -> None:
    lab = Lab(f"""
        {MAPPED}
        states:
          w:
            busy: {rule}
            on: {{e: w}}
            actions: [{BASH}, {{type: add_to_list, list_key: sent, value: "{{file|default:none}}"}}]
        """)
    lab.send("e", {"file": "A"})
    lab.send("e", {"file": "B"})
    assert "file" not in lab.context
    while go_on(lab):
        pass
    assert lab.context["sent"] == ([None, "A", "B"] if rule == "queue" else [None])


def test_a_guard_sees_what_a_deferred_event_would_promote() -> None:
    lab = Lab(f"""
        {MAPPED}
        context: {{file: none}}
        states:
          w: {{busy: queue, on: {{e: {{to: w, if: "context.file == 'A'"}}}}, actions: [{BASH}]}}
        """)
    assert (lab.send("e", {"file": "A"}), lab.context) == ("deferred", {"file": "none"})
    lab.outcome(None)
    assert (lab.context, len(lab.records(WORKING))) == ({"file": "A"}, 1)


def test_an_event_that_nothing_takes_promotes_all_the_same() -> None:
    """As in the predecessor (compatibility 2.6), also while an action runs."""
    lab = flat(BASH, more="events: {heard: {context_map: {text: payload.text}}}")
    assert (lab.send("heard", {"text": "hi"}), lab.context) == ("ignored", {"text": "hi"})


# --- busy around the action ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outer", "own", "disposition"),
    [
        ("queue", "", "deferred"),
        ("ignore", "", "ignored"),
        ("restart", "", "taken"),
        ("", "", "taken"),
        ("queue", "restart", "taken"),
        ("queue", "ignore", "ignored"),
        ("restart", "queue", "deferred"),
    ],
)
def test_the_rule_of_the_nearest_state_that_says_one(outer: str, own: str, disposition: str) -> None:
    lab = nested(outer, own)
    entry = lab.records(WORKING)[0].entry
    assert [lab.send("again") for _ in range(3)] == [disposition] * 3
    assert (lab.records(WORKING)[0].entry == entry) is (disposition != "taken")


def nested(outer: str, own: str) -> Lab:
    first, second = (f"busy: {rule}, " if rule else "" for rule in (outer, own))
    return Lab(f"""
        initial: p
        states:
          p: {{{first}initial: f, states: {{f: {{{second}actions: [{BASH}], on: {{next: g}}}}, g: {{actions: [{BASH}]}}}},
              on: {{again: p, out: z}}}}
          z: {{}}
        """)


def test_the_rule_of_a_compound_holds_though_another_child_is_entered() -> None:
    lab = nested("queue", "")
    assert lab.send("next") == "taken"  # it enters no state again that says a rule
    assert (lab.send("again"), lab.states) == ("deferred", ["g"])
    lab.outcome(None)
    assert (lab.states, len(lab.records(WORKING))) == (["f"], 1)


def test_an_event_that_leaves_a_busy_compound_acts_at_once() -> None:
    lab = nested("queue", "queue")
    assert (lab.send("out"), lab.states) == ("taken", ["z"])


# --- never silence ------------------------------------------------------------------------------------------------


def test_a_deferred_event_that_nothing_takes_is_told() -> None:
    lab = flat(BASH, ", {from: w, to: z, event: job_done}")
    sent(lab, 1)
    lab.done()
    assert lab.states == ["z"]
    assert told(lab) == ["deferred event 'e' is ignored: 'z' has no transition for 'e'"]


def test_each_deferred_event_is_told_its_own_reason() -> None:
    rows = ", {from: w, to: z, event: job_done}, {from: z, to: z, event: e, if: context.no > 1}"
    rows += ", {from: z, to: z, event: f, if: 'false'}, {from: w, to: w, event: f}"
    lab = flat(BASH, rows)
    payload: Any = {}
    assert [lab.send(name, payload) for name in ("e", "f")] == ["deferred"] * 2
    lab.done()
    assert [message.split(":")[1][:18] for message in told(lab)] == [" the guard of 'e' ", " no guard of 'f' h"]


# --- looked at, and left waiting ----------------------------------------------------------------------------------


def guarded(fault: str, busy: str = "", more: str = "") -> Lab:
    """`e` waits for the action of `w`; a guard of it in `a` fails whenever it is evaluated."""
    return Lab(f"""
        context: {{n: 0}}
        states:
          p:
            type: parallel
            states:
              r1: {{initial: w, states: {{w: {{busy: queue, on: {{e: {busy or "w"}}}, actions: [{BASH}]}}}}}}
              r2: {{initial: a, states: {{a: {{on: {{e: {{to: a, if: context.no.x > 1}}, tick: a}}, actions: [{SET}]}}}}}}
              r3: {{initial: ok, states: {{ok: {{{fault}}}, told: {{actions: [{{type: log, message: "{{event.type}}"}}]}}}}}}
              {more}
        """)


COUNT = "on: {error.execution: {actions: [{type: assign, set: {n: context.n + 1}}]}}"


def guards_failed(lab: Lab) -> int:
    return len([e for e in lab.effects if isinstance(e, Warn) and e.code == "guard"])


def test_a_guard_of_a_deferred_event_fails_once_when_it_is_processed() -> None:
    lab = guarded(COUNT)
    assert (lab.send("e"), lab.context["n"]) == ("deferred", 0)
    for _ in range(5):
        assert lab.send("tick") == "taken"  # a's sequence ends, so what waits is looked at
    assert (len(lab.snapshot.deferred), lab.context["n"], guards_failed(lab)) == (1, 0, 0)
    lab.outcome(None)
    assert (lab.snapshot.deferred, lab.context["n"], guards_failed(lab)) == ((), 1, 1)


def test_a_deferred_event_whose_guard_fails_makes_no_endless_loop() -> None:
    lab = guarded(
        "on: {error.execution: ok}, entry: [{type: assign, set: {n: context.n + 1}}], actions: [{type: log, message: x}]"
    )
    assert (lab.send("e"), lab.context["n"]) == ("deferred", 1)
    lab.outcome(None)
    assert (lab.snapshot.deferred, lab.context["n"], guards_failed(lab)) == ((), 2, 1)


def test_what_cannot_be_promoted_yet_is_told_once() -> None:
    lab = flat(BASH, more="events: {e: {context_map: {file: payload.file}}}")

    def measure(_old: dict[str, Any], new: dict[str, Any]) -> str | None:
        return "too large" if "file" in new else None

    deferred = lab.snapshot._replace(deferred=(Event("e", {"file": "x"}),))
    step = resettle(lab.chart, deferred, Event("smd.reload", {}), lab.now, measure)
    assert (len(step.snapshot.deferred), step.effects) == (1, ())


def test_an_error_of_a_dropped_event_is_led_by_it_though_others_still_wait() -> None:
    more = f"r4: {{initial: b, states: {{b: {{busy: queue, on: {{y: b}}, actions: [{BASH}]}}}}}}"
    lab = guarded("on: {error.execution: told}", "{to: w, if: '!has(context.k)'}", more)
    assert [lab.send(name) for name in ("e", "y")] == ["deferred"] * 2
    lab.outcome(None, patch=(("set", ("k",), 1),))
    assert ([e.type for e in lab.snapshot.deferred], lab.logs) == (["y"], ["e"])


def test_a_guard_that_failed_for_an_event_that_still_waits_fails_for_another() -> None:
    guards = "[{to: b, if: context.no.y > 1}, b]"
    more = f"r4: {{initial: b, states: {{b: {{busy: queue, on: {{y: {guards}}}, actions: [{BASH}]}}}}}}"
    count = "[{type: assign, set: {n: context.n + 1}}, {type: raise, event: y}]"
    lab = guarded(f"on: {{error.execution: {{actions: {count}}}}}", "{to: w, if: '!has(context.k)'}", more)
    assert [lab.send(name) for name in ("e", "y")] == ["deferred"] * 2
    lab.outcome(None, patch=(("set", ("k",), 1),))
    assert lab.context["n"] == 2  # once for `e`, once for the `y` that was raised


def test_each_deferred_event_has_the_failure_of_its_guard() -> None:
    lab = flat(BASH, ", {from: w, to: z, event: job_done}, {from: z, to: z, event: e, if: context.no > 1}")
    sent(lab, 1, 2)
    lab.done()
    assert [message.split(":")[1][:18] for message in told(lab)] == [" the guard of 'e' "] * 2
