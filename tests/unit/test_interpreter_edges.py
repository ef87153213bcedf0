"""Where rules meet: history while it is recorded, deferred time-outs, armed waits, failures inside a step, full tables."""

from __future__ import annotations

import json

import pytest

from smd.errors import ChartError
from smd.problems import DocumentError
from smd.statechart.effects import Warn
from smd.statechart.event import Event
from smd.statechart.interpreter import full_step, initial, macrostep
from smd.statechart.snapshot import ARMED, SLEEPING, WORKING
from smd.statechart.snapshot_json import from_plain, to_plain
from tests.lab import Lab, chart_of

RUN = "{type: run, argv: ['true'], success: ok}"


# --- history ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "state"), [(["next"], "b"), (["next", "leave", "back", "next"], "c")])
def test_history_is_recorded_before_it_is_entered(before: list[str], state: str) -> None:
    """Appendix D: exitStates records, then enterStates computes what is entered."""
    lab = Lab("""
        states:
          p:
            initial: a
            states: {a: {on: {next: b}}, b: {on: {next: c}}, c: {}, was: {type: history}}
            on: {refresh: was, leave: out}
          out: {on: {back: was}}
        """)
    for event in (*before, "refresh"):
        lab.send(event)
    assert lab.states == [state]


def test_what_one_machine_remembers_does_not_decide_for_another() -> None:
    """The transition to the history state is preempted or not, depending on what is recorded."""
    chart = chart_of("""
        machine: m
        states:
          p:
            initial: q
            states:
              q:
                type: parallel
                states:
                  r2: {states: {u: {on: {e: v}}, v: {}}}
                  r1: {states: {s: {on: {e: was}}, y: {}}}
              was: {type: history, deep: true, default: y}
            on: {leave: out}
          out: {on: {back: p}}
        """)
    first, other = Lab(chart), Lab(chart)
    for event in ("leave", "back", "e"):
        first.send(event)
    other.send("e")
    assert (first.states, other.states) == (["v", "s"], ["v", "y"])


@pytest.mark.parametrize("targets", ["[r1b, was]", "[was, r1b]", "[was, deep]"])
def test_a_history_state_and_what_it_may_bring_are_no_targets_of_one_transition(targets: str) -> None:
    with pytest.raises(DocumentError, match="cannot be active together"):
        chart_of(f"""
            machine: m
            states:
              a: {{on: {{mix: {{to: {targets}}}}}}}
              p:
                type: parallel
                states:
                  r1: {{states: {{r1a: {{}}, r1b: {{}}, deep: {{type: history, deep: true}}}}}}
                  r2: {{states: {{r2a: {{}}}}}}
                  was: {{type: history, deep: true}}
            """)


def test_history_states_of_two_regions_are_targets_of_one_transition() -> None:
    lab = Lab("""
        states:
          p:
            type: parallel
            states:
              r1: {states: {a: {on: {next: b}}, b: {}, h1: {type: history}}}
              r2: {states: {c: {on: {next: d}}, d: {}, h2: {type: history}}}
            on: {leave: out}
          out: {on: {back: {to: [h1, h2]}}}
        """)
    for event in ("next", "leave", "back"):
        lab.send(event)
    assert lab.states == ["b", "d"]


# --- armed waits --------------------------------------------------------------------------------------------------

ARMING = (
    "{type: wait_for_jobs, tracked_jobs_key: jobs, pending: some_left, success: all_done, timeout: 100, "
    "retry: {max: 2}}"
)


def armed(follows: str) -> Lab:
    """A machine whose `wait_for_jobs` watches while the action behind it is under way."""
    lab = Lab(f"""
        context: {{jobs: [j1]}}
        states:
          w:
            actions: [{ARMING}, {follows}]
            on: {{slept: z, all_done: {{actions: [{{type: log, message: all}}]}}}}
          z: {{}}
        """)
    lab.outcome("some_left", phase="asking", empty=True)
    return lab


def test_the_answer_of_an_armed_wait_leaves_the_timer_of_the_action_that_goes_on() -> None:
    lab = armed("{type: sleep, duration: 10, success: slept}")
    lab.outcome("all_done", phase=ARMED)
    assert (lab.logs, [t.event for t in lab.snapshot.timers], len(lab.records(SLEEPING))) == (["all"], ["sleep"], 1)
    lab.wait(10)
    assert lab.states == ["z"]


def test_a_failing_armed_wait_ends_and_starts_nothing_anew() -> None:
    lab = armed(RUN)
    lab.outcome("error", phase=ARMED, ok=False, error="no list")
    assert [(r.index, r.phase, r.failed) for r in lab.snapshot.sequences] == [(1, WORKING, True)]
    assert (lab.snapshot.timers, [e.code for e in lab.effects if isinstance(e, Warn)]) == ((), ["action_failed"])


def test_an_armed_wait_whose_answer_cannot_be_stored_ends() -> None:
    lab = armed(RUN)
    lab.outcome("error", phase=ARMED, patch=(("set", ("jobs", "x"), 1),))
    assert [(r.index, r.phase) for r in lab.snapshot.sequences] == [(1, WORKING)]


# --- deferred time-outs -------------------------------------------------------------------------------------------


def test_a_deferred_time_out_stays_with_the_state_that_armed_it() -> None:
    lab = Lab(f"""
        states:
          p:
            type: parallel
            states:
              A: {{states: {{a: {{busy: queue, actions: [{RUN}], after: {{5s: a}}}}}}}}
              B: {{initial: b0, states: {{b0: {{on: {{go: b}}}}, b: {{after: {{5s: b2}}}}, b2: {{}}}}}}
        """)
    lab.wait(4)
    lab.send("go")
    lab.wait(1.5)
    assert [(e.type, e.owner) for e in lab.snapshot.deferred] == [("timeout(5s)", "a")]
    lab.done()
    assert (lab.states, lab.step.taken[0].entered) == (["a", "b"], ("a",))
    lab.wait(3.5)
    assert lab.states == ["a", "b2"]


SELF_TIMED = f"""
    states:
      a: {{busy: queue, actions: [{RUN}], after: {{5s: a}}, on: {{x: z, again: a}}}}
      z: {{after: {{5s: y}}}}
      y: {{}}
    """


def test_a_deferred_time_out_is_dropped_when_its_state_is_left() -> None:
    lab = Lab(SELF_TIMED)
    lab.wait(5.5)
    assert len(lab.snapshot.deferred) == 1
    lab.send("x")
    assert lab.states == ["z"]
    assert not lab.snapshot.deferred


def test_a_deferred_event_that_enters_the_state_again_drops_the_time_out_behind_it() -> None:
    lab = Lab(SELF_TIMED)
    lab.send("again")
    lab.send("again", {"n": 2})
    lab.wait(5.5)
    lab.done()
    assert [(e.type, e.payload) for e in lab.snapshot.deferred] == [("again", {"n": 2})]


def test_snapshots_from_before_deferred_time_outs_had_an_owner_load() -> None:
    lab = Lab(SELF_TIMED)
    lab.send("again")
    lab.wait(5.5)
    plain = to_plain(lab.snapshot)
    assert [event.get("owner") for event in plain["deferred"]] == [None, "a"]
    del plain["deferred"][1]["owner"]
    assert [event.owner for event in from_plain(lab.chart, plain).deferred] == ["", ""]


def test_a_deferred_time_out_of_a_state_that_is_not_active_is_refused() -> None:
    lab = Lab(SELF_TIMED)
    lab.wait(5.5)
    plain = to_plain(lab.snapshot)
    plain["deferred"][0]["owner"] = "z"
    with pytest.raises(ChartError, match="'z', which is not active"):
        from_plain(lab.chart, plain)


# --- failures inside a step ---------------------------------------------------------------------------------------


def test_an_output_that_cannot_be_computed_is_an_error_and_no_output() -> None:
    lab = Lab("""
        context: {n: abc}
        states:
          p:
            states: {a: {on: {go: f}}, f: {type: final, output: {v: "{n|int}"}}}
            on:
              error.execution: {actions: [{type: log, message: "{payload.message}"}]}
              done.state.p: {actions: [{type: assign, set: {got: event.payload}}]}
        """)
    assert lab.send("go") == "taken"
    assert lab.logs == ['output: cannot use "abc" as an integer: it is not a whole number']
    assert lab.context["got"] is None


def test_an_answer_that_cannot_be_stored_fails_its_action() -> None:
    lab = Lab("""
        context: {said: text}
        states:
          a:
            actions: [{type: run, argv: ["true"], store_as: said.x, success: ok}]
            on: {ok: z, error: err}
          z: {}
          err: {}
        """)
    lab.done(patch=(("set", ("said", "x"), 1),))
    assert (lab.states, lab.context["last_error_action"]) == (["err"], "run")


def test_a_wait_for_events_that_can_no_longer_be_worked_out_fails() -> None:
    lab = Lab("""
        context: {n: 5}
        states:
          w:
            actions: [{type: check_events, event_types: ["x", "{n|int}"], success: ok}]
            on: {spoil: {actions: [{type: set_context, key: n, value: abc}]}, error: z, ok: y}
          y: {}
          z: {}
        """)
    lab.outcome(phase="asking", empty=True)
    lab.send("spoil")
    lab.send("q")
    assert lab.states == ["z"]


def test_a_condition_of_a_sequence_sees_the_event_that_its_templates_see() -> None:
    lab = Lab(f"""
        states:
          i: {{on: {{go: a}}}}
          a:
            actions:
              - {RUN}
              - {{type: log, message: "{{event.type}}", if: "event.type == 'go'"}}
              - {{type: log, message: never, if: "event.type != 'go'"}}
        """)
    lab.send("go")
    lab.done()
    assert lab.logs == ["go"]


# --- bounds -------------------------------------------------------------------------------------------------------


def test_a_raised_event_and_the_transition_it_takes_are_one_microstep() -> None:
    lab = Lab("""
        context: {n: 0}
        states:
          a:
            on:
              go: {actions: [{type: raise, event: i}]}
              i: {if: "context.n < 990", actions: [{type: assign, set: {n: context.n + 1}}, {type: raise, event: i}]}
        """)
    lab.send("go")
    assert lab.context == {"n": 990}


def test_a_chart_with_many_configurations_remembers_some() -> None:
    """A machine that rests in one that was put out goes on like any other."""
    regions = {
        f"r{n}": {"states": {f"a{n}": {"on": {f"t{n}": f"b{n}"}}, f"b{n}": {"on": {f"t{n}": f"a{n}"}}}}
        for n in range(11)
    }
    chart = chart_of(json.dumps({"machine": "m", "states": {"p": {"type": "parallel", "states": regions}}}))
    first = snapshot = initial(chart, machine="m", life=1, version=0, context={}, now=1.0).snapshot
    seen = set()
    for step in range(1, 2**11):
        lowest = (step & -step).bit_length() - 1  # Gray code: every combination once
        snapshot = macrostep(chart, snapshot, Event(f"t{lowest}", {}), 2.0).snapshot
        seen.add(snapshot.configuration.label)
    assert (len(seen), len(chart.configurations) <= 1_000) == (2**11 - 1, True)
    again = from_plain(chart, to_plain(first))
    assert again.configuration is not first.configuration
    assert (again, hash(again.configuration)) == (first, hash(first.configuration))
    assert again.configuration != snapshot.configuration
    for _ in range(2):
        assert macrostep(chart, first, Event("t0", {}), 2.0) == macrostep(chart, again, Event("t0", {}), 2.0)
    assert not first.configuration.plans


def test_a_configuration_remembers_some_combinations_of_transitions() -> None:
    rows = [[{"if": f"event.payload.v{n} == {v}", "actions": []} for v in range(3)] for n in range(6)]
    regions = {f"r{n}": {"on": {"e": rows[n]}} for n in range(6)}
    chart = chart_of(json.dumps({"machine": "m", "states": {"p": {"type": "parallel", "states": regions}}}))
    snapshot = initial(chart, machine="m", life=1, version=0, context={}, now=1.0).snapshot
    for number in range(3**6):
        event = Event("e", {f"v{n}": number // 3**n % 3 for n in range(6)})
        step = macrostep(chart, snapshot, event, 2.0)
        assert step == full_step(chart, snapshot, event, 2.0)
    (plan,) = snapshot.configuration.plans.values()
    assert (len(plan.steps), len(snapshot.configuration.microsteps)) == (256, 256)


# --- names and ends -----------------------------------------------------------------------------------------------


def test_an_error_from_outside_has_one_name_on_both_paths() -> None:
    chart = chart_of("""
        machine: m
        initial_state: a
        states: [a, b, c]
        transitions:
          - {from: a, to: b, event: error}
          - {from: a, to: a, event: poke, actions: [{type: raise, event: error.communication}]}
          - {from: a, to: c, event: "*"}
          - {from: c, to: a, event: back}
        """)
    lab = Lab(chart)
    for event in ("poke", "back", "error.communication"):
        lab.send(event)
    assert lab.states == ["b"]


def test_a_machine_that_ends_discards_its_delayed_sends() -> None:
    """SCXML 6.2.4."""
    lab = Lab("""
        states:
          a: {on: {e: f}}
          f: {type: final, entry: [{type: send_event, target_machine: o, event_type: x, delay: 3}]}
        """)
    lab.send("e")
    assert (lab.snapshot.status, lab.snapshot.timers) == ("finished", ())
    assert lab.effects == [Warn("dropped", "'x' is not sent any more: the machine is finished")]
