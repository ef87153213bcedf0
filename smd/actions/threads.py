"""Work in a thread of its own, which can be abandoned but not ended (P4)."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")

MOST_IDLE = 16
"""Threads kept for the next action."""

_abandoned: Counter[str] = Counter()
_counting = threading.Lock()


def abandoned_threads(machine: str) -> int:
    """How many threads of this machine's actions still run although nobody waits for them."""
    with _counting:
        return _abandoned[machine]


class _Worker:
    """A daemon thread that does one piece of work at a time, with an event loop of its own where the work wants one.

    Idle ones are used again, since making a thread and a loop costs more than most actions; there is always one
    more to be had, so work that never returns takes no place that others wait for.
    """

    _idle: ClassVar[list[_Worker]] = []
    _here = threading.local()

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], bool]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="smd:action", daemon=True).start()

    @classmethod
    def borrowed(cls) -> _Worker:
        """An idle worker, or a new one."""
        with _counting:
            return cls._idle.pop() if cls._idle else cls()

    def run(self, work: Callable[[], bool]) -> None:
        """Give it its work; `work` says whether the thread may be used again."""
        self._work.put(work)

    @classmethod
    def loop_of_this_thread(cls) -> asyncio.Runner:
        """The thread's own event loop, kept from one piece of work to the next."""
        runner: asyncio.Runner | None = getattr(cls._here, "runner", None)
        if runner is None:
            runner = cls._here.runner = asyncio.Runner()
        return runner

    def _serve(self) -> None:
        try:
            while self._work.get()():
                self._leave_nothing()
                with _counting:
                    if len(self._idle) >= MOST_IDLE:
                        return
                    self._idle.append(self)
        finally:
            runner: asyncio.Runner | None = getattr(self._here, "runner", None)
            if runner is not None:
                runner.close()

    def _leave_nothing(self) -> None:
        """Tasks that an action left in the loop end with it."""
        runner: asyncio.Runner | None = getattr(self._here, "runner", None)
        if runner is not None and asyncio.all_tasks(runner.get_loop()):
            runner.close()
            self._here.runner = None


class OwnThread(Generic[T]):
    """A function that runs in a daemon thread; `done` is its result, for the loop that made it.

    Args:
        machine: whose thread it is, for `abandoned_threads`.
        work: called in the thread with this object.
    """

    def __init__(self, machine: str, work: Callable[[OwnThread[T]], T]) -> None:
        self._machine = machine
        self._work = work
        self._home = asyncio.get_running_loop()
        self._ended = self._given_up = False
        self._inner: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self.done: asyncio.Future[T] = self._home.create_future()
        _Worker.borrowed().run(self._main)

    async def result(self, grace: float) -> T:
        """Wait for the result. Cancelled, ask the work to end where it can be asked, and abandon it after `grace` s.

        Raises:
            BaseException: whatever the work raised.
        """
        try:
            return await asyncio.shield(self.done)
        except asyncio.CancelledError:
            if not self.done.done():
                await self._stop(grace)
            raise

    async def _stop(self, grace: float) -> None:
        if self._ask_to_end():
            ended = self._home.create_task(_settled(self.done, grace))
            while not ended.done():
                with contextlib.suppress(asyncio.CancelledError):  # the first one is raised by the caller
                    await asyncio.shield(ended)
        with _counting:
            if not self._ended:
                self._given_up = True
                _abandoned[self._machine] += 1

    def _ask_to_end(self) -> bool:
        """Cancel what the thread awaits in a loop of its own; False when it has none."""
        if self._inner is None:
            return False
        loop, task = self._inner
        with contextlib.suppress(RuntimeError):  # its loop has just closed
            loop.call_soon_threadsafe(task.cancel)
        return True

    def wait_for(self, awaitable: Awaitable[Any]) -> Any:
        """For the work: await something in a loop of the thread's own, which a cancellation reaches."""

        async def awaited() -> Any:
            task = asyncio.current_task()
            if task is not None:
                self._inner = (asyncio.get_running_loop(), task)
            return await awaitable

        return _Worker.loop_of_this_thread().run(awaited(), context=contextvars.copy_context())

    def tell(self, receive: Callable[..., None], *arguments: Any) -> None:
        """For the work: call something on the loop that waits for it, if that is still there."""
        with contextlib.suppress(RuntimeError):  # the daemon has gone down meanwhile
            self._home.call_soon_threadsafe(receive, *arguments)

    def _main(self) -> bool:
        """In the thread. Returns whether the thread may be used again."""
        try:
            result, error = self._work(self), None
        except BaseException as raised:  # noqa: BLE001 - it is the waiter's to judge
            result, error = None, raised
        with _counting:
            self._ended = True
            if self._given_up:
                _abandoned[self._machine] -= 1
                return False
        self.tell(self._deliver, result, error)
        return True

    def _deliver(self, result: Any, error: BaseException | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(result)
        else:
            # A future refuses StopIteration, and SystemExit in one would end the loop.
            wrapped = error if isinstance(error, Exception) and not isinstance(error, StopIteration) else Raised(error)
            self.done.set_exception(wrapped)
            self.done.exception()  # seen: an abandoned failure is nobody's warning


class Raised(Exception):  # noqa: N818 - it carries one
    """Something raised in a thread that is no ordinary exception; the cause says what."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.__cause__ = cause


async def _settled(future: asyncio.Future[Any], grace: float) -> None:
    await asyncio.wait((future,), timeout=grace)
