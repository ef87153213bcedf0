"""The thread of a Python action: asyncio works in it as usual, it is used again, and what was left in it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from smd.actions import custom, threads
from smd.actions.custom import begin_custom, perform_custom
from smd.actions.loader import CustomActions
from smd.actions.threads import OwnThread, abandoned_threads
from smd.statechart.event import Outcome
from tests.unit.acting import call_of

pytestmark = pytest.mark.asyncio

Execute = Callable[[dict[str, Any]], Awaitable[Any]]


def ending(home: asyncio.AbstractEventLoop, work: Callable[[OwnThread[Any]], Any]) -> asyncio.Future[Any]:
    """The end of a piece of work in a thread, as a future: its result, or what it raised."""
    heard: asyncio.Future[Any] = home.create_future()
    OwnThread("m", work, lambda result, error: heard.set_result(result if error is None else error))
    return heard


async def run(execute: Callable[[], Awaitable[Any]]) -> Any:
    """What becomes of a coroutine in a thread of its own."""
    return await ending(asyncio.get_running_loop(), lambda thread: thread.wait_for(execute()))


async def thread_in_use() -> int:
    """The thread that the next piece of work gets, too: the one used last."""
    return int(await ending(asyncio.get_running_loop(), lambda _: threading.get_ident()))


# --- asyncio as usual -------------------------------------------------------------------------------------------------


async def nothing() -> None:
    """Ends without ever waiting."""


async def never_suspends() -> Any:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    async with asyncio.timeout(10) as limit:
        await nothing()
    return loop.is_running(), task is not None and task.get_loop() is loop, limit.expired()


async def suspends() -> Any:
    seen = await never_suspends()
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    return seen


async def makes_tasks() -> Any:
    async with asyncio.TaskGroup() as group:
        first, second = group.create_task(suspends()), group.create_task(never_suspends())
    assert (await asyncio.gather(suspends()))[0] == first.result() == second.result()
    return await asyncio.wait_for(asyncio.create_task(suspends()), 10)


async def runs_in_threads() -> Any:
    return await asyncio.to_thread(lambda: (True, threading.current_thread() is not threading.main_thread(), False))


@pytest.mark.parametrize("execute", [never_suspends, suspends, makes_tasks, runs_in_threads])
async def test_a_coroutine_finds_a_loop_and_a_task_and_its_thread_is_used_again(execute: Any) -> None:
    used = await thread_in_use()
    for _ in range(3):
        assert await run(execute) == (True, True, False)
        assert await run(suspends) == (True, True, False)
        assert await thread_in_use() == used


async def test_what_blocks_in_the_executor_of_a_loop_keeps_no_later_action_waiting() -> None:
    gate = threading.Event()

    async def blocks() -> None:
        async with asyncio.timeout(0):
            await asyncio.to_thread(gate.wait)

    try:
        for _ in range(33):  # one more than an executor has places
            assert isinstance(await run(blocks), TimeoutError)
        assert (await asyncio.wait_for(run(runs_in_threads), 20))[0]
    finally:
        gate.set()


async def test_a_time_limit_inside_a_coroutine_expires() -> None:
    async def waits() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    assert isinstance(await run(waits), TimeoutError)
    assert await run(suspends) == (True, True, False)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("raised", [KeyError("x"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_whatever_a_coroutine_raises_is_told_and_the_next_finds_a_sound_loop(
    raised: BaseException, late: bool
) -> None:
    async def raises() -> None:
        if late:
            await asyncio.sleep(0)
        raise raised

    assert await run(raises) is raised
    assert await run(suspends) == (True, True, False)


async def test_a_coroutine_that_stops_its_loop_fails_and_is_ended() -> None:
    ended = threading.Event()

    async def stops() -> None:
        asyncio.get_running_loop().stop()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    assert "stopped its event loop" in str(await run(stops))
    assert await asyncio.to_thread(ended.wait, 20)
    assert await run(suspends) == (True, True, False)


async def test_a_loop_that_an_action_closed_is_replaced() -> None:
    await run(nothing)
    await ending(asyncio.get_running_loop(), lambda _: asyncio.get_event_loop().close())
    assert await run(suspends) == (True, True, False)


async def test_a_coroutine_that_stops_its_loop_as_it_ends_disturbs_nobody() -> None:
    async def stops() -> str:
        await asyncio.sleep(0)
        asyncio.get_running_loop().stop()
        return "done"

    for _ in range(3):
        assert await run(stops) == "done"
        assert await run(suspends) == (True, True, False)


async def test_a_connection_that_is_closed_but_not_waited_for_is_closed_with_the_action() -> None:
    closed = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        closed.set_result(await reader.read())
        writer.close()

    async def says() -> str:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        writer.close()
        return "said"

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await run(says) == "said"
        assert await asyncio.wait_for(closed, 20) == b"x"


async def test_an_asynchronous_generator_that_is_left_ends_with_its_action() -> None:
    ended = threading.Event()

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.set()

    async def leaves() -> int:
        async for number in numbers():
            return number
        return 0

    assert await run(leaves) == 1
    assert await asyncio.to_thread(ended.wait, 20)


@pytest.mark.parametrize("make", [asyncio.create_task, asyncio.Task])
async def test_a_task_that_is_left_ends_with_its_action_and_keeps_nobody_waiting(make: Any) -> None:
    ended, gate = threading.Event(), threading.Event()

    async def left() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            gate.wait()
            ended.set()

    kept: list[asyncio.Task[Any]] = []

    async def leaves() -> str:
        kept.append(make(left()))
        await asyncio.sleep(0)
        return "gone"

    assert await run(leaves) == "gone"  # although the task it left still refuses to end
    assert await run(suspends) == (True, True, False)
    assert not ended.is_set()
    gate.set()
    assert await asyncio.to_thread(ended.wait, 20)


async def test_a_task_that_is_left_before_it_began_begins_and_is_cancelled_as_by_asyncio_run() -> None:
    began: list[bool] = []
    kept: list[asyncio.Task[None]] = []

    async def left() -> None:
        began.append(True)
        await asyncio.Event().wait()

    async def leaves() -> asyncio.AbstractEventLoop:
        await asyncio.sleep(0)
        kept.append(asyncio.create_task(left()))
        return asyncio.get_running_loop()

    loop = await run(leaves)
    await _until(loop.is_closed)
    assert (began, kept[0].cancelled()) == ([True], True)


async def test_no_more_threads_is_a_failure_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads._Worker, "_idle", [])
    monkeypatch.setattr(threading.Thread, "start", refuse)
    error = await ending(asyncio.get_running_loop(), lambda _: "never")
    assert str(error) == "can't start new thread"


# --- ending -----------------------------------------------------------------------------------------------------------


async def test_work_that_is_given_up_while_its_file_loads_is_never_executed(tmp_path: Path) -> None:
    entered, gate, executed = threading.Event(), threading.Event(), list[int]()
    GATES["loading"] = (entered, gate, executed)
    (tmp_path / "slow_action.py").write_text(
        f"from {__name__} import GATES\nentered, gate, executed = GATES['loading']\nentered.set(); gate.wait()\n"
        "class SlowAction:\n  def __init__(self, config): pass\n  def execute(self, context): executed.append(1)"
    )
    actions = CustomActions([tmp_path])
    told: list[Outcome] = []
    running = begin_custom(call_of("slow", tmp_path), told.append, actions)
    await asyncio.to_thread(entered.wait)
    await running.end(10)
    assert abandoned_threads("m") == 1
    gate.set()
    await _until(lambda: abandoned_threads("m") == 0)
    assert (executed, told, running.done()) == ([], [], False)
    assert (await perform_custom(call_of("slow", tmp_path), actions)).ok
    assert executed == [1]


async def test_a_coroutine_that_is_asked_to_end_does_so_and_tells_nothing() -> None:
    entered, ended = threading.Event(), threading.Event()
    told: list[Any] = []

    async def waits() -> None:
        try:
            entered.set()
            await asyncio.sleep(1000)
        finally:
            ended.set()

    running = OwnThread("m", lambda thread: thread.wait_for(waits()), lambda *outcome: told.append(outcome))
    await asyncio.to_thread(entered.wait)
    await running.end(1000)
    assert (ended.is_set(), told, running.done(), abandoned_threads("m")) == (True, [], True, 0)
    assert await run(suspends) == (True, True, False)


async def test_a_coroutine_that_was_given_up_before_it_is_awaited_never_begins() -> None:
    entered, gate, began = threading.Event(), threading.Event(), list[bool]()

    async def begins() -> None:
        began.append(True)

    def work(thread: OwnThread[Any]) -> Any:
        entered.set()
        gate.wait()
        return thread.wait_for(begins())

    running = OwnThread("m", work, lambda *_: None)
    await asyncio.to_thread(entered.wait)
    await running.end(1000)
    assert abandoned_threads("m") == 1
    gate.set()
    await _until(lambda: abandoned_threads("m") == 0)
    assert began == []


async def test_work_that_is_given_up_before_a_thread_takes_it_is_never_done_nor_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting: list[Callable[[Any], Any]] = []
    monkeypatch.setattr(threads._Worker, "do", waiting.append)
    done: list[int] = []
    running = [OwnThread("m", lambda _, n=n: done.append(n), lambda *_: None) for n in range(3)]  # type: ignore[misc]
    for each in running:
        await each.end(1000)
    assert abandoned_threads("m") == 0
    for take in waiting:
        assert take(None) is not None  # its thread may be used again
    assert (done, abandoned_threads("m")) == ([], 0)


async def test_a_coroutine_that_blocks_is_abandoned_after_the_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom, "GRACE", 0.01)
    GATES["blocks"] = (entered, gate) = (threading.Event(), threading.Event())
    (tmp_path / "block_action.py").write_text(
        f"from {__name__} import GATES\nclass BlockAction:\n  def __init__(self, config): pass\n"
        "  async def execute(self, context): GATES['blocks'][0].set(); GATES['blocks'][1].wait()"
    )
    task = asyncio.ensure_future(perform_custom(call_of("block", tmp_path), CustomActions([tmp_path])))
    await asyncio.to_thread(entered.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert abandoned_threads("m") == 1
    gate.set()
    await _until(lambda: abandoned_threads("m") == 0)


async def test_work_that_has_answered_tells_nothing_once_it_is_ended() -> None:
    answered = threading.Event()
    told: list[Any] = []
    running = OwnThread("m", lambda _: answered.set(), lambda *outcome: told.append(outcome))
    answered.wait()  # the loop is kept from hearing of it
    await running.end(10)
    await _until(running.done)
    assert (told, abandoned_threads("m")) == ([], 0)


GATES: dict[str, Any] = {}


async def _until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds; the test's time limit bounds it."""
    while not holds():  # noqa: ASYNC110 - another thread cannot set an event of this loop
        await asyncio.sleep(0)
