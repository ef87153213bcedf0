"""Compatibility spec sections 2.8, 2.9 and 3: context, time-outs and placeholders."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from smd.http.datagram import ControlSocket
from smd.jobs import NewJob
from smd.runtime.clock import SystemClock
from tests.hosting import Host, hosting
from tests.lab import Lab

TAKER = """
initial_state: waiting
transitions:
  - {from: waiting, to: working, event: new_job}
  - {from: waiting, to: waiting, event: no_jobs}
  - {from: working, to: waiting, event: next}
actions:
  waiting: [{type: check_database_queue, job_type: t}]
  working: [{type: log, message: 'id={id} job_id={job_id} name={name} file={file}'}]
"""
LISTER = """
initial_state: listing
transitions: [{from: listing, to: popped, event: item_popped}, {from: listing, to: listing, event: no_jobs}]
actions:
  listing: [{type: get_pending_jobs, job_type: t}, {type: pop_from_list, list_key: pending_jobs, store_as: current_job}]
  popped: [{type: log, message: 'id={id} job_id={job_id} name={name}'}]
"""


async def with_jobs(host: Host, text: str, *data: Any) -> list[dict[str, Any]]:
    """The context after each job with this data."""
    await host.supervisor.add_jobs([NewJob("t", f"j{n}", data=each) for n, each in enumerate(data)])
    await host.add(text, name="m")
    contexts = []
    for _ in data:
        await host.quiet()
        contexts.append(host.context("m"))
        await host.send("m", "next")
    return contexts


# --- 2.8 jobs in the context ------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("text", [TAKER, LISTER], ids=["check_database_queue", "get_pending_jobs + pop_from_list"])
async def test_id_and_job_id_are_both_the_text_id_however_a_job_was_taken(text: str) -> None:
    async with hosting() as host:
        await with_jobs(host, text, {"name": "n"})
        assert any("id=j0 job_id=j0 name=n" in line for line in host.supervisor.log_tail("m", 50))


@pytest.mark.asyncio
async def test_keys_of_the_job_before_do_not_stay_behind() -> None:
    async with hosting() as host:
        first, second = await with_jobs(host, TAKER, {"name": "a", "file": "f"}, {"name": "b"})
        assert (first["name"], first["file"], second["name"], second.get("file")) == ("a", "f", "b", None)


@pytest.mark.asyncio
async def test_a_chart_s_own_key_comes_back_after_a_job_that_covered_it(tmp_path: Path) -> None:
    """Also after a restart of the daemon with the job in hand; the journal gives the same (`hosting` replays it)."""
    text = f"context: {{name: own, keep: 1}}{TAKER}"
    async with hosting(tmp_path / "s.db") as host:
        told = await with_jobs(host, text, {"name": "a", "keep": 2}, {}, {"name": "c"})
        assert [(each["name"], each["keep"]) for each in told] == [("a", 2), ("own", 1), ("c", 1)]
        await host.supervisor.add_jobs([NewJob("t", "k1", data={"name": "d"}), NewJob("t", "k2")])
        await host.quiet()
        assert host.context("m")["name"] == "d"
    async with hosting(tmp_path / "s.db") as host:
        await host.send("m", "next")
        await host.quiet()
        assert (host.context("m")["job_id"], host.context("m")["name"]) == ("k2", "own")


@pytest.mark.asyncio
async def test_null_fields_of_a_job_are_not_promoted() -> None:
    async with hosting() as host:
        (context,) = await with_jobs(host, TAKER, {"name": None, "file": "f"})
        assert ("name" in context, context["file"]) == (False, "f")


@pytest.mark.asyncio
@pytest.mark.parametrize("data", [None, [], [1], "text", 7, {}])
async def test_any_kind_of_job_data_is_taken_and_kept(data: Any) -> None:
    async with hosting() as host:
        (context,) = await with_jobs(host, TAKER, data)
        assert (host.states("m"), context["current_job"]["data"]) == (["waiting"], data)
        assert (await host.store.job_counts())["t"] == {"completed": 1}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "word", ["machine_name", "current_state", "event_data", "event", "payload", "last_error", "current_job"]
)
async def test_job_data_cannot_overwrite_the_words_of_the_machine(word: str) -> None:
    async with hosting() as host:
        text = TAKER.replace("id={id} job_id", "mine={machine_name} state={current_state} job_id")
        (context,) = await with_jobs(host, text, {word: "evil"})
        assert context.get(word) != "evil"
        assert any("mine=m state=working" in line for line in host.supervisor.log_tail("m", 50))


@pytest.mark.asyncio
async def test_complete_job_knows_the_job_that_was_taken_from_the_queue() -> None:
    async with hosting() as host:
        await with_jobs(host, TAKER.replace("{type: log, ", "{type: complete_job}, {type: log, "), {"name": "n"})
        job = await host.store.job("j0")
        assert job is not None
        assert (job.status, host.context("m").get("last_error")) == ("completed", None)


SHOW = """
transitions: [{from: waiting, to: waiting, event: say}]
actions: {waiting: [{type: log, message: '%s'}]}
"""


def said(template: str, payload: Any = None, **context: Any) -> str:
    """What a log action says, having been led in by an event."""
    lab = Lab(SHOW % template.replace("'", "''"), **context)
    lab.send("say", payload)
    return lab.logs[-1]


def test_event_data_holds_type_event_name_payload_and_job_id() -> None:
    lab = Lab(SHOW % "{event_data.type} {event_data.event_name} {event_data.payload.n} {event_data.job_id}")
    lab.send("say", {"n": 1}, job_id="j")
    assert lab.logs[-1] == "say say 1 j"


@pytest.mark.asyncio
@pytest.mark.parametrize(("payload", "kept"), [
    ('{"n": 1}', {"n": 1}), ("[1]", [1]), ("7", 7), ('"t"', "t"), ("null", None), ("{oops", {}), ("", {}), (None, None),
    ({"n": 1}, {"n": 1}),
])  # fmt: skip
async def test_a_payload_that_is_json_text_arrives_as_its_value(tmp_path: Path, payload: Any, kept: Any) -> None:
    text = (
        "events: {say: {context_map: {got: type, all: payload}}}\ntransitions: [{from: waiting, to: heard, event: say}]"
    )
    async with hosting() as host:
        await host.add(text, name="m")
        control = ControlSocket(tmp_path / "c-m.sock", "m", host.supervisor.post)
        control.open()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(json.dumps({"type": "say", "payload": payload}).encode(), str(control.path))
        await host.until("m", "heard")
        assert (host.context("m")["got"], host.context("m").get("all")) == ("say", kept)
        await control.close()


# --- 2.9 time-outs ----------------------------------------------------------------------------------------------------

TIMED = """
initial_state: a
transitions:
%s
  - {from: a, to: b, event: go}
  - {from: b, to: a, event: back}
"""


def timed(*rows: str) -> Lab:
    return Lab(TIMED % "\n".join(f"  - {{{row}}}" for row in rows))


@pytest.mark.parametrize(("name", "seconds"), [("timeout(5)", 5), ("timeout(2.5)", 2.5), ("timeout(0.1)", 0.1)])
def test_a_time_out_fires_when_its_seconds_have_passed(name: str, seconds: float) -> None:
    lab = timed(f"from: a, to: late, event: {name}")
    lab.wait(seconds * 0.99)
    assert lab.states == ["a"]
    lab.wait(seconds * 0.02)
    assert lab.states == ["late"]


@pytest.mark.parametrize("name", ["timeout", "timed(5)", "timeout_5"])
def test_other_names_are_ordinary_events(name: str) -> None:
    lab = timed(f"from: a, to: late, event: {name}")
    assert (lab.wait(100), lab.send(name), lab.states) == (0, "taken", ["late"])


def test_a_self_loop_arms_the_time_out_anew() -> None:
    lab = timed("from: a, to: late, event: timeout(5)", "from: a, to: a, event: again")
    lab.wait(4)
    lab.send("again")
    lab.wait(4)
    assert lab.states == ["a"]
    lab.wait(1)
    assert lab.states == ["late"]


def test_a_row_for_any_state_arms_in_every_state() -> None:
    lab = timed("from: '*', to: late, event: timeout(5)")
    lab.wait(4)
    lab.send("go")
    lab.wait(4)
    assert lab.states == ["b"]
    lab.wait(1)
    assert lab.states == ["late"]


@pytest.mark.parametrize(("first", "second", "target"), [("a", "'*'", "one"), ("'*'", "a", "one")])
def test_file_order_decides_between_a_row_for_this_state_and_for_any(first: str, second: str, target: str) -> None:
    lab = timed(f"from: {first}, to: one, event: timeout(5)", f"from: {second}, to: two, event: timeout(5)")
    lab.wait(5)
    assert lab.states == [target]


def test_an_ignored_event_does_not_cancel_a_time_out() -> None:
    lab = timed("from: a, to: late, event: timeout(5)")
    lab.wait(3)
    assert lab.send("noise") == "ignored"
    lab.wait(2)
    assert lab.states == ["late"]


def test_a_transition_cancels_the_time_outs_of_the_state_it_leaves() -> None:
    lab = timed("from: a, to: late, event: timeout(5)")
    lab.send("go")
    assert (lab.wait(100), lab.states) == (0, ["b"])


def test_of_several_time_outs_the_first_to_fire_wins_and_the_others_are_gone() -> None:
    lab = timed("from: a, to: slow, event: timeout(9)", "from: a, to: fast, event: timeout(3)")
    assert (lab.wait(100), lab.states) == (1, ["fast"])


def test_the_same_time_out_twice_never_fires_later_in_another_state() -> None:
    lab = timed("from: a, to: late, event: timeout(5)", "from: '*', to: wrong, event: timeout(5)")
    lab.wait(3)
    lab.send("go")
    lab.wait(4.9)
    assert lab.states == ["b"], "the time-out of 'a' is gone, that of 'b' not yet due"


def test_no_time_out_outlives_the_machine() -> None:
    lab = Lab("transitions: [{from: waiting, to: stopped, event: stop}, {from: '*', to: waiting, event: timeout(5)}]")
    lab.send("stop")
    assert (lab.snapshot.status, lab.wait(100), lab.states) == ("finished", 0, ["stopped"])


def test_a_time_out_fires_while_an_action_runs_and_ends_it() -> None:
    lab = Lab(
        (TIMED % "  - {from: a, to: late, event: timeout(5)}") + "actions: {a: [{type: bash, command: sleep 60}]}"
    )
    assert len(lab.records("working")) == 1
    lab.wait(5)
    assert (lab.states, lab.records("working")) == (["late"], [])


def test_a_time_out_back_to_the_same_state_fires_again_and_again() -> None:
    lab = timed("from: a, to: a, event: timeout(2)")
    assert lab.wait(10) == 5


# --- 3 placeholders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("template", "text"), [
    ("{x}", "1"), ("{deep.a.b}", "2"), ("{_u}", "3"), ("{x} and {deep.a.b}", "1 and 2"),
    ("{ x }", "{ x }"), ("{my-key}", "{my-key}"), ("{1x}", "{1x}"), ("{}", "{}"),
    ("{list.0}", "{list.0}"), ("{list.append}", "{list.append}"), ("{deep.items}", "{deep.items}"),
    ("{false}|{zero}|{empty}|", "False|0||"), ("{missing} {nothing}", "{missing} {nothing}"),
    ("{braces}", "{x}"), ("{{x}}", "{1}"),
    ("{list|length} {deep|length} {word|length} {missing|length}", "2 1 4 0"),
    ("{missing|default:0} {nothing|default:'a b'} {x|default:9}", "0 a b 1"),
    ("{list|length|default:0} {missing|length|default:5}", "2 0"), ("{list|json}", "[1,2]"),
    ("{missing|default:none}", "None"),
])  # fmt: skip
def test_a_placeholder_in_text(template: str, text: str) -> None:
    context = {
        "x": 1, "deep": {"a": {"b": 2}}, "_u": 3, "list": [1, 2], "false": False, "zero": 0, "empty": "", "nothing": None,
        "braces": "{x}", "word": "four",
    }  # fmt: skip
    assert said(template, **context) == text


@pytest.mark.parametrize("value", [1, 1.5, True, False, 0, "", "text", [1, {"a": 2}], {"a": [1]}])
def test_a_text_that_is_one_placeholder_keeps_the_type_of_the_value(value: Any) -> None:
    lab = Lab(
        "transitions: [{from: waiting, to: b, event: go}]\nactions: {b: [{type: set_context, key: got, value: '{x}'}]}",
        x=value,
    )
    lab.send("go")
    assert (lab.context["got"], type(lab.context["got"])) == (value, type(value))


def test_placeholders_reach_every_level_but_keys() -> None:
    lab = Lab(
        "transitions: [{from: waiting, to: b, event: go}]\nactions: {b: [{type: set_context, key: got, value: {'{x}': [{deep: ['{x}']}]}}]}",
        x=1,
    )
    lab.send("go")
    assert lab.context["got"] == {"{x}": [{"deep": [1]}]}


async def shell_output(host: Host, command: str, **context: Any) -> Any:
    text = f"transitions: [{{from: waiting, to: b, event: job_done}}]\nactions: {{waiting: [{{type: bash, command: {json.dumps(command)}, store_as: out}}]}}"
    await host.supervisor.add(text=text, name="m", context=context)
    await host.quiet()
    return host.context("m").get("out")


HOSTILE = [
    "; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "' ; touch pwned ; '",
    '" ; touch pwned ; "',
    "a\ntouch pwned",
    "&& touch pwned",
    "$HOME",
    "*",
    "a  b",
]


@pytest.mark.asyncio
@pytest.mark.parametrize("quoted", ["{x}", "'{x}'", '"{x}"'])
@pytest.mark.parametrize("value", HOSTILE)
async def test_a_value_in_a_command_is_never_shell_text(tmp_path: Path, value: str, quoted: str) -> None:
    async with hosting(clock=SystemClock(), work_folder=tmp_path) as host:
        assert await shell_output(host, f"printf %s {quoted}", x=value) == value
        assert not (tmp_path / "pwned").exists()


@pytest.mark.asyncio
@pytest.mark.parametrize(("command", "output"), [
    ("echo {a|b}", "second"), ("echo ${HOME:+set}", "set"), ("echo {x,y} {1..2} '{ x }'", "{x,y} {1..2} { x }"),
    ("echo {list|length}", "2"), ("echo {missing|default:'nobody here'}", "nobody here"),
])  # fmt: skip
async def test_commands_know_fall_backs_and_filters_and_leave_the_shell_its_own(command: str, output: str) -> None:
    async with hosting(clock=SystemClock()) as host:
        assert await shell_output(host, command, a=None, b="second", list=[1, 2]) == output


@pytest.mark.asyncio
async def test_a_placeholder_without_a_value_stays_as_written_in_commands_too(tmp_path: Path) -> None:
    """As one argument, so that it harms nothing: `{missing}` is a name like any other to the shell."""
    async with hosting(clock=SystemClock(), work_folder=tmp_path) as host:
        assert await shell_output(host, "echo build/{missing} {other|default:none}.") == "build/{missing} ."


@pytest.mark.asyncio
async def test_one_pass_only_in_commands_too() -> None:
    async with hosting(clock=SystemClock()) as host:
        assert await asyncio.wait_for(shell_output(host, "echo {x}", x="{y}", y="secret"), 20) == "{y}"
