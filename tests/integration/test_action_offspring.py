"""What Python actions start ends with them, however it was started, and nothing else does."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest

from smd.actions.custom import abandoned_threads
from smd.actions.offspring import Offspring
from smd.actions.processes import become_subreaper, end_marked
from smd.actions.trees import mark_of, read_process
from tests.hosting import Host, hosting
from tests.integration.programs import lives

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*Popen.__del__:pytest.PytestUnraisableExceptionWarning"),
]

TOLD: queue.Queue[Any] = queue.Queue()
"""What actions of these tests tell."""
GATE = threading.Event()
"""What they wait for."""

ACTION = """\
import asyncio, concurrent.futures, multiprocessing, os, signal, subprocess, threading, time
from smd.actions.custom import BaseAction
from {module} import GATE, TOLD

FIFO = {fifo!r}
SLEEP = ["sleep", "1000"]
SHELL = "echo $$ > " + FIFO + "; exec sleep 1000"

class {name}Action(BaseAction):
    {define} execute(self, context):
        {body}
"""
CHART = """\
machine: {name}
initial: idle
states:
  idle: {{on: {{go: acting}}}}
  acting:
    actions: [{{type: {action}}}]
    on: {{done: idle, error: idle, leave: left}}
  left: {{on: {{go: acting}}}}
"""


class Stage:
    """A host with actions, and a fifo into which programs tell their pids."""

    def __init__(self, host: Host, fifo: Path) -> None:
        self.host = host
        self.fifo = fifo

    async def acts(self, action: str, name: str = "m") -> str:
        """A machine in the state of this action."""
        await self.host.add(CHART.format(name=name, action=action))
        await self.host.until(name, "idle")
        await self.host.send(name, "go")
        return name

    async def leave(self, name: str) -> None:
        """Leave the state, and wait for what is promised of that."""
        await self.host.send(name, "leave")
        await self.host.until(name, "left")
        await self.host.supervisor.working.gone(self.host.supervisor.machines[name])

    async def told(self) -> Any:
        return await asyncio.to_thread(TOLD.get, timeout=20)

    async def pid(self) -> int:
        return int(await asyncio.to_thread(self.fifo.read_text))


@asynccontextmanager
async def staged(folder: Path, define: str = "async def", **bodies: str) -> AsyncIterator[Stage]:
    actions, fifo = folder / "actions", folder / "pids"
    actions.mkdir()
    os.mkfifo(fifo)
    while not TOLD.empty():
        TOLD.get()
    for name, body in bodies.items():
        text = ACTION.format(
            module=__name__, name=name.title(), define=define, body=body.replace("\n", "\n        "), fifo=str(fifo)
        )
        (actions / f"{name}_action.py").write_text(text)
    async with hosting(actions_dir=actions, verify=False) as host:
        try:
            yield Stage(host, fifo)
        finally:
            await end_marked(f"{host.supervisor.store_id}/", 0.0)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds; the test's time limit bounds it."""
    while not holds():  # noqa: ASYNC110 - a thread cannot set an event of this loop
        await asyncio.sleep(0)


# --- a state that is left ---------------------------------------------------------------------------------------------

WAYS = {
    "subprocess": "p = subprocess.Popen(SLEEP); TOLD.put(p.pid); p.wait()",
    "subprocess, environment by place": (
        "p = subprocess.Popen(SLEEP, -1, None, None, None, None, None, True, False, None, {'PATH': '/bin:/usr/bin'})\n"
        "TOLD.put(p.pid); p.wait()"
    ),
    "os.posix_spawn": "p = os.posix_spawn('/bin/sleep', SLEEP, {}); TOLD.put(p); os.waitpid(p, 0)",
    "os.spawnv": "p = os.spawnv(os.P_NOWAIT, '/bin/sleep', SLEEP); TOLD.put(p); os.waitpid(p, 0)",
    "multiprocessing": (
        "p = multiprocessing.get_context('fork').Process(target=time.sleep, args=(1000,))\n"
        "p.start(); TOLD.put(p.pid); p.join()"
    ),
    "a pool of threads": (
        "def run():\n    p = subprocess.Popen(SLEEP); TOLD.put(p.pid); p.wait()\n"
        "with concurrent.futures.ThreadPoolExecutor() as pool:\n    pool.submit(run).result()"
    ),
}


@pytest.mark.parametrize("define", ["async def", "def"])
@pytest.mark.parametrize("body", WAYS.values(), ids=WAYS)
async def test_what_a_blocking_action_waits_for_is_gone_when_its_state_was_left(
    tmp_path: Path, body: str, define: str
) -> None:
    async with staged(tmp_path, define, one=body) as stage:
        name = await stage.acts("one")
        pid = await stage.told()
        assert lives(pid)
        await stage.leave(name)
        assert not lives(pid)
        await until(lambda: abandoned_threads(name) == 0)


TREES = {
    "asyncio": "p = await asyncio.create_subprocess_shell(SHELL); await p.wait()",
    "a thread lent by the loop": "await asyncio.to_thread(subprocess.run, ['sh', '-c', SHELL])",
    "os.system": "os.system(SHELL)",
    "a descendant": "subprocess.run(['sh', '-c', 'env -i sh -c \"' + SHELL.replace('$', '\\\\$') + '\" & wait'])",
    "a session of its own": (
        "subprocess.run(['sh', '-c', 'setsid sh -c \"' + SHELL.replace('$', '\\\\$') + '\" &'])\n"
        "await asyncio.sleep(1000)"
    ),
}


@pytest.mark.parametrize("body", TREES.values(), ids=TREES)
async def test_the_whole_tree_of_an_action_is_gone_when_its_state_was_left(tmp_path: Path, body: str) -> None:
    assert become_subreaper()
    async with staged(tmp_path, one=body) as stage:
        name = await stage.acts("one")
        pid = await stage.pid()
        assert lives(pid)
        await stage.leave(name)
        assert not lives(pid)


async def test_an_action_starts_no_other_program_once_its_state_was_left(tmp_path: Path) -> None:
    body = "for _ in range(3): p = subprocess.Popen(SLEEP); TOLD.put(p.pid); TOLD.put(p.wait())"
    async with staged(tmp_path, one=body) as stage:
        name = await stage.acts("one")
        assert lives(await stage.told())
        await stage.leave(name)
        assert await stage.told() == -signal.SIGTERM
        await until(lambda: abandoned_threads(name) == 0)
        assert TOLD.empty()


async def test_an_action_that_was_abandoned_is_told_how_its_program_ended(tmp_path: Path) -> None:
    body = "p = subprocess.Popen(SLEEP); TOLD.put(p.pid); GATE.wait(); TOLD.put(p.wait())"
    GATE.clear()
    async with staged(tmp_path, "def", one=body) as stage:
        name = await stage.acts("one")
        pid = await stage.told()
        await stage.leave(name)
        assert not lives(pid)
        GATE.set()
        assert await stage.told() == -signal.SIGTERM


async def test_a_coroutine_that_blocks_hears_of_its_end_once_and_may_tidy_up(tmp_path: Path) -> None:
    body = """\
try:
    while True:
        p = subprocess.Popen(SLEEP)
        TOLD.put(p.pid)
        p.wait()
finally:
    p = await asyncio.create_subprocess_exec('true')
    TOLD.put(await p.wait())"""
    async with staged(tmp_path, one=body) as stage:
        name = await stage.acts("one")
        assert lives(await stage.told())
        await stage.leave(name)
        assert await stage.told() == 0


async def test_an_action_that_is_cancelled_may_run_programs_to_tidy_up(tmp_path: Path) -> None:
    body = """\
try:
    TOLD.put('acts')
    await asyncio.sleep(1000)
finally:
    p = await asyncio.create_subprocess_exec('true')
    TOLD.put(await p.wait())"""
    async with staged(tmp_path, one=body) as stage:
        name = await stage.acts("one")
        assert await stage.told() == "acts"
        await stage.leave(name)
        assert await stage.told() == 0


async def test_a_time_limit_ends_what_the_action_started(tmp_path: Path) -> None:
    async with staged(tmp_path, one=WAYS["subprocess"]) as stage:
        await stage.host.add(CHART.format(name="m", action="one, timeout: 0.05"))
        await stage.host.send("m", "go")
        pid = await stage.told()
        await stage.host.until("m", "idle")
        assert not lives(pid)


async def test_the_end_of_the_daemon_is_the_end_of_what_actions_started(tmp_path: Path) -> None:
    async with staged(tmp_path, one=WAYS["subprocess"]) as stage:
        await stage.acts("one")
        pid = await stage.told()
        await stage.host.supervisor.close()
        assert not lives(pid)


# --- an action that went well -----------------------------------------------------------------------------------------


async def test_what_an_action_leaves_has_ended_before_it_answers(tmp_path: Path) -> None:
    async with staged(tmp_path, one="TOLD.put(subprocess.Popen(SLEEP).pid)\nreturn 'done'") as stage:
        name = await stage.acts("one")
        pid = await stage.told()
        await stage.host.until(name, "idle")
        assert not lives(pid)


async def test_what_has_a_session_of_its_own_outlives_its_action_and_the_next_one_in_its_thread(tmp_path: Path) -> None:
    one = (
        "TOLD.put(threading.get_ident()); TOLD.put(subprocess.Popen(SLEEP, start_new_session=True).pid)\nreturn 'done'"
    )
    two = "TOLD.put(threading.get_ident())\n" + WAYS["subprocess"]
    async with staged(tmp_path, one=one, two=two) as stage:
        name = await stage.acts("one")
        thread, kept = await stage.told(), await stage.told()
        await stage.host.until(name, "idle")
        other = await stage.acts("two", "other")
        assert await stage.told() == thread
        pid = await stage.told()
        await stage.leave(other)
        assert (lives(kept), lives(pid)) == (True, False)
        found = read_process(kept)
        assert found is not None
        assert await end_marked(f"{stage.host.supervisor.store_id}/{name}/", 1.0) == 1


async def test_so_does_what_is_given_a_session_by_a_function(tmp_path: Path) -> None:
    """The thread ends, for it has forked; a program that was executed does not end with it."""
    one = "TOLD.put(threading.get_native_id()); TOLD.put(subprocess.Popen(SLEEP, preexec_fn=os.setsid).pid)\nreturn 'done'"
    async with staged(tmp_path, one=one) as stage:
        name = await stage.acts("one")
        thread, kept = await stage.told(), await stage.told()
        await stage.host.until(name, "idle")
        await until(lambda: not Path(f"/proc/self/task/{thread}").exists())
        assert lives(kept)


async def test_a_copy_of_the_daemon_that_an_action_leaves_ends_with_its_thread(tmp_path: Path) -> None:
    fork = "pid = os.fork()\nif not pid:\n    while True: time.sleep(1000)\nTOLD.put(pid)\nreturn 'done'"
    async with staged(tmp_path, one=fork) as stage:
        name = await stage.acts("one")
        pid = await stage.told()
        await stage.host.until(name, "idle")
        await until(lambda: not lives(pid))


# --- the daemon itself ------------------------------------------------------------------------------------------------


async def test_a_signal_to_a_copy_of_the_daemon_is_not_the_daemons(tmp_path: Path) -> None:
    """So that a pool of multiprocessing, which ends its workers by SIGTERM, ends nothing else."""
    heard: list[int] = []
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, heard.append, 1)
    fork = "p = multiprocessing.get_context('fork').Process(target=time.sleep, args=(1000,))\np.start()\n"
    fork += "p.terminate(); p.join(); TOLD.put(p.exitcode)\nreturn 'done'"
    try:
        async with staged(tmp_path, "def", one=fork) as stage:
            name = await stage.acts("one")
            assert await stage.told() == -signal.SIGTERM
            await stage.host.until(name, "idle")
        assert not heard
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_processes_of_other_threads_are_left_alone_and_not_marked(tmp_path: Path) -> None:
    async with staged(tmp_path, one=WAYS["subprocess"]) as stage:
        name = await stage.acts("one")
        pid = await stage.told()
        mine = await asyncio.create_subprocess_exec("sleep", "1000")
        await stage.leave(name)
        assert (lives(pid), lives(mine.pid)) == (False, True)
        assert mark_of(mine.pid) == mark_of(os.getpid())
        mine.kill()
        await mine.wait()


async def test_what_multiprocessing_starts_once_for_all_is_no_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    offspring = Offspring("store/m/1")
    offspring.begin()
    program = await asyncio.create_subprocess_exec("sleep", "1000")
    found = read_process(program.pid)
    assert found is not None
    assert offspring.is_own(found)
    monkeypatch.setattr(resource_tracker._resource_tracker, "_pid", program.pid)
    assert not offspring.is_own(found)
    program.kill()
    await program.wait()
