"""Compatibility spec section 1: what 1.0.91 ignored or crashed on when reading a file."""

from __future__ import annotations

import pytest

from smd.document import check_document
from smd.problems import DocumentError
from tests.lab import Lab, chart_of

ROWS = """
initial_state: a
transitions:
%s
actions:
  b: [{type: log, message: state}]
"""


def test_a_state_without_actions_may_say_null() -> None:
    assert (
        Lab("initial_state: a\ntransitions: [{from: a, to: b, event: go}]\nactions: {a: null, b: null}").send("go")
        == "taken"
    )


def test_a_row_without_event_is_told_at_load_with_its_place() -> None:
    with pytest.raises(DocumentError) as caught:
        chart_of(ROWS % "  - {from: a, to: b}")
    assert any(problem.line == 4 and "event" in problem.render() for problem in caught.value.problems)


def test_actions_of_a_row_run_when_it_is_taken_before_those_of_its_target() -> None:
    lab = Lab(ROWS % "  - {from: a, to: b, event: go, actions: [{type: log, params: {message: row}}]}")
    lab.send("go")
    assert lab.logs == ["row", "state"]


@pytest.mark.parametrize(("first", "target"), [("'*'", "any"), ("a", "own")])
def test_file_order_decides_between_rows(first: str, target: str) -> None:
    rows = {"'*'": "  - {from: '*', to: any, event: go}", "a": "  - {from: a, to: own, event: go}"}
    order = [rows[first], *(row for key, row in rows.items() if key != first)]
    lab = Lab(ROWS % "\n".join(order))
    lab.send("go")
    assert lab.states == [target]


def test_an_action_without_type_is_told_at_load() -> None:
    with pytest.raises(DocumentError, match="type"):
        chart_of("initial_state: a\ntransitions: [{from: a, to: b, event: go}]\nactions: {a: [{message: x}]}")


def test_parameters_under_params_are_read_by_every_built_in() -> None:
    lab = Lab(
        "initial_state: a\ntransitions: [{from: a, to: b, event: set}]\nactions: {a: [{type: set_context, params: {key: k, value: 1, success: set}}]}"
    )
    assert (lab.states, lab.context) == (["b"], {"k": 1})


@pytest.mark.parametrize("key", ["timeouts: {a: 5}", "transitons: []"])
def test_what_nobody_reads_is_told_and_never_silently_ignored(key: str) -> None:
    text = f"initial_state: a\ntransitions: [{{from: a, to: b, event: go}}]\n{key}\n"
    assert [p for p in check_document(text, "x.yaml") if key.partition(":")[0] in p.render()]
