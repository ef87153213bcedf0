"""Compatibility spec section 4.4: what actions on jobs do better than 1.0.91."""

from __future__ import annotations

from typing import Any

import pytest

from smd.jobs import NewJob
from tests.hosting import hosting
from tests.integration.test_compat_actions import act, acting

pytestmark = pytest.mark.asyncio

# --- 4.4 jobs ---------------------------------------------------------------------------------------------------------


async def test_check_database_queue_takes_any_type_unless_told_and_its_events_can_be_named() -> None:
    async with hosting() as host:
        await host.supervisor.add_jobs([NewJob("whatever", "j")])
        assert await act(host, {"type": "check_database_queue", "success": "ok"}) == ["done"]


async def test_an_empty_check_that_leads_elsewhere_answers_at_once() -> None:
    async with hosting() as host:
        assert await act(host, {"type": "check_database_queue", "job_type": "t", "empty": "go"}) == ["b"]


async def test_claiming_a_job_that_is_taken_or_unknown_is_already_claimed() -> None:
    async with hosting() as host:
        claim = {"type": "claim_job", "job_id": "nobody", "already_claimed": "go"}
        assert await act(host, claim) == ["b"]


@pytest.mark.parametrize("job_id", ["nobody", "{unset}", 7])
async def test_completing_a_job_that_is_not_there_is_an_error_not_a_success(job_id: Any) -> None:
    async with hosting() as host:
        assert await act(host, {"type": "complete_job", "job_id": job_id, "success": "ok"}) == ["failed"]


@pytest.mark.parametrize(("action", "status"), [("complete_job", "completed"), ("fail_job", "failed")])
async def test_jobs_can_be_added_claimed_and_ended_by_actions(action: str, status: str) -> None:
    async with hosting() as host:
        add = {"type": "add_job", "job_type": "t", "job_id": "new", "payload": {"n": 1}}
        claim = {"type": "claim_job", "job_id": "new"}
        assert await act(host, add, claim, {"type": action, "success": "ok"}) == ["done"]
        job = await host.store.job("new")
        assert job is not None
        assert (job.status, job.data) == (status, {"n": 1})


@pytest.mark.parametrize("verb", ["complete_job", "fail_job"])
@pytest.mark.parametrize("flat", [True, False])
async def test_another_machine_ends_a_job_only_in_a_flat_file(verb: str, *, flat: bool) -> None:
    """The predecessor's files rely on it; elsewhere a job is its holder's."""
    nested = "states: {a: {on: {go: b}}, b: {actions: [ACTION], on: {ok: c, error: d}}, c: {}, d: {}}"
    rows = "[{from: a, to: b, event: go}, {from: b, to: c, event: ok}, {from: b, to: d, event: error}]"
    text = f"states: [a, b, c, d]\ntransitions: {rows}\nactions: {{b: [ACTION]}}" if flat else nested
    async with hosting() as host:
        await host.supervisor.add_jobs([NewJob("t", "theirs")])
        await host.add(
            "machine: holder\nstates: {w: {actions: [{type: claim_job, success: got}], on: {got: x}}, x: {}}"
        )
        await host.until("holder", "x")
        action = f"{{type: {verb}, job_id: theirs, success: ok}}"
        await host.add(f"machine: other\ninitial: a\n{text.replace('ACTION', action)}")
        await host.send("other", "go")
        await host.until("other", "c" if flat else "d")
        job = await host.store.job("theirs")
        assert job is not None
        assert (job.status == "running") is not flat
        if not flat:
            assert "this machine does not hold it" in host.context("other")["last_error"]


async def test_wait_for_jobs_is_told_the_moment_the_last_job_ends_whatever_the_clock() -> None:
    async with hosting() as host:
        await host.supervisor.add_jobs([NewJob("t", "x"), NewJob("t", "y")])
        assert await act(host, {"type": "wait_for_jobs", "success": "ok"}, spawned_jobs=["x", "y"]) == ["a"]
        await host.supervisor.settle_job("x", "completed")
        await host.supervisor.settle_job("y", "failed", error="e")
        await host.until("m", "done")
        context = host.context("m")
        assert (context["completed_jobs"], context["failed_jobs"], context["pending_jobs"]) == (["x"], ["y"], [])


async def test_wait_for_jobs_gives_up_at_its_time_out_and_later_batches_have_a_deadline_of_their_own() -> None:
    async with hosting() as host:
        await host.supervisor.add_jobs([NewJob("t", "x")])
        rows = "initial_state: a\ntransitions: [{from: a, to: b, event: late}, {from: b, to: a, event: go}]\n"
        text = rows + "actions: {a: [{type: wait_for_jobs, timeout: 300, timeout_event: late}]}"
        await host.supervisor.add(text=text, name="m", context={"spawned_jobs": ["x"]})
        for _ in range(2):
            await host.quiet()
            host.advance(299)
            await host.quiet()
            assert host.states("m") == ["a"]
            host.advance(1)
            await host.until("m", "b")
            await host.send("m", "go")


@pytest.mark.parametrize("tracked", [[], None])
async def test_waiting_for_no_jobs_says_so(tracked: Any) -> None:
    async with hosting() as host:
        text = acting({"type": "wait_for_jobs"}).replace("event: ok", "event: no_jobs_tracked")
        await host.supervisor.add(text=text, name="m", context={} if tracked is None else {"spawned_jobs": tracked})
        assert host.states("m") == ["done"]
