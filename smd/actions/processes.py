"""Running one program as a process tree whose end is certain (P4).

`run_tree` answers when the first process has ended, however long its descendants hold the pipes; whatever is left of
its process group then is ended too. Who wants a process to outlive its action starts it with setsid(1): it then
lives until the daemon starts again. On cancellation and time-out the whole tree is ended, see `trees`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from smd.actions.capture import Capture
from smd.actions.environment import limiting, resolve_program, spawn_error
from smd.actions.trees import Process, Tree, become_subreaper, end_marked, read_process, reap_orphans, unbroken
from smd.errors import ActionError

CAP = 65536
"""Bytes kept of each stream unless said otherwise."""

OnOutput = Callable[[str, bytes], None]
"""(`stdout` or `stderr`, chunk)"""

_STREAMS = {1: "stdout", 2: "stderr"}


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
    # A cancellation must not lose a child that is just being born, so its birth is a task of its own.
    birth = asyncio.ensure_future(
        _start(argv, {**env, "SMD_ACTION": mark}, str(cwd), stdin, limits or {}, on_output, cap)
    )
    try:
        return await _follow(await asyncio.shield(birth), mark, timeout, kill_after)
    except asyncio.CancelledError:
        await unbroken(_abort(birth, mark, kill_after))
        raise
    finally:
        if birth.done() and birth.exception() is None:
            birth.result().close()


async def _follow(child: _Child, mark: str, at_most: float | None, kill_after: float) -> Finished:
    await asyncio.wait((child.ended,), timeout=at_most)
    timed_out = not child.ended.done()
    if timed_out:
        await unbroken(_end(child, Tree(child.first, _is(mark)), kill_after))
    elif _group_exists(child.first.pid):
        await unbroken(_end(child, Tree(child.first, None), kill_after))
    await child.drain()
    return child.finished(timed_out=timed_out)


async def _abort(birth: asyncio.Future[_Child], mark: str, kill_after: float) -> None:
    with contextlib.suppress(ActionError):  # nothing was started, so nothing is left
        child = await birth
        await _end(child, Tree(child.first, _is(mark)), kill_after)


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


class _Child(asyncio.SubprocessProtocol):
    """A running program and what it has written."""

    def __init__(self, on_output: OnOutput | None, cap: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.first: Process
        self._captures = {fd: Capture(cap) for fd in _STREAMS}
        self._open = set(_STREAMS)
        self._on_output = on_output
        self._transport: asyncio.SubprocessTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._captures[fd].feed(data)
        if self._on_output is not None:
            self._on_output(_STREAMS[fd], data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - a broken pipe is no matter
        self._open.discard(fd)

    def process_exited(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def born(self, stdin: bytes | None) -> None:
        """Note who the first process is and let it have its input."""
        pid = self._transport.get_pid()
        assert pid is not None  # noqa: S101 - a started transport has one
        self.first = read_process(pid) or Process(pid, "X", os.getpid(), pid, pid, -1)
        if stdin is not None:
            pipe = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0))
            pipe.write(stdin)
            pipe.write_eof()

    async def drain(self) -> None:
        """Take what the pipes still hold without waiting for their end, which others may keep from coming."""
        pipes = {fd: cast("asyncio.ReadTransport", self._transport.get_pipe_transport(fd)) for fd in self._open}
        for pipe in pipes.values():
            pipe.pause_reading()
        await asyncio.sleep(0)  # what was read already is delivered first
        for fd, pipe in pipes.items():
            file = pipe.get_extra_info("pipe")
            if not file.closed:
                self._read_rest(fd, file.fileno())

    def _read_rest(self, fd: int, descriptor: int) -> None:
        room = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)  # what comes later than a full pipe is not the program's
        with contextlib.suppress(BlockingIOError):
            while room > 0 and (data := os.read(descriptor, room)):
                self.pipe_data_received(fd, data)
                room -= len(data)

    def close(self) -> None:
        """Let go of the pipes; input nobody read is dropped."""
        stdin = cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(0))
        if stdin is not None and stdin.get_write_buffer_size():
            stdin.abort()
        self._transport.close()

    def finished(self, *, timed_out: bool) -> Finished:
        out, err = self._captures[1], self._captures[2]
        duration = self._loop.time() - self._started
        code = self._transport.get_returncode()
        assert code is not None  # noqa: S101 - `ended` came first
        return Finished(code, out.value(), err.value(), timed_out, duration, (out.dropped, err.dropped))


async def _start(
    argv: Sequence[str], env: Mapping[str, str], cwd: str, stdin: bytes | None, limits: Mapping[str, Any],
    on_output: OnOutput | None, cap: int,
) -> _Child:  # fmt: skip
    program = resolve_program(argv[0], env, cwd)
    wrapper = limiting(limits)
    try:
        _, child = await asyncio.get_running_loop().subprocess_exec(
            lambda: _Child(on_output, cap),
            *([*wrapper, program, *argv[1:]] if wrapper else argv),
            executable=wrapper[0] if wrapper else program,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
    except OSError as error:
        raise spawn_error(argv[0], cwd, error) from error
    except ValueError as error:
        raise ActionError(f"cannot run '{argv[0]}': {error}") from error
    child.born(stdin)
    return child


__all__ = ["CAP", "Finished", "become_subreaper", "end_marked", "reap_orphans", "run_tree"]
