"""What a machine holds are the jobs it has: one that is ended otherwise leaves it, by a row that a replay meets too."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from smd.jobs import JobStatus, NewJob
from smd.runtime import control
from smd.store.base import SettleJob
from smd.store.sqlite import SqliteStore
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

HOLDER = """
machine: holder
initial: waiting
states:
  waiting: {actions: [{type: CLAIM, job_type: t, success: job}], on: {job: at_work}}
  at_work: {on: {next: waiting}}
"""
CLAIMS = """
machine: NAME
initial: idle
states:
  idle: {on: {go: claiming}}
  claiming: {actions: [{type: claim_job, job_type: t, success: job}], on: {job: at_work}}
  at_work: {}
"""
OTHER = """
machine: other
initial_state: idle
transitions:
  - {from: idle, to: ending, event: end}
  - {from: ending, to: idle, event: done}
actions:
  ending: [{type: complete_job, job_id: "{payload.id}", success: done}]
"""
CUSTOM = """
machine: m
initial: waiting
states:
  waiting: {actions: [{type: claim_job, job_type: t, success: job}], on: {job: at_work}}
  at_work: {actions: [{type: fin, success: on}], on: {on: waiting}}
"""
FIN = """\
from statemachine_engine.actions import BaseAction

class FinAction(BaseAction):
    async def execute(self, context):
        context["job_model"].WAY(context["job_id"])
        return "on"
"""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where a supervisor keeps what it knows."""
    return tmp_path / "smd.db" if request.param == "sqlite" else None


def held(host: Host, machine: str = "holder") -> list[str]:
    """Ids of the jobs that a machine holds."""
    return [hold[0] for hold in host.supervisor.snapshot(machine)["held"]]


async def holding(host: Host, claim: str = "claim_job") -> None:
    """A machine that holds `a`."""
    await host.add(HOLDER.replace("CLAIM", claim))
    await host.supervisor.add_jobs([NewJob("t", "a")])
    await host.until("holder", "at_work")
    assert held(host) == ["a"]


async def test_a_job_that_an_operator_ends_leaves_its_machine(store: Path | None) -> None:
    async with hosting(store) as host:
        await holding(host)
        await host.supervisor.settle_job("a", JobStatus.COMPLETED)
        await host.quiet()
        assert held(host) == []
        assert host.states("holder") == ["at_work"]


async def test_a_job_that_another_machine_ends_leaves_its_machine(store: Path | None) -> None:
    async with hosting(store) as host:
        await host.add(OTHER)
        await holding(host)
        await host.send("other", "end", {"id": "a"})
        await host.quiet()
        assert held(host) == []


@pytest.mark.parametrize("status", ["paused", "failed"])
async def test_it_leaves_a_machine_that_holds_still_too(status: str) -> None:
    async with hosting() as host:
        await holding(host)
        await host.supervisor.control("holder", control.PAUSE if status == "paused" else control.FAIL, {"error": "x"})
        await host.supervisor.settle_job("a", JobStatus.FAILED, error="x")
        await host.quiet()
        assert held(host) == []
        assert host.supervisor.view("holder").status == status


@pytest.mark.parametrize(("way", "status"), [("complete_job", "completed"), ("fail_job", "failed")])
async def test_jobs_that_a_python_action_ends_do_not_gather(
    store: Path | None, tmp_path: Path, way: str, status: str
) -> None:
    async with hosting(store, actions_dir=written(tmp_path, way)) as host:
        await host.supervisor.add_jobs([NewJob("t", f"j{n}") for n in range(20)])
        await host.add(CUSTOM)
        await ended(host, 20, status)
        await host.quiet()
        assert held(host, "m") == []


async def test_a_job_that_a_python_action_gives_back_leaves_the_machine(tmp_path: Path) -> None:
    once = CUSTOM.replace("success: on}], on: {on: waiting}}", "success: on}], on: {on: idle}}\n  idle: {}")
    async with hosting(actions_dir=written(tmp_path, "reset_job_to_pending")) as host:
        await host.supervisor.add_jobs([NewJob("t", "a")])
        await host.add(once)
        await host.until("m", "idle")
        await host.quiet()
        assert held(host, "m") == []
        job = await host.store.job("a")
        assert job is not None
        assert job.status == "available"


async def test_a_job_taken_by_check_database_queue_stays_until_the_next_claim_says_what_became_of_it() -> None:
    async with hosting() as host:
        await holding(host, "check_database_queue")
        await host.supervisor.settle_job("a", JobStatus.COMPLETED)
        await host.quiet()
        assert held(host) == ["a"]
        await host.send("holder", "next")
        assert held(host) == []


async def test_what_was_held_in_vain_before_is_let_go_at_the_next_start(tmp_path: Path) -> None:
    """As it is in stores that were written before jobs were let go, or after a crash between the two commits."""
    async with hosting(tmp_path / "smd.db") as host:
        await holding(host)
        await host.supervisor.add_jobs([NewJob("t", "b")])
        await host.send("holder", "next")
        assert held(host) == ["a", "b"]
    store = SqliteStore(tmp_path / "smd.db")
    await store.open()
    await store.submit(_Alone(SettleJob("a", "completed", 5.0)))
    await store.close()
    async with hosting(tmp_path / "smd.db") as host:
        await host.quiet()
        assert held(host) == ["b"]
        job = await host.store.job("b")
        assert job is not None
        assert (job.status, job.holder) == ("running", "holder")


class _Alone:
    """One operation as a unit."""

    def __init__(self, operation: Any) -> None:
        self._operation = operation

    def begin(self, room: int) -> int:
        return 1

    def run(self) -> Any:
        return (yield self._operation)


def written(tmp_path: Path, way: str) -> Path:
    """A folder with an action that ends its job this way."""
    folder = tmp_path / "actions"
    folder.mkdir()
    (folder / "fin_action.py").write_text(FIN.replace("WAY", way))
    return folder


async def ended(host: Host, number: int, status: str) -> None:
    """Wait until so many jobs have ended so."""
    with host.supervisor.bus.subscribe() as notices:
        while (await host.store.job_counts()).get("t", {}).get(status, 0) < number:
            await notices.get()


async def test_who_has_claimed_a_job_anew_keeps_it_when_its_release_is_told(store: Path | None) -> None:
    """The release and the next claim are one group, so both are durable when the first is told of."""
    async with hosting(store) as host:
        for name in ("holder", "next"):
            await host.add(CLAIMS.replace("NAME", name))
        await host.supervisor.add_jobs([NewJob("t", "j")])
        await host.send("holder", "go")
        await host.quiet()
        released = SettleJob("j", JobStatus.AVAILABLE, host.clock.now(), 1)
        release = asyncio.ensure_future(host.supervisor.bridge._call(released))
        await asyncio.sleep(0)
        await host.send("next", "go")
        await release
        await host.quiet()
        job = await host.store.job("j")
        assert (job.holder, job.epoch) == ("next", 2)  # type: ignore[union-attr]
        assert (held(host, "holder"), held(host, "next")) == ([], ["j"])
