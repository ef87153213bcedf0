"""An event that is sent again: its sender hears what became of it, also if that was decided while it waited."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hosting import hosting

pytestmark = pytest.mark.asyncio

STORES = pytest.mark.parametrize("file", ["s.db", None])
ENDS = "machine: m\nstates: {a: {on: {x: z}}, z: {type: final}}"
IDLE = "machine: m\nstates: {a: {on: {x: {actions: []}}}}"
CLEARS = """
machine: clears
states:
  a: {on: {go: b}}
  b: {actions: [{type: clear_events, target_machine: m, event_types: [x]}], on: {events_cleared: a, error: a}}
"""


@STORES
async def test_of_an_event_that_came_after_the_end(tmp_path: Path, file: str | None) -> None:
    async with hosting(tmp_path / file if file else None) as host:
        await host.add(ENDS)
        await host.supervisor.stop("m")
        queued = [await host.send("m", "x", id=f"k{n}") for n in range(3)]
        await host.supervisor.start("m")
        await host.quiet()
        again = [await host.send("m", "x", id=f"k{n}") for n in range(3)]
        assert {answer.disposition for answer in again} == {"duplicate"}
        assert [answer.seq for answer in again] == [answer.seq for answer in queued]
        refused = "the event was already failed: the machine is finished"
        assert [answer.reason for answer in again] == ["the event was already taken", refused, refused]
        assert {answer.states for answer in again} == {("z",)}


@STORES
async def test_of_an_event_that_another_machine_cleared(tmp_path: Path, file: str | None) -> None:
    async with hosting(tmp_path / file if file else None) as host:
        await host.add(IDLE)
        await host.add(CLEARS)
        await host.supervisor.stop("m")
        queued = await host.send("m", "x", id="k")
        other = await host.send("m", "other", id="o")
        await host.send("clears", "go")
        await host.quiet()
        again = await host.send("m", "x", id="k")
        assert (again.disposition, again.seq) == ("duplicate", queued.seq)
        assert again.reason == "the event was already cleared"
        spared = await host.send("m", "other", id="o")
        assert (spared.reason, spared.seq) == ("the event was already queued", other.seq)


@STORES
async def test_of_an_event_that_waited_as_its_machine_was_removed(tmp_path: Path, file: str | None) -> None:
    async with hosting(tmp_path / file if file else None) as host:
        await host.add(IDLE)
        taken = await host.send("m", "x", id="t")
        await host.supervisor.stop("m")
        queued = await host.send("m", "x", id="k")
        await host.supervisor.remove("m")
        await host.add(IDLE)
        again = [await host.send("m", "x", id=id_) for id_ in ("t", "k")]
        assert [answer.seq for answer in again] == [taken.seq, queued.seq]
        assert [answer.reason for answer in again] == ["the event was already taken", "the event was already cleared"]
