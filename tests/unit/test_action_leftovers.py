"""What a Python action leaves behind in its thread: the next action there sees none of it, and threads are counted."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from smd.actions.threads import OwnThread, abandoned_threads, fewer_abandoned

pytestmark = pytest.mark.asyncio

MARK: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")


async def result_of(work: Callable[[OwnThread[Any]], Any], machine: str = "m") -> Any:
    """The result of work in a thread of its own."""
    heard: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    OwnThread(machine, work, lambda result, error: heard.set_result(result if error is None else error))
    return await heard


async def run(execute: Callable[[], Any], machine: str = "m") -> Any:
    """The result of a coroutine in a thread of its own."""
    return await result_of(lambda thread: thread.wait_for(execute()), machine)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds; the test's time limit bounds it."""
    while not holds():  # noqa: ASYNC110 - another thread cannot set an event of this loop
        await asyncio.sleep(0)


async def loop_of_the_next() -> asyncio.AbstractEventLoop:
    """The loop that an action finds."""
    return asyncio.get_running_loop()


# --- context variables ------------------------------------------------------------------------------------------------


def seen_and_set() -> tuple[str, int, int]:
    """What is set already, and in which thread; afterwards all of it is set."""
    seen = MARK.get(), decimal.getcontext().prec, threading.get_ident()
    MARK.set("left")
    decimal.getcontext().prec = 3
    return seen


async def sets() -> tuple[str, int, int]:
    return seen_and_set()


async def test_context_variables_that_an_action_sets_reach_no_other() -> None:
    first = await result_of(lambda _: seen_and_set())
    assert first[:2] == ("none", 28)
    for again in (await result_of(lambda _: seen_and_set()), await run(sets), await run(sets)):
        assert again == first  # of the same thread


class Inline(Executor):
    """Does at once what it is given, and remembers it."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.given.append(fn)
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


async def test_a_function_in_an_executor_sees_the_context_of_its_action() -> None:
    async def lends() -> list[str]:
        MARK.set("mine")
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            return [await loop.run_in_executor(where, MARK.get) for where in (None, pool)]

    assert await run(lends) == ["mine", "mine"]


async def test_another_kind_of_executor_is_given_the_function_itself_which_may_go_to_a_process() -> None:
    executor = Inline()

    async def lends() -> Any:
        return await asyncio.get_running_loop().run_in_executor(executor, abs, -1)

    assert (await run(lends), executor.given) == (1, [abs])


# --- the loop ---------------------------------------------------------------------------------------------------------


class Leaving:
    """Ways to leave something in a loop."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.gate = threading.Event()
        self.near, self.far = socket.socketpair()

    def close(self) -> None:
        self.gate.set()
        self.near.close()
        self.far.close()

    def a_later_call(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(1000, self.happened.append, "called")

    def a_chain_of_calls(self, loop: asyncio.AbstractEventLoop) -> None:
        self.happened.append("once more")
        loop.call_soon(self.a_chain_of_calls, loop)

    def a_reader(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self.near, self.happened.append, "read")

    def a_task_factory(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_task_factory(lambda loop, coroutine, **more: asyncio.Task(coroutine, loop=loop, **more))

    def an_exception_handler(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_exception_handler(lambda _, told: self.happened.append(str(told)))

    def debugging(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_debug(not loop.get_debug())

    def an_executor(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_default_executor(ThreadPoolExecutor(1))

    def a_blocked_executor(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_in_executor(None, self.gate.wait)


@pytest.fixture
def leaving() -> Iterator[Leaving]:
    ways = Leaving()
    yield ways
    ways.close()


@pytest.mark.parametrize(
    "way", ["a_later_call", "a_chain_of_calls", "a_reader", "a_task_factory", "an_exception_handler", "debugging",
            "an_executor", "a_blocked_executor"],
)  # fmt: skip
@pytest.mark.parametrize("suspends", [False, True])
async def test_a_loop_in_which_something_was_left_is_closed_and_the_next_action_finds_another(
    leaving: Leaving, way: str, suspends: bool
) -> None:
    async def leaves() -> asyncio.AbstractEventLoop:
        if suspends:
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        getattr(leaving, way)(loop)
        return loop

    loop = await run(leaves)
    assert await run(loop_of_the_next) is not loop
    leaving.gate.set()
    await until(loop.is_closed)
    happened = leaving.happened.copy()
    leaving.far.send(b"x")
    await run(loop_of_the_next)
    assert leaving.happened == happened


async def orderly() -> asyncio.AbstractEventLoop:
    """Uses timers, files, tasks and the executor, and leaves nothing of them."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(1000):
        await asyncio.to_thread(int)
    loop.call_later(1000, int).cancel()
    near, far = socket.socketpair()
    with near, far:
        loop.add_reader(near, int)
        loop.remove_reader(near)
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
    return loop


async def test_a_loop_in_which_nothing_was_left_is_used_again() -> None:
    loop = await run(orderly)
    assert [await run(execute) for execute in (orderly, loop_of_the_next, orderly)] == [loop] * 3


# --- the count --------------------------------------------------------------------------------------------------------


class Stubborn:
    """Tasks that are left by their actions and end only once they may."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.kept: list[asyncio.Task[None]] = []

    async def _stays(self) -> None:
        while not self.may_end.is_set():
            try:
                await asyncio.to_thread(self.may_end.wait)
            except asyncio.CancelledError:
                continue

    async def leaves(self) -> str:
        self.kept.append(asyncio.create_task(self._stays()))
        await asyncio.sleep(0)
        return "gone"


@pytest.fixture
def stubborn() -> Iterator[Stubborn]:
    tasks = Stubborn()
    yield tasks
    tasks.may_end.set()


async def test_a_thread_whose_action_left_what_refuses_to_end_is_abandoned_until_it_has(stubborn: Stubborn) -> None:
    for count in (1, 2, 3):
        assert await run(stubborn.leaves, "left") == "gone"
        assert (abandoned_threads("left"), abandoned_threads("m")) == (count, 0)
    assert not await fewer_abandoned("left", 3, 0.0)
    assert await fewer_abandoned("left", 4, 0.0)
    stubborn.may_end.set()
    await until(lambda: abandoned_threads("left") == 0)


async def test_a_thread_that_ends_what_was_left_within_the_grace_is_not_held_against_its_machine(
    stubborn: Stubborn,
) -> None:
    for _ in range(3):
        await run(stubborn.leaves, "slow")
    asked = asyncio.create_task(fewer_abandoned("slow", 3, 1000.0))
    await run(orderly)
    assert not asked.done()
    stubborn.may_end.set()
    assert await asked
    await until(lambda: abandoned_threads("slow") == 0)


async def test_the_thread_of_work_that_was_given_up_counts_until_what_it_left_has_ended(stubborn: Stubborn) -> None:
    entered, gate = threading.Event(), threading.Event()

    async def leaves() -> None:
        await stubborn.leaves()
        entered.set()
        gate.wait()

    running: OwnThread[Any] = OwnThread("given up", lambda thread: thread.wait_for(leaves()), lambda *_: None)
    await asyncio.to_thread(entered.wait)
    await running.end(0.0)
    assert abandoned_threads("given up") == 1
    gate.set()
    await until(lambda: stubborn.kept[0].cancelling() > 0)  # its loop is being closed
    assert abandoned_threads("given up") == 1
    stubborn.may_end.set()
    await until(lambda: abandoned_threads("given up") == 0)
