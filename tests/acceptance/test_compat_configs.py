"""The predecessor's five example files, unchanged, hosted together, do what their comments say.

Where a command sleeps, a copy of the text sleeps 0 seconds; nothing else is changed anywhere. Loading by path uses the
files as they are.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from smd.jobs import NewJob
from smd.runtime.clock import ManualClock, SystemClock
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

DATA = Path(__file__).parents[1] / "data"
COMPAT = DATA / "compat"
FILES = {
    "simple_worker": "simple_worker/config/worker.yaml",
    "task_worker": "controller_worker/config/worker.yaml",
    "task_controller": "controller_worker/config/controller.yaml",
    "timeout_worker": "timeout_demo/config/timeout_worker.yaml",
    "custom_worker": "custom_actions/config/worker.yaml",
}
AT_REST = {
    "simple_worker": "waiting", "task_worker": "waiting", "task_controller": "monitoring",
    "timeout_worker": "waiting", "custom_worker": "waiting",
}  # fmt: skip


def brisk(machine: str) -> str:
    """A file's text, with its sleeps shortened."""
    return re.sub(r"sleep \d+", "sleep 0", (COMPAT / FILES[machine]).read_text())


@asynccontextmanager
async def all_five(tmp_path: Path, clock: SystemClock | ManualClock | None = None) -> AsyncIterator[Host]:
    """One supervisor with all five machines at rest."""
    folder, clock = DATA / "legacy_actions", clock or SystemClock()
    async with hosting(tmp_path / "s.db", clock=clock, actions_dir=folder, work_folder=COMPAT) as host:
        for machine in FILES:
            await host.add(brisk(machine))
        await at_rest(host)
        yield host


async def at_rest(host: Host) -> None:
    for machine, state in AT_REST.items():
        await host.until(machine, state)
    await host.quiet()


async def jobs_ended(host: Host, job_type: str, count: int) -> None:
    """Wait until so many jobs of a type have ended; the worker must not have stopped."""
    with host.supervisor.bus.subscribe(["job"]) as notices:
        while sum(await ended(host, job_type)) < count:
            await asyncio.wait_for(notices.get(), 60)


async def ended(host: Host, job_type: str) -> tuple[int, int]:
    counts = (await host.store.job_counts()).get(job_type, {})
    return counts.get("completed", 0), counts.get("failed", 0)


def lines(host: Host, machine: str, part: str) -> list[str]:
    return [line for line in host.supervisor.log_tail(machine, 1000) if part in line]


async def until_lines(host: Host, machine: str, part: str, count: int) -> None:
    """Wait until so many lines of the machine's log hold `part`."""
    with host.supervisor.bus.subscribe(["action_ended", "log"]) as notices:
        while len(lines(host, machine, part)) < count:
            await asyncio.wait_for(notices.get(), 60)


async def transitions(host: Host, machine: str, way: tuple[str, str, str]) -> int:
    """How often the machine's history holds the transition (from, event type, to)."""
    rows = await host.store.events(machine, changed=True, limit=1000)
    return sum((row.from_state, row.type, row.to_state) == way for row in rows)


async def until_transitions(host: Host, machine: str, way: tuple[str, str, str], count: int) -> None:
    """Wait until the machine's history holds the transition so often."""
    with host.supervisor.bus.subscribe(["state_change"]) as notices:
        while await transitions(host, machine, way) < count:
            await asyncio.wait_for(notices.get(), 60)


async def stopped(host: Host, machine: str) -> None:
    assert (await host.send(machine, "stop")).disposition in {"taken", "deferred"}
    await host.until(machine, "finished")


# --- all together -----------------------------------------------------------------------------------------------------


async def test_the_files_load_unchanged_by_path_and_all_come_to_rest(tmp_path: Path) -> None:
    folder = DATA / "legacy_actions"
    async with hosting(tmp_path / "s.db", clock=SystemClock(), actions_dir=folder, work_folder=COMPAT) as host:
        views = [await host.supervisor.add(path=path) for path in FILES.values()]
        assert [view.name for view in views] == list(FILES)
        await at_rest(host)
        assert {v.health for v in host.supervisor.views()} == {"Healthy"}


@pytest.mark.parametrize(("machine", "last"), [
    ("simple_worker", "completed"), ("task_worker", "stopped"), ("task_controller", "stopped"),
    ("timeout_worker", "completed"), ("custom_worker", "completed"),
])  # fmt: skip
async def test_stop_ends_a_machine_in_its_last_state_and_no_other(tmp_path: Path, machine: str, last: str) -> None:
    async with all_five(tmp_path) as host:
        await stopped(host, machine)
        assert host.states(machine) == [last]
        assert {v.status for v in host.supervisor.views() if v.name != machine} == {"running"}


@pytest.mark.parametrize(("machine", "said"), [
    ("simple_worker", "marked as completed"), ("task_worker", "Task Worker stopped"),
    ("task_controller", "Task Controller stopped"), ("timeout_worker", "Cleanup complete"),
    ("custom_worker", "Worker shutting down"),
])  # fmt: skip
async def test_the_actions_of_the_last_state_run_when_it_is_entered_by_stop(
    tmp_path: Path, machine: str, said: str
) -> None:
    async with all_five(tmp_path) as host:
        await host.supervisor.add_jobs([NewJob("task", "one", "simple_worker")])
        await jobs_ended(host, "task", 1)
        await at_rest(host)
        before = len(lines(host, machine, said))
        await stopped(host, machine)
        assert len(lines(host, machine, said)) == before + 1


# --- simple_worker ----------------------------------------------------------------------------------------------------


async def test_simple_worker_drains_two_hundred_jobs_and_never_stops(tmp_path: Path) -> None:
    async with all_five(tmp_path) as host:
        await host.supervisor.add_jobs([NewJob("task", f"j{n:03}", "simple_worker") for n in range(200)])
        await jobs_ended(host, "task", 200)
        await at_rest(host)
        assert await ended(host, "task") == (200, 0)
        assert (host.supervisor.view("simple_worker").status, host.states("simple_worker")) == ("running", ["waiting"])


async def test_simple_worker_says_which_job_it_processes(tmp_path: Path) -> None:
    async with all_five(tmp_path) as host:
        await host.supervisor.add_jobs([NewJob("task", name, "simple_worker") for name in ("one", "two")])
        await jobs_ended(host, "task", 2)
        for name in ("one", "two"):
            assert len(lines(host, "simple_worker", f"Processing job {name}")) == 2
            assert len(lines(host, "simple_worker", f"Job {name} marked as completed")) == 1


async def test_machines_that_wait_arm_no_timer_and_run_nothing(tmp_path: Path) -> None:
    async with all_five(tmp_path) as host:
        await stopped(host, "timeout_worker")
        assert len(host.supervisor.timers) == 0
        assert all(machine.settled() for machine in host.supervisor.machines.values())
        assert host.supervisor.view("simple_worker").waiting_for == "a job (task)"


async def test_simple_worker_takes_a_job_added_while_it_waits_without_any_tick(tmp_path: Path) -> None:
    clock = ManualClock()
    async with all_five(tmp_path, clock) as host:
        before = clock.now()
        await host.supervisor.add_jobs([NewJob("task", "late", "simple_worker")])
        await jobs_ended(host, "task", 1)
        assert clock.now() == before


async def test_simple_worker_stopped_while_it_processes_gives_the_job_back(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db", clock=SystemClock()) as host:
        await host.add((COMPAT / FILES["simple_worker"]).read_text().replace("sleep 2", "sleep 600"))
        await host.supervisor.add_jobs([NewJob("task", "long", "simple_worker")])
        await host.until("simple_worker", "processing")
        await stopped(host, "simple_worker")
        job = await host.store.job("long")
        assert job is not None
        assert job.status != "completed"
        assert job.holder is None


# --- controller and worker --------------------------------------------------------------------------------------------


async def test_the_controller_logs_every_completion_the_worker_notifies(tmp_path: Path) -> None:
    async with all_five(tmp_path) as host:
        await host.supervisor.add_jobs([NewJob("task", f"t{n}", "task_worker") for n in range(20)])
        await jobs_ended(host, "task", 20)
        await until_lines(host, "task_controller", "completed by task_worker", 20)
        await at_rest(host)
        told = lines(host, "task_controller", "completed by task_worker")
        assert [line.split("Job ")[1] for line in told] == [f"t{n} completed by task_worker" for n in range(20)]


async def test_the_controller_counts_a_burst_of_twenty_whole_and_in_order(tmp_path: Path) -> None:
    async with all_five(tmp_path) as host:
        payloads = [{"job_id": f"b{n}", "machine": "task_worker"} for n in range(20)]
        answers = await asyncio.gather(*(host.send("task_controller", "task_completed", p) for p in payloads))
        assert {answer.disposition for answer in answers} <= {"taken", "deferred"}
        await until_lines(host, "task_controller", "completed by task_worker", 20)
        await at_rest(host)
        told = lines(host, "task_controller", "completed by task_worker")
        assert [line.split("Job ")[1].split()[0] for line in told] == [p["job_id"] for p in payloads]


async def test_the_controller_counts_bursts_between_bursts(tmp_path: Path) -> None:
    async with all_five(tmp_path) as host:
        for burst in range(3):
            for n in range(20):
                await host.send(
                    "task_controller", "task_completed", {"job_id": f"{burst}.{n}", "machine": "task_worker"}
                )
            await until_lines(host, "task_controller", "completed by task_worker", 20 * (burst + 1))
        await at_rest(host)
        assert len(lines(host, "task_controller", "completed by task_worker")) == 60


async def test_a_completion_cannot_become_shell_text(tmp_path: Path) -> None:
    async with all_five(tmp_path) as host:
        bad = f"x'; touch {tmp_path}/pwned; echo '"
        await host.send("task_controller", "task_completed", {"job_id": bad, "machine": "$(id) `id`"})
        await until_lines(host, "task_controller", "completed by $(id) `id`", 1)
        assert not (tmp_path / "pwned").exists()


# --- timeout_demo -----------------------------------------------------------------------------------------------------


async def test_the_timeout_demo_times_out_and_retries_again_and_again(tmp_path: Path) -> None:
    clock = ManualClock()
    async with all_five(tmp_path, clock) as host:
        for cycle in range(1, 5):
            clock.advance(4.9)
            await host.quiet()
            assert host.states("timeout_worker") == ["waiting"]
            clock.advance(0.1)
            await until_transitions(host, "timeout_worker", ("timed_out", "retry", "waiting"), cycle)
        assert len(lines(host, "timeout_worker", "TIMEOUT!")) == 4


async def test_work_that_is_done_in_time_completes_the_demo_without_ending_it_early(tmp_path: Path) -> None:
    clock = ManualClock()
    async with all_five(tmp_path, clock) as host:
        assert (await host.send("timeout_worker", "start_work")).states == ("processing",)
        clock.advance(9.9)
        assert (await host.send("timeout_worker", "work_done")).states == ("completed",)
        await host.until("timeout_worker", "finished")
        assert len(lines(host, "timeout_worker", "Demo completed")) == 1
        rows = await host.store.events("timeout_worker", changed=True)
        assert [row.type for row in rows if row.type.startswith("timeout(")] == []


async def test_work_that_takes_too_long_times_out_after_ten_seconds_not_five(tmp_path: Path) -> None:
    clock = ManualClock()
    async with all_five(tmp_path, clock) as host:
        clock.advance(4)
        await host.send("timeout_worker", "start_work")
        clock.advance(6)
        await host.quiet()
        assert host.states("timeout_worker") == ["processing"]
        clock.advance(4)
        await until_transitions(host, "timeout_worker", ("processing", "timeout(10)", "timed_out"), 1)
        await host.until("timeout_worker", "waiting")


# --- custom_actions ---------------------------------------------------------------------------------------------------


async def test_the_custom_worker_greets(tmp_path: Path) -> None:
    async with all_five(tmp_path) as host:
        await host.send("custom_worker", "greet", {"name": "Ada"})
        await at_rest(host)
        assert len(lines(host, "custom_worker", "Processing greeting...")) == 1
        assert await transitions(host, "custom_worker", ("greeting", "greeted", "waiting")) == 1


@pytest.mark.parametrize(("payload", "result"), [({"a": 2, "b": 3}, 5), ({"a": 2, "b": 3, "operation": "multiply"}, 6)])
async def test_the_custom_worker_calculates(tmp_path: Path, payload: dict[str, object], result: int) -> None:
    async with all_five(tmp_path) as host:
        await host.send("custom_worker", "calculate", payload)
        await at_rest(host)
        assert host.context("custom_worker")["calculation_result"] == result
        assert await transitions(host, "custom_worker", ("calculating", "calculated", "waiting")) == 1


async def test_requests_in_turn_are_all_answered(tmp_path: Path) -> None:
    async with all_five(tmp_path) as host:
        for name in ("Ada", "Alan", "Edsger"):
            await host.send("custom_worker", "greet", {"name": name})
            await at_rest(host)
            assert host.context("custom_worker")["greeting"] == f"Hello, {name}!"
