"""The processes that a Python action starts, and their end (P4).

They carry the action's mark like those of a command (see `spawning`). What its thread has forked past that is known by
the kernel's list of the thread's children, as long as the thread does nothing else.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from smd.actions.trees import Process, Tree, mark_of, read_process

_TICKS = os.sysconf("SC_CLK_TCK")
TIDYING = "~"
"""Ends the mark of what a cancelled action starts, which is not ended while the action may tidy up."""
_STARTS_WITHIN = 1.0
_TASKS = Path("/proc/self/task")


class Offspring:
    """Those of one run.

    Args:
        mark: the action's full key.

    Attributes:
        started: some process was started, as far as is known.
        starting: held while a program is being started: it has no mark of its own before it is executed.
        tidied: the action has had its time to tidy up; programs that it ran for that (marked with TIDYING) end, too.
    """

    __slots__ = ("_since", "_store", "_thread", "_tree", "mark", "over", "started", "starting", "tidied")

    def __init__(self, mark: str) -> None:
        self.mark = os.fsencode(mark)
        self._store = os.fsencode(mark.partition("/")[0] + "/")
        self._tree: _Family | None = None
        self._thread = 0
        self._since = 0
        self.starting = threading.Lock()
        self.started = self.tidied = self.over = False

    def begin(self) -> None:
        """In the thread: the action begins."""
        self._thread = threading.get_native_id()
        self._since = int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)

    def leaves(self) -> bool:
        """In the thread, once the action is over: something that was started may still run, in no session of its own.

        Such a process is a child of the daemon, or its parent is one; so most actions cost no look at all processes.
        """
        self.over = True
        if not self.started:
            return False
        try:
            children = [pid for thread in _TASKS.iterdir() for pid in _children(thread.name)]
            return any((found := read_process(pid)) is not None and self.is_left(found) for pid in children)
        except OSError:
            return True

    def is_left(self, process: Process) -> bool:
        """Marked, alive, and in the daemon's session: who wants one to outlive its action gives it another."""
        return process.state not in "ZX" and process.session == os.getsid(0) and mark_of(process.pid) == self.mark

    def children(self) -> frozenset[int]:
        """Children of the action's thread; none once it does something else, or where the kernel does not tell."""
        try:
            found = frozenset(_children(str(self._thread)))
        except OSError:
            return frozenset()
        return frozenset() if self.over else found

    def is_marked(self, mark: bytes) -> bool:
        """It is the action's, and is to end now."""
        return mark == self.mark or (self.tidied and mark == self.mark + TIDYING.encode())

    def is_own(self, process: Process) -> bool:
        """A child of the thread is the action's: it is not older, and another action's mark is not on it.

        What `multiprocessing` starts once for all that use it is nobody's.
        """
        if process.start < self._since or process.pid in _shared():
            return False
        mark = mark_of(process.pid)
        return mark is None or mark in {self.mark, self._store} or not mark.startswith(self._store)

    async def end(self, kill_after: float) -> None:
        """End them all, and what descends from them; see `Tree.end`. May be called again."""
        if self.started or self.children():
            if self._tree is None:
                self._tree = _Family(self)
            await self._tree.end(kill_after)

    async def end_left(self, kill_after: float) -> None:
        """End what an action that went well has left behind, as a command's process group is ended."""
        await _Left(self).end(kill_after)


class _Family(Tree):
    def __init__(self, offspring: Offspring) -> None:
        super().__init__(None, offspring.is_marked)
        self._offspring = offspring
        self._children: frozenset[int] = frozenset()

    def alive(self) -> list[Process]:
        """See `Tree`."""
        starting = self._offspring.starting.acquire(timeout=_STARTS_WITHIN)
        try:
            self._children = self._offspring.children()
            return super().alive()
        finally:
            if starting:
                self._offspring.starting.release()

    def _is_root(self, each: Process, everyone: dict[int, Process]) -> bool:
        return super()._is_root(each, everyone) or (each.pid in self._children and self._offspring.is_own(each))

    def _bury(self, pid: int) -> None:
        if self._offspring.over:  # else the action waits for it, and would take its end for a good one
            super()._bury(pid)


class _Left(Tree):
    def __init__(self, offspring: Offspring) -> None:
        super().__init__(None, None)
        self._offspring = offspring

    def _is_root(self, each: Process, everyone: dict[int, Process]) -> bool:
        return super()._is_root(each, everyone) or self._offspring.is_left(each)


def _shared() -> tuple[int | None, ...]:
    """Servers of the whole process, children of whichever action was the first to need them."""
    places = (("forkserver", "_forkserver", "_forkserver_pid"), ("resource_tracker", "_resource_tracker", "_pid"))
    loaded = ((sys.modules.get(f"multiprocessing.{module}"), name, pid) for module, name, pid in places)
    return tuple(getattr(getattr(module, name, None), pid, None) for module, name, pid in loaded)


def _children(thread: str) -> list[int]:
    try:
        return [int(pid) for pid in (_TASKS / thread / "children").read_bytes().split()]
    except ProcessLookupError:
        return []  # the thread has ended
