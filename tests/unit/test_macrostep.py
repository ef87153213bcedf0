"""Details of a macrostep: how often a guard tells that it fails, when a parallel is done, what `machine` says."""

from __future__ import annotations

import pytest

from smd.statechart.effects import Warn
from smd.statechart.event import Event
from smd.statechart.interpreter import macrostep
from tests.lab import Lab


def failures(lab: Lab) -> int:
    return sum(isinstance(e, Warn) and e.code == "guard" for e in lab.effects)


# --- failing guards -----------------------------------------------------------------------------------------------


def test_a_guard_of_a_transition_without_event_that_fails_is_only_false() -> None:
    lab = Lab('states: {a: {always: {to: b, if: "context.temp > 80"}, on: {set: {actions: [SET]}, go: c}}, b: , c: }'
              .replace("SET", "{type: assign, set: {temp: event.payload.t}}"))  # fmt: skip
    assert (lab.states, failures(lab)) == (["a"], 1)
    lab.send("set", {"t": 90})
    assert (lab.states, failures(lab)) == (["b"], 1)


def test_it_raises_its_error_once_in_a_macrostep_and_again_in_the_next() -> None:
    lab = Lab("""
        context: {n: 0}
        states:
          a:
            always: {to: b, if: "context.temp > 80"}
            on:
              error.execution: {actions: [{type: assign, set: {n: "context.n + 1"}}]}
              tick: {actions: [{type: raise, event: more}]}
          b:
        """)
    assert (lab.context["n"], failures(lab)) == (1, 1)
    lab.send("tick")
    assert (lab.context["n"], failures(lab)) == (2, 2)


def test_each_guard_that_fails_raises_its_own() -> None:
    lab = Lab(
        """
        states:
          a: {always: [{to: b, if: "context.x > 1"}, {to: b, if: "context.y > 1"}], on: {error.execution: {actions: [LOG]}}}
          b:
        """.replace("LOG", "{type: log, message: '{payload.message}'}")
    )
    assert [("context.x" in line, "context.y" in line) for line in lab.logs] == [(True, False), (False, True)]


def test_a_guard_asked_by_two_regions_tells_once() -> None:
    lab = Lab("""
        states:
          p: {type: parallel, on: {go: {to: q, if: "context.x > 1"}}, states: {x: , y: }}
          q:
        """)
    assert lab.send("go") == "ignored"
    assert failures(lab) == 1
    assert lab.step.code == "guard_failed"


def test_the_guard_of_error_execution_itself_may_fail() -> None:
    lab = Lab(
        'states: {a: {on: {go: {to: b, if: "context.x > 1"}, error.execution: {to: b, if: "context.y > 1"}}}, b: }'
    )
    lab.send("go")
    assert (lab.states, failures(lab)) == (["a"], 2)


# --- done events --------------------------------------------------------------------------------------------------

NESTED = """
states:
  P:
    type: parallel
    states:
      A:
        type: parallel
        states:
          r1: {states: {x1: {on: {a: f1, both: f1}}, f1: {type: final}}}
          r2: {states: {x2: {on: {a: f2, both: f2}}, f2: {type: final}}}
      B: {states: {y: {on: {b: g, both: g}}, g: {type: final}}}
    on:
      done.state.A: {actions: [{type: log, message: A}]}
      done.state.P: {to: over, actions: [{type: log, message: P}]}
  over:
"""


@pytest.mark.parametrize("events", ["ab", "ba", ["both"]])
def test_a_parallel_of_parallels_is_done_in_any_order(events: str) -> None:
    lab = Lab(NESTED)
    for event in events:
        assert lab.states != ["over"]
        lab.send(event)
    assert lab.states == ["over"]
    assert lab.logs == ["A", "P"]


def test_it_is_not_done_while_one_of_them_is_not() -> None:
    lab = Lab(NESTED.replace("x2: {on: {a: f2, both: f2}}", "x2: "))
    lab.send("b")
    lab.send("a")
    assert lab.states == ["f1", "x2", "g"]
    assert lab.logs == []


def test_done_events_do_not_pass_a_compound() -> None:
    lab = Lab("""
        states:
          P:
            type: parallel
            states:
              R: {states: {A: {type: parallel, states: {r: {states: {x: {on: {a: f}}, f: {type: final}}}}}}}
            on: {done.state.A: {actions: [{type: log, message: A}]}, done.state.P: over}
          over:
        """)
    lab.send("a")
    assert (lab.states, lab.logs) == (["f"], ["A"])


# --- machine ------------------------------------------------------------------------------------------------------


def test_machine_states_are_those_of_now() -> None:
    lab = Lab("""
        states:
          a:
            on: {go: {to: b, actions: [{type: assign, set: {t: machine.states}}]}}
            exit: [{type: assign, set: {x: machine.states}}]
          b:
            entry: [{type: assign, set: {e: machine.states}}]
            actions:
              - {type: assign, set: {s1: machine.states}}
              - {type: sleep, duration: 1}
              - {type: assign, set: {s2: machine.states}}
              - {type: log, message: here, if: "machine.states == ['b']"}
        """)
    lab.send("go")
    lab.wait(1)
    assert lab.context == {"x": ["a"], "t": [], "e": ["b"], "s1": ["b"], "s2": ["b"]}
    assert lab.logs == ["here"]


def test_machine_states_are_in_document_order() -> None:
    lab = Lab("""
        states:
          i: {on: {go: p}}
          p:
            type: parallel
            entry: [{type: assign, set: {none: machine.states}}]
            states:
              z: {states: {z1: }}
              y: {states: {y1: }}
              x: {states: {x1: {entry: [{type: assign, set: {all: machine.states}}]}}}
        """)
    lab.send("go")
    assert lab.context == {"none": [], "all": ["z1", "y1", "x1"]}


def test_machine_version_counts_the_event_being_handled() -> None:
    lab = Lab("states: {a: {entry: [SET], on: {go: {actions: [SET]}}}}".replace(
        "SET", "{type: assign, set: {v: machine.version}}"))  # fmt: skip
    assert lab.context["v"] == lab.snapshot.version
    before = lab.snapshot
    lab.send("go")
    assert lab.context["v"] == lab.snapshot.version == before.version + 1
    assert macrostep(lab.chart, before, Event("go", {}), lab.now).snapshot == lab.step.snapshot
