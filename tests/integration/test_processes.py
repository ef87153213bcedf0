"""Process trees of real programs end wholly, and nothing they do delays or floods the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smd.actions import environment
from smd.actions.processes import become_subreaper, end_marked, reap_orphans, run_tree
from smd.actions.trees import read_process
from smd.errors import ActionError
from tests.integration.programs import DETACHED, ENV, MARK, Run, lives, run

pytestmark = pytest.mark.asyncio

TREES = {
    "children": "sleep 1000 & echo $!; wait",
    "a pipeline": "sleep 1000 | (echo $$; cat)",
    "a process group of its own": "set -m; sleep 1000 & echo $!; wait",
    "a session of its own": "setsid sleep 1000 & echo $!; wait",
    "a daemon forked twice": '"$1" -c "$2\nimport time; time.sleep(1000)"; sleep 1000',
    "a descendant without environment": "env -i /bin/sleep 1000 & echo $!; wait",
    "a stopped child": "sleep 1000 & kill -STOP $!; echo $!; wait",
}


@pytest.mark.parametrize("text", TREES.values(), ids=TREES)
async def test_cancellation_raises_only_when_the_whole_tree_is_gone(text: str) -> None:
    started = Run(text)
    pids = await started.pids()
    assert all(map(lives, pids))
    await started.cancel()
    assert not any(map(lives, pids))
    assert await end_marked(MARK, 0.0) == 0


@pytest.mark.parametrize("text", TREES.values(), ids=TREES)
async def test_time_out_ends_the_whole_tree(text: str) -> None:
    started = Run(text, timeout=0.5)
    pids = await started.pids()
    assert (await started.task).timed_out
    assert not any(map(lives, pids))


async def test_what_ignores_term_is_killed_after_the_grace() -> None:
    started = Run("trap '' TERM; sh -c 'echo $$; while :; do sleep 1000; done' & wait; sleep 1000", kill_after=0.2)
    pids = await started.pids()
    await started.cancel()
    assert not any(map(lives, pids))


async def test_a_tree_that_keeps_forking_while_it_is_ended_is_ended() -> None:
    fork = "trap '' TERM; echo $$; while :; do setsid sleep 1000 & sleep 0.001; done"
    started = Run(fork, kill_after=0.1)
    await started.pids(1)
    await started.cancel()
    assert await end_marked(MARK, 0.0) == 0


async def test_a_second_cancellation_does_not_cut_the_ending_short() -> None:
    started = Run("trap '' TERM; echo $$; while :; do sleep 1000; done", kill_after=0.2)
    pids = await started.pids()
    started.task.cancel()
    await asyncio.sleep(0)
    await started.cancel()
    assert not any(map(lives, pids))


@pytest.mark.parametrize("turns", range(6))
async def test_a_child_just_being_born_is_ended_too(turns: int) -> None:
    task = run("sleep 1000")
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await end_marked(MARK, 0.0) == 0


# --- ends, pipes, output ----------------------------------------------------------------------------------------------


async def test_what_the_program_leaves_in_its_group_is_ended() -> None:
    started = Run("sleep 1000 & echo $!")
    finished = await started.task
    assert (finished.returncode, finished.timed_out) == (0, False)
    assert not lives((await started.pids())[0])


async def test_a_detached_grandchild_that_holds_the_pipes_delays_nothing_and_loses_nothing() -> None:
    finished = await run(DETACHED + "head -c 60000 /dev/zero; echo oops >&2")
    pid, rest = finished.stdout.split(b"\n", 1)
    assert (len(rest), finished.stderr) == (60000, b"oops\n")
    assert lives(int(pid))
    assert await end_marked(MARK.split("/", maxsplit=1)[0] + "/", 5.0) == 1
    assert not lives(int(pid))


async def test_hundred_megabytes_of_output_cost_bounded_memory() -> None:
    arrived = 0

    def count(_: str, data: bytes) -> None:
        nonlocal arrived
        arrived += len(data)

    tracemalloc.start()
    argv = ["sh", "-c", "echo first; head -c 100000000 /dev/zero; echo last"]
    finished = await run_tree(argv, env=ENV, cwd="/", mark=MARK, on_output=count)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert arrived == 100_000_011
    assert finished.dropped == (100_000_011 - 65536, 0)
    assert finished.stdout.startswith(b"first\n")
    assert finished.stdout.endswith(b"last\n")
    assert f"... {finished.dropped[0]} bytes dropped ...".encode() in finished.stdout
    assert len(finished.stdout) < 66_000
    assert peak < 4_000_000


async def test_a_megabyte_goes_in_and_out_at_once() -> None:
    data = os.urandom(1 << 20)
    assert (await run("cat", stdin=data, cap=1 << 22)).stdout == data


@pytest.mark.parametrize("text", ["true", "exec <&-; echo x", DETACHED])
async def test_input_nobody_reads_is_no_error(text: str) -> None:
    assert (await run(text, stdin=b"x" * (1 << 20))).returncode == 0
    await end_marked(MARK, 0.0)


async def test_without_input_a_program_reads_nothing() -> None:
    assert (await run("cat; echo end")).stdout == b"end\n"


async def test_a_program_ended_by_a_signal_says_which() -> None:
    assert (await run("kill -KILL $$")).returncode == -signal.SIGKILL


# --- limits and refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prlimit", [environment.PRLIMIT, ()], ids=["prlimit", "python"])
async def test_limits_hold_from_the_first_moment(prlimit: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PRLIMIT", prlimit)
    limits = {"nofile": 77, "memory": "512M", "fsize": 4096, "cpu": "90s"}
    finished = await run("ulimit -n; ulimit -v; ulimit -f; ulimit -t", limits=limits)
    assert finished.stdout.split() == [b"77", b"524288", b"8", b"90"], finished.stderr


@pytest.mark.parametrize("limits", [{"nofile": "many"}, {"nofile": 0}, {"colour": 3}, {"cpu": "x"}, {"memory": "5X"}])
async def test_a_limit_that_is_none_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ActionError, match="cannot limit"):
        await run("true", limits=limits)


def _folder_with(tmp_path: Path, name: str, text: str, mode: int) -> str:
    file = tmp_path / name
    file.write_text(text)
    file.chmod(mode)
    return str(file)


async def test_what_cannot_be_started_is_told_in_words(tmp_path: Path) -> None:
    closed = _folder_with(tmp_path, "closed", "#!/bin/sh\n", 0o644)
    empty = _folder_with(tmp_path, "empty", "no script", 0o755)
    cases: list[tuple[list[str], str, str]] = [
        (["no-such-program"], "/", "no such program in PATH"),
        (["./nothing"], "/", "no such file"),
        ([closed], "/", "not executable"),
        ([empty], "/", "no program"),
        (["true"], str(tmp_path / "gone"), "there is no folder"),
        (["true", *["x" * 131_000] * 40], "/", "too long"),
        (["true", "a\0b"], "/", "null byte"),
    ]
    for argv, cwd, why in cases:
        with pytest.raises(ActionError, match=why):
            await run_tree(argv, env=ENV, cwd=cwd, mark=MARK)


async def test_a_relative_program_is_found_from_the_folder_it_runs_in(tmp_path: Path) -> None:
    _folder_with(tmp_path, "here", "#!/bin/sh\necho $0\n", 0o755)
    finished = await run_tree(["./here"], env=ENV, cwd=tmp_path, mark=MARK)
    assert finished.returncode == 0


# --- orphans ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def _subreaper() -> Iterator[None]:
    assert become_subreaper()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


def _all_dead(*pids: int) -> None:
    for pid in pids:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@contextlib.contextmanager
def _in_a_thread(*arguments: list[str], **more: Any) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Children as a Python action starts them: of a thread that goes on meanwhile."""
    started: queue.Queue[list[subprocess.Popen[bytes]]] = queue.Queue()
    go_on = threading.Event()

    def work() -> None:
        started.put([subprocess.Popen(argv, **more) for argv in arguments])
        go_on.wait()

    thread = threading.Thread(target=work)
    thread.start()
    yield started.get()
    go_on.set()
    thread.join()


@pytest.mark.usefixtures("_subreaper")
async def test_adopted_dead_are_reaped_and_other_children_left_to_who_waits_for_them() -> None:
    started = Run(DETACHED)
    await started.task
    (orphan,) = await started.pids()
    found = read_process(orphan)
    assert found is not None
    assert found.parent == os.getpid()
    own = Run("exit 3")  # dead before the loop sees it
    await asyncio.sleep(0)
    four, five = ["sh", "-c", "exit 4"], ["sh", "-c", "exit 5"]
    with _in_a_thread(four) as (plain,), _in_a_thread(five, start_new_session=True) as (apart,):
        os.kill(orphan, signal.SIGKILL)
        _all_dead(orphan, plain.pid, apart.pid)
        assert reap_orphans() >= 1
        assert reap_orphans() == 0
        assert read_process(orphan) is None
        assert [plain.wait(), apart.wait()] == [4, 5]
    assert (await own.task).returncode == 3


@pytest.mark.usefixtures("_subreaper")
async def test_what_a_python_actions_shell_left_in_the_background_is_reaped() -> None:
    with _in_a_thread(["sh", "-c", "true & sleep 1000 >&2 & echo $!"], stdout=subprocess.PIPE) as (shell,):
        orphan = int(shell.communicate()[0])
        os.kill(orphan, signal.SIGKILL)
        _all_dead(orphan)
        assert reap_orphans() >= 1
        reap_orphans()
        assert read_process(orphan) is None


@pytest.mark.usefixtures("_subreaper")
async def test_ending_a_tree_leaves_no_dead_behind() -> None:
    started = Run('"$1" -c "$2\nimport time; time.sleep(1000)"; sleep 1000')
    pids = await started.pids()
    await started.cancel()
    assert [read_process(pid) for pid in pids] == [None]
