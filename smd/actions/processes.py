"""Running one program as a process tree whose end is certain (P4).

`run_tree` answers when the first process has ended, however long its descendants hold the pipes; whatever is left of
its process group then is ended too. Who wants a process to outlive its action starts it with setsid(1): it then
lives until the daemon starts again. On cancellation and time-out the whole tree is ended, see `trees`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from smd.actions.apart import umask
from smd.actions.capture import Capture
from smd.actions.environment import limiting, resolve_program, spawn_error
from smd.actions.trees import (
    Process,
    Tree,
    awaited,
    become_subreaper,
    end_marked,
    kill_ending,
    read_process,
    reap_orphans,
    unbroken,
)
from smd.errors import ActionError

CAP = 65536
"""Bytes kept of each stream unless said otherwise."""

OnOutput = Callable[[str, bytes], None]
"""(`stdout` or `stderr`, chunk)"""

_STREAMS = {1: "stdout", 2: "stderr"}
_CHUNK = 65536
_UNKNOWN = 255
"""Exit code of a program whose own is lost."""

_log = logging.getLogger("smd.actions")


class Finished(NamedTuple):
    """How a program ended.

    Attributes:
        returncode: exit code, or minus the number of the signal that ended it.
        stdout: its output, head and tail with a note between them when there was more than the cap.
        stderr: likewise.
        timed_out: the time-out ended it.
        duration: seconds from start to the end of its tree.
        dropped: bytes not kept of stdout and of stderr.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    duration: float
    dropped: tuple[int, int] = (0, 0)


async def run_tree(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | Path,
    stdin: bytes | None = None,
    mark: str,
    timeout: float | None = None,  # noqa: ASYNC109 - it ends the child, not the coroutine
    kill_after: float = 5.0,
    limits: Mapping[str, Any] | None = None,
    on_output: OnOutput | None = None,
    cap: int = CAP,
) -> Finished:
    """Run a program in a session of its own; how it ended. Cancelled, it raises only once the whole tree is gone.

    Args:
        argv, cwd, stdin: program and arguments, the folder to run in, what it may read (else nothing).
        env: the whole environment; `SMD_ACTION=<mark>` is added.
        mark: the action's full key.
        timeout: seconds after which the tree is ended, None for never.
        kill_after: seconds from TERM to KILL.
        limits: see `environment.limiting`.
        on_output: called with each chunk as it arrives. The child never waits for it.
        cap: bytes to keep of each stream.

    Raises:
        ActionError: it could not be started.
    """
    child = _start(argv, {**env, "SMD_ACTION": mark}, str(cwd), stdin, limits or {}, on_output, cap)
    try:
        return await _follow(child, mark, timeout, kill_after)
    except asyncio.CancelledError:
        await unbroken(_end(child, Tree(child.first, _is(mark)), kill_after))
        raise
    finally:
        child.close()


async def _follow(child: _Child, mark: str, at_most: float | None, kill_after: float) -> Finished:
    await asyncio.wait((child.ended,), timeout=at_most)
    timed_out = not child.ended.done()
    if timed_out:
        await unbroken(_end(child, Tree(child.first, _is(mark)), kill_after))
    elif _group_exists(child.first.pid):
        await unbroken(_end(child, Tree(child.first, None), kill_after))
    child.drain()
    return child.finished(timed_out=timed_out)


async def _end(child: _Child, tree: Tree, kill_after: float) -> None:
    await tree.end(kill_after)
    await asyncio.wait((child.ended,))


def _is(mark: str) -> Callable[[bytes], bool]:
    return os.fsencode(mark).__eq__


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class _Child:
    """A running program and what it has written.

    It is waited for through a pid file descriptor: no thread is needed, and no signal.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], stdin: bytes | None, on_output: OnOutput | None, cap: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.first: Process
        self._process = process
        self._input = memoryview(stdin or b"")
        self._captures = {number: Capture(cap) for number in _STREAMS}
        self._pipes = {0: process.stdin, 1: process.stdout, 2: process.stderr}
        self._on_output = on_output
        self._pidfd = -1

    def watch(self) -> None:
        """Wait for its output and its end from now on, and let it have its input.

        Raises:
            OSError: there are no descriptors; `destroy` it then.
        """
        pid = self._process.pid
        self._pidfd = os.pidfd_open(pid)
        self.first = read_process(pid) or Process(pid, "X", os.getpid(), pid, pid, -1)
        for number in self._pipes:
            descriptor = self._descriptor(number)
            if descriptor is None:
                continue
            os.set_blocking(descriptor, False)
            if number:
                self._loop.add_reader(descriptor, self._read, number, descriptor)
            else:
                self._loop.add_writer(descriptor, self._write, descriptor)
        self._loop.add_reader(self._pidfd, self._reap)
        awaited.add(pid)

    def _descriptor(self, number: int) -> int | None:
        pipe = self._pipes[number]
        return None if pipe is None else pipe.fileno()

    def _let_go(self, number: int) -> None:
        pipe, self._pipes[number] = self._pipes[number], None
        if pipe is not None:
            self._loop.remove_reader(pipe.fileno())
            self._loop.remove_writer(pipe.fileno())
            pipe.close()

    def _read(self, number: int, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(descriptor, _CHUNK)
            if data:
                self._take(number, data)
            else:
                self._let_go(number)

    def _take(self, number: int, data: bytes) -> None:
        self._captures[number].feed(data)
        if self._on_output is not None:
            self._on_output(_STREAMS[number], data)

    def _write(self, descriptor: int) -> None:
        try:
            self._input = self._input[os.write(descriptor, self._input[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._input = self._input[:0]  # nobody reads it, which is no error
        if not self._input:
            self._let_go(0)

    def _reap(self) -> None:
        pid = self._process.pid
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            _log.warning("cannot tell how process %d ended: somebody else in the daemon has waited for it", pid)
            ended, code = pid, _UNKNOWN
        else:
            code = os.waitstatus_to_exitcode(status)
        if not ended:
            return
        self._loop.remove_reader(self._pidfd)
        awaited.discard(pid)
        self._process.returncode = code
        self.ended.set_result(None)

    def drain(self) -> None:
        """Take what the pipes still hold without waiting for their end, which others may keep from coming."""
        for number in _STREAMS:
            descriptor = self._descriptor(number)
            if descriptor is not None:
                self._loop.remove_reader(descriptor)
                self._read_rest(number, descriptor)

    def _read_rest(self, number: int, descriptor: int) -> None:
        room = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)  # what comes later than a full pipe is not the program's
        with contextlib.suppress(BlockingIOError):
            while room > 0 and (data := os.read(descriptor, room)):
                self._take(number, data)
                room -= len(data)

    def close(self) -> None:
        """Let go of the pipes; input nobody read is dropped."""
        for number in self._pipes:
            self._let_go(number)
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def destroy(self) -> None:
        """It was started, but cannot be waited for: end it before it does more."""
        self.close()
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except PermissionError:  # it has become another user's already; adopted dead are reaped
            _log.warning("cannot end process %d: not permitted", self._process.pid)
        else:
            self._process.wait()

    def finished(self, *, timed_out: bool) -> Finished:
        out, err = self._captures[1], self._captures[2]
        duration = self._loop.time() - self._started
        code = self._process.returncode
        return Finished(code, out.value(), err.value(), timed_out, duration, (out.dropped, err.dropped))


def _start(
    argv: Sequence[str], env: Mapping[str, str], cwd: str, stdin: bytes | None, limits: Mapping[str, Any],
    on_output: OnOutput | None, cap: int,
) -> _Child:  # fmt: skip
    program = resolve_program(argv[0], env, cwd)
    wrapper = limiting(limits)
    try:
        process = subprocess.Popen(
            [*wrapper, program, *argv[1:]] if wrapper else argv,
            executable=wrapper[0] if wrapper else program,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
            umask=umask(),
        )
        child = _Child(process, stdin, on_output, cap)
        try:
            child.watch()
        except BaseException:
            child.destroy()
            raise
    except OSError as error:
        raise spawn_error(argv[0], cwd, error) from error
    except ValueError as error:
        raise ActionError(f"cannot run '{argv[0]}': {error}") from error
    return child


__all__ = ["CAP", "Finished", "become_subreaper", "end_marked", "kill_ending", "reap_orphans", "run_tree"]
