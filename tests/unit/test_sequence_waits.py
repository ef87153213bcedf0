"""Sequences that wait for jobs, end, or come back: waits, terminal states, retries."""

from __future__ import annotations

import pytest

from smd.errors import ERROR_LIMIT
from smd.statechart.effects import Warn
from smd.statechart.event import Event
from smd.statechart.model import Retry
from smd.statechart.snapshot_json import to_plain
from tests.lab import Lab

WAIT = "{type: wait_for_jobs, timeout: 60, timeout_event: late%s}"


def test_wait_for_jobs_holds_the_sequence_until_all_have_ended() -> None:
    lab = Lab(f"states: {{w: {{actions: [{WAIT % ''}], on: {{all_jobs_complete: d}}}}, d: {{}}}}")
    lab.outcome(None, phase="asking", empty=True)
    assert len(lab.records("waiting")) == 1
    lab.outcome("all_jobs_complete", phase="waiting")
    assert (lab.states, lab.snapshot.timers) == (["d"], ())


def test_wait_for_jobs_with_pending_looks_once_and_stays_armed() -> None:
    lab = Lab(
        f"states: {{w: {{actions: [{WAIT % ', pending: still'}, {{type: log, message: on}}], on: {{all_jobs_complete: d}}}}, d: {{}}}}"
    )
    lab.outcome("still", phase="asking", empty=True)
    assert (lab.logs, len(lab.records("armed"))) == (["on"], 1)
    lab.outcome("all_jobs_complete", phase="armed")
    assert lab.states == ["d"]


def test_the_deadline_of_wait_for_jobs_survives_re_entry() -> None:
    lab = Lab(f"states: {{w: {{actions: [{WAIT % ''}], after: {{40s: w}}, on: {{late: d}}}}, d: {{}}}}")
    lab.outcome(None, phase="asking", empty=True)
    lab.wait(40)
    lab.outcome(None, phase="asking", empty=True)
    assert lab.wait(19.9) == 0
    lab.wait(0.1)
    assert lab.states == ["d"]


FLAT_END = """
machine: m
initial_state: a
transitions:
  - {from: a, to: completed, event: go}
  - {from: completed, to: a, event: again}
  - {from: "*", to: completed, event: stop}
actions: {completed: [{type: log, message: bye}, {type: bash, command: 'true', success: again}]}
"""


def test_a_flat_completed_state_with_a_way_out_is_not_the_end() -> None:
    lab = Lab(FLAT_END)
    lab.send("go")
    lab.done()
    assert (lab.states, lab.snapshot.status) == (["a"], "running")


def test_the_event_stop_makes_it_the_end_and_its_actions_run() -> None:
    lab = Lab(FLAT_END)
    lab.send("stop")
    assert (lab.snapshot.status, lab.logs) == ("finishing", ["bye"])
    assert lab.send("go") == "ignored"
    lab.done()
    assert (lab.states, lab.snapshot.status) == (["completed"], "finished")


def test_a_timer_fires_in_the_state_that_armed_it_only() -> None:
    lab = Lab("states: {a: {after: {5s: late}, states: {b: {after: {9s: c}}, c: {}}}, late: {}}")
    lab.wait(5)
    assert lab.states == ["late"]


@pytest.mark.parametrize(("first", "second"), [("5", "7.5"), ("'5'", "7500ms")])
def test_bare_numbers_are_seconds(first: str, second: str) -> None:
    lab = Lab(f"states: {{a: {{after: {{{second}: c, {first}: b}}}}, b: {{}}, c: {{}}}}")
    assert sorted(t.seconds for t in lab.snapshot.timers) == [5.0, 7.5]
    lab.wait(5)
    assert lab.states == ["b"]


def test_two_spellings_of_one_duration_are_two_timers() -> None:
    lab = Lab("states: {a: {after: {5: {if: 'false', to: b}, 5s: c}}, b: {}, c: {}}")
    assert [t.event for t in lab.snapshot.timers] == ["timeout(5)", "timeout(5s)"]
    lab.wait(5)
    assert lab.states == ["c"]


def test_an_ignored_event_does_not_cancel_a_timer() -> None:
    lab = Lab("states: {a: {after: {5s: b}}, b: {}}")
    lab.send("noise")
    lab.wait(5)
    assert lab.states == ["b"]


def test_the_same_timeout_twice_arms_one_timer() -> None:
    """The predecessor leaked the second one into the next state (compatibility 2.9)."""
    lab = Lab("""
        machine: m
        initial_state: a
        transitions:
          - {from: a, to: b, event: timeout(2)}
          - {from: "*", to: c, event: timeout(2)}
          - {from: b, to: d, event: go}
        """)
    assert len(lab.snapshot.timers) == 1
    lab.wait(2)
    assert lab.states == ["b"]


def test_a_delayed_send_is_sent_when_due_and_can_be_cancelled() -> None:
    send = "{type: send_event, target: w, event: hello, delay: 3s, id: s%d}"
    lab = Lab(
        f"states: {{a: {{entry: [{send % 1}, {send % 2}], on: {{no: {{actions: [{{type: cancel, id: s1}}]}}}}}}}}"
    )
    lab.send("no")
    assert lab.sends == []
    lab.wait(3)
    assert [(s.targets, s.type) for s in lab.sends] == [(("w",), "hello")]


def test_an_unresolved_placeholder_in_a_payload_becomes_null() -> None:
    lab = Lab(
        'states: {a: {entry: [{type: send_event, target: w, event: e, payload: {a: "{no}", b: "x {no}", c: "{machine_name}"}}]}}'
    )
    assert lab.sends[0].payload == {"a": None, "b": "x {no}", "c": "m"}


def test_lasting_actions_on_a_transition_head_the_sequence_of_its_target() -> None:
    lab = Lab("""
        states:
          a: {on: {go: {to: b, actions: [{type: log, message: first}, {type: bash, command: 'true'}]}, plain: b}}
          b: {actions: [{type: log, message: own}]}
        """)
    lab.send("go")
    assert lab.logs == ["first"]
    lab.outcome(None)
    assert lab.logs == ["first", "own"]


def test_the_machine_is_deterministic() -> None:
    def run() -> Lab:
        lab = Lab(FLAT_END)
        lab.send("go")
        lab.done()
        lab.send("stop", id="x")
        return lab

    assert to_plain(run().snapshot) == to_plain(run().snapshot)


def test_stale_timers_change_nothing() -> None:
    lab = Lab("states: {a: {after: {5s: b}}, b: {}}")
    from smd.statechart.interpreter import macrostep

    step = macrostep(lab.chart, lab.snapshot, Event("timeout(5s)", timer="99.0"), lab.now)
    assert (step.disposition, step.snapshot.configuration.label) == ("stale", "a")


@pytest.mark.parametrize("told", ["broke", "run: broke"])
def test_a_failure_is_told_with_the_name_of_its_action_once(told: str) -> None:
    lab = Lab("machine: m\nstates: {a: {actions: [{type: run, argv: ['true']}]}}")
    lab.fail(told)
    assert [e.message for e in lab.effects if isinstance(e, Warn) and e.code == "action_failed"] == ["run: broke"]


def test_the_thousandth_retry_comes_as_late_as_the_tenth() -> None:
    assert Retry(5_000, factor=10.0).pause(4_000) == Retry(5_000, factor=10.0).pause(10) == 60.0


def test_of_a_long_error_inside_the_step_the_context_keeps_a_part() -> None:
    """What failed is a key of 100 KB; the warning, which goes to the log, has all of it."""
    lab = Lab("states: {a: {on: {go: b}}, b: {actions: [{type: assign, set: {n: 'context[event.payload.k]'}}]}}")
    lab.send("go", {"k": "k" * 100_000})
    told = lab.context["last_error"]
    assert ERROR_LIMIT - 8 < len(told.encode()) <= ERROR_LIMIT
    assert told.startswith("assign: cannot evaluate 'context[event.payload.k]': ")
    assert " bytes dropped ... " in told
    assert any("k" * 100_000 in e.message for e in lab.effects if isinstance(e, Warn))
