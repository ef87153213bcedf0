"""What a Python action's thread starts carries the action's mark, however it is started.

Environment variables belong to the whole process, so the mark cannot be left for children to inherit: it is put in
what each of them is given. For threads that act for no action nothing changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import inspect
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from smd.actions.acting import Acting, act, current
from smd.actions.trees import MARK

NAME = MARK.decode().rstrip("=")
"""The variable that holds the mark."""
_NAMES = tuple(inspect.signature(subprocess.Popen.__init__).parameters)[1:]
"""Of Popen's arguments, in their places."""
_SET_PDEATHSIG = 1
_BOUND_WITHIN = 5000
"""Milliseconds."""
_begin = threading.Thread.start
_system = os.system
_posix_spawn, _posix_spawnp = os.posix_spawn, os.posix_spawnp


class _Daemon:
    """The process whose forks are looked after; None before `install`."""

    pid: int | None = None
    libc: ctypes.CDLL


_acting_for: WeakKeyDictionary[threading.Thread, Acting] = WeakKeyDictionary()
"""Threads that actions began themselves."""


def starter() -> Acting | None:
    """For whom this thread starts processes: a thread that an action began does so for it, until the action is over."""
    acting = current() or _acting_for.get(threading.current_thread())
    return None if acting is None or acting.over() else acting


def _begin_thread(thread: threading.Thread) -> None:
    """See threading.Thread.start."""
    acting = starter()
    if acting is not None:
        _acting_for[thread] = acting
    _begin(thread)


class Popen(subprocess.Popen[Any]):
    """See subprocess. What an action starts is marked, and nothing is started for one that was ended."""

    def __init__(self, *args: Any, **options: Any) -> None:
        acting = starter()
        if acting is None:
            super().__init__(*args, **options)
            return
        acting.starts_process()
        options = dict(zip(_NAMES, args, strict=False)) | options
        options["env"] = _marked(options.get("env"), acting.mark)
        if options.get("preexec_fn") is not None:
            options["preexec_fn"] = partial(_prepared, options["preexec_fn"])
        with acting.starting():
            super().__init__(**options)


def _prepared(prepare: Callable[[], object]) -> None:
    """In the copy that is about to execute the program: it need not end with the thread, for it carries the mark."""
    _Daemon.libc.prctl(_SET_PDEATHSIG, 0, 0, 0, 0)
    prepare()


def _marked(env: Mapping[Any, Any] | None, mark: str) -> dict[Any, Any]:
    return {**(os.environ if env is None else env), NAME: mark}


def _run_system(command: Any) -> int:
    """See os.system."""
    if starter() is None:
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
    acting = starter()
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
    threading.Thread.start = _begin_thread  # type: ignore[method-assign,assignment]
    os.system, os.posix_spawn, os.posix_spawnp = _run_system, _spawn, _spawn_in_path
