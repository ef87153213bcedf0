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
import os
import signal
from collections.abc import Callable, Collection, Coroutine, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

MARK = b"SMD_ACTION="
"""Environment variable that marks every process of an action; its value is the action's full key."""

_log = logging.getLogger("smd.actions")
_T = TypeVar("_T")
_SET_CHILD_SUBREAPER = 36
_DEAD = frozenset("ZX")
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
    """The process with this pid, dead ones that nobody has reaped included; None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    words = text[text.rindex(b")") + 2 :].split()
    return Process(pid, chr(words[0][0]), int(words[1]), int(words[2]), int(words[3]), int(words[19]))


def all_processes() -> dict[int, Process]:
    """Every process of the system."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - names only
    return {pid: found for pid in pids if (found := read_process(pid)) is not None}


def mark_of(pid: int) -> bytes | None:
    """The mark a process was started with; None when it has none, has ended, or belongs to another user."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
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

    def alive(self) -> list[Process]:
        """Its processes that still run. Reaps those of its dead that are this process's children by adoption."""
        everyone = all_processes()
        me = os.getpid()
        everyone.pop(me, None)
        roots = [each for each in everyone.values() if self._is_root(each, everyone)]
        members = roots if self._marked is None else _with_descendants(roots, everyone)
        self._known.update((each.pid, each.start) for each in members)
        for each in members:
            if each.state == "Z" and each.parent == me and (self._leader is None or each.pid != self._leader.pid):
                _reap(each.pid)
        return [each for each in members if each.state not in _DEAD]

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

        Processes that may not be signalled (another user's) are waited for, with a warning.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + kill_after
        told: set[tuple[int, int]] = set()
        late, pause, quiet = False, _ROUND, 0
        while quiet < _QUIET_SCANS:
            members = await asyncio.to_thread(self.alive)
            quiet = 0 if members else quiet + 1
            late = late or loop.time() >= deadline
            fresh = [each for each in members if late or (each.pid, each.start) not in told]
            refused = [each for each in fresh if not _send(each, signal.SIGKILL if late else signal.SIGTERM)]
            told.update((each.pid, each.start) for each in members)
            if refused and late:
                _log.warning("cannot end processes %s: not permitted; waiting for them", [each.pid for each in refused])
                pause = min(pause * 2, 60.0)
            await _exits(members, pause if late else max(deadline - loop.time(), 0.0))
        return len(told)


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


def _send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process; False when that is not permitted. A stopped one is woken to hear of it."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
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


async def _exits(processes: Iterable[Process], at_most: float) -> None:
    """Wait until all of these (the first few of very many) have ended, or for `at_most` seconds."""
    with contextlib.ExitStack() as watching:
        ended: list[asyncio.Future[None]] = []
        try:
            ended.extend(_exit_of(each.pid, watching) for each in itertools.islice(processes, _MOST_WATCHED))
        except ProcessLookupError:
            return  # one is gone already: look again
        except OSError:
            await asyncio.sleep(min(at_most, _ROUND))  # out of descriptors: look again in a while
            return
        if ended:
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

    Returns whether it worked; when not, that is logged, and orphans are still found by their mark.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0:
            return True
        why = os.strerror(ctypes.get_errno())
    except (OSError, AttributeError) as error:
        why = str(error)
    _log.warning("cannot become subreaper: %s; orphans of actions are found by their mark only", why)
    return False


_seen_dead: set[tuple[int, int]] = set()


def reap_orphans(own_pids: Collection[int] = ()) -> int:
    """Reap dead children that nobody waits for; returns how many. To be called now and then.

    Left alone are `own_pids`, children in this process's own session (a Python action's `subprocess`), and whatever
    was not already dead at the call before: who waits for a child has collected it by then.
    """
    me, session = os.getpid(), os.getsid(0)
    dead = {
        (each.pid, each.start)
        for each in all_processes().values()
        if each.state == "Z" and each.parent == me and each.session != session and each.pid not in own_pids
    }
    reaped = [(pid, start) for pid, start in dead & _seen_dead if _reap(pid)]
    _seen_dead.clear()
    _seen_dead.update(dead.difference(reaped))
    return len(reaped)


def _reap(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except OSError as error:
        if error.errno == errno.ECHILD:
            return False
        raise
