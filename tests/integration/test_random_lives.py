"""Whatever happens to machines at the same time: every event is answered once, consumed once, and in its order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smd.errors import SmdError
from smd.statechart.event import HIGH
from tests.acceptance.load import sizes
from tests.hosting import hosting
from tests.integration.lives import CHILD, Sent, Sizes, World

pytestmark = pytest.mark.asyncio

SMALL = Sizes(sends=40, jobs=6)
BIG = Sizes(sends=200, jobs=40)
CONSUMED = {"taken", "ignored", "deferred", "failed", "queued"}
SHOWN = 5
"""Breaches of one promise that are told."""


def nothing_hangs(world: World) -> Iterator[str]:
    yield from world.hung


def each_event_is_answered_once(world: World) -> Iterator[str]:
    yield from (f"{sent}" for sent in world.sent.values() if len(sent.answers) != 1)


def what_was_acknowledged_is_consumed_once(world: World) -> Iterator[str]:
    """But for what waited for a machine that was removed."""
    consumed = consumptions(world)
    for sent in world.sent.values():
        lost = disposition(sent) == "queued" and sent.machine in world.removed
        if disposition(sent) in CONSUMED and consumed[sent.number] != 1 and not (lost and not consumed[sent.number]):
            yield f"{sent} {consumed[sent.number]} times"


def what_was_refused_or_came_twice_is_not_consumed(world: World) -> Iterator[str]:
    """But for what was put by and found its machine finished: it is consumed, and failed."""
    consumed = consumptions(world)
    for sent in world.sent.values():
        refused = [a for a in sent.answers if isinstance(a, SmdError) and a.code != "finished"]
        if (refused or disposition(sent) == "duplicate") and consumed[sent.number]:
            yield f"{sent}"


def events_of_one_sender_stay_in_their_order(world: World) -> Iterator[str]:
    """Urgent ones may overtake those that were put by."""
    for rows in world.journal.values():
        last: dict[int, Sent] = {}
        for row in rows:
            sent = world.sent.get(row.payload.get("number", -1)) if isinstance(row.payload, dict) else None
            if sent is None or sent.priority == HIGH:
                continue
            before = last.setdefault(sent.sender, sent)
            if before.place > sent.place:
                yield f"{before} before {sent}"
            last[sent.sender] = max(before, sent, key=lambda each: each.place)


def nothing_waits_for_a_machine_that_runs(world: World) -> Iterator[str]:
    yield from (f"{count} rows for {name}" for name, count in world.waiting.items())


def no_job_is_left(world: World) -> Iterator[str]:
    yield from (f"{job} is {status}" for job, status, held in world.jobs if status == "available" or not held)


def every_journal_gives_its_snapshot(world: World) -> Iterator[str]:
    yield from filter(None, [world.replays])


PROMISES: tuple[Callable[[World], Iterator[str]], ...] = (
    nothing_hangs,
    each_event_is_answered_once,
    what_was_acknowledged_is_consumed_once,
    what_was_refused_or_came_twice_is_not_consumed,
    events_of_one_sender_stay_in_their_order,
    nothing_waits_for_a_machine_that_runs,
    no_job_is_left,
    every_journal_gives_its_snapshot,
)


def consumptions(world: World) -> Counter[int]:
    """How often each event is in the journals."""
    rows = (row for rows in world.journal.values() for row in rows)
    return Counter(row.payload["number"] for row in rows if isinstance(row.payload, dict) and "number" in row.payload)


def disposition(sent: Sent) -> str:
    """What became of an event, as its sender was told; empty if it was refused."""
    return getattr(sent.answers[0], "disposition", "") if sent.answers else ""


def breaches(world: World) -> str:
    """Every promise that was not kept, a line each, with some of what broke it."""
    found = {promise.__name__: list(promise(world)) for promise in PROMISES}
    return "\n".join(f"{name} ({len(told)}): {'; '.join(told[:SHOWN])}" for name, told in found.items() if told)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("file", ["s.db", None])
@pytest.mark.parametrize("size", sizes(SMALL, (BIG,)))
async def test_promises_hold_however_machines_live(tmp_path: Path, size: Sizes, file: str | None, seed: int) -> None:
    (tmp_path / "child.yaml").write_text(CHILD)
    async with hosting(tmp_path / file if file else None, work_folder=tmp_path, verify=False) as host:
        world = World(host, seed, size)
        await world.live()
        await world.settle()
        await world.look()
    assert not (broken := breaches(world)), f"seed {seed}, {size}, store {file or 'memory'}:\n{broken}"
    assert any(world.journal.values())
