"""A machine that comes up looks for jobs, whatever became of the look before."""

from __future__ import annotations

from pathlib import Path

import pytest

from smd.jobs import JobStatus, NewJob
from smd.runtime import control
from tests.hosting import hosting

pytestmark = pytest.mark.asyncio

WORKER = """
machine: w
initial_state: waiting
context: {k: ok}
contracts: [{always: "context.k != 'bad'"}]
transitions:
  - {from: waiting, to: waiting, event: no_jobs}
  - {from: waiting, to: at_work, event: new_job}
actions:
  waiting: [{type: check_database_queue, job_type: t}]
"""
BAD = NewJob("t", "bad", data={"k": "bad"})


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where a supervisor keeps what it knows."""
    return tmp_path / "smd.db" if request.param == "sqlite" else None


async def test_each_start_after_a_failed_claim_looks_again(store: Path | None) -> None:
    async with hosting(store) as host:
        await host.add(WORKER)
        await host.supervisor.add_jobs([BAD])
        await host.until("w", "failed")
        for _ in range(4):
            await host.supervisor.start("w")
            await host.quiet()
            assert host.supervisor.view("w").status == "failed"
        await host.supervisor.settle_job("bad", JobStatus.FAILED, error="bad")
        await host.supervisor.add_jobs([NewJob("t", "good")])
        await host.supervisor.start("w")
        await host.until("w", "at_work")
        assert host.context("w")["job_id"] == "good"


async def test_a_restart_policy_goes_on_to_its_limit_and_does_not_stop_half_way() -> None:
    async with hosting() as host:
        await host.add(f"{WORKER}restart: {{policy: on-failure, delay: 200ms, limit: 5 in 1h}}\n")
        await host.supervisor.add_jobs([BAD])
        for _ in range(20):
            await host.quiet()
            host.advance(1)
        await host.quiet()
        view = host.supervisor.view("w")
        assert view.status == "failed"
        assert view.restarts >= 4


async def test_a_wake_up_that_found_the_machine_paused_is_made_up_for() -> None:
    async with hosting() as host:
        await host.add(WORKER)
        await host.supervisor.pause("w")
        await host.supervisor.add_jobs([NewJob("t", "good")])
        await host.supervisor.resume("w")
        await host.until("w", "at_work")


async def test_a_fresh_start_looks_once() -> None:
    async with hosting() as host:
        await host.add(WORKER)
        await host.quiet()
        machine = host.supervisor.machines["w"]
        assert machine.queue_mark == host.supervisor.queue.changes
        assert (await host.store.journal("w"))[0].type == control.START
