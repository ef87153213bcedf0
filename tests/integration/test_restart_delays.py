"""Machines that ended and wait for their restart: shown so, stopped, started by hand; and jobs of those that failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from smd.errors import BusyError, ConflictError, StoreError
from smd.jobs import NewJob
from smd.runtime import control
from smd.runtime.clock import Handle, ManualClock
from smd.statechart.event import HIGH, Event
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

STORES = pytest.mark.parametrize("file", ["s.db", None])
ALWAYS = "machine: m\nrestart: {policy: always, delay: 60s}\nstates: {a: {on: {x: z}}, z: {type: final}}"
FAILING = """
machine: m
restart: {policy: on-failure, delay: 60s}
contracts: [{always: "context.n < 1"}]
context: {n: 0}
states: {a: {on: {x: {actions: [{type: assign, set: {n: context.n + 1}}]}}}}
"""
ENDS = pytest.mark.parametrize(
    ("chart", "status"), [(ALWAYS, "finished"), (FAILING, "failed")], ids=["finished", "failed"]
)


async def ended(host: Host, chart: str, status: str) -> None:
    await host.add(chart)
    await host.send("m", "x")
    assert host.supervisor.view("m").status == status


@STORES
@ENDS
async def test_a_machine_that_waits_for_its_restart_can_be_stopped(
    tmp_path: Path, file: str | None, chart: str, status: str
) -> None:
    clock = ManualClock()
    async with hosting(tmp_path / file if file else None, clock=clock) as host:
        await ended(host, chart, status)
        assert host.supervisor.view("m").waiting_for == "its restart in 60.0 s"
        assert (await host.supervisor.stop("m")).status == "stopped"
        assert host.supervisor.view("m").waiting_for is None
        host.advance(61)
        await host.quiet()
        assert (host.supervisor.view("m").status, host.supervisor.machines["m"].life) == ("stopped", 1)
        with pytest.raises(ConflictError):
            await host.supervisor.stop("m")
    if file:
        async with hosting(tmp_path / file, clock=clock) as host:
            host.advance(61)
            await host.quiet()
            assert host.supervisor.view("m").status == "stopped"
            await host.supervisor.start("m")
            await host.until("m", "running")


@ENDS
async def test_a_stop_that_could_not_be_written_leaves_the_restart(
    chart: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting() as host:
        await ended(host, chart, status)

        async def fail(*_: object) -> None:
            raise StoreError("cannot write: broken")

        with monkeypatch.context() as broken:
            broken.setattr(host.supervisor, "control", fail)
            with pytest.raises(StoreError):
                await host.supervisor.stop("m")
        host.advance(200)
        await host.until("m", "running")


@ENDS
async def test_a_machine_that_was_started_by_hand_does_not_restart_by_what_was_arranged_before(
    chart: str, status: str
) -> None:
    async with hosting() as host:
        await ended(host, chart, status)
        host.advance(50)
        await host.supervisor.start("m")
        assert host.supervisor.view("m").waiting_for is None
        await host.send("m", "x")  # it waits anew, and twice as long
        host.advance(11)
        await host.quiet()
        assert (host.supervisor.view("m").status, host.supervisor.view("m").restarts) == (status, 0)
        host.advance(110)
        await host.until("m", "running")
        assert host.supervisor.view("m").restarts == 1


class Early(ManualClock):
    """It calls after half a minute at most, as the system's does; who is called looks at the time again."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        return super().call_at(min(when, self.now() + 30), callback)


@ENDS
async def test_a_long_delay_is_kept(chart: str, status: str) -> None:
    async with hosting(clock=Early()) as host:
        await ended(host, chart, status)
        host.advance(30)
        await host.quiet()
        assert host.supervisor.view("m").status == status
        host.advance(30)
        await host.until("m", "running")


HOLDER = """
machine: m
contracts: [{always: "context.n < 1"}]
context: {n: 0}
states:
  w: {actions: [{type: claim_job, job_type: t}], on: {new_job: b}}
  b: {on: {boom: {actions: [{type: assign, set: {n: context.n + 1}}]}}}
"""


@STORES
async def test_a_failed_machine_that_is_reset_gives_its_jobs_back_as_one_that_is_stopped(
    tmp_path: Path, file: str | None
) -> None:
    async with hosting(tmp_path / file if file else None) as host:
        await host.add(HOLDER)
        await host.supervisor.add_jobs([NewJob("t", "J")])
        await host.quiet()
        await host.send("m", "boom")
        assert host.supervisor.view("m").held == ("J",)  # a start would go on with it
        assert (await host.supervisor.reset_failed("m")).held == ()
        job = await host.store.job("J")
        assert job is not None
        assert (job.status, job.attempt) == ("available", 0)


async def test_a_start_that_waits_behind_a_turn_does_not_keep_the_daemon_from_stopping(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db", verify=False) as host:
        await host.add(ALWAYS)
        await host.send("m", "x")
        turn = host.post("y")
        told: list[object] = []
        start = Event(control.START, {"context": {}, "chart": ""}, source="supervisor", priority=HIGH)
        host.supervisor.machines["m"].post(start, told.append)
        await asyncio.wait_for(host.supervisor.close(), 30)
        await asyncio.wait({asyncio.ensure_future(turn)})
        assert [str(answer) for answer in told] == ["cannot go on: the daemon is stopping"]
        assert isinstance(told[0], BusyError)
