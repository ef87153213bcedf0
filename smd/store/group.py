"""Group commit: units that are ready together share one commit.

A unit that comes alone starts with the next turn of the loop; nothing waits for company. While a commit runs the
next group gathers, and it starts before the answers of the last one go out, so the disk is never idle while the
program talks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from smd.errors import RequestError, StoreError
from smd.store.base import Operation, Save, Unit

GROUP_EVENTS = 200
"""Larger groups gain little and make the other machines wait: p99 rises with it."""
LEAST_SHARE = 16
"""Events a unit may take of a group however many others wait."""


class Done(NamedTuple):
    """What became of one unit: its value, or the error it ends with."""

    value: Any = None
    error: BaseException | None = None


Commit = Callable[[Sequence[Unit]], "asyncio.Future[list[Done]]"]
"""Runs units in one transaction where it can; one Done each, in order."""

Answer = Callable[[Operation], Any]
"""Gives the answer of an operation, inside the transaction."""

_Waiting = tuple[Unit, "asyncio.Future[Any]"]


class GroupCommit:
    """Queues units and hands them to `commit` in groups of about `room` events, in the order they came.

    What is ready together shares the room, so that one machine's flood leaves room for the others.
    """

    def __init__(self, commit: Commit, room: int = GROUP_EVENTS) -> None:
        self._commit = commit
        self._room = room
        self._queue: deque[_Waiting] = deque()
        self._running: list[_Waiting] = []
        self._scheduled = False
        self._closed = False
        self._quiet: list[asyncio.Future[None]] = []

    def submit(self, unit: Unit) -> asyncio.Future[Any]:
        """Queue a unit. A caller that stops waiting cancels its future, not the unit."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self._closed:
            future.set_exception(StoreError("cannot write: the store is closed"))
            return future
        self._queue.append((unit, future))
        if not self._running and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._start)
        return future

    def refuse(self) -> None:
        """Take no more units."""
        self._closed = True

    async def close(self) -> None:
        """Take no more units; return when those taken are done."""
        self.refuse()
        if self._queue or self._running:
            quiet = asyncio.get_running_loop().create_future()
            self._quiet.append(quiet)
            await quiet

    def _start(self) -> None:
        self._scheduled = False
        room = self._room
        while self._queue and room > 0:
            unit, future = self._queue.popleft()
            try:
                taken = unit.begin(min(room, max(LEAST_SHARE, room // (len(self._queue) + 1))))
            except Exception as error:  # noqa: BLE001 - whatever the unit raises is its submitter's to hear
                _settle(future, Done(error=error))
                continue
            if taken <= 0:
                _settle(future, Done())
                continue
            room -= taken
            self._running.append((unit, future))
        if self._running:
            self._commit([unit for unit, _ in self._running]).add_done_callback(self._ended)
        else:
            self._tell_quiet()

    def _ended(self, commit: asyncio.Future[list[Done]]) -> None:
        group, self._running = self._running, []
        if self._queue:
            self._start()
        broken = commit.exception()
        ends = [Done(error=broken)] * len(group) if broken else commit.result()
        for (_, future), done in zip(group, ends, strict=True):
            _settle(future, done)
        self._tell_quiet()

    def _tell_quiet(self) -> None:
        if not self._queue and not self._running:
            for quiet in self._quiet:
                _settle(quiet, Done())
            self._quiet.clear()


def _settle(future: asyncio.Future[Any], done: Done) -> None:
    if future.done():
        return
    if done.error is not None:
        future.set_exception(done.error)
    else:
        future.set_result(done.value)


def drive(unit: Unit, answer: Answer) -> Any:
    """Run a unit's recipe to its end, answering each operation.

    A refused request (RequestError) has changed nothing and is raised in the recipe, which may go on with it.
    Whatever else goes wrong ends the unit.
    """
    recipe = unit.run()
    try:
        operation = next(recipe)
        while True:
            try:
                reply = answer(operation)
            except RequestError as error:
                if isinstance(operation, Save):
                    raise
                operation = recipe.throw(error)
            else:
                operation = recipe.send(reply)
    except StopIteration as end:
        return end.value
    finally:
        recipe.close()
