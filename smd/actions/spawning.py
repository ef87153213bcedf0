"""What a Python action's thread starts carries the action's mark, however it is started.

Environment variables belong to the whole process, so the mark cannot be left for children to inherit: it is put in
what each of them is given. For threads that act for no action nothing changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import threading
from collections.abc import Mapping
from typing import Any

from smd.actions.acting import act, current
from smd.actions.trees import MARK

NAME = MARK.decode().rstrip("=")
"""The variable that holds the mark."""
_ENV = 10
"""Place of `env` among the arguments of Popen."""
_SET_PDEATHSIG = 1
_BOUND_WITHIN = 5000
"""Milliseconds."""
_system = os.system
_posix_spawn, _posix_spawnp = os.posix_spawn, os.posix_spawnp


class _Daemon:
    """The process whose forks are looked after; None before `install`."""

    pid: int | None = None
    libc: ctypes.CDLL


class Popen(subprocess.Popen[Any]):
    """See subprocess. What an action starts is marked, and nothing is started for one that was ended."""

    def __init__(self, *args: Any, **options: Any) -> None:
        acting = current()
        if acting is not None:
            acting.starts_process()
            if len(args) > _ENV:
                args = (*args[:_ENV], _marked(args[_ENV], acting.mark), *args[_ENV + 1 :])
            else:
                options["env"] = _marked(options.get("env"), acting.mark)
        super().__init__(*args, **options)


def _marked(env: Mapping[Any, Any] | None, mark: str) -> dict[Any, Any]:
    return {**(os.environ if env is None else env), NAME: mark}


def _run_system(command: Any) -> int:
    """See os.system."""
    if current() is None:
        return _system(command)
    code = subprocess.call(command, shell=True)  # noqa: S602 - as it was called for
    return code << 8 if code >= 0 else -code


def _spawn(path: Any, argv: Any, env: Any, /, **options: Any) -> int:
    """See os.posix_spawn."""
    return _posix_spawn(path, argv, _for_acting(env), **options)


def _spawn_in_path(path: Any, argv: Any, env: Any, /, **options: Any) -> int:
    """See os.posix_spawnp."""
    return _posix_spawnp(path, argv, _for_acting(env), **options)


def _for_acting(env: Any) -> Any:
    acting = current()
    if acting is None:
        return env
    acting.starts_process()
    return _marked(env, acting.mark)


class _Forking(threading.local):
    """The pipe through which a copy of this process that this thread is making tells that it may be left alone."""

    ends: tuple[int, int] | None = None


_forking = _Forking()


def _before_fork() -> None:
    acting = current()
    if acting is not None:
        with contextlib.suppress(asyncio.CancelledError):  # a fork cannot be refused here; it is ended when found
            acting.starts_process(fork=True)
        with contextlib.suppress(OSError):  # for lack of descriptors
            _forking.ends = os.pipe()


def _in_parent() -> None:
    """Until the copy is bound to this thread the thread must not end."""
    ends, _forking.ends = _forking.ends, None
    if ends is not None:
        bound = select.poll()
        bound.register(ends[0], select.POLLIN)
        bound.poll(_BOUND_WITHIN)
        _close(ends)


def _in_child() -> None:
    """In a child that goes on in this program, until it executes another.

    Signals it gets are its own, and not handed to the daemon's loop through the descriptor both have. A copy made by
    an action cannot carry the mark before it executes something: it ends with the thread that made it. It acts for
    nobody else: the loop that it would tell is its parent's.
    """
    if os.getppid() != _Daemon.pid:
        return
    if signal.set_wakeup_fd(-1) >= 0:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
    acting = current()
    if acting is not None:
        _Daemon.libc.prctl(_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        os.environ[NAME] = acting.mark
        act(None)
    ends, _forking.ends = _forking.ends, None
    if ends is not None:
        os.write(ends[1], b"b")
        _close(ends)


def _close(ends: tuple[int, int]) -> None:
    for end in ends:
        os.close(end)


def install() -> None:
    """Look after what actions start in this process; a second call changes nothing."""
    if _Daemon.pid is not None:
        return
    _Daemon.pid, _Daemon.libc = os.getpid(), ctypes.CDLL(None)
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
    subprocess.Popen = Popen  # type: ignore[misc]
    os.system, os.posix_spawn, os.posix_spawnp = _run_system, _spawn, _spawn_in_path
