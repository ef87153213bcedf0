"""Group commit: units that are ready together share one commit.

A unit that comes alone starts at once; nothing waits for company, unless somebody says that it comes (`together`).
While a commit runs the next group gathers, and it starts before the answers of the last one go out, so the disk is
never idle while the program talks. What those answers bring forth is one group.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from smd.errors import RequestError, StoreError
from smd.store.base import Ended, Operation, Save, Unit

GROUP_EVENTS = 200
"""Larger groups gain little and make the other machines wait: p99 rises with it."""
LEAST_SHARE = 16
"""Events a unit may take of a group however many others wait."""


class Done(NamedTuple):
    """What became of one unit: its value, or the error it ends with."""

    value: Any = None
    error: BaseException | None = None


Commit = Callable[[Sequence[Unit], Callable[[list[Done]], None]], None]
"""Runs units in one transaction where it can; then calls back on the loop, later, with one Done each, in order."""

Answer = Callable[[Operation], Any]
"""Gives the answer of an operation, inside the transaction."""


class GroupCommit:
    """Queues units and hands them to `commit` in groups of about `room` events, in the order they came.

    What is ready together shares the room, so that one machine's flood leaves room for the others.
    """

    def __init__(self, commit: Commit, room: int = GROUP_EVENTS) -> None:
        self._commit = commit
        self._room = room
        self._queue: deque[tuple[Unit, Ended]] = deque()
        self._running: list[Ended] = []
        self._left_out: list[tuple[Ended, Done]] = []
        self._held = 0
        self._closed = False
        self._quiet: list[asyncio.Future[None]] = []

    def run(self, unit: Unit, ended: Ended) -> None:
        """See base.Store.run."""
        if self._closed:
            refuse(ended, "cannot write: the store is closed")
            return
        self._queue.append((unit, ended))
        self._start()

    @contextmanager
    def together(self) -> Iterator[None]:
        """See base.Store.together."""
        self._held += 1
        try:
            yield
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._held -= 1
        if self._queue:
            self._start()

    def refuse(self) -> None:
        """Take no more units."""
        self._closed = True

    async def close(self) -> None:
        """Take no more units; return when those taken are done."""
        self.refuse()
        if not self._is_quiet():
            quiet = asyncio.get_running_loop().create_future()
            self._quiet.append(quiet)
            await quiet

    def _is_quiet(self) -> bool:
        return not (self._queue or self._running or self._left_out)

    def _start(self) -> None:
        """Begin the next group, unless one runs. A unit that takes no part in it hears so once it is under way."""
        if self._running or self._held:
            return
        self._held += 1
        try:
            units = self._gather()
        finally:
            self._held -= 1
        if units:
            self._commit(units, self._ended)
        if self._left_out:  # later, for their submitter may still be submitting
            asyncio.get_running_loop().call_soon(self._tell_left_out)

    def _gather(self) -> list[Unit]:
        """The units of the next group."""
        room = self._room
        units: list[Unit] = []
        while self._queue and room > 0:
            unit, ended = self._queue.popleft()
            try:
                taken = unit.begin(min(room, max(LEAST_SHARE, room // (len(self._queue) + 1))))
            except Exception as error:  # noqa: BLE001 - whatever the unit raises is its submitter's to hear
                self._left_out.append((ended, Done(error=error)))
                continue
            if taken <= 0:
                self._left_out.append((ended, Done()))
                continue
            room -= taken
            units.append(unit)
            self._running.append(ended)
        return units

    def _tell_left_out(self) -> None:
        left_out, self._left_out = self._left_out, []
        self._tell(left_out)

    def _ended(self, ends: Sequence[Done]) -> None:
        group, self._running = self._running, []
        if self._queue:
            self._start()
        self._tell(zip(group, ends, strict=True))

    def _tell(self, ends: Iterable[tuple[Ended, Done]]) -> None:
        self._held += 1
        try:
            for ended, (value, error) in ends:
                _tell_one(ended, value, error)
        finally:
            self._let_go()
        if self._is_quiet():
            for quiet in self._quiet:
                settle(quiet, None, None)
            self._quiet.clear()


def _tell_one(ended: Ended, value: Any, error: BaseException | None) -> None:
    try:
        ended(value, error)
    except Exception as broken:  # noqa: BLE001 - one that is broken does not keep the others from hearing
        told = {"message": "cannot tell of a commit", "exception": broken}
        asyncio.get_running_loop().call_exception_handler(told)


def refuse(ended: Ended, why: str) -> None:
    """Tell that a unit was not even queued."""
    asyncio.get_running_loop().call_soon(ended, None, StoreError(why))


def submitted(run: Callable[[Unit, Ended], None], unit: Unit) -> asyncio.Future[Any]:
    """See base.Store.submit."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    run(unit, partial(settle, future))
    return future


def settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    """Resolve a future, unless whoever waited has gone."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


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
