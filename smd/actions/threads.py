"""Work in a thread of its own, which can be abandoned but not ended (P4)."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from functools import partial
from types import CoroutineType
from typing import Any, ClassVar, Generic, TypeVar

from smd.actions.apart import set_apart, set_back
from smd.actions.loops import Loop
from smd.actions.offspring import Offspring

T = TypeVar("T")

MOST_IDLE = 16
"""Threads kept for the next action, about."""

LEFT = 5.0
"""Seconds between TERM and KILL for processes that work which went well has left behind."""

_abandoned: dict[str, int] = {}
_closing: dict[str, set[Future[None]]] = {}
"""The ends of threads that close their loop, by the machine whose action left something in it."""
_counting = threading.Lock()


def abandoned_threads(machine: str) -> int:
    """How many threads of this machine's actions still run although nobody waits for them."""
    return _abandoned.get(machine, 0) + len(_closing.get(machine, ()))


async def fewer_abandoned(machine: str, most: int, grace: float) -> bool:
    """Whether fewer than `most` are, once those that only end what an action left have had `grace` s for it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace):
            while abandoned_threads(machine) >= most and (ends := _ends(machine)):
                await asyncio.wait([asyncio.wrap_future(end) for end in ends], return_when=asyncio.FIRST_COMPLETED)
    return abandoned_threads(machine) < most


def _ends(machine: str) -> tuple[Future[None], ...]:
    with _counting:
        return tuple(_closing.get(machine, ()))


@contextlib.contextmanager
def _closes(machine: str) -> Iterator[None]:
    """Within this block the thread counts as abandoned: what was left in its loop may refuse to end."""
    end: Future[None] = Future()
    end.set_running_or_notify_cancel()  # nobody who waits for it can cancel it
    with _counting:
        _closing.setdefault(machine, set()).add(end)
    try:
        yield
    finally:
        with _counting:
            _closing[machine].discard(end)
            if not _closing[machine]:
                del _closing[machine]
        end.set_result(None)


def _nothing() -> None:
    """What work tells that was given up before it began."""


def _count(machine: str, more: int) -> None:
    left = _abandoned.get(machine, 0) + more
    if left:
        _abandoned[machine] = left
    else:
        del _abandoned[machine]


class _Worker:
    """A daemon thread that does one piece of work at a time, with an event loop of its own where the work wants one.

    Idle ones are used again, since making a thread and a loop costs more than most actions; there is always one
    more to be had, so work that never returns takes no place that others wait for. Work returns what hands its answer
    on, or None when nobody wants it any more; then the thread ends.
    """

    machine = ""
    """Whose work it did last."""
    forked = False
    """It has children that are to end with it, being copies of this process."""
    _idle: ClassVar[list[_Worker]] = []

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[_Worker], Callable[[], None] | None]] = queue.SimpleQueue()
        self._runner: asyncio.Runner | None = None
        self._loop: Loop | None = None
        threading.Thread(target=self._serve, name="smd:action", daemon=True).start()

    @classmethod
    def do(cls, work: Callable[[_Worker], Callable[[], None] | None]) -> None:
        """Have an idle worker do it, or a new one."""
        try:
            worker = cls._idle.pop()
        except IndexError:
            worker = cls()
        worker._work.put(work)

    def wait_for(self, awaitable: Awaitable[Any], begins: Callable[[asyncio.Task[Any]], None]) -> Any:
        """In the thread: await something in its loop. `begins` is given the task before anything else happens in it.

        Raises:
            BaseException: what the awaitable raises, or `begins`, which keeps it from beginning; it never reaches
                the loop, which SystemExit would end.
            RuntimeError: something stopped the loop.
        """
        loop = self._own_loop()
        ended: list[Any] = []

        async def awaited() -> None:
            try:
                begins(task)
                ended[:] = await awaitable, None
            except BaseException as error:  # noqa: BLE001 - raised again outside of the loop
                ended[:] = None, error
            finally:
                if loop.main is task:
                    loop.ended()

        task = asyncio.Task(awaited(), loop=loop)
        loop.run_for(task)
        if not ended:
            raise RuntimeError("cannot go on: the action stopped its event loop")
        result, error = ended
        ended.clear()
        if error is None:
            return result
        try:
            raise error
        finally:
            del error  # its traceback holds this frame

    def _own_loop(self) -> Loop:
        if self._loop is None or self._loop.is_closed():
            self._loop = loop = Loop()
            self._runner = asyncio.Runner(loop_factory=lambda: loop)
            asyncio.set_event_loop(self._runner.get_loop())
        return self._loop

    def _serve(self) -> None:
        try:
            apart = set_apart()
            while self._next():
                if apart:
                    set_back()
        finally:
            with _closes(self.machine):
                self._close_loop()

    def _next(self) -> bool:
        """Do the next work; whether there may be more."""
        answer = self._work.get()(self)
        if answer is None:
            return False
        if self._left():
            with _closes(self.machine):  # first, for the answer may bring the machine's next action
                answer()
                self._close_loop()
            return self._keep()
        kept = self._keep()  # first, for the answer may bring the next work
        answer()
        return kept

    def _left(self) -> bool:
        """The action left something in the loop, which ends with it."""
        return self._loop is not None and self._loop.left()

    def _keep(self) -> bool:
        if self.forked or len(self._idle) >= MOST_IDLE:
            return False
        self._idle.append(self)
        return True

    def _close_loop(self) -> None:
        runner, self._runner, self._loop = self._runner, None, None
        if runner is not None and not runner.get_loop().is_closed():
            runner.close()
            asyncio.set_event_loop(None)


class OwnThread(Generic[T]):
    """A function that runs in a daemon thread.

    Args:
        machine: whose thread it is, for `abandoned_threads`.
        work: called in the thread with this object, with no context variable set.
        told: called with its result, or None and what it raised, on the loop that made this object, unless `end`
            was called before. What is left of its processes has ended by then.
        offspring: its processes, which end with it.
    """

    __slots__ = ("_begun", "_ended", "_given_up", "_gone", "_heard", "_home", "_home_context", "_home_thread", "_inner",
                 "_leaves", "_lingering", "_machine", "_offspring", "_over", "_request", "_tidying", "_told",
                 "_work", "_worker")  # fmt: skip

    def __init__(
        self, machine: str, work: Callable[[OwnThread[T]], T],
        told: Callable[[T | None, BaseException | None], None], offspring: Offspring | None = None,
    ) -> None:  # fmt: skip
        self._machine = machine
        self._work = work
        self._told: Callable[[T | None, BaseException | None], None] | None = told
        self._offspring = offspring
        self._home = asyncio.get_running_loop()
        self._home_context = contextvars.copy_context()
        self._home_thread = threading.get_ident()
        self._begun = self._over = self._ended = self._given_up = self._heard = self._leaves = self._tidying = False
        self._gone: asyncio.Future[None] | None = None
        self._inner: asyncio.Task[Any] | None = None
        self._request: asyncio.Handle | None = None
        self._lingering: asyncio.Task[None] | None = None
        self._worker: _Worker | None = None
        try:
            _Worker.do(self._main)
        except RuntimeError as error:  # the system has no more threads
            self._ended = True
            self._home.call_soon(self._hear, None, error)

    def done(self) -> bool:
        """The loop has heard what became of it."""
        return self._heard

    def end(self, grace: float) -> asyncio.Task[None]:
        """Tell nothing from now on. Ask the work to end where it can be asked, and abandon it after `grace` s.

        Its processes are told to end at once, and are killed after `grace` s. The task is done when the work has
        ended or is abandoned, and they are gone.
        """
        self._told = None
        return self._home.create_task(self._end(grace))

    async def _end(self, grace: float) -> None:
        with _counting:
            asked = self._ask_to_end()
        processes = self._home.create_task(self._end_processes(grace))
        if asked and not self._heard and self._lingering is None:
            self._gone = self._home.create_future()
            await asyncio.wait((self._gone,), timeout=grace)
        with _counting:
            self._give_up()
        if self._lingering is not None:
            await self._lingering
        await processes
        if self._offspring is not None:
            self._offspring.tidied = True
        await self._end_processes(grace)  # of those that have begun meanwhile

    async def _end_processes(self, grace: float) -> None:
        if self._offspring is not None:
            await self._offspring.end(grace)

    def _ask_to_end(self) -> bool:
        if self._inner is None:
            self._give_up()
            return False
        if self._request is None:
            with contextlib.suppress(RuntimeError):  # its loop has just closed
                self._request = self._inner.get_loop().call_soon_threadsafe(self._inner.cancel)
        return True

    def _give_up(self) -> None:
        if not (self._ended or self._given_up):
            self._given_up = True
            if self._begun:
                _count(self._machine, 1)

    # --- in the thread ------------------------------------------------------------------------------------------

    def wait_for(self, awaitable: Awaitable[Any]) -> Any:
        """For the work: await something in a loop of the thread's own, which `end` reaches."""
        assert self._worker is not None  # noqa: S101 - the work is called by one
        return self._worker.wait_for(awaitable, lambda task: self._begins(task, awaitable))

    def _begins(self, task: asyncio.Task[Any], awaitable: Awaitable[Any]) -> None:
        with _counting:
            self._inner = task
        if self._given_up and isinstance(awaitable, CoroutineType):
            awaitable.close()  # it never begins, and nobody is to be warned of that
        self.check()

    def check(self) -> None:
        """For the work, before it does what cannot be undone: end here if nobody waits for it any more.

        Raises:
            CancelledError: it was abandoned.
        """
        if self._given_up:
            raise asyncio.CancelledError

    def starts_process(self, *, fork: bool) -> None:
        """For the work, before each process it starts. `fork`: a copy of this one, which ends with the thread.

        A coroutine that was asked to end and has not heard of it, since it blocks, hears of it here; while it ends
        it may start more.

        Raises:
            CancelledError: it was abandoned, it was asked to end, or it is over.
        """
        with _counting:
            if self._offspring is not None:
                self._offspring.started = True
            if fork and self._worker is not None:
                self._worker.forked = True
            if self._given_up or self._over:
                raise asyncio.CancelledError
            request, self._request = self._request, None
            if request is not None and self._inner is not None and not self._inner.cancelling():
                request.cancel()
                self._tidying = True
                raise asyncio.CancelledError

    def wanted(self) -> bool:
        """For the work: somebody is there to hear what it says."""
        return not (self._given_up or self._home.is_closed())

    def starting(self) -> contextlib.AbstractContextManager[Any]:
        """To be held while a program is being started."""
        return contextlib.nullcontext() if self._offspring is None else self._offspring.starting

    def tidies(self) -> bool:
        """The work was asked to end, has heard of it, and is about to."""
        return self._tidying or (self._inner is not None and self._inner.cancelling() > 0)

    def over(self) -> bool:
        """The work has come to its own end."""
        return self._over

    def at_home(self) -> bool:
        """Called by the thread of the loop that made this object."""
        return threading.get_ident() == self._home_thread

    def tell(self, receive: Callable[..., None], *arguments: Any) -> None:
        """For the work: call something on the loop that waits for it, if that is still there."""
        try:
            self._home.call_soon_threadsafe(partial(receive, *arguments), context=self._home_context)
        except RuntimeError:
            return  # the daemon has gone down meanwhile

    def _main(self, worker: _Worker) -> Callable[[], None] | None:
        self._worker = worker
        if not self._begin():
            return _nothing
        worker.machine = self._machine
        if self._offspring is not None:
            self._offspring.begin()
        try:
            result, error = contextvars.Context().run(self._work, self), None
        except BaseException as raised:  # noqa: BLE001 - it is the waiter's to judge
            result, error = None, raised
        self._over = True
        if self._offspring is not None:
            self._leaves = self._offspring.leaves()
        with _counting:
            self._ended = True
            if self._given_up:
                _count(self._machine, -1)
                return None
        return partial(self.tell, self._hear, result, error)

    def _begin(self) -> bool:
        with _counting:
            self._begun = not self._given_up
        return self._begun

    # --- back on the loop ---------------------------------------------------------------------------------------

    def _hear(self, result: T | None, error: BaseException | None) -> None:
        if self._told is not None and self._leaves:
            self._lingering = self._home.create_task(self._linger(result, error))
        else:
            self._tell_result(result, error)

    async def _linger(self, result: T | None, error: BaseException | None) -> None:
        assert self._offspring is not None  # noqa: S101 - it has left something
        try:
            await self._offspring.end_left(LEFT)
        finally:
            self._tell_result(result, error)

    def _tell_result(self, result: T | None, error: BaseException | None) -> None:
        self._heard = True
        if self._told is not None:
            self._told(result, error)
        elif self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
