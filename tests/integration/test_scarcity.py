"""Out of descriptors or threads, no process is lost: what runs is ended later, what cannot be watched is not begun."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import threading
from collections.abc import Iterator

import pytest

from smd.actions.processes import kill_ending
from smd.actions.trees import read_process
from smd.errors import ActionError
from tests.integration.programs import Run, lives, run

pytestmark = pytest.mark.asyncio


@pytest.fixture
def trouble() -> Iterator[asyncio.Event]:
    """Set once it is told that processes cannot be looked for."""
    told = asyncio.Event()
    handler = logging.Handler()
    handler.emit = lambda record: told.set() if "cannot look" in record.getMessage() else None  # type: ignore[method-assign]
    logging.getLogger("smd.actions").addHandler(handler)
    yield told
    logging.getLogger("smd.actions").removeHandler(handler)


@contextlib.contextmanager
def _no_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as taken:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.callback(os.close, os.open("/dev/null", os.O_RDONLY))
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


TWO = "sleep 1000 & echo $!; setsid sleep 1000 & echo $!; wait"


async def test_out_of_descriptors_a_cancelled_tree_is_ended_once_there_are_some(trouble: asyncio.Event) -> None:
    started = Run(TWO)
    pids = await started.pids(2)
    with _no_descriptors():
        started.task.cancel()
        await trouble.wait()
        assert not started.task.done()
    with pytest.raises(asyncio.CancelledError):
        await started.task
    assert not any(map(lives, pids))


async def test_out_of_descriptors_a_tree_whose_time_is_out_is_ended_once_there_are_some(trouble: asyncio.Event) -> None:
    started = Run(TWO, timeout=0.5)
    pids = await started.pids(2)
    with _no_descriptors():
        await trouble.wait()
    assert (await started.task).timed_out
    assert not any(map(lives, pids))


async def test_without_threads_a_program_runs_and_its_tree_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", start)
        assert (await run("cat; exit 3", stdin=b"x")).returncode == 3
        started = Run(TWO)
        pids = await started.pids(2)
        await started.cancel()
    assert not any(map(lives, pids))


async def test_who_could_not_be_told_to_end_is_told_later_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Run("trap 'echo told; exit' TERM; echo up; while :; do sleep 1000 & wait; done", kill_after=1.0)
    await started.lines.get()
    failed = iter(range(4))
    opens = os.pidfd_open

    def scarce(pid: int) -> int:
        if next(failed, None) is not None:
            raise OSError(errno.EMFILE, "Too many open files")
        return opens(pid)

    monkeypatch.setattr(os, "pidfd_open", scarce)
    await started.cancel()
    assert next(failed, None) is None
    assert await started.lines.get() == "told"


async def test_a_program_that_cannot_be_waited_for_is_ended_and_told_as_not_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    born: list[int] = []

    def scarce(pid: int) -> int:
        born.append(pid)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", scarce)
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only
    with pytest.raises(ActionError, match="too many open files"):
        await run("sleep 1000")
    assert [read_process(pid) for pid in born] == [None]
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def test_what_is_being_ended_can_be_killed_before_its_time() -> None:
    started = Run("trap 'echo heard' TERM; echo $$; while :; do sleep 1000 & wait; done", kill_after=3600.0)
    pids = await started.pids()
    started.task.cancel()
    assert await started.lines.get() == "heard"
    kill_ending()
    with pytest.raises(asyncio.CancelledError):
        await started.task
    assert not any(map(lives, pids))
