"""Actions on other machines and on waiting events: what they ask of the store, and what they make of its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smd.actions import STORE, WORKING
from smd.actions.base import Call
from smd.actions.machines import STOP, StartChild
from smd.catalogue import ACTIONS, Kind
from smd.errors import ActionError
from smd.statechart.event import Event, Hold, Outcome
from smd.store.base import ClearPending, Enqueue, FindMachine, FindPending, MachineRow
from tests.unit.acting import Told, after, call_of, drive

STARTED = {"started": True, "existing": False, "error": None}


def ask(kind: str, *answers: Any, **more: Any) -> tuple[list[Any], Outcome, Call]:
    call = call_of(kind, Path("/"), **more)
    return *drive(STORE[kind](call), *answers), call


def start(**more: Any) -> dict[str, Any]:
    return {"yaml_path": "child.yaml", "machine_name": "child", **more}


def row(status: str, label: str = "busy") -> MachineRow:
    return MachineRow("other", 1, "hash", status, 3, label)


@pytest.mark.parametrize(("kind", "table"), [(Kind.STORE, STORE), (Kind.WORKING, WORKING)])
def test_every_lasting_type_of_the_catalogue_has_its_family(kind: Kind, table: dict[str, Any]) -> None:
    assert set(table) == {name for name, entry in ACTIONS.items() if entry.kind == kind}


# --- children ---------------------------------------------------------------------------------------------------------


def test_a_child_gets_the_variables_named_for_it() -> None:
    context = {"a": 1, "b": {"c": {"d": [2]}}, "n": 7, "none": None}
    names = ["a", "b.c.d", "b.c as inner", "none", "gone.x"]
    told = Told()
    asked, outcome, _ = ask(
        "start_fsm",
        STARTED,
        context=context,
        told=told,
        **start(machine_name="child-{n}", context_vars=names, linked=True),
    )
    wanted = {"a": 1, "b": {"c": {"d": [2]}}, "inner": {"d": [2]}}
    assert asked == [StartChild("child-7", "child.yaml", wanted, "m", "m/1/1/0", True, ())]
    assert (outcome.event, outcome.ok) == ("started", True)
    assert [text for level, text in told.lines if level == "warning"] == [
        "start_fsm: 'none' has no value and is not handed over",
        "start_fsm: 'gone.x' has no value and is not handed over",
    ]


def test_a_child_takes_over_the_jobs_whose_ids_it_is_given() -> None:
    held = (Hold("j1", 1), Hold("j2", 4), Hold("j3", 2))
    context = {"job": {"id": "j2", "job_id": "j2"}, "job_id": "j1", "other": "j3"}
    asked, outcome, _ = ask(
        "start_fsm", STARTED, held=held, context=context, **start(context_vars=["job", "job_id as id"])
    )
    assert asked[0].held == outcome.settled == ("j1", "j2")


def test_a_child_that_cannot_be_started_is_an_error_and_keeps_the_jobs_here() -> None:
    refused = {"started": False, "existing": True, "error": "machine 'child' exists and is running"}
    context = {"job_id": "j1"}
    more = start(context_vars=["job_id"], error="no_child")
    _, outcome, call = ask("start_fsm", refused, held=(Hold("j1", 1),), context=context, **more)
    assert (outcome.event, outcome.settled) == ("no_child", ())
    assert after(call, outcome)["last_error"] == "cannot start machine 'child': machine 'child' exists and is running"


def test_started_children_are_noted_where_asked() -> None:
    _, outcome, call = ask("start_fsm", STARTED, context={"spawned_pids": ["one"]}, **start(store_pid=True))
    assert after(call, outcome)["spawned_pids"] == ["one", "child"]


@pytest.mark.parametrize(
    "more",
    [{"machine_name": "child-{unset}"}, {"yaml_path": "{unset}"}, {"context_vars": ["a b"]}, {"context_vars": [3]}],
)
def test_a_start_that_makes_no_sense_is_refused_before_anything_is_asked(more: dict[str, Any]) -> None:
    with pytest.raises(ActionError):
        ask("start_fsm", **start(**more))


# --- other machines ---------------------------------------------------------------------------------------------------


def test_a_running_machine_is_sent_its_stop() -> None:
    asked, outcome, _ = ask("stop_machine", row("running"), (5, None), machine_name="other")
    assert asked == [FindMachine("other"), Enqueue("other", Event(STOP, {}, source="m", priority=0), 1000.0)]
    assert outcome.event == "success"


@pytest.mark.parametrize("status", ["stopped", "finished", "failed"])
def test_a_machine_that_is_not_up_counts_as_stopped(status: str) -> None:
    asked, outcome, _ = ask("stop_machine", row(status), machine_name="other")
    assert (len(asked), outcome.ok) == (1, True)


def test_a_machine_that_does_not_exist_cannot_be_stopped() -> None:
    _, outcome, _ = ask("stop_machine", None, machine_name="other")
    assert (outcome.ok, outcome.error) == (False, "cannot stop machine 'other': no such machine")


@pytest.mark.parametrize(
    ("found", "expected", "event"),
    [
        (row("running"), ["busy", "idle"], "in_expected_state"),
        (row("paused"), ["busy"], "in_expected_state"),
        (row("running", "a,busy"), ["busy"], "in_expected_state"),
        (row("running"), ["idle"], "unexpected_state"),
        (row("running"), [], "unexpected_state"),
        (row("stopped"), ["busy"], "not_running"),
        (None, ["busy"], "not_running"),
    ],
)
def test_the_state_of_another_machine_chooses_the_event(
    found: MachineRow | None, expected: list[str], event: str
) -> None:
    _, outcome, call = ask("check_machine_state", found, target_machine="other", expected_states=expected)
    assert (outcome.event, outcome.ok) == (event, True)
    seen = found.label if found and event == "unexpected_state" else None
    assert after(call, outcome).get("unexpected_machine_state") == seen


# --- events -----------------------------------------------------------------------------------------------------------


def test_a_machine_s_own_events_come_through_its_inbox_so_nothing_is_asked() -> None:
    asked, outcome, _ = ask("check_events", event_types=["go", "halt"])
    assert asked == []
    assert (outcome.event, outcome.taken, outcome.empty) == ("no_events", None, True)


def test_an_event_of_another_machine_is_looked_at_only() -> None:
    asked, outcome, _ = ask("check_events", (9, Event("go")), event_types="go", target_machine="other")
    assert asked == [FindPending("other", ("go",))]
    assert (outcome.taken, outcome.empty) == (None, False)


@pytest.mark.parametrize(("cleared", "event"), [([3, 4], "events_cleared"), ([], "no_events_to_clear")])
@pytest.mark.parametrize("target", [{}, {"target_machine": "other"}])
def test_clearing_tells_whether_there_was_anything(cleared: list[int], event: str, target: dict[str, str]) -> None:
    asked, outcome, _ = ask("clear_events", cleared, event_types="go", **target)
    assert asked == [ClearPending(target.get("target_machine", "m"), ("go",), 1000.0)]
    assert (outcome.event, outcome.empty, outcome.ok) == (event, False, True)


@pytest.mark.parametrize("kind", ["clear_events", "check_events"])
@pytest.mark.parametrize("given", [[1], [], 7, {"go": 1}])
def test_event_types_that_are_none_are_refused(kind: str, given: Any) -> None:
    with pytest.raises(ActionError, match="event_types"):
        ask(kind, event_types="{given}", context={"given": given})
