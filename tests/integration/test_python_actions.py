"""Machines and their Python actions: told of, ended with their state, repeated, and never two at once."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smd.actions.custom import abandoned_threads
from smd.runtime.clock import SystemClock
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

GATES: dict[str, Any] = {}
"""Where actions of these tests find what they wait for."""

ACTION = """\
import asyncio
from smd.actions.custom import BaseAction
from {module} import GATES

class {name}Action(BaseAction):
    {define} execute(self, context):
        {body}
"""

CHART = """\
machine: m
initial: idle
states:
  idle: {{on: {{go: first}}}}
  first:
    actions: [{{type: one, {more}}}]
    on: {{next: second, done: idle, error: failed, back: idle}}
  second:
    actions: [{{type: two, success: done}}]
    on: {{done: idle}}
  failed: {{on: {{go: first}}}}
"""


def written(folder: Path, define: str = "async def", **bodies: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, body in bodies.items():
        text = ACTION.format(module=__name__, name=name.title(), define=define, body=body.replace("\n", "\n        "))
        (folder / f"{name}_action.py").write_text(text)
    return folder


async def hosted(host: Host, more: str = "success: done") -> str:
    name = await host.add(CHART.format(more=more))
    await host.until(name, "idle")
    return name


async def until(holds: Callable[[], Any]) -> None:
    """Let the loop turn until something holds; the test's time limit bounds it."""
    while not holds():  # noqa: ASYNC110 - a thread cannot set an event of this loop
        await asyncio.sleep(0)


async def abandoned(machine: str, count: int) -> None:
    await until(lambda: abandoned_threads(machine) == count)


@pytest.mark.parametrize("more", ["success: done", "timeout: 1000, success: done"])
async def test_an_action_is_told_of_when_it_begins_and_when_it_ends(tmp_path: Path, more: str) -> None:
    folder = written(
        tmp_path / "a", one="context['n'] = context.get('n', 0) + 1\nreturn self.config['success']", two=""
    )
    async with hosting(actions_dir=folder) as host:
        name = await hosted(host, more)
        with host.supervisor.bus.subscribe(["action_started", "action_ended"]) as notices:
            await host.send(name, "go")
            await host.quiet()
            began, ended = await notices.get(), await notices.get()
        assert (began.kind, began.machine, began.data["type"]) == ("action_started", name, "one")
        assert (ended.kind, ended.data) == ("action_ended", {**began.data, "ok": True, "error": None})
        assert (host.states(name), host.context(name)["n"]) == (["idle"], 1)


async def test_a_failure_is_the_error_event(tmp_path: Path) -> None:
    async with hosting(actions_dir=written(tmp_path / "a", one="raise SystemExit(3)", two="")) as host:
        name = await hosted(host)
        await host.send(name, "go")
        await host.until(name, "failed")
        assert host.context(name)["last_error"] == "one: SystemExit: 3"


@pytest.mark.parametrize("more", ["success: done", "timeout: 1000, success: done"])
async def test_an_answer_arrives_although_the_log_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    def full_disk(*_: str) -> None:
        raise OSError(28, "No space left on device")

    async with hosting(actions_dir=written(tmp_path / "a", one="return 'done'", two="")) as host:
        name = await hosted(host, more)
        monkeypatch.setattr(host.supervisor.logs, "end_output", full_disk)
        await host.send(name, "go")
        await host.until(name, "idle")


async def test_a_time_limit_is_kept(tmp_path: Path) -> None:
    async with hosting(actions_dir=written(tmp_path / "a", one="await asyncio.sleep(1000)", two="")) as host:
        name = await hosted(host, "timeout: 0.01")
        await host.send(name, "go")
        await host.until(name, "failed")
        assert host.context(name)["last_error"] == "one: timed out after 0.01 s"


async def test_the_next_action_begins_when_the_one_of_the_state_that_was_left_has_ended(tmp_path: Path) -> None:
    GATES["order"] = (entered, gate, order) = (threading.Event(), threading.Event(), list[str]())
    one = """\
entered, gate, order = GATES['order']
try:
    entered.set()
    await asyncio.sleep(1000)
finally:
    gate.wait()
    order.append('one ended')"""
    folder = written(tmp_path / "a", one=one, two="GATES['order'][2].append(context['machine_name'])\nreturn 'done'")
    async with hosting(actions_dir=folder) as host:
        name = await hosted(host)
        await host.send(name, "go")
        await asyncio.to_thread(entered.wait)
        await host.send(name, "next")
        machine = host.supervisor.machines[name]
        await until(lambda: machine.ending and machine.running)
        await host.add(CHART.format(more="success: done").replace("initial: idle", "initial: second"), name="other")
        await host.until("other", "idle")
        assert (host.states(name), order) == (["second"], ["other"])
        gate.set()
        await host.until(name, "idle")
        assert order == ["other", "one ended", name]


async def test_a_machine_that_left_three_blocked_threads_behind_fails(tmp_path: Path) -> None:
    GATES["blocked"] = (entered, gate) = (threading.Semaphore(0), threading.Event())
    one = "GATES['blocked'][0].release(); GATES['blocked'][1].wait()"
    async with hosting(actions_dir=written(tmp_path / "a", "def", one=one, two=""), verify=False) as host:
        name = await hosted(host)
        for count in (1, 2, 3):
            await host.send(name, "go")
            await asyncio.to_thread(entered.acquire)
            await host.send(name, "back")
            await abandoned(name, count)
        await host.send(name, "go")
        await host.until(name, "failed")
        assert "3 blocked threads" in str(host.supervisor.view(name).error)
        gate.set()
        await abandoned(name, 0)


async def test_a_machine_whose_actions_left_three_threads_that_refuse_to_end_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smd.runtime.working.GRACE", 0.0)
    GATES["left"] = (gate, kept) = (threading.Event(), list[Any]())
    one = """\
gate, kept = GATES['left']
kept.append(asyncio.get_running_loop().run_in_executor(None, gate.wait))
return 'done'"""
    async with hosting(actions_dir=written(tmp_path / "a", one=one, two=""), verify=False) as host:
        name = await hosted(host)
        for count in (1, 2, 3):
            await host.send(name, "go")
            await host.until(name, "idle")
            assert abandoned_threads(name) == count
        await host.send(name, "go")
        await host.until(name, "failed")
        assert (len(kept), "3 blocked threads" in str(host.supervisor.view(name).error)) == (3, True)
        gate.set()
        await abandoned(name, 0)


async def test_pausing_at_once_ends_the_action_and_resuming_repeats_it(tmp_path: Path) -> None:
    GATES["paused"] = (entered, ended, go_on) = (threading.Semaphore(0), threading.Event(), list[bool]())
    one = """\
entered, ended, go_on = GATES['paused']
entered.release()
try:
    await asyncio.sleep(0 if go_on else 1000)
finally:
    ended.set()
return 'done'"""
    async with hosting(actions_dir=written(tmp_path / "a", one=one, two=""), clock=SystemClock()) as host:
        name = await hosted(host)
        await host.send(name, "go")
        await asyncio.to_thread(entered.acquire)
        await host.supervisor.pause(name, now=True)
        await asyncio.to_thread(ended.wait)
        await until(lambda: not host.supervisor.machines[name].ending)
        assert host.states(name) == ["first"]
        go_on.append(True)
        await host.supervisor.resume(name)
        await asyncio.to_thread(entered.acquire)
        await host.until(name, "idle")


async def test_actions_that_block_keep_no_other_machine_waiting(tmp_path: Path) -> None:
    GATES["meet"] = threading.Barrier(30)
    async with hosting(
        actions_dir=written(tmp_path / "a", "def", one="GATES['meet'].wait()\nreturn 'done'", two="")
    ) as host:
        names = [await host.add(CHART.format(more="success: done"), name=f"m{n}") for n in range(30)]
        for name in names:
            await host.send(name, "go")
        await host.quiet()
        assert [host.states(name) for name in names] == [["idle"]] * 30


async def test_an_action_that_left_a_blocked_thread_does_not_keep_the_daemon_from_ending(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "lend_action.py").write_text(
        "import asyncio, os, threading\nclass LendAction:\n  def __init__(self, config): pass\n"
        "  async def execute(self, context): os.write(1, b'lent\\n'); await asyncio.to_thread(threading.Event().wait)"
    )
    (tmp_path / "m.yaml").write_text("machine: m\ninitial: s\nstates: {s: {actions: [{type: lend}]}}")
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from smd.main import main; main()", "run", "m.yaml", "--actions-dir", "a", "--ephemeral",
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, stdout=PIPE,
    )  # fmt: skip
    try:
        assert daemon.stdout is not None
        assert await asyncio.wait_for(daemon.stdout.readline(), 30) == b"lent\n"
        daemon.terminate()
        assert await asyncio.wait_for(daemon.wait(), 30) == 0
    finally:
        if daemon.returncode is None:
            daemon.kill()
            await daemon.wait()
