"""More events for a busy machine than its snapshot may keep: they are put by in the store, in order, and none is lost."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from smd import codec
from smd.errors import BusyError
from smd.runtime import putting_by, sizes
from smd.runtime.answers import Answer
from smd.runtime.sizes import WAITING_LIMIT
from smd.statechart.event import Event
from smd.statechart.snapshot_json import to_plain
from smd.store.base import Enqueue
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

BUSY = """
machine: m
initial: w
context: {seen: [], pings: 0}
states:
  w:
    busy: queue
    on:
      e: w
      ping: {actions: [{type: assign, set: {pings: context.pings + 1}}]}
      out: z
    actions:
      - {type: add_to_list, list_key: seen, value: "{payload.i|default:start}"}
      - {type: sleep, duration: 10}
  z: {on: {e: {actions: [{type: add_to_list, list_key: seen, value: "{payload.i}"}]}}}
"""
STORES = pytest.mark.parametrize("kind", ["memory", "sqlite"])
COUNT = WAITING_LIMIT + 90


def store_at(kind: str, tmp_path: Path) -> Path | None:
    return tmp_path / "smd.db" if kind == "sqlite" else None


async def flood(host: Host, numbers: range, pad: str = "") -> list[Any]:
    """Events from one client, at once, like a bulk request; what each was answered."""
    loop = asyncio.get_running_loop()
    answers: list[asyncio.Future[Any]] = [loop.create_future() for _ in numbers]
    postings = [
        ("m", Event("e", {"i": number, "pad": pad}, f"id-{number}"), answer.set_result)
        for number, answer in zip(numbers, answers, strict=True)
    ]
    assert host.supervisor.post_many(postings) == len(postings)
    return [await answer for answer in answers]


def dispositions(answers: list[Answer]) -> list[str]:
    return [answer.disposition for answer in answers]


def deferred(host: Host) -> int:
    return len(host.supervisor.snapshot("m")["deferred"])


async def rest(host: Host) -> None:
    """Wait until the machine does nothing but its action."""
    machine = host.supervisor.machines["m"]
    while machine.submitted or machine.loading or len(machine.inbox):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


async def drain(host: Host, runs: int) -> None:
    for _ in range(runs):
        await rest(host)
        host.advance(10)
    await rest(host)


def expected(count: int) -> list[Any]:
    return ["start", *range(count)]


@STORES
async def test_what_has_no_room_is_put_by_and_follows_in_order(kind: str, tmp_path: Path) -> None:
    async with hosting(store_at(kind, tmp_path)) as host:
        await host.add(BUSY)
        answers = await flood(host, range(COUNT))
        assert dispositions(answers) == ["deferred"] * WAITING_LIMIT + ["queued"] * (COUNT - WAITING_LIMIT)
        assert (answers[-1].code, answers[-1].reason.split("; ")[1]) == ("busy", "it is consumed when there is room")
        assert await host.store.pending_counts("m") == {"m": COUNT - WAITING_LIMIT}
        again = await host.send("m", "e", {"i": COUNT - 1}, id=f"id-{COUNT - 1}")
        assert (again.disposition, again.seq) == ("duplicate", answers[-1].seq)
        await drain(host, COUNT + 1)
        assert host.context("m")["seen"] == expected(COUNT)
        assert await host.store.pending_counts("m") == {}


@STORES
async def test_an_event_that_is_taken_at_once_is_not_held_back_and_newcomers_do_not_overtake(
    kind: str, tmp_path: Path
) -> None:
    async with hosting(store_at(kind, tmp_path)) as host:
        await host.add(BUSY)
        await host.add(
            "machine: other\nstates: {a: {on: {go: {actions: [{type: send_event, target: m, event: ping}]}}}}"
        )
        await flood(host, range(COUNT))
        assert (await host.send("m", "ping")).disposition == "taken"
        await host.send("other", "go")
        await rest(host)
        assert host.context("m")["pings"] == 2
        host.advance(10)
        answers = await flood(host, range(COUNT, COUNT + 3))  # some room was made, but others wait for it
        assert dispositions(answers) == ["queued"] * 3
        assert (await host.send("m", "nothing")).disposition == "ignored"
        await drain(host, COUNT + 4)
        assert host.context("m")["seen"] == expected(COUNT + 3)


@STORES
async def test_what_is_put_by_follows_when_another_event_leads_away(kind: str, tmp_path: Path) -> None:
    async with hosting(store_at(kind, tmp_path)) as host:
        await host.add(BUSY)
        await flood(host, range(COUNT))
        assert (await host.send("m", "out")).disposition == "taken"
        await host.quiet()
        assert host.context("m")["seen"] == expected(COUNT)


async def test_no_row_is_read_while_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hosting() as host:
        await host.add(BUSY)
        await flood(host, range(COUNT))
        await rest(host)
        reads, pending = [], host.store.pending

        async def counted(machine: str, limit: int = 1000) -> Any:
            reads.append(limit)
            return await pending(machine, limit)

        monkeypatch.setattr(host.store, "pending", counted)
        for _ in range(50):
            await host.send("m", "ping")
        assert reads == []
        await drain(host, WAITING_LIMIT // 2 - 1)
        assert (reads, deferred(host)) == ([], WAITING_LIMIT // 2 + 1)
        await drain(host, 1)
        assert (reads, deferred(host)) == ([WAITING_LIMIT], WAITING_LIMIT)
        await drain(host, COUNT - WAITING_LIMIT // 2 + 1)


async def test_it_goes_on_after_a_restart_of_the_host(tmp_path: Path) -> None:
    async with hosting(tmp_path / "smd.db", verify=False) as host:
        await host.add(BUSY)
        await flood(host, range(COUNT))
        clock = host.clock
    async with hosting(tmp_path / "smd.db", clock=clock) as host:
        await rest(host)
        assert deferred(host) == WAITING_LIMIT
        answers = await flood(host, range(COUNT, COUNT + 2))
        assert dispositions(answers) == ["queued"] * 2
        await host.supervisor.pause("m")
        await host.supervisor.resume("m")
        await host.supervisor.stop("m")
        await host.supervisor.start("m")
        await drain(host, COUNT + 3)
        assert host.context("m")["seen"] == expected(COUNT + 2)


async def test_large_payloads_have_less_room(tmp_path: Path) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        await host.add(BUSY)
        answers = await flood(host, range(20), "x" * 30_000)
        assert dispositions(answers) == ["deferred"] * 9 + ["queued"] * 11
        await drain(host, 21)
        assert host.context("m")["seen"] == expected(20)


async def test_one_event_may_wait_however_large_it_is() -> None:
    async with hosting() as host:
        await host.add(BUSY)
        assert dispositions(await flood(host, range(2), "x" * 500_000)) == ["deferred", "queued"]
        await drain(host, 3)
        assert host.context("m")["seen"] == expected(2)


async def test_over_the_limit_of_the_store_the_sender_hears_that_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(putting_by, "Enqueue", partial(Enqueue, limit=5))
    async with hosting(tmp_path / "smd.db") as host:
        await host.add(BUSY)
        answers = await flood(host, range(WAITING_LIMIT + 6))
        assert dispositions(answers[:-1]) == ["deferred"] * WAITING_LIMIT + ["queued"] * 5
        assert isinstance(answers[-1], BusyError)
        await drain(host, WAITING_LIMIT + 6)
        assert host.context("m")["seen"] == expected(WAITING_LIMIT + 5)


async def test_a_snapshot_that_keeps_more_than_may_wait_now_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier release had no bound."""
    with monkeypatch.context() as earlier:
        earlier.setattr(sizes, "WAITING_LIMIT", 10_000)
        earlier.setattr(sizes, "WAITING_BYTES", 1 << 30)
        async with hosting(tmp_path / "smd.db", verify=False) as host:
            await host.add(BUSY)
            assert set(dispositions(await flood(host, range(200)))) == {"deferred"}
            await host.supervisor.stop("m")
            clock = host.clock
    async with hosting(tmp_path / "smd.db", clock=clock) as host:
        await host.supervisor.start("m")
        assert (deferred(host), dispositions(await flood(host, range(200, 203)))) == (200, ["queued"] * 3)
        await drain(host, 204)
        assert host.context("m")["seen"] == expected(203)
        row = await host.store.machine("m")
        snapshot = host.supervisor.machines["m"].snapshot
        assert row is not None
        assert snapshot is not None
        assert row.snapshot == codec.canonical(to_plain(snapshot))


async def test_the_bus_tells_of_a_deferred_event_that_nothing_takes() -> None:
    flat = """
    machine: m
    initial_state: w
    transitions: [{from: w, to: w, event: e}, {from: w, to: d, event: wake_up}]
    actions: {w: [{type: sleep, duration: 2}]}
    """
    async with hosting() as host:
        await host.add(flat)
        assert (await host.send("m", "e")).disposition == "deferred"
        with host.supervisor.bus.subscribe() as notices:
            host.advance(2)
            while (notice := await asyncio.wait_for(notices.get(), 20)).kind != "warning":
                pass
        told = "deferred event 'e' is ignored: 'd' has no transition for 'e'"
        assert (notice.data["code"], notice.data["message"], host.states("m")) == ("dropped", told, ["d"])


ENDING = """
machine: m
initial: w
context: {seen: []}
states:
  w:
    busy: queue
    on: {e: w, done: z}
    actions: [{type: sleep, duration: 10, success: done}]
  z: {on: {e: {actions: [{type: add_to_list, list_key: seen, value: "{payload.i}"}]}}}
"""


@STORES
async def test_what_comes_as_the_action_ends_stays_behind_what_was_put_by(tmp_path: Path, kind: str) -> None:
    """The end of the action is not committed yet, so the snapshot is still full."""
    async with hosting(store_at(kind, tmp_path)) as host:
        await host.add(ENDING)
        assert "queued" in dispositions(await flood(host, range(COUNT)))
        host.advance(10)
        assert (await host.send("m", "e", {"i": COUNT})).disposition in {"taken", "queued"}
        await host.quiet()
        assert host.context("m")["seen"] == list(range(COUNT + 1))
