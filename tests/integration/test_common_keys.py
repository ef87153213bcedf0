"""The keys that every action may have act in a running daemon: time-outs of waits, and what custom actions share."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from smd.jobs import NewJob
from smd.runtime.clock import ManualClock
from tests.hosting import hosting

pytestmark = pytest.mark.asyncio

WAITS = {
    "claim_job": "{type: claim_job, job_type: none, timeout: 1s}",
    "check_database_queue": "{type: check_database_queue, job_type: none, timeout: 1s}",
    "check_events": "{type: check_events, event_types: [ping], timeout: 1s}",
    "sleep": "{type: sleep, duration: 60s, timeout: 1s}",
}
CHART = "machine: m\nstates: {a: {actions: [%s], on: {error: late, no_jobs: a, no_events: a}}, late: {}}"
MINE = """
import asyncio
from smd.actions.custom import BaseAction

class MineAction(BaseAction):
    async def execute(self, context):
        with open(self.config["file"], "a") as file:
            file.write("x")
        if context.get("blocks"):
            await asyncio.Event().wait()
        raise ValueError("no")
"""


@pytest.mark.parametrize("name", WAITS)
async def test_a_time_out_is_kept_across_a_restart_of_the_daemon(tmp_path: Path, name: str) -> None:
    clock = ManualClock()
    async with hosting(tmp_path / "s.db", clock=clock, verify=False) as host:
        await host.add(CHART % WAITS[name])
        assert [t["event"] for t in host.supervisor.view("m").timers] == ["timeout"]
    clock.advance(0.9)
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        assert (host.states("m"), len(host.supervisor.view("m").timers)) == (["a"], 1)
        host.advance(0.1)
        await host.until("m", "late")
        assert host.context("m")["last_error"] == f"{name}: timed out after 1 s"


async def test_a_wait_that_timed_out_is_tried_again(tmp_path: Path) -> None:
    chart = CHART % WAITS["claim_job"].replace("}", ", retry: {max: 1, delay: 3s}}")
    async with hosting(tmp_path / "s.db") as host:
        await host.add(chart)
        for event, seconds in (("timeout", 1), ("retry", 3), ("timeout", 1)):
            assert [t["event"] for t in host.supervisor.view("m").timers] == [event]
            host.advance(seconds)
            assert (
                await host.send("m", "noise")
            ).disposition == "ignored"  # it waits its turn behind the timer's event
        await host.until("m", "late")


async def test_a_job_in_time_ends_the_time_out(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add("machine: m\nstates: {a: {actions: [{type: claim_job, timeout: 9s}], on: {new_job: b}}, b: {}}")
        assert len(host.supervisor.view("m").timers) == 1
        await host.supervisor.add_jobs([NewJob("t", "one")])
        await host.until("m", "b")
        assert host.supervisor.view("m").timers == ()


MINES = "machine: m\nstates: {a: {actions: [{type: mine, file: '%s', %s}], on: {error: late}}, late: {}}"


async def test_a_custom_action_is_left_out_where_its_condition_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / "mine_action.py").write_text(MINE)
    async with hosting(tmp_path / "s.db", actions_dir=tmp_path) as host:
        await host.add(MINES % (tmp_path / "runs", "if: 'false'"))
        await host.quiet()
        assert (host.states("m"), (tmp_path / "runs").exists()) == (["a"], False)


async def test_a_custom_action_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "mine_action.py").write_text(MINE)
    async with hosting(tmp_path / "s.db", actions_dir=tmp_path) as host:
        with host.supervisor.bus.subscribe(["error"]) as failed:
            await host.add(MINES % (tmp_path / "runs", "retry: {max: 1, delay: 3s}"))
            await failed.get()
            host.advance(3)
            await host.until("m", "late")
        assert (tmp_path / "runs").read_text() == "xx"


async def test_the_time_of_a_custom_action_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "mine_action.py").write_text(MINE)
    async with hosting(tmp_path / "s.db", actions_dir=tmp_path) as host:
        await host.add(MINES % (tmp_path / "runs", "timeout: 50ms"), blocks=True)
        await host.until("m", "late")
        assert host.context("m")["last_error"] == "mine: timed out after 0.05 s"


async def test_a_time_out_that_is_the_actions_own_bounds_nothing(tmp_path: Path) -> None:
    """A flat file of the predecessor's may give its action a parameter of any name."""
    (tmp_path / "mine_action.py").write_text(MINE)
    flat = "machine: m\ninitial_state: a\nstates: [a, late]\ntransitions: [{from: a, to: late, event: error}]\n"
    async with hosting(tmp_path / "s.db", actions_dir=tmp_path) as host:
        await host.add(flat + f"actions: {{a: [{{type: mine, file: '{tmp_path / 'runs'}', timeout: {{read: 5}}}}]}}")
        await host.until("m", "late")
        assert host.context("m")["last_error"] == "mine: ValueError: no"


async def test_a_chart_that_loads_with_a_warning_says_so_in_the_log() -> None:
    start = "{type: start_fsm, yaml_path: none.yaml, machine_name: n, additional_args: [--debug]}"
    with capture_logs() as told:
        async with hosting() as host:
            await host.add(CHART % start)
    (line,) = [line for line in told if line["log_level"] == "warning"]
    assert "additional_args: without effect" in line["why"]
    assert "context_vars" in line["hint"]
