"""Sequences: the durable program counter, its answers, retries, busy rules, loops and terminal states."""

from __future__ import annotations

import pytest

from smd.statechart.effects import Settle
from smd.statechart.event import Hold, Outcome
from smd.statechart.sequence import key_of
from tests.lab import Lab

BASH = "{type: bash, command: 'true', success: done}"


def test_instant_actions_run_in_order_after_the_state_is_entered() -> None:
    lab = Lab(
        "states: {a: {entry: [{type: log, message: '1'}], actions: [{type: log, message: '2'}, {type: log, message: '3'}]}}"
    )
    assert lab.logs == ["1", "2", "3"]


def test_a_working_action_holds_the_sequence_until_its_outcome() -> None:
    lab = Lab("states: {a: {actions: [{type: bash, command: 'true'}, {type: log, message: after}]}}")
    assert lab.logs == []
    lab.outcome(None)
    assert lab.logs == ["after"]


def test_the_answer_of_an_action_takes_a_transition_from_its_state() -> None:
    lab = Lab(f"states: {{a: {{actions: [{BASH}], on: {{done: b}}}}, b: {{}}}}")
    lab.done()
    assert lab.states == ["b"]


def test_an_answer_without_transition_lets_the_sequence_go_on() -> None:
    lab = Lab(f"states: {{a: {{actions: [{BASH}, {{type: log, message: on}}]}}}}")
    lab.done()
    assert lab.logs == ["on"]


def test_an_answer_that_leaves_the_state_abandons_the_rest() -> None:
    lab = Lab(f"states: {{a: {{actions: [{BASH}, {{type: log, message: never}}], on: {{done: b}}}}, b: {{}}}}")
    lab.done()
    assert lab.logs == []


def test_a_late_outcome_changes_nothing() -> None:
    lab = Lab(
        f"states: {{a: {{actions: [{BASH}], on: {{go: b}}}}, b: {{actions: [{BASH}], on: {{done: c}}}}, c: {{}}}}"
    )
    late = Outcome(key_of(lab.snapshot, lab.records("working")[0]), 1, True, "done", (("set", ("x",), 1),))
    lab.send("go")
    assert lab.answer(late) == "stale"
    assert (lab.states, lab.context) == (["b"], {})


def test_a_key_is_never_used_again_after_re_entry() -> None:
    lab = Lab(f"states: {{a: {{actions: [{BASH}], on: {{again: a}}}}}}")
    first = key_of(lab.snapshot, lab.records("working")[0])
    lab.send("again")
    assert key_of(lab.snapshot, lab.records("working")[0]) != first


def test_templates_see_the_event_that_led_into_the_state() -> None:
    lab = Lab(f"""
        states:
          a: {{on: {{go: b}}}}
          b: {{actions: [{BASH}, {{type: log, message: "{{event_data.event_name}} {{payload.x}}"}}]}}
        """)
    lab.send("go", {"x": 5})
    lab.send("noise", {"x": 6})
    lab.done()
    assert lab.logs == ["go 5"]


def test_an_answer_passes_the_leading_event_on() -> None:
    lab = Lab(
        f'states: {{a: {{on: {{go: b}}}}, b: {{actions: [{BASH}], on: {{done: c}}}}, c: {{actions: [{{type: log, message: "{{payload.x}}"}}]}}}}'
    )
    lab.send("go", {"x": 5})
    lab.done()
    assert lab.logs == ["5"]


def test_an_unhandled_failure_goes_on_with_the_next_action_and_fails_held_jobs() -> None:
    lab = Lab(
        f"states: {{a: {{actions: [{{type: claim_job, job_type: t, success: null}}, {BASH}, {{type: log, message: next}}]}}}}"
    )
    lab.outcome(None, phase="asking", hold=Hold("j", 3))
    assert [h.job_id for h in lab.snapshot.held] == ["j"]
    lab.fail("broke")
    assert lab.logs == ["next"]
    settles = [e for e in lab.effects if isinstance(e, Settle)]
    assert [(s.job_id, s.epoch, s.status) for s in settles] == [("j", 3, "failed")]
    assert lab.snapshot.held == ()


def test_a_failure_answers_with_the_error_event() -> None:
    lab = Lab("states: {a: {actions: [{type: bash, command: 'true', error: bad}], on: {bad: b}}, b: {}}")
    lab.fail()
    assert lab.states == ["b"]


def test_retries_wait_longer_each_time_then_fail() -> None:
    lab = Lab(
        "states: {a: {actions: [{type: bash, command: 'true', retry: {max: 2, delay: 1s, factor: 3}}], on: {error: b}}, b: {}}"
    )
    for pause in (1.0, 3.0):
        lab.fail()
        assert not lab.records("working")
        assert lab.wait(pause - 0.01) == 0
        assert lab.wait(0.01) == 1
        assert lab.records("working")
    assert lab.records("working")[0].attempt == 3
    lab.fail()
    assert lab.states == ["b"]


def test_the_outcome_of_an_earlier_attempt_is_stale() -> None:
    lab = Lab("states: {a: {actions: [{type: bash, command: 'true', retry: {max: 2, delay: 1s}}]}}")
    old = Outcome(key_of(lab.snapshot, lab.records("working")[0]), 1)
    lab.fail()
    lab.wait(1)
    assert lab.answer(old) == "stale"


def test_sleep_is_a_timer_of_the_snapshot() -> None:
    lab = Lab("states: {a: {actions: [{type: sleep, duration: 2}], on: {wake_up: b}}, b: {}}")
    assert lab.wait(1.9) == 0
    assert lab.wait(0.1) == 1
    assert lab.states == ["b"]


@pytest.mark.parametrize(("sleeps", "states", "after"), [("60s", ["late"], 1), ("500ms", ["b"], 0.5), ("1s", ["b"], 1)])
def test_of_a_sleep_and_its_time_out_the_shorter_wins(sleeps: str, states: list[str], after: float) -> None:
    lab = Lab(
        f"states: {{a: {{actions: [{{type: sleep, duration: {sleeps}, timeout: 1s}}], on: {{wake_up: b, error: late}}}}, "
        "b: {}, late: {}}"
    )
    assert lab.wait(after - 0.01) == 0
    assert lab.wait(0.01) == 1
    assert (lab.states, lab.snapshot.timers) == (states, ())
    assert ("last_error" in lab.context) is (states == ["late"])


WAITING_ACTIONS = {
    "claim_job": "{type: claim_job, timeout: '{limit}'%s}",
    "check_database_queue": "{type: check_database_queue, empty: null, timeout: '{limit}'%s}",
    "get_pending_jobs": "{type: get_pending_jobs, empty: null, timeout: '{limit}'%s}",
    "check_events": "{type: check_events, event_types: [ping], success: found, empty: null, timeout: '{limit}'%s}",
}


def waiting_lab(name: str, more: str = "", limit: str = "24s") -> Lab:
    action = WAITING_ACTIONS[name] % more
    answers = "{error: late, new_job: b, jobs_found: b, found: b, again: a}"
    lab = Lab(f"states: {{a: {{actions: [{action}], on: {answers}}}, b: {{}}, late: {{}}}}", limit=limit)
    lab.outcome(None, phase="asking", empty=True)
    return lab


@pytest.mark.parametrize("name", WAITING_ACTIONS)
def test_an_action_that_waits_fails_when_its_time_is_up(name: str) -> None:
    lab = waiting_lab(name)
    assert lab.wait(23.9) == 0
    lab.outcome(None, phase="waiting", empty=True)  # looked again and found nothing: the deadline stays
    assert lab.wait(0.1) == 1
    assert (lab.states, lab.snapshot.timers) == (["late"], ())
    assert lab.context["last_error"] == f"{name}: timed out after 24 s"
    assert lab.context["last_error_action"] == name


@pytest.mark.parametrize("name", WAITING_ACTIONS)
def test_what_it_waited_for_ends_the_time_out(name: str) -> None:
    lab = waiting_lab(name)
    if name == "check_events":
        lab.send("ping")
    else:
        lab.outcome(lab.open("waiting").events["success"], phase="waiting")
    assert (lab.states, lab.snapshot.timers) == (["b"], ())


@pytest.mark.parametrize("name", WAITING_ACTIONS)
def test_each_entry_waits_its_own_time(name: str) -> None:
    lab = waiting_lab(name)
    lab.wait(20)
    lab.send("again")
    lab.outcome(None, phase="asking", empty=True)
    assert lab.wait(23.9) == 0
    assert lab.wait(0.1) == 1
    assert lab.states == ["late"]


@pytest.mark.parametrize("name", WAITING_ACTIONS)
def test_a_wait_that_timed_out_is_tried_again(name: str) -> None:
    lab = waiting_lab(name, more=", retry: {max: 1, delay: 3s}")
    assert lab.wait(24) == 1
    assert lab.records("sleeping")
    assert lab.wait(3) == 1
    lab.outcome(None, phase="asking", empty=True)
    assert lab.wait(23.9) == 0
    assert lab.wait(0.1) == 1
    assert lab.states == ["late"]


def test_a_sleep_that_timed_out_is_tried_again() -> None:
    lab = Lab(
        "states: {a: {actions: [{type: sleep, duration: 9s, timeout: 1s, retry: {max: 1, delay: 3s}}], "
        "on: {error: late}}, late: {}}"
    )
    assert lab.wait(1) == 1
    assert lab.wait(4.9 - 1) == 1
    assert lab.states == ["a"]
    assert lab.wait(0.1) == 1
    assert lab.states == ["late"]


def test_a_store_action_that_failed_asks_the_store_again() -> None:
    lab = Lab(
        "states: {a: {actions: [{type: add_job, job_type: t, retry: {max: 1, delay: 3s}}], on: {error: b}}, b: {}}"
    )
    lab.outcome("error", phase="asking", ok=False, error="no")
    lab.wait(3)
    assert [r.attempt for r in lab.records("asking")] == [2]
    lab.outcome("error", phase="asking", ok=False, error="no")
    assert lab.states == ["b"]


@pytest.mark.parametrize("name", WAITING_ACTIONS)
def test_a_time_out_that_is_no_duration_fails_the_action(name: str) -> None:
    lab = waiting_lab(name, limit="soon")
    assert (lab.states, lab.snapshot.timers) == (["late"], ())
    assert "soon" in lab.context["last_error"]


@pytest.mark.parametrize(("rule", "disposition"), [("queue", "deferred"), ("ignore", "ignored"), ("restart", "taken")])
def test_busy_rules(rule: str, disposition: str) -> None:
    lab = Lab(f"states: {{a: {{busy: {rule}, actions: [{BASH}], on: {{again: a}}}}}}")
    first = lab.records("working")[0].entry
    assert lab.send("again") == disposition
    assert (lab.records("working")[0].entry != first) is (rule == "restart")


def test_deferred_events_follow_in_order_when_the_sequence_ends() -> None:
    lab = Lab("""
        states:
          a: {busy: queue, actions: [{type: bash, command: 'true'}, {type: log, message: "{payload.n}"}], on: {job: a}}
        """)
    for n in (1, 2, 3):
        assert lab.send("job", {"n": n}) == "deferred"
    for _ in range(4):
        lab.outcome(None)
    assert lab.logs == ["{payload.n}", "1", "2", "3"]
    assert lab.snapshot.deferred == ()


def test_an_event_that_leaves_a_busy_state_acts_at_once() -> None:
    lab = Lab(f"states: {{a: {{busy: queue, actions: [{BASH}], on: {{again: a, stop: b}}}}, b: {{}}}}")
    lab.send("again")
    assert lab.send("stop") == "taken"
    assert (lab.states, lab.records("working"), lab.snapshot.deferred) == (["b"], [], ())


def test_a_self_loop_runs_all_actions_again() -> None:
    """The predecessor ran them once (compatibility 2.5)."""
    lab = Lab("""
        context: {items: [1, 2, 3]}
        states:
          spawn:
            actions: [{type: pop_from_list, store_as: item, empty: none_left}, {type: log, message: "{item}", success: spawned}]
            on: {spawned: spawn, none_left: end}
          end: {}
        """)
    lab.wait(0.001)
    assert (lab.logs, lab.states) == (["1", "2", "3"], ["end"])


def test_an_idle_loop_is_paced_from_50_to_500_ms() -> None:
    lab = Lab("states: {a: {actions: [{type: log, message: x, success: again}], on: {again: a}}}")
    fired = lab.wait(10)
    assert 18 <= fired <= 26
    assert lab.snapshot.loop[1] == fired + 1


def test_a_stimulus_ends_the_pace() -> None:
    lab = Lab("states: {a: {actions: [{type: log, message: x, success: again}], on: {again: a, poke: {actions: []}}}}")
    lab.wait(10)
    slow = lab.snapshot.timers[0].seconds
    lab.send("poke")
    lab.wait(0.5)
    assert (slow, lab.snapshot.timers[0].seconds < slow) == (0.5, True)


def test_repeatable_actions_run_again_alone() -> None:
    lab = Lab("states: {a: {actions: [{type: log, message: once}, {type: log, message: tick, repeatable: true}]}}")
    lab.wait(0.3)
    assert lab.logs[0] == "once"
    assert lab.logs.count("once") == 1
    assert lab.logs.count("tick") >= 3


def test_a_claim_whose_empty_answer_leads_back_waits() -> None:
    lab = Lab(
        "states: {w: {actions: [{type: check_database_queue, job_type: t}], on: {no_jobs: w, new_job: p}}, p: {}}"
    )
    lab.outcome("no_jobs", phase="asking", empty=True)
    assert (len(lab.records("waiting")), lab.snapshot.timers) == (1, ())
    lab.outcome("new_job", phase="waiting", hold=Hold("j", 1, auto=True))
    assert (lab.states, lab.snapshot.held[0].job_id) == (["p"], "j")


def test_a_claim_whose_empty_answer_leads_elsewhere_answers() -> None:
    lab = Lab("states: {w: {actions: [{type: check_database_queue}], on: {no_jobs: idle}}, idle: {}}")
    lab.outcome("no_jobs", phase="asking", empty=True)
    assert lab.states == ["idle"]


def test_check_events_goes_on_with_the_event_that_led_here() -> None:
    lab = Lab("""
        states:
          m:
            actions: [{type: check_events, event_types: [done]}, {type: log, message: "{payload.n}"}]
            on: {no_events: m, done: m}
        """)
    lab.outcome("no_events", phase="asking", empty=True)
    assert len(lab.records("waiting")) == 1
    for n in (1, 2):
        assert lab.send("done", {"n": n}) == "taken"
    assert lab.logs == ["1", "2"]


def test_check_events_takes_an_event_no_transition_wants() -> None:
    lab = Lab("states: {m: {actions: [{type: check_events, event_types: ping}, {type: log, message: '{payload.n}'}]}}")
    lab.outcome("no_events", phase="asking", empty=True)
    assert lab.send("ping", {"n": 4}) == "taken"
    assert lab.logs == ["4"]
