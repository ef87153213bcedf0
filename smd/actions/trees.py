"""Process trees: who belongs to an action, and ending all of them (P4).

A tree is found in /proc, never remembered in a table: the process group and session of its first process, every
process with the action's mark in its environment (`SMD_ACTION=<action key>`), and all descendants of these. Signals
go through pid file descriptors to processes whose start time was seen, so a reused pid is never hit. What both
detaches from its parent and erases its environment is beyond reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import itertools
import logging
import math
import os
import signal
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

MARK = b"SMD_ACTION="
"""Environment variable that marks every process of an action; its value is the action's full key."""

_log = logging.getLogger("smd.actions")
_T = TypeVar("_T")
_SET_CHILD_SUBREAPER = 36
_DEAD = frozenset("ZX")
_ABSENT = (FileNotFoundError, ProcessLookupError, PermissionError)
_ROUND = 0.5
_MOST_WATCHED = 64
_QUIET_SCANS = 2
"""A scan is not a moment: a process may fork and end while it runs, so nothing found counts when found twice."""


class Process(NamedTuple):
    """One row of /proc. `start` (in clock ticks since boot) tells a process from a later one with its pid."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start: int


def read_process(pid: int) -> Process | None:
    """The process with this pid, dead ones that nobody has reaped included; None when there is none.

    Raises:
        OSError: it cannot be told, for lack of descriptors or memory.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except _ABSENT:
        return None
    words = text[text.rindex(b")") + 2 :].split()
    return Process(pid, chr(words[0][0]), int(words[1]), int(words[2]), int(words[3]), int(words[19]))


def all_processes() -> dict[int, Process]:
    """Every process of the system.

    Raises:
        OSError: see `read_process`; half a list is none.
    """
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - names only
    return {pid: found for pid in pids if (found := read_process(pid)) is not None}


def mark_of(pid: int) -> bytes | None:
    """The mark a process was started with; None when it has none, has ended, or belongs to another user.

    Raises:
        OSError: see `read_process`.
    """
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except _ABSENT:
        return None
    return next((word[len(MARK) :] for word in environment.split(b"\0") if word.startswith(MARK)), None)


class Tree:
    """The processes of one action, or of many with a common mark.

    Args:
        leader: the first process; its group and session belong to the tree.
        marked: says of a mark whether it is this tree's; None for the leader's group alone.
    """

    def __init__(self, leader: Process | None, marked: Callable[[bytes], bool] | None) -> None:
        self._leader = leader
        self._marked = marked
        self._known: set[tuple[int, int]] = set()
        self._hurry: asyncio.Future[None] | None = None

    def alive(self) -> list[Process]:
        """Its processes that still run. Reaps those of its dead that are this process's children by adoption.

        Raises:
            OSError: see `read_process`.
        """
        everyone = all_processes()
        me = os.getpid()
        everyone.pop(me, None)
        roots = [each for each in everyone.values() if self._is_root(each, everyone)]
        members = roots if self._marked is None else _with_descendants(roots, everyone)
        self._known.update((each.pid, each.start) for each in members)
        for each in members:
            if each.state == "Z" and each.parent == me and each.pid not in awaited:
                self._bury(each.pid)
        return [each for each in members if each.state not in _DEAD]

    def _bury(self, pid: int) -> None:
        _reap(pid)

    def _is_root(self, each: Process, everyone: dict[int, Process]) -> bool:
        if (each.pid, each.start) in self._known:
            return True
        leader = self._leader
        if leader is not None and everyone.get(leader.pid, leader).start == leader.start:
            if self._marked is None:
                return each.group == leader.pid
            if leader.pid in {each.group, each.session}:
                return True
        if self._marked is None or each.state in _DEAD:
            return False
        mark = mark_of(each.pid)
        return mark is not None and self._marked(mark)

    async def end(self, kill_after: float) -> int:
        """TERM to all, KILL to what is left after `kill_after` seconds; returns how many once none is left.

        Processes that may not be signalled (another user's) are waited for, with a warning. A lack of descriptors,
        memory or threads delays the end and never prevents it; nothing is killed before it was told for so long.
        `kill_ending` cuts the time short.
        """
        self._hurry = asyncio.get_running_loop().create_future()
        _ending.add(self)
        try:
            return await self._end(kill_after, self._hurry)
        finally:
            _ending.discard(self)

    def hurry(self) -> None:
        """If its end is under way, KILL now what is left."""
        if self._hurry is not None and not self._hurry.done():
            self._hurry.set_result(None)

    async def _end(self, kill_after: float, hurry: asyncio.Future[None]) -> int:
        loop = asyncio.get_running_loop()
        told: set[tuple[int, int]] = set()
        deadline, pause, quiet = math.inf, _ROUND, 0
        while quiet < _QUIET_SCANS:
            members = await self._scan()
            quiet = 0 if members else quiet + 1
            late = hurry.done() or loop.time() >= deadline
            fresh = [each for each in members if late or (each.pid, each.start) not in told]
            refused, unheard = _tell(fresh, signal.SIGKILL if late else signal.SIGTERM)
            told.update((each.pid, each.start) for each in members if each not in unheard)
            if refused and late:
                _log.warning("cannot end processes %s: not permitted; waiting for them", [each.pid for each in refused])
                pause = min(pause * 2, 60.0)
            if deadline == math.inf or (unheard and not late):
                deadline = loop.time() + kill_after
            at_most = pause if late else max(deadline - loop.time(), 0.0)
            await _exits(members, min(at_most, _ROUND) if unheard else at_most, None if late else hurry)
        return len(told)

    async def _scan(self) -> list[Process]:
        """`alive`, however long it takes until there is what it needs: a tree is not let go for a lack of it."""
        warned = False
        while True:
            try:
                return await _in_thread(self.alive)
            except OSError as error:
                if not warned:
                    _log.warning("cannot look for the processes of an action to end: %s; trying on", error.strerror)
                warned = True
                await asyncio.sleep(_ROUND)


_ending: set[Tree] = set()
"""Those whose end is under way."""


def kill_ending() -> None:
    """Give what is being ended no more time: it is killed now. For a daemon that has to go down."""
    for tree in tuple(_ending):
        tree.hurry()


async def _in_thread(work: Callable[[], _T]) -> _T:
    try:
        return await asyncio.to_thread(work)
    except RuntimeError:  # no more threads: those to be ended may be what takes them
        return work()


def _with_descendants(roots: list[Process], everyone: dict[int, Process]) -> list[Process]:
    children: dict[int, list[Process]] = {}
    for each in everyone.values():
        children.setdefault(each.parent, []).append(each)
    found: dict[int, Process] = {}
    open_ends = list(roots)
    while open_ends:
        each = open_ends.pop()
        if each.pid not in found:
            found[each.pid] = each
            open_ends += children.get(each.pid, ())
    return list(found.values())


def _tell(processes: Iterable[Process], number: signal.Signals) -> tuple[list[Process], list[Process]]:
    """Signal these; which of them that is not permitted for, and which it could not be done for now."""
    refused: list[Process] = []
    unheard: list[Process] = []
    for each in processes:
        try:
            if not _send(each, number):
                refused.append(each)
        except OSError:
            unheard.append(each)
    return refused, unheard


def _send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process; False when that is not permitted. A stopped one is woken to hear of it.

    Raises:
        OSError: there are no descriptors.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        seen = read_process(process.pid)
        if seen is not None and seen.start == process.start:
            signal.pidfd_send_signal(descriptor, number)
            signal.pidfd_send_signal(descriptor, signal.SIGCONT)
    except PermissionError:
        return False
    except ProcessLookupError:
        return True
    finally:
        os.close(descriptor)
    return True


async def _exits(processes: Iterable[Process], at_most: float, hurry: asyncio.Future[None] | None) -> None:
    """Wait until all of these (the first few of very many) have ended, for `at_most` seconds or until `hurry`."""
    with contextlib.ExitStack() as watching:
        ended: list[asyncio.Future[None]] = []

        def wake(_: asyncio.Future[None]) -> None:
            for each in ended:
                if not each.done():
                    each.set_result(None)

        try:
            ended.extend(_exit_of(each.pid, watching) for each in itertools.islice(processes, _MOST_WATCHED))
        except ProcessLookupError:
            return  # one is gone already: look again
        except OSError:
            await asyncio.sleep(min(at_most, _ROUND))  # out of descriptors: look again in a while
            return
        if ended:
            if hurry is not None:
                hurry.add_done_callback(wake)
                watching.callback(hurry.remove_done_callback, wake)
            await asyncio.wait(ended, timeout=at_most)


def _exit_of(pid: int, watching: contextlib.ExitStack) -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)
    watching.callback(os.close, descriptor)
    ended = loop.create_future()

    def note() -> None:
        loop.remove_reader(descriptor)
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(descriptor, note)
    watching.callback(loop.remove_reader, descriptor)
    return ended


async def unbroken(work: Coroutine[Any, Any, _T]) -> _T:
    """Await `work` to its end even if the caller is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except BaseException:  # noqa: BLE001 - the task's own; raised by result() below
            break
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result


async def end_marked(prefix: str, kill_after: float) -> int:
    """End every process whose mark starts with `prefix`, and their descendants; returns how many there were.

    At daemon start, before any action resumes, with `<store id>/`: what an earlier life of this store left is gone
    when this returns.
    """
    start = os.fsencode(prefix)
    return await Tree(None, lambda mark: mark.startswith(start)).end(kill_after)


# --- orphans --------------------------------------------------------------------------------------------------------


def become_subreaper() -> bool:
    """Let orphans of actions become children of this process, so that they are found by descent (prctl(2)).

    Returns whether it worked; when not, that is logged, and orphans are still found by their mark. It is not done
    where the kernel does not tell what was adopted (CONFIG_PROC_CHILDREN), for nobody would reap that.
    """
    try:
        _adopted()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0:
            return True
        why = os.strerror(ctypes.get_errno())
    except (OSError, AttributeError) as error:
        why = str(error)
    _log.warning("cannot become subreaper: %s; orphans of actions are found by their mark only", why)
    return False


awaited: set[int] = set()
"""Pids of children whose end somebody here waits for, who adds and removes them."""

_seen_dead: set[tuple[int, int]] = set()


def reap_orphans() -> int:
    """Reap dead children that were adopted; how many are left to the next call. To be called after a child's end.

    Left alone are those `awaited` and what other threads than the first have started (a Python action's
    `subprocess`). What was not dead at the call before is left to the next one: a child whose thread has ended
    looks like an adopted one, and who waits for it has collected it by then.

    Raises:
        OSError: see `read_process`.
    """
    me = os.getpid()
    children = [found for pid in _adopted() if pid not in awaited and (found := read_process(pid)) is not None]
    dead = {(each.pid, each.start) for each in children if each.state == "Z" and each.parent == me}
    fresh = dead - _seen_dead
    for pid, _ in dead & _seen_dead:
        _reap(pid)
    _seen_dead.clear()
    _seen_dead.update(fresh)
    return len(fresh)


def _adopted() -> list[int]:
    """Children of the first thread. The kernel gives it what is adopted, while what a thread starts is its own."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_bytes().split()]


def _reap(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except OSError as error:
        if error.errno == errno.ECHILD:
            return False
        raise
