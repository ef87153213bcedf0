"""The small parts of the runtime: bus, inbox, timers, clock, logs, bridge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from smd.errors import ActionError
from smd.runtime.bus import Bus
from smd.runtime.charts import Charts
from smd.runtime.clock import ManualClock, SystemClock
from smd.runtime.inbox import FAIR_TURN, Inbox, Item, weight_of
from smd.runtime.logs import MachineLogs, file_name
from smd.runtime.supervisor import Supervisor
from smd.runtime.timers import Timers
from smd.statechart.event import HIGH, LOW, NORMAL, Event
from smd.store.base import PendingJobs
from smd.store.memory import MemoryStore


def publish(bus: Bus, count: int) -> None:
    for n in range(count):
        bus.publish("state_change", f"m{n % 3}", float(n), {"n": n})


@pytest.mark.asyncio
async def test_notices_are_numbered_and_in_order() -> None:
    bus = Bus()
    with bus.subscribe() as notices:
        publish(bus, 5)
        assert [(await notices.get()).n for _ in range(5)] == [1, 2, 3, 4, 5]


@pytest.mark.asyncio
async def test_a_subscriber_gets_only_the_kinds_it_asked_for() -> None:
    bus = Bus()
    with bus.subscribe(["log"]) as notices:
        publish(bus, 3)
        bus.publish("log", "m", 0.0, {})
        assert (await notices.get()).kind == "log"


@pytest.mark.asyncio
async def test_a_slow_subscriber_is_cut_to_the_latest_of_each_machine_and_told_its_loss() -> None:
    bus = Bus()
    with bus.subscribe(size=10) as slow:
        publish(bus, 100)
        notices = [await slow.get() for _ in range(4)]
        assert notices[0].kind == "reset"
        assert slow.lost > 0
        assert len({notice.machine for notice in notices[1:]}) == 3
        last = notices[-1]
        while last.n < 100:
            last = await slow.get()
        assert last.data == {"n": 99}


@pytest.mark.asyncio
async def test_closing_ends_a_waiting_subscriber() -> None:
    notices = Bus().subscribe()
    waiting = asyncio.ensure_future(notices.get())
    await asyncio.sleep(0)
    notices.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def item(n: int, priority: int = NORMAL, weight: int = 1) -> Item:
    return Item(Event("e", {"n": n}, priority=priority), weight=weight)


def taken(inbox: Inbox, most: int = 100) -> list[int]:
    return [i.event.payload["n"] for i in inbox.take(most)]


def test_the_inbox_gives_high_first_then_in_order_of_arrival() -> None:
    inbox = Inbox()
    for n, priority in enumerate((NORMAL, LOW, NORMAL, HIGH)):
        inbox.put(item(n, priority))
    assert taken(inbox) == [3, 0, 2, 1]
    assert len(inbox) == 0


def test_one_turn_in_sixteen_serves_what_high_priority_would_starve() -> None:
    inbox = Inbox()
    inbox.put(item(-1))
    for n in range(2 * FAIR_TURN):
        inbox.put(item(n, HIGH))
    assert -1 in taken(inbox, FAIR_TURN)


def test_what_is_put_back_keeps_its_place() -> None:
    inbox = Inbox()
    for n in range(4):
        inbox.put(item(n))
    first = inbox.take(2)
    inbox.put_back(first)
    assert taken(inbox) == [0, 1, 2, 3]


@pytest.mark.parametrize("priority", [NORMAL, HIGH])
def test_large_events_count_for_several(priority: int) -> None:
    """So that neither a group nor an inbox holds hundreds of megabytes."""
    inbox = Inbox()
    for n, weight in enumerate((1, weight_of(1 << 20), 1, 1)):
        inbox.put(item(n, priority, weight))
    assert (len(inbox), inbox.weight) == (4, 29)
    first = inbox.take(20)
    assert [i.event.payload["n"] for i in first] == [0, 1]
    assert inbox.weight == 2
    inbox.put_back(first)
    assert inbox.weight == 29
    assert taken(inbox, inbox.weight) == [0, 1, 2, 3]
    assert inbox.weight == 0


@pytest.mark.asyncio
async def test_timers_fire_once_in_order_and_can_be_moved_and_disarmed() -> None:
    clock, fired = ManualClock(0.0), []
    timers = Timers(clock, lambda name: fired.append((name, clock.now())))
    timers.set("late", 9.0)
    timers.set("early", 3.0)
    timers.set("moved", 1.0)
    timers.set("moved", 5.0)
    timers.set("gone", 2.0)
    timers.set("gone", None)
    for _ in range(10):
        clock.advance(1.0)
    assert fired == [("early", 3.0), ("moved", 5.0), ("late", 9.0)]
    assert len(timers) == 0


@pytest.mark.asyncio
async def test_timers_that_are_due_at_once_fire_together() -> None:
    clock, told = ManualClock(0.0), []

    @contextmanager
    def together() -> Iterator[None]:
        told.append("(")
        yield
        told.append(")")

    timers = Timers(clock, told.append, together)
    for name, due in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        timers.set(name, due)
    clock.advance(1.0)
    clock.advance(1.0)
    assert "".join(told) == "(ab)(c)"


@pytest.mark.parametrize("together_fails", [False, True])
def test_a_timer_that_cannot_be_fired_stops_no_other(together_fails: bool) -> None:
    clock, fired = ManualClock(0.0), []

    def fire(name: str) -> None:
        fired.append(name)
        if name == "bad":
            raise RuntimeError(name)

    @contextmanager
    def together() -> Iterator[None]:
        yield
        if together_fails and fired[-1] == "beside":
            raise RuntimeError("together")

    timers = Timers(clock, fire, together)
    for name, due in (("bad", 1.0), ("beside", 1.0), ("late", 2.0)):
        timers.set(name, due)
    with pytest.raises(RuntimeError, match="together") if together_fails else nullcontext():
        clock.advance(1.0)
    clock.advance(1.0)
    timers.set("new", 3.0)
    clock.advance(1.0)
    assert fired == ["bad", "beside", "late", "new"]


def test_moving_one_timer_for_ever_does_not_grow_anything() -> None:
    timers = Timers(ManualClock(0.0), lambda _name: None)
    for n in range(10_000):
        timers.set("m", 1e9 - n)
    assert len(timers._heap) < 200


def test_the_system_clock_never_runs_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    clock, wall = SystemClock(), time.time()
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: wall - 3600)
    assert clock.now() >= before
    monkeypatch.setattr(time, "time", lambda: wall + 3600)
    assert clock.now() >= wall + 3599


@pytest.mark.parametrize(
    ("name", "expected"),
    [("worker", "worker"), ("a/b", "a-b"), ("..", "\\x2e."), ("é x", "\\xc3\\xa9\\x20x"), ("", "_")],
)
def test_a_machine_s_log_file_stays_in_its_folder(name: str, expected: str) -> None:
    assert file_name(name) == expected
    assert "/" not in file_name(name)


def test_a_new_log_is_not_for_others_to_read_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "old.log").write_bytes(b"before\n")
    (tmp_path / "old.log").chmod(0o664)
    logs = MachineLogs(tmp_path)
    for name in ("new", "old"):
        logs.write(name, "info", "hello", 0.0)
    assert (tmp_path / "new.log").stat().st_mode & 0o137 == 0
    assert (tmp_path / "old.log").stat().st_mode & 0o777 == 0o664
    assert logs.tail("old", 2)[0] == "before"
    logs.close()


def test_a_log_that_cannot_be_written_is_told_once_and_keeps_nobody_from_work(tmp_path: Path) -> None:
    logs = MachineLogs(tmp_path)
    heard: list[bytes] = []
    logs.listener = lambda _, data: heard.append(data)
    (tmp_path / "m.log").mkdir()
    with capture_logs() as told:
        for n in range(3):
            logs.write("m", "info", f"line {n}", 0.0)
        (tmp_path / "m.log").rmdir()
        logs.write("m", "info", "line 3", 0.0)
    assert [(line["log_level"], line.get("why"), line.get("lost_bytes")) for line in told] == [
        ("error", "Is a directory", None), ("info", None, sum(map(len, heard[:3]))),
    ]  # fmt: skip
    assert len(heard) == 4
    assert [line.rsplit(" ", 1)[1] for line in logs.tail("m", 9)] == ["3"]
    logs.close()


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    logs = MachineLogs(tmp_path)
    for n in range(50):
        logs.write("m", "info", f"line {n}", 0.0)
    assert [line.rsplit(" ", 1)[1] for line in logs.tail("m", 3)] == ["47", "48", "49"]
    assert logs.tail("other", 3) == []
    logs.close()


def test_lines_of_commands_that_run_at_once_are_not_mixed_and_an_unfinished_one_is_written_at_the_end(
    tmp_path: Path,
) -> None:
    logs = MachineLogs(tmp_path)
    for data in (b"begin ", b"end\nhalf"):
        for key in ("a", "b"):
            logs.output("m", key, "stdout", key.encode() + data)
    assert logs.tail("m", 9) == ["    | abegin aend", "    | bbegin bend"]
    logs.end_output("m", "b")
    logs.output("m", "c", "stdout", b"fresh\n")
    logs.end_output("m", "c")
    assert logs.tail("m", 9)[2:] == ["    | half", "    | fresh"]
    logs.end_output("m", "a")
    assert logs.tail("m", 9)[4:] == ["    | half"]
    logs.close()


def test_a_log_that_was_removed_by_hand_is_made_again_when_it_would_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smd.runtime.logs.KEEP_BYTES", 1000)
    logs = MachineLogs(tmp_path)
    logs.output("m", "k", "stdout", b"first\n")
    (tmp_path / "m.log").unlink()
    for _ in range(10):
        logs.output("m", "k", "stdout", b"x" * 100 + b"\n")
    logs.output("m", "k", "stdout", b"last\n")
    assert logs.tail("m", 2) == ["    | last"]
    assert not (tmp_path / "m.log.1").exists()
    logs.close()


@pytest.mark.asyncio
async def test_what_would_wait_for_the_loop_in_its_own_thread_is_refused() -> None:
    store = MemoryStore()
    await store.open()
    supervisor = Supervisor(
        store, clock=ManualClock(), charts=Charts([], [Path()]), logs=MachineLogs(None), work_folder=Path()
    )
    bridge = supervisor.bridge
    assert await asyncio.to_thread(bridge.query, "job", "none") is None
    asked: list[Callable[[], object]] = [
        lambda: bridge.query("job", "none"),
        lambda: bridge.call(PendingJobs(None, None, None)),
        lambda: bridge.send("m", Event("go")),
    ]
    for ask in asked:
        with pytest.raises(ActionError, match="own event loop"):
            ask()
    await supervisor.close()
    await store.close()


def test_a_log_in_memory_has_the_lines_that_a_file_would_have(tmp_path: Path) -> None:
    """Only a newline ends a line, whatever else Python takes for an end."""
    in_memory, in_file = MachineLogs(None), MachineLogs(tmp_path)
    for logs in (in_memory, in_file):
        logs.write("m", "info", '{"a":"x\u2028y"}', 0.0)
        logs.write_all("m", [("info", "form\ffeed"), ("info", "two\nlines\n"), ("info", "A\u0085B\rC")], 1.0)
    assert in_memory.tail("m", 9) == in_file.tail("m", 9)
    assert len(in_file.tail("m", 9)) == 6
    in_file.close()
