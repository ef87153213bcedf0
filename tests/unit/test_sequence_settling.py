"""What an action of a sequence sets off inside the machine is handled before the next action begins."""

from __future__ import annotations

import pytest

from smd.statechart.effects import Warn
from tests.lab import Lab

BASH = '{type: bash, command: "true", success: done}'


@pytest.mark.parametrize("actions", [f"{{type: raise, event: next}}, {BASH}", "{type: raise, event: next}"])
@pytest.mark.parametrize("flat", [False, True])
def test_an_event_raised_without_an_answer_comes_before_the_next_action(actions: str, flat: bool) -> None:
    nested = f"states: {{b: {{actions: [{actions}], on: {{next: c}}}}, c: }}"
    rows = f"""
        initial_state: b
        states: [b, c]
        transitions: [{{from: b, to: c, event: next}}]
        actions: {{b: [{actions}]}}
        """
    lab = Lab(rows if flat else nested)
    assert lab.states == ["c"]
    assert lab.snapshot.sequences == ()


def test_the_sequence_goes_on_if_the_raised_event_does_not_leave_the_state() -> None:
    note = "{actions: [{type: log, message: '{event.type} at {n}'}]}"
    lab = Lab(f"""
        context: {{n: 0}}
        states:
          b:
            actions:
              - {{type: raise, event: x}}
              - {{type: raise, event: y}}
              - {{type: assign, set: {{n: "context.n + 1"}}}}
              - {{type: raise, event: x}}
              - {BASH}
            on: {{x: {note}, y: {note}}}
        """)
    assert lab.logs == ["x at 0", "y at 0", "x at 1"]
    assert lab.records("working")[0].index == 4


def test_a_raised_event_that_nothing_takes_is_gone_and_the_sequence_goes_on() -> None:
    lab = Lab("states: {b: {actions: [{type: raise, event: x}, {type: log, message: after}]}}")
    assert lab.logs == ["after"]
    assert lab.send("x") == "ignored"


def test_what_was_raised_last_in_a_region_is_heard_in_the_other() -> None:
    lab = Lab("""
        states:
          p:
            type: parallel
            states:
              x: {actions: [{type: raise, event: next}, {type: log, message: in x}]}
              y: {states: {y1: {on: {next: y2}}, y2: {entry: [{type: log, message: in y}]}}}
        """)
    assert lab.states == ["x", "y2"]
    assert lab.logs == ["in y", "in x"]


def test_a_transition_without_event_is_taken_as_soon_as_an_action_makes_its_guard_true() -> None:
    lab = Lab("""
        context: {k: 0}
        states:
          a:
            actions:
              - {type: assign, set: {k: "1"}}
              - {type: bash, command: sleep 60}
            always: {to: c, if: "context.k == 1"}
          c:
        """)
    assert lab.states == ["c"]
    assert lab.snapshot.sequences == ()


def test_so_is_one_in_another_region() -> None:
    lab = Lab(f"""
        context: {{k: 0}}
        states:
          p:
            type: parallel
            states:
              x: {{actions: [{{type: bash, command: "true", success: null}}, {{type: assign, set: {{k: "1"}}}}, {BASH}]}}
              y: {{states: {{y1: {{always: {{to: y2, if: "context.k == 1"}}}}, y2: }}}}
        """)
    lab.done()
    assert lab.states == ["x", "y2"]
    assert lab.records("working")[0].index == 2


def test_a_raised_event_that_leads_back_is_paced() -> None:
    lab = Lab("states: {b: {actions: [{type: raise, event: again}], on: {again: b}}}")
    assert lab.records("sleeping")
    assert lab.wait(0.2) >= 2
    assert lab.states == ["b"]


def test_what_a_finishing_machine_raises_selects_nothing() -> None:
    lab = Lab("""
        initial_state: a
        states: [a, stopped, b]
        transitions: [{from: a, to: stopped, event: stop}, {from: "*", to: b, event: next}]
        actions: {stopped: [{type: raise, event: next}, {type: log, message: end}]}
        """)
    lab.send("stop")
    assert (lab.states, lab.snapshot.status, lab.logs) == (["stopped"], "finished", ["end"])
    assert not [e for e in lab.effects if isinstance(e, Warn)]
