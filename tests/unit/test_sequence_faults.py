"""What an action of a sequence answers when an expression or an argument of it fails."""

from __future__ import annotations

import pytest

from smd.statechart.effects import Warn
from tests.lab import Lab

FAULTS = [
    "{type: assign, set: {x: context.nope}}",
    '{type: log, message: x, if: "context.nope > 1"}',
    '{type: set_context, key: k, value: "{s|int}"}',
    '{type: set_context, key: s.k, value: 1}',
    '{type: sleep, duration: "{s}"}',
    '{type: bash, command: "true", if: "context.nope > 1"}',
]  # fmt: skip


def taken_by(on: str, action: str = FAULTS[0], above: str = "{}") -> list[str]:
    ends = "".join(f"  {name}: {{on: {{back: p}}}}\n" for name in "bcd")
    text = f"context: {{s: abc}}\ninitial: p\nstates:\n  p: {{on: {above}, states: {{a: {{actions: [{action}], on: {on}}}}}}}\n"
    return Lab(text + ends).states


@pytest.mark.parametrize("action", FAULTS)
def test_nested_charts_hear_of_it_as_error_execution(action: str) -> None:
    assert taken_by("{error.execution: b, error: c}", action) == ["b"]


@pytest.mark.parametrize(
    ("on", "above", "state"),
    [
        ("{error: c, error.execution: b}", "{}", "b"),
        ("{error.*: b, error: c}", "{}", "b"),
        ("{error: c}", "{}", "c"),
        ("{error: c}", '{"*": b}', "c"),
        ('{error: c, "*": b}', "{}", "c"),
        ("{error: c}", "{error.execution: b}", "c"),
        ("{}", "{error.execution: b, error: c}", "b"),
        ("{error.communication: d}", "{error: c}", "c"),
        ('{"*": {to: b, if: "event.type == \'error.execution\'"}}', "{}", "b"),
    ],
)
def test_which_of_the_names_it_is(on: str, above: str, state: str) -> None:
    """A chart that knows only `error` keeps hearing of it by that name; the innermost that names one decides."""
    assert taken_by(on, above=above) == [state]


def test_a_name_that_the_action_gives_wins() -> None:
    for given, state in (("e", "d"), ("error", "c")):
        action = f"{{type: assign, set: {{x: context.nope}}, error: {given}}}"
        assert taken_by("{error.execution: b, error: c, e: d}", action) == [state]


def test_an_action_that_shall_say_nothing_says_nothing() -> None:
    action = "{type: assign, set: {x: context.nope}, error: null}"
    assert taken_by("{error.execution: b, error: c}", action) == ["a"]


def test_flat_charts_know_it_as_error() -> None:
    lab = Lab("""
        initial_state: a
        states: [a, b, c]
        transitions: [{from: a, to: b, event: error.execution}, {from: a, to: c, event: error}]
        actions: {a: [{type: assign, set: {x: context.nope}}]}
        """)
    assert lab.states == ["c"]


def test_an_action_that_was_begun_and_failed_is_an_error() -> None:
    lab = Lab("states: {a: {actions: [{type: bash, command: 'false'}], on: {error.execution: b, error: c}}, b: , c: }")
    lab.fail()
    assert lab.states == ["c"]
    lab = Lab("""
        states:
          a: {actions: [{type: sleep, duration: 9, timeout: 1}], on: {error.execution: b, error: c}}
          b:
          c:
        """)
    lab.wait(2)
    assert lab.states == ["c"]


def test_the_event_says_what_failed_as_that_of_a_block_does() -> None:
    for key in ("actions", "entry"):
        lab = Lab(f"""
            states:
              a:
                {key}: [{FAULTS[0]}]
                on: {{error.execution: {{actions: [{{type: assign, set: {{told: event.payload}}}}]}}}}
            """)
        told = lab.context["told"]
        assert told.pop("message").startswith("assign: ")
        assert told == {"kind": "action", "state": "a"}


def test_one_that_nothing_takes_is_told_and_the_sequence_goes_on() -> None:
    lab = Lab(f"states: {{a: {{actions: [{FAULTS[0]}, {{type: log, message: after}}]}}}}")
    assert lab.logs == ["after"]
    assert [e.code for e in lab.effects if isinstance(e, Warn)] == ["action_failed", "unhandled_failure"]
