"""Timers with `on_restart: remaining` hold while the daemon is down, and only then. Time moved by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from smd.errors import StoreError
from smd.runtime.clock import ManualClock
from smd.runtime.uptime import EVERY, Uptime
from smd.store.memory import MemoryStore
from tests.acceptance.daemon import short_folder
from tests.hosting import Host, hosting

ROOT = Path(__file__).parents[2]
REMAINING = "machine: m\nstates: {a: {after: {60s: {to: b, on_restart: remaining}}}, b: {}}"
OTHER = "machine: other\nstates: {a: {on: {tick: {}}}}"
T = 1_000_000.0


def left(host: Host) -> list[float]:
    """Seconds that the machine's timers have."""
    return [t["due"] - host.clock.now() for t in host.supervisor.view("m").timers]


def life(state: Path, now: float, end: str, *seconds: float) -> float:
    """One life of the daemon in a process of its own; seconds that were left when it was up."""
    words = [sys.executable, "-m", "tests.integration.short_life", str(state), *map(str, (now, end, *seconds))]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == (-9 if end == "kill" else 0), done.stderr
    return float(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("end", "seconds", "expected"),
    [
        ("stop", (6.0,), 54.0),
        ("stop", (6.0, 2.5), 51.5),
        ("stop", (0.5,), 59.5),
        ("kill", (6.0,), 54.0),
        ("kill", (6.0, 5.0, 2.0), 49.0),
        ("kill", (2.0,), 60.0),
    ],
)
def test_the_idle_daemon_counts_as_up(end: str, seconds: tuple[float, ...], expected: float) -> None:
    """A real daemon that ends itself: a stop is known exactly, a kill as of the last note, less than 5 s before."""
    with short_folder() as folder:
        assert life(folder, T, end, *seconds) == 60.0
        assert life(folder, T + 1000, "kill") == expected
        assert life(folder, T + 9000, "kill") == expected, "a daemon killed at once has lost nothing"


@pytest.mark.asyncio
async def test_without_a_note_the_last_row_of_any_machine_counts(tmp_path: Path) -> None:
    """So it is with a store of a former version, whose lock file holds the process id alone."""
    clock = ManualClock(T)
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        await host.add(REMAINING)
        await host.add(OTHER)
        host.advance(4)
        await host.send("other", "tick")
        host.advance(10)
    (tmp_path / "s.db.lock").write_text(f"{os.getpid()}\n")
    clock.advance(100)
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        await host.quiet()
        assert left(host) == [56.0]


@pytest.mark.asyncio
async def test_an_own_row_later_than_the_note_counts(tmp_path: Path) -> None:
    """The file may have come from elsewhere, and the notes may have failed."""
    clock = ManualClock(T)
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        await host.add(REMAINING)
    (tmp_path / "s.db.lock").write_text(f"1\n{T - 1000}\n")
    clock.advance(100)
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        await host.quiet()
        assert left(host) == [60.0]


@pytest.mark.asyncio
async def test_a_clock_set_back_while_down_leaves_what_was_left(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db", clock=ManualClock(T)) as host:
        await host.add(REMAINING)
        host.advance(10)
    async with hosting(tmp_path / "s.db", clock=ManualClock(T - 5000)) as host:
        await host.quiet()
        assert left(host) == [50.0]
        host.advance(50)
        await host.until("m", "b")


@pytest.mark.asyncio
async def test_a_start_that_was_killed_before_all_was_rearmed_takes_no_time_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows it left of other machines are no sign that this one's time went on."""
    async with hosting(tmp_path / "s.db", clock=ManualClock(T)) as host:
        await host.add(REMAINING)
        await host.add(OTHER)
        host.advance(10)
    with monkeypatch.context() as killed:
        killed.setattr("smd.runtime.control.needs_rearming", lambda *_: False)
        killed.setattr(Uptime, "begin", lambda _: None)
        async with hosting(tmp_path / "s.db", clock=ManualClock(T + 40)) as host:
            await host.send("other", "tick")
    async with hosting(tmp_path / "s.db", clock=ManualClock(T + 900)) as host:
        await host.quiet()
        assert left(host) == [50.0]


@pytest.mark.asyncio
async def test_notes_that_fail_are_reported_once_and_stop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store, clock = MemoryStore(), ManualClock(T)
    noted: list[float] = []

    def failing(now: float) -> None:
        noted.append(now)
        raise StoreError("cannot note the time: the disk is full")

    with capture_logs() as lines:
        async with hosting(store, clock=clock) as host:
            with monkeypatch.context() as broken:
                broken.setattr(store, "note_up", failing)
                await host.add("machine: m\nstates: {a: {after: {20s: b}}, b: {}}")
                for _ in range(4):
                    host.advance(EVERY)
                await host.until("m", "b")
            host.advance(EVERY)
    assert noted == [T + EVERY * n for n in (1, 2, 3, 4)]
    assert [line["why"] for line in lines if line["log_level"] == "warning"] == [
        "cannot note the time: the disk is full"
    ]
    assert store.up_until == clock.now()


@pytest.mark.asyncio
async def test_nothing_is_noted_before_the_beginning_or_after_the_end() -> None:
    store, clock = MemoryStore(), ManualClock(T)
    await store.open()
    uptime = Uptime(store, clock)
    uptime.end()
    clock.advance(EVERY)
    assert store.up_until == 0.0
    uptime.begin()
    clock.advance(1)
    uptime.end()
    clock.advance(10 * EVERY)
    uptime.end()
    assert store.up_until == T + EVERY + 1
