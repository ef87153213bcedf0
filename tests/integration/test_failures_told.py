"""What fails is told as what it is: in the answer, the context, the error history and the store, whatever its words."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from smd.errors import ERROR_LIMIT
from smd.runtime.answers import Answer
from smd.statechart.event import Event
from smd.store.base import JournalRow
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

ACTION = """\
import os
from smd.actions.custom import BaseAction

class FooAction(BaseAction):
    def execute(self, context):
        {body}
"""
CHART = """
machine: m
initial: idle
states:
  idle: {on: {go: work}}
  work: {actions: [{type: foo, success: done}], on: {error: bad, done: idle}}
  bad: {on: {go: work}}
"""
GUARDED = """
machine: g
initial: a
states:
  a:
    on:
      x: {to: b, if: "event.payload.t > 20"}
      y: [{to: b, if: "event.payload.t > 20"}, {to: c}]
      assign: {actions: [{type: assign, set: {n: context.missing}}]}
      add: {actions: [{type: add_to_list, list_key: n, value: 1}]}
      sequence: s
      end: over
  b: {}
  c: {}
  s: {actions: [{type: assign, set: {n: context.missing}}], on: {error: a}}
  over: {type: final, entry: [{type: assign, set: {n: context.missing}}]}
"""
HANDLED = GUARDED.replace("      end: over", "      end: over\n      error.execution: err").replace(
    "  b: {}", "  b: {}\n  err: {on: {back: a}}"
)


def written(folder: Path, body: str) -> Path:
    folder.mkdir()
    (folder / "foo_action.py").write_text(ACTION.format(body=body))
    return folder


async def errors(host: Host, name: str) -> list[JournalRow]:
    return await host.store.events(name, errors=True)


# --- words that cannot be stored, or too many of them -------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            'raise RuntimeError("cannot read " + os.fsdecode(b"\\xff.txt"))',
            r"foo: RuntimeError: cannot read \udcff.txt",
        ),
        ('raise RuntimeError("one\\0two")', "foo: RuntimeError: one\0two"),
        ('raise type("Caf\u00e9", (Exception,), {})("\u00e9")', "foo: Caf\u00e9: \u00e9"),
        ('return os.fsdecode(b"\\xff")', "foo: cannot keep context key 'event': the text holds half a character"),
    ],
)
async def test_any_text_of_an_error_reaches_the_error_event(tmp_path: Path, body: str, told: str) -> None:
    async with hosting(tmp_path / "s.db", actions_dir=written(tmp_path / "a", body)) as host:
        name = await host.add(CHART)
        for _ in range(2):
            await host.send(name, "go")
            await host.quiet()
            assert host.states(name) == ["bad"]
            assert host.context(name)["last_error"].startswith(told)
        assert [row.error for row in await errors(host, name)] == [host.context(name)["last_error"]] * 2


async def test_any_text_that_an_action_logs_reaches_log_and_listeners(tmp_path: Path) -> None:
    body = 'self.log("read " + os.fsdecode(b"\\xff.txt")); return "done"'
    async with hosting(tmp_path / "s.db", actions_dir=written(tmp_path / "a", body)) as host:
        name = await host.add(CHART)
        with host.supervisor.bus.subscribe(["log"]) as notices:
            await host.send(name, "go")
            await host.until(name, "idle")
            assert (await notices.get()).data["message"] == r"read \udcff.txt"
        assert any(line.endswith(r"read \udcff.txt") for line in host.supervisor.log_tail(name, 10))


@pytest.mark.parametrize("letter", ["x", "\u00e9", r"\udcff"])
async def test_a_long_error_is_kept_in_part_and_logged_whole(tmp_path: Path, letter: str) -> None:
    body = f'raise ValueError("<" + "{letter}" * (2 << 20) + ">")'
    async with hosting(tmp_path / "s.db", actions_dir=written(tmp_path / "a", body)) as host:
        name = await host.add(CHART)
        await host.send(name, "go")
        await host.quiet()
        assert host.states(name) == ["bad"]
        kept = host.context(name)["last_error"]
        assert ERROR_LIMIT - 8 < len(kept.encode()) <= ERROR_LIMIT
        assert kept.startswith("foo: ValueError: <")
        assert " bytes dropped ... " in kept
        assert kept.endswith(">")
        assert [row.error for row in await errors(host, name)] == [kept]
        whole = [line for line in host.supervisor.log_tail(name, 20) if len(line) > 2 << 20]
        assert len(whole) == 1, "logged once, in the traceback"
        assert whole[0].strip() == f"ValueError: <{letter * (2 << 20)}>"


async def test_a_long_error_without_a_traceback_is_logged_whole(tmp_path: Path) -> None:
    body = 'context["k" * 9000] = object(); return "done"'
    async with hosting(actions_dir=written(tmp_path / "a", body)) as host:
        name = await host.add(CHART)
        await host.send(name, "go")
        await host.quiet()
        assert len(host.context(name)["last_error"]) == ERROR_LIMIT
        assert any("k" * 9000 + "': a value of type object is not JSON" in x for x in host.supervisor.log_tail(name, 9))


@pytest.mark.parametrize("whole", ["event.payload.k", "context.list[0]"])
async def test_of_a_long_error_that_fails_the_machine_a_part_is_kept(tmp_path: Path, whole: str) -> None:
    """In the answer, the machine's view and the error history, whichever step of the chart it was."""
    key = "k" * 100_000
    async with hosting(tmp_path / "s.db") as host:
        name = await host.add(
            f"""
            machine: m
            context: {{k: x, seen: {{x: 1}}, list: [x]}}
            contracts: [{{always: "context.seen[context.k] == 1"}}]
            states: {{a: {{on: {{go: {{actions: [{{type: assign, set: {{k: "{whole}"}}}}]}}}}}}}}
            """.replace("[x]", f"[{key}]")
        )
        answer: Answer = await host.send(name, "go", {"k": key})
        (row,) = await errors(host, name)
        view = host.supervisor.view(name)
        assert (answer.disposition, answer.code, view.status) == ("failed", "contract_broken", "failed")
        assert answer.reason == row.error == view.error
        assert ERROR_LIMIT - 8 < len(str(row.error)) <= ERROR_LIMIT
        assert str(row.error).startswith("cannot accept 'go': contract 'context.seen[context.k] == 1' cannot be ")


# --- a failure that cannot be recorded as it is -------------------------------------------------------------------


def unstorable(**more: Any) -> Event:
    return Event("go", {"n": 1}, "", "py", job_id="caf\udce9", **more)


@pytest.mark.parametrize("file", [True, False])
async def test_an_event_that_cannot_be_stored_fails_its_machine_in_the_store(tmp_path: Path, *, file: bool) -> None:
    """Also one that nobody waits for; what comes after it has its turn, and a new life begins without it."""
    async with hosting(tmp_path / "s.db" if file else None) as host:
        for name, waited in (("m", True), ("n", False)):
            await host.add(CHART.replace("type: foo", "type: log, message: x"), name=name)
            reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            after: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            if waited:
                host.supervisor.post(name, unstorable(), reply.set_result)
            else:
                host.supervisor.machines[name].post(unstorable())
            host.supervisor.post(name, Event("go", {}), after.set_result)

            assert (await after).disposition == "queued"
            await host.quiet()

            if waited:
                told = await reply
                assert (told.disposition, told.code) == ("failed", "internal")
            row = await host.store.machine(name)
            assert row is not None
            assert row.status == host.supervisor.view(name).status == "failed"
            (error,) = await errors(host, name)
            assert (error.type, error.job_id, error.disposition) == ("go", None, "failed")
            assert "half of a surrogate pair" in str(error.error)
            await host.supervisor.start(name)
            await host.quiet()
            assert host.states(name) == ["idle"]
            assert host.supervisor.view(name).status == "running"


# --- guards and instant actions -----------------------------------------------------------------------------------


async def test_a_guard_that_fails_is_the_reason_and_an_error(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        name = await host.add(HANDLED)
        answer: Answer = await host.send(name, "x", {"t": "abc"})
        assert (answer.disposition, answer.code, answer.before, answer.states) == (
            "ignored", "guard_failed", ("a",), ("err",),
        )  # fmt: skip
        assert answer.reason == "the guard of 'x' failed: > does not take string and int"
        (row,) = await errors(host, name)
        assert (row.machine, row.type, row.from_state, row.to_state) == (name, "x", "a", "err")
        assert str(row.error).startswith("guard (")
        assert str(row.error).endswith("'event.payload.t > 20': > does not take string and int (in 'a')")
        assert host.supervisor.view(name).health == "Healthy"


async def test_a_guard_that_is_false_is_no_error() -> None:
    async with hosting() as host:
        name = await host.add(GUARDED)
        answer = await host.send(name, "x", {"t": 3})
        assert (answer.code, answer.reason) == ("guard_false", "no guard of 'x' holds in 'a'")
        assert await errors(host, name) == []
        assert host.supervisor.view(name).health == "Healthy"


async def test_a_guard_that_fails_beside_one_that_holds_is_an_error_of_an_event_that_was_taken() -> None:
    async with hosting() as host:
        name = await host.add(GUARDED)
        answer = await host.send(name, "y", {"t": "abc"})
        assert (answer.disposition, answer.code, answer.states) == ("taken", "", ("c",))
        (row,) = await errors(host, name)
        assert "> does not take string and int" in str(row.error)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ("assign", "assign: cannot evaluate 'context.missing': context has no key 'missing' (in 'a')"),
        ("add", "add_to_list: cannot add to 'n': it holds int, not a list (in 'a')"),
        ("sequence", "assign: cannot evaluate 'context.missing': context has no key 'missing' (in 's')"),
    ],
)
async def test_an_instant_action_that_fails_is_an_error(event: str, why: str) -> None:
    async with hosting() as host:
        name = await host.add(HANDLED, n=3)
        answer = await host.send(name, event)
        assert answer.disposition == "taken"
        (row,) = await errors(host, name)
        assert (row.machine, row.type, row.from_state, row.error) == (name, event, "a", why)
        assert host.supervisor.view(name).health == "Healthy", "something handled it"


@pytest.mark.parametrize("event", ["x", "y", "assign", "add", "end"])
async def test_a_failure_that_nothing_handles_is_a_warning_of_the_machine_s_health(event: str) -> None:
    async with hosting() as host:
        name = await host.add(GUARDED, n=3)
        await host.send(name, event, {"t": "abc"})
        assert host.supervisor.view(name).health == "Warning"
        assert any("unhandled_failure: " in line for line in host.supervisor.log_tail(name, 10))
        assert len(await errors(host, name)) == 1


async def test_an_error_event_that_the_chart_itself_raises_is_no_failure() -> None:
    async with hosting() as host:
        name = await host.add("""
            machine: m
            states: {a: {on: {go: {actions: [{type: raise, event: error.execution, payload: {kind: guard}}]}}}}
            """)
        await host.send(name, "go")
        assert host.supervisor.view(name).health == "Healthy"
        assert await errors(host, name) == []


async def test_an_event_that_fails_on_a_finished_machine_is_not_told_as_the_machines_failure(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add("machine: c\nstates: {a: {on: {end: z}}, z: {type: final}}")
        await host.supervisor.stop("c")
        assert [(await host.send("c", kind)).disposition for kind in ("end", "late")] == ["queued", "queued"]
        with capture_logs() as lines:
            await host.supervisor.start("c")
            await host.quiet()
        assert host.supervisor.view("c").status == "finished"
        told = [(line["event"], line["event_type"]) for line in lines if line["log_level"] == "error"]
        assert told == [("event failed", "late")]


LEVELS = """
machine: m
states:
  a:
    on:
      note: {actions: [{type: log, message: hello, level: '{payload.level}'}]}
      error.execution: {to: b, actions: [{type: set_context, key: why, value: '{payload.message}'}]}
  b: {}
"""


@pytest.mark.parametrize(("level", "line"), [("Error", "error"), ("warn", "warning"), ("success", "info")])
async def test_a_level_that_a_template_gives_is_that_of_the_line(tmp_path: Path, level: str, line: str) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(LEVELS)
        await host.send("m", "note", {"level": level})
        (written_,) = [text for text in host.supervisor.log_tail("m", 10) if "hello" in text]
        assert (line in written_, host.states("m")) == (True, ["a"])


@pytest.mark.parametrize("payload", [{"level": "loud"}, {"level": 5}, {}])
async def test_a_level_that_is_none_fails_the_log_action(tmp_path: Path, payload: Any) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(LEVELS)
        await host.send("m", "note", payload)
        assert host.states("m") == ["b"]
        assert "cannot log at level" in host.context("m")["why"]
        assert not any("hello" in text for text in host.supervisor.log_tail("m", 10))
