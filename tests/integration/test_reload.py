"""A machine whose chart was changed: what it keeps, and from when its timers count."""

from __future__ import annotations

from pathlib import Path

import pytest

from smd.runtime.clock import ManualClock
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio
T = 1_000_000.0


def chart(state: str) -> str:
    return f"machine: m\nstates:\n  first: {{on: {{go: a}}}}\n  a: {state}\n  b: {{}}\n  c: {{}}\n"


async def change(host: Host, state: str) -> None:
    """The machine's file now says this of state `a`."""
    await host.supervisor.hosting.place(host.supervisor.charts.parse(chart(state), "test"), "test")
    await host.quiet()


async def entered(host: Host, state: str) -> None:
    """State `a`, so defined, is entered at T."""
    host.advance(T - 100 - host.clock.now())
    await host.add(chart(state))
    host.advance(100)
    await host.send("m", "go")
    await host.quiet()


def due(host: Host) -> dict[str, float]:
    """When each timer is due, in seconds from T."""
    return {t["event"]: t["due"] - T for t in host.supervisor.view("m").timers}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("{after: {60s: b}}", "{after: {90s: b}}", [90.0], id="longer"),
        pytest.param("{after: {60s: b}}", "{after: {45s: b}}", [45.0], id="shorter"),
        pytest.param("{after: {60s: b}}", "{after: {60s: c}}", [60.0], id="the same time, elsewhere"),
        pytest.param("{after: {60s: b}}", "{after: {60s: b, 80s: c}}", [60.0, 80.0], id="one more"),
        pytest.param("{after: {60s: b, 80s: c}}", "{after: {80s: c}}", [80.0], id="one less"),
        pytest.param("{after: {60s: b}}", "{after: {60s: b}, on: {x: c}}", [60.0], id="something else"),
        pytest.param("{}", "{after: {60s: b}}", [60.0], id="the first"),
        pytest.param("{after: {20s: {actions: [{type: log, message: x}]}}}", "{after: {60s: b}}", [80.0],
                     id="none left to tell: from the last transition"),
        pytest.param("{after: {60s: b}}", "{}", [], id="none any more"),
    ],
)  # fmt: skip
async def test_timers_of_a_changed_state_count_from_its_entry(old: str, new: str, expected: list[float]) -> None:
    async with hosting() as host:
        await entered(host, old)
        for _ in range(4):
            host.advance(10)
            await host.quiet()
        await change(host, new)
        assert sorted(due(host).values()) == expected


@pytest.mark.parametrize("old", ["{after: {60s: c}}", "{}"], ids=["known by a timer", "known by the journal"])
async def test_a_timer_whose_time_has_passed_meanwhile_is_due_at_once(old: str) -> None:
    async with hosting() as host:
        await entered(host, old)
        host.advance(40)
        await change(host, "{after: {30s: b}}")
        await host.until("m", "b")


async def test_the_start_and_an_earlier_change_count_as_entries() -> None:
    """The initial state is entered by no transition; a life's start is later than what was before it."""
    text = "machine: m\nstates:\n  a: %s\n  b: {}\n"
    async with hosting() as host:
        await host.add(text % "{on: {x: {}}}")
        await host.send("m", "x")
        host.advance(7)
        start = host.clock.now()
        await host.supervisor.restart("m")
        for more in ("{on: {y: {}}}", "{after: {60s: b}}"):
            host.advance(10)
            await host.supervisor.hosting.place(host.supervisor.charts.parse(text % more, "test"), "test")
            await host.quiet()
        assert [t["due"] - start for t in host.supervisor.view("m").timers] == [60.0]


async def test_an_unchanged_state_keeps_its_timers_beside_a_changed_one() -> None:
    text = "machine: m\nstates: {p: {type: parallel, states: {l: {after: {60s: b}}, r: {after: {%s: b}}}}, b: {}}\n"
    async with hosting() as host:
        await host.add(text % "70s")
        start, timers = host.clock.now(), host.supervisor.snapshot("m")["timers"]
        host.advance(10)
        await host.supervisor.hosting.place(host.supervisor.charts.parse(text % "20s", "test"), "test")
        await host.quiet()
        now = {t["state"]: t["due"] - start for t in host.supervisor.view("m").timers}
        assert now == {"l": 60.0, "r": 20.0}
        assert timers[0] in host.supervisor.snapshot("m")["timers"]


async def test_what_a_restart_has_put_off_stays_put_off(tmp_path: Path) -> None:
    """A chart that was changed while the daemon was down: the time left is what counts, and all of it is replayed."""
    clock = ManualClock()
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        await entered(host, "{after: {60s: {to: b, on_restart: remaining}}}")
        host.advance(10)
    clock.advance(1000)
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        await change(host, "{after: {90s: {to: b, on_restart: remaining}}}")
        assert list(due(host).values()) == [1090.0]
