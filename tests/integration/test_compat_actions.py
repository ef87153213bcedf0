"""Compatibility spec section 4: what built-in actions do better than 1.0.91."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from smd.jobs import NewJob
from smd.problems import DocumentError
from smd.runtime.clock import SystemClock
from smd.statechart.effects import Log
from tests.hosting import Host, hosting
from tests.lab import Lab, chart_of

pytestmark = pytest.mark.asyncio

FLAT = """
initial_state: a
transitions:
  - {from: a, to: b, event: go}
  - {from: a, to: failed, event: error}
  - {from: a, to: done, event: ok}
actions:
  a: [%s]
"""


def acting(action: dict[str, Any], *more: dict[str, Any]) -> str:
    """A flat file whose first state has these actions; it has rows for ok, go and error."""
    return FLAT % ", ".join(json.dumps(each) for each in (action, *more))


async def act(host: Host, action: dict[str, Any], *more: dict[str, Any], **context: Any) -> list[str]:
    """Run the actions in machine `m`; its states afterwards."""
    await host.supervisor.add(text=acting(action, *more), name="m", context=context)
    await host.quiet()
    return host.states("m")


# --- 4.1, 4.2 log -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["log", "activity_log"])
async def test_a_log_is_shown_live_kept_and_answers_its_success(kind: str) -> None:
    async with hosting() as host:
        with host.supervisor.bus.subscribe(["activity_log"]) as notices:
            assert await act(host, {"type": kind, "message": "hi {x}", "level": "warning", "success": "ok"}, x=1) == [
                "done"
            ]
            notice = await asyncio.wait_for(notices.get(), 20)
        assert (notice.machine, notice.data) == ("m", {"level": "warning", "message": "hi 1"})
        assert any("warning hi 1" in line for line in host.supervisor.log_tail("m", 9))


async def test_every_log_is_written_however_often_it_repeats() -> None:
    async with hosting() as host:
        await act(host, *[{"type": "log", "message": "same"}] * 25)
        assert len([line for line in host.supervisor.log_tail("m", 99) if line.endswith("same")]) == 25


async def test_an_unknown_level_is_info() -> None:
    lab = Lab(acting({"type": "log", "message": "x", "level": "success"}))
    assert [effect.level for effect in lab.effects if isinstance(effect, Log)] == ["info"]


async def test_both_layouts_of_parameters_are_read_and_the_outer_one_wins() -> None:
    wrapped = {"type": "log", "params": {"message": "inner"}}
    assert Lab(acting(wrapped, {**wrapped, "message": "outer"})).logs == ["inner", "outer"]


async def test_log_stays_the_built_in_one_beside_a_file_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "log_action.py").write_text("raise RuntimeError")
    async with hosting(actions_dir=tmp_path) as host:
        assert await act(host, {"type": "log", "message": "x", "success": "ok"}) == ["done"]


async def test_activity_log_answers_continue_and_log_nothing() -> None:
    rows = "initial_state: a\ntransitions: [{from: a, to: b, event: continue}]\nactions: {a: [{type: %s, message: x}]}"
    assert [Lab(rows % kind).states for kind in ("activity_log", "log")] == [["b"], ["a"]]


# --- 4.3 sleep, bash --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("duration", "seconds"), [("2", 2), (2, 2), ("2s", 2), ("1m", 60), ("{n}", 3), (0.5, 0.5)])
async def test_sleep_takes_any_duration_and_answers_wake_up(duration: Any, seconds: float) -> None:
    text = acting({"type": "sleep", "duration": duration}).replace("event: ok", "event: wake_up")
    lab = Lab(text, n="3")
    lab.wait(seconds * 0.99)
    assert lab.states == ["a"]
    lab.wait(seconds * 0.02)
    assert lab.states == ["done"]


async def test_a_sleep_that_makes_no_sense_fails_and_never_crashes() -> None:
    assert Lab(acting({"type": "sleep", "duration": "{x}"}), x="soon").states == ["failed"]


async def test_a_sleep_does_not_keep_events_out() -> None:
    lab = Lab(acting({"type": "sleep", "duration": 60}))
    assert (lab.send("go"), lab.states, lab.wait(100)) == ("taken", ["b"], 0)


async def test_a_command_in_job_data_is_never_run(tmp_path: Path) -> None:
    async with hosting(clock=SystemClock(), work_folder=tmp_path) as host:
        await host.supervisor.add_jobs([NewJob("t", "j", data={"command": "touch pwned"})])
        check = {"type": "check_database_queue", "job_type": "t"}
        assert await act(host, check, {"type": "bash", "command": "touch mine", "success": "ok"}) == ["done"]
        assert ((tmp_path / "mine").exists(), (tmp_path / "pwned").exists()) == (True, False)


@pytest.mark.parametrize(("more", "states"), [
    ({}, ["failed"]), ({"error": "go"}, ["b"]), ({"error_mappings": {"3": "go"}}, ["b"]),
    ({"error_mappings": {3: "go"}}, ["b"]), ({"error_mappings": {"4": "go"}}, ["failed"]),
    ({"error_mappings": {"4": "ok"}, "error": "go"}, ["b"]),
], ids=str)  # fmt: skip
async def test_an_exit_code_is_the_event_its_file_names(more: dict[str, Any], states: list[str]) -> None:
    async with hosting(clock=SystemClock()) as host:
        assert await act(host, {"type": "bash", "command": "echo bad >&2; exit 3", **more}) == states
        context = host.context("m")
        assert (context["last_error_exit_code"], context["last_error_action"]) == (3, "bash")
        assert context["last_error_command"] == "echo bad >&2; exit 3"
        assert "bad" in context["last_error"]


async def test_the_job_stays_in_the_context_when_a_command_fails() -> None:
    async with hosting(clock=SystemClock()) as host:
        await host.supervisor.add_jobs([NewJob("t", "j")])
        check = {"type": "check_database_queue", "job_type": "t"}
        await act(host, check, {"type": "bash", "command": "exit 1"})
        assert host.context("m")["current_job"]["job_id"] == "j"


async def test_a_time_out_leaves_no_exit_code_of_an_earlier_command() -> None:
    async with hosting(clock=SystemClock()) as host:
        first, second = (
            {"type": "bash", "command": "exit 3", "error": "none"},
            {"type": "bash", "command": "sleep 60", "timeout": 0.1},
        )
        assert await act(host, first, second) == ["failed"]
        assert "last_error_exit_code" not in host.context("m")


@pytest.mark.parametrize(
    ("more", "value"),
    [({}, "1\n2"), ({"parse": "lines"}, ["1", "2"]), ({"parse": "json", "command": "echo '[1]'"}, [1])],
)
async def test_output_is_kept_in_the_context_where_asked_and_whole_in_the_log(more: dict[str, Any], value: Any) -> None:
    async with hosting(clock=SystemClock()) as host:
        await act(host, {"type": "bash", "command": "echo 1; echo 2", "store_as": "out", **more})
        assert host.context("m")["out"] == value
        assert any("| " in line for line in host.supervisor.log_tail("m", 9))


def lives(pid: str) -> bool:
    """True unless the process is gone or a zombie."""
    path = Path(f"/proc/{pid}/status")
    return path.exists() and "\nState:\tZ" not in path.read_text()


async def test_a_time_out_ends_the_whole_process_tree_and_is_told_at_once(tmp_path: Path) -> None:
    async with hosting(clock=SystemClock(), work_folder=tmp_path) as host:
        command, timeout = "sleep 600 & echo $!; setsid sleep 600 & echo $!; wait", 1
        started = asyncio.get_running_loop().time()
        assert await act(host, {"type": "bash", "command": command, "timeout": timeout}) == ["failed"]
        took = asyncio.get_running_loop().time() - started
        assert took / timeout < 5, "the predecessor took six times its time-out"
        pids = [line.split("| ")[1] for line in host.supervisor.log_tail("m", 9) if "| " in line]
        assert (len(pids), [pid for pid in pids if lives(pid)]) == (2, [])


async def test_a_grandchild_that_holds_the_pipes_delays_no_answer() -> None:
    async with hosting(clock=SystemClock()) as host:
        held = {"type": "bash", "command": "sleep 600 & echo x", "success": "ok", "timeout": 60}
        assert await asyncio.wait_for(act(host, held), 20) == ["done"]


# --- 4.5 lists --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "context", "states"), [
    ({"type": "set_context", "key": "k", "value": None, "success": "ok"}, {}, ["done"]),
    ({"type": "add_to_list", "value": 1, "success": "ok"}, {}, ["done"]),
    ({"type": "add_to_list", "value": 1}, {"items": "text"}, ["failed"]),
    ({"type": "pop_from_list", "success": "ok"}, {"items": [1]}, ["done"]),
    ({"type": "pop_from_list", "empty": "go"}, {"items": []}, ["b"]),
    ({"type": "pop_from_list", "empty": "go"}, {}, ["b"]), ({"type": "pop_from_list", "empty": "go"}, {"items": "text"}, ["b"]),
], ids=str)  # fmt: skip
async def test_list_actions_answer_as_before(
    action: dict[str, Any], context: dict[str, Any], states: list[str]
) -> None:
    assert Lab(acting(action), **context).states == states


@pytest.mark.parametrize(
    "action", [{"type": "set_context", "key": "k"}, {"type": "set_context", "value": 1}, {"type": "add_to_list"}]
)
async def test_a_required_parameter_that_is_missing_is_told_at_load(action: dict[str, Any]) -> None:
    with pytest.raises(DocumentError, match="is missing"):
        chart_of(acting(action))


async def test_items_leave_a_list_first_in_first_out() -> None:
    pop = {"type": "pop_from_list", "list_key": "l", "store_as": "x"}
    adds = [{"type": "add_to_list", "list_key": "l", "value": n} for n in (1, 2)]
    lab = Lab(acting(adds[0], adds[1], pop))
    assert (lab.context["x"], lab.context["l"]) == (1, [2])


# --- 4.6, 4.7 events --------------------------------------------------------------------------------------------------

HEARER = "events: {hi: {context_map: {got: payload}}}\nstates: {a: {on: {hi: a}}}"


@pytest.mark.parametrize("key", ["target", "target_machine"])
async def test_send_event_reaches_its_target_under_either_name_of_the_key(key: str) -> None:
    async with hosting() as host:
        await host.add(HEARER, name="other")
        send = {"type": "send_event", key: "other", "event_type": "hi", "payload": {"n": "{x}"}, "success": "ok"}
        assert await act(host, send, x=5) == ["done"]
        await host.quiet()
        assert host.context("other")["got"] == {"n": 5}


@pytest.mark.parametrize(("payload", "got"), [
    ({"a": "{x}", "b": "{none}", "c": {"d": "{none}"}, "e": "x{none}"}, {"a": 5, "b": None, "c": {"d": "{none}"}, "e": "x{none}"}),
    ({"json": '{"k": 1}', "query": "{ user { name } }", "empty": "{}", "two": "{a}{b}", "bare": "{", "typo": "{x|defualt:1}"},) * 2,
    ({"same": "{itself}", "gone": "{none|json}", "none": "{none|default:none}"}, {"same": "{itself}", "gone": None, "none": None}),
    ("{whole}", {"k": [1]}), ({"deep": {"list": ["{whole}"]}}, {"deep": {"list": [{"k": [1]}]}}),
], ids=str)  # fmt: skip
async def test_payloads_are_filled_in_at_every_depth(payload: Any, got: Any) -> None:
    send = {"type": "send_event", "target": "other", "event_type": "hi", "payload": payload}
    assert [each.payload for each in Lab(acting(send), x=5, itself="{itself}", whole={"k": [1]}).sends] == [got]


async def test_a_payload_can_be_forwarded_whole() -> None:
    text = "transitions: [{from: waiting, to: b, event: go}]\nactions: {b: [{type: send_event, target: o, event_type: hi, payload: '{event_data.payload}'}]}"
    lab = Lab(text)
    lab.send("go", {"n": [1]})
    assert [each.payload for each in lab.sends] == [{"n": [1]}]


async def test_fire_and_forget_answers_nothing() -> None:
    send = {"type": "send_event", "target": "o", "event_type": "hi", "success": "ok"}
    assert [Lab(acting({**send, "fire_and_forget": word})).states for word in ("yes", "no")] == [["a"], ["done"]]


async def test_an_event_for_nobody_is_told_to_its_sender() -> None:
    async with hosting() as host:
        send = {"type": "send_event", "target": "nobody", "event_type": "hi", "success": "none"}
        await act(host, send)
        await host.until("m", "failed")


async def test_an_event_for_a_stopped_machine_waits_and_is_delivered() -> None:
    async with hosting() as host:
        await host.add(HEARER, name="other")
        await host.supervisor.stop("other")
        await act(host, {"type": "send_event", "target": "other", "event_type": "hi", "payload": {"n": 1}})
        await host.supervisor.start("other")
        await host.quiet()
        assert host.context("other")["got"] == {"n": 1}


@pytest.mark.parametrize(("types", "states"), [("hi", ["done"]), (["hi", "x"], ["done"]), (["x"], ["b"])])
async def test_clear_events_discards_what_waits_and_says_whether_there_was_any(types: Any, states: list[str]) -> None:
    async with hosting() as host:
        await host.add(HEARER, name="other")
        await host.supervisor.stop("other")
        await host.send("other", "hi", {"n": 1})
        clear = {
            "type": "clear_events",
            "event_types": types,
            "target_machine": "other",
            "success": "ok",
            "empty": "go",
        }
        assert await act(host, clear) == states
        await host.supervisor.start("other")
        await host.quiet()
        assert ("got" in host.context("other")) is (states == ["b"])


# --- 4.8, 4.10 checks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "expected", "event"), [
    ("running", ["a", "z"], "in_expected_state"), ("running", ["z"], "unexpected_state"), ("running", [], "unexpected_state"),
    ("stopped", ["a"], "not_running"), ("absent", ["a"], "not_running"),
])  # fmt: skip
async def test_check_machine_state_tells_the_truth(state: str, expected: list[str], event: str) -> None:
    async with hosting() as host:
        if state != "absent":
            await host.add(HEARER, name="other")
        if state == "stopped":
            await host.supervisor.stop("other")
        check = {"type": "check_machine_state", "target_machine": "other", "expected_states": expected}
        await host.supervisor.add(text=acting(check).replace("event: ok", f"event: {event}"), name="m")
        assert host.states("m") == ["done"]
        assert host.context("m").get("unexpected_machine_state") == ("a" if event == "unexpected_state" else None)


async def test_check_events_exists_and_goes_on_with_the_event() -> None:
    async with hosting() as host:
        check, log = {"type": "check_events", "event_types": ["hi"]}, {"type": "log", "message": "got {payload.n}"}
        assert await act(host, check, log) == ["a"]
        assert (await host.send("m", "hi", {"n": 1})).disposition == "taken"
        assert any(line.endswith("got 1") for line in host.supervisor.log_tail("m", 9))


async def test_commands_get_no_variable_of_the_daemon_they_were_not_given() -> None:
    os.environ["SMD_TEST_SECRET"] = "s3cret"
    try:
        async with hosting(clock=SystemClock()) as host:
            await act(host, {"type": "bash", "command": "env", "store_as": "out"})
            assert "s3cret" not in host.context("m")["out"]
    finally:
        del os.environ["SMD_TEST_SECRET"]
