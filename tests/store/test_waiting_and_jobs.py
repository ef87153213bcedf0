"""Events that wait, the history, and the job queue."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smd.errors import BusyError, RequestError
from smd.jobs import Job, NewJob
from smd.statechart.event import HIGH, LOW, Event
from smd.store.base import (
    AddJob,
    ClaimJob,
    ClearPending,
    Enqueue,
    FindPending,
    JobStates,
    PendingJobs,
    ReleaseJobs,
    SettleJob,
    Store,
)
from tests.store.units import add_machines, ask, asking, saving, took

pytestmark = pytest.mark.asyncio


async def add_jobs(store: Store, *jobs: NewJob, now: float = 1.0) -> None:
    await store.submit(asking(*(AddJob(job, now) for job in jobs)))


async def claimed(store: Store, **wanted: Any) -> str | None:
    job: Job | None = await ask(store, ClaimJob("m", 2.0, **wanted))
    return job.job_id if job else None


# --- waiting ----------------------------------------------------------------------------------------------------


async def test_waiting_order(store: Store) -> None:
    """Waiting rows come by priority, then by number."""
    await add_machines(store, "m", "n")
    for kind, priority in (("a", LOW), ("b", HIGH), ("c", 1), ("d", HIGH)):
        await ask(store, Enqueue("m", Event(kind, priority=priority), 1.0))
    await ask(store, Enqueue("n", Event("z"), 1.0))
    assert [event.type for _, event in await store.pending("m")] == ["b", "d", "c", "a"]
    assert [event.type for _, event in await store.pending("m", limit=2)] == ["b", "d"]
    assert await store.pending_counts() == {"m": 4, "n": 1}


async def test_inbox_limit(store: Store) -> None:
    """Over its limit an event is refused; a known id is answered all the same; room comes back."""
    await add_machines(store, "m")
    await ask(store, Enqueue("m", Event("a", id="c"), 1.0, client=True, limit=1))
    with pytest.raises(BusyError, match="1 wait already"):
        await ask(store, Enqueue("m", Event("b"), 1.0, limit=1))
    assert (await ask(store, Enqueue("m", Event("a", id="c"), 1.0, client=True, limit=1)))[0] == 0
    await ask(store, ClearPending("m", ["a"], 2.0))
    assert (await ask(store, Enqueue("m", Event("b"), 1.0, limit=1)))[1] is None


async def test_refused_operation_may_be_caught(store: Store) -> None:
    """A recipe that catches a refused request goes on, and what it did stays."""
    await add_machines(store, "m")

    def recipe() -> Any:
        yield Enqueue("m", Event("a"), 1.0)
        try:
            yield Enqueue("nobody", Event("b"), 1.0)
        except RequestError as error:
            return error.code

    unit = asking()
    unit.recipe = recipe
    assert await store.submit(unit) == "not_found"
    assert await store.pending_counts() == {"m": 1}


async def test_find_pending(store: Store) -> None:
    """The oldest waiting row of the given types is found and left alone."""
    await add_machines(store, "m")
    for kind in ("a", "b", "c", "b"):
        await ask(store, Enqueue("m", Event(kind, {"k": kind}), 1.0))
    seq, event = await ask(store, FindPending("m", ["x", "c", "b"]))
    assert (seq, event) == (await store.pending("m"))[1]
    assert await ask(store, FindPending("m", ["x"])) is None
    assert await ask(store, FindPending("m", [])) is None


async def test_pending_rows_are_counted_for_all_or_for_one(store: Store) -> None:
    await add_machines(store, "m", "n", "o")
    for name in ("m", "n", "m"):
        await ask(store, Enqueue(name, Event("a"), 1.0))
    assert await store.pending_counts() == {"m": 2, "n": 1}
    assert [await store.pending_counts(name) for name in ("m", "o", "nobody")] == [{"m": 2}, {}, {}]
    await ask(store, ClearPending("m", ["a"], 2.0))
    assert [await store.pending_counts(), await store.pending_counts("m")] == [{"n": 1}, {}]


async def test_clear_pending(store: Store) -> None:
    """Cleared rows wait no longer, and have no place among the consumed."""
    await add_machines(store, "m")
    for kind in ("a", "b", "a"):
        await ask(store, Enqueue("m", Event(kind), 1.0))
    before = await store.pending("m")
    assert await ask(store, ClearPending("m", ["a", "x"], 7.0)) == [before[0][0], before[2][0]]
    assert await store.pending("m") == before[1:2]
    assert await store.journal("m") == []
    assert {(row.type, row.now) for row in await store.events(disposition="cleared")} == {("a", 7.0)}
    assert await ask(store, ClearPending("m", [], 7.0)) == []


async def history(store: Store) -> None:
    await add_machines(store, "m", "n")
    await ask(store, saving([took("a", now=1.0), took("b", now=2.0, disposition="ignored", error="no")]))
    await ask(store, saving([took("c", now=3.0, to_state="a"), took("d", now=4.0, to_state="")], name="n"))
    await ask(store, Enqueue("m", Event("e", sent_at=5.0), 5.0))


@pytest.mark.parametrize(
    ("wanted", "types"),
    [
        ({}, "edcba"),
        ({"machine": "m"}, "eba"),
        ({"machine": "x"}, ""),
        ({"types": ["a", "c", "x"]}, "ca"),
        ({"types": []}, ""),
        ({"disposition": "ignored"}, "b"),
        ({"since": 3.0}, "edc"),
        ({"limit": 2}, "ed"),
        ({"changed": True}, "ca"),
        ({"errors": True}, "b"),
        ({"errors": True, "machine": "n"}, ""),
        ({"pending": True}, "e"),
        ({"pending": False}, "dcba"),
        ({"machine": "m", "types": ["a", "b"], "limit": 1}, "b"),
    ],
)
async def test_history(store: Store, wanted: dict[str, Any], types: str) -> None:
    """History comes newest first, and only what was asked for."""
    await history(store)
    assert "".join(row.type for row in await store.events(**wanted)) == types


async def test_history_pages(store: Store) -> None:
    """`before` the last row of a page gives the next page."""
    await history(store)
    page = await store.events(limit=2)
    assert "".join(row.type for row in await store.events(before=page[-1].seq, limit=2)) == "cb"


# --- jobs -------------------------------------------------------------------------------------------------------


async def test_job_round_trip(store: Store) -> None:
    """A job is kept as it was added; a taken id answers the job that has it; one without id gets one."""
    new = NewJob("t", "j1", "mt", {"a": 1}, 3, "src", {"m": None})
    job, added = await ask(store, AddJob(new, 1.5))
    assert added
    assert job == (job.number, "j1", "t", "mt", "src", {"a": 1}, None, 3, "available", 1.5, None, None, None,
                   {"m": None}, None, 0, 0)  # fmt: skip
    assert await ask(store, AddJob(new._replace(data=2), 9.0)) == (job, False)
    assert await store.job("j1") == job
    unnamed = [(await ask(store, AddJob(NewJob("t"), 1.0)))[0].job_id for _ in range(2)]
    assert len({"", *unnamed}) == 3


async def test_claiming_order(store: Store) -> None:
    """Jobs are claimed by priority, then age, then number."""
    await add_jobs(store, NewJob("t", "late", priority=2), NewJob("t", "later", priority=2), now=5.0)
    await add_jobs(store, NewJob("t", "old"), now=1.0)
    await add_jobs(store, NewJob("t", "early", priority=2), now=4.0)
    waiting = await ask(store, PendingJobs())
    order = [await claimed(store) for _ in range(5)]
    assert order == ["early", "late", "later", "old", None]
    assert [job.job_id for job in waiting] == order[:4]


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        ({}, ["a", "b", "c", "d", None]),
        ({"job_type": "t"}, ["a", "b", None]),
        ({"machine_type": "x"}, ["b", "c", "d", None]),
        ({"job_type": "t", "machine_type": "x"}, ["b", None]),
        ({"job_type": "t", "machine_type": "y"}, ["a", "b", None]),
        ({"job_id": "c"}, ["c", None]),
        ({"job_id": "c", "job_type": "t"}, [None]),
        ({"job_id": "a", "machine_type": "x"}, [None]),
    ],
)
async def test_claim_filters(store: Store, wanted: dict[str, Any], order: list[str | None]) -> None:
    """A claim takes what fits its types; a job without machine type fits any machine."""
    await add_jobs(store, NewJob("t", "a", "y"), NewJob("t", "b"), NewJob("u", "c", "x"), NewJob("u", "d"))
    if "job_id" not in wanted:
        assert [job.job_id for job in await ask(store, PendingJobs(**wanted))] == order[:-1]
    assert [await claimed(store, **wanted) for _ in order] == order


async def test_undone_job_leaves_no_trace(store: Store) -> None:
    """A job whose unit was given up is not found under the next job's number."""

    def recipe() -> Any:
        yield AddJob(NewJob("t", "gone"), 1.0)
        raise RequestError("cannot go on: given up")

    unit = asking()
    unit.recipe = recipe
    with pytest.raises(RequestError, match="given up"):
        await store.submit(unit)
    await add_jobs(store, NewJob("u", "kept"))
    assert await claimed(store, job_type="t") is None
    assert await claimed(store, job_type="u") == "kept"


async def test_claim_sets_the_lease(store: Store) -> None:
    """A claimed job runs, for its holder, under a new epoch."""
    await add_jobs(store, NewJob("t", "j"))
    job = await ask(store, ClaimJob("m", 2.0))
    assert (job.status, job.holder, job.epoch, job.attempt, job.started_at) == ("running", "m", 1, 1, 2.0)
    assert await store.job("j") == job


async def test_no_job_is_claimed_twice(store: Store) -> None:
    """Sixteen claimers at once share the jobs between them."""
    await add_jobs(store, *(NewJob("t", f"j{n}") for n in range(100)))

    async def claimer(name: str) -> list[str]:
        mine = []
        while job := await ask(store, ClaimJob(name, 2.0)):
            mine.append(job.job_id)
        return mine

    shares = await asyncio.gather(*(claimer(f"m{n}") for n in range(16)))
    taken = [job_id for share in shares for job_id in share]
    assert len(taken) == len(set(taken)) == 100
    assert sum(bool(share) for share in shares) == 16


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_settle(store: Store, status: str) -> None:
    """The holder of the lease ends a job, once."""
    await add_jobs(store, NewJob("t", "j"))
    await claimed(store)
    assert await ask(store, SettleJob("j", status, 3.0, epoch=2)) is None
    job = await ask(store, SettleJob("j", status, 3.0, epoch=1, result={"r": 1}, error="e"))
    assert (job.status, job.completed_at, job.result, job.error) == (status, 3.0, {"r": 1}, "e")
    assert await store.job("j") == job
    assert await ask(store, SettleJob("j", "completed", 4.0, epoch=1)) is None
    assert await ask(store, SettleJob("j", "completed", 4.0)) is None


async def test_release(store: Store) -> None:
    """A released job is free again and no attempt is burnt; the old lease is worth nothing."""
    await add_jobs(store, NewJob("t", "j"))
    await claimed(store)
    job = await ask(store, SettleJob("j", "available", 3.0, epoch=1))
    assert (job.status, job.holder, job.attempt, job.started_at) == ("available", None, 0, None)
    again = await ask(store, ClaimJob("n", 4.0))
    assert (again.epoch, again.attempt) == (2, 1)
    assert await ask(store, SettleJob("j", "completed", 5.0, epoch=1)) is None


async def test_operator_settles_any(store: Store) -> None:
    """Without an epoch a job that has not ended is ended, also one that nobody holds; only running ones release."""
    await add_jobs(store, NewJob("t", "free"), NewJob("t", "held"))
    await claimed(store, job_id="held")
    assert await ask(store, SettleJob("free", "available", 3.0)) is None
    assert await ask(store, SettleJob("free", "completed", 3.0, epoch=0)) is None
    for job_id in ("free", "held"):
        assert (await ask(store, SettleJob(job_id, "failed", 3.0, error="e"))).status == "failed"
    assert await ask(store, SettleJob("unknown", "failed", 3.0)) is None
    with pytest.raises(RequestError, match="cannot settle a job as 'running'"):
        await ask(store, SettleJob("held", "running", 3.0))


async def test_release_jobs(store: Store) -> None:
    """Running jobs that no snapshot holds under their epoch are freed; the others stay."""
    await add_jobs(store, *(NewJob("t", job_id) for job_id in ("a", "b", "c", "d")))
    for _ in range(3):
        await claimed(store)
    assert await ask(store, ReleaseJobs({"a": 1, "b": 7}, 3.0)) == 2
    states = await ask(store, JobStates(["a", "b", "c", "d", "x"]))
    assert states == {"a": "running", "b": "available", "c": "available", "d": "available"}
    assert await ask(store, JobStates([])) == {}


async def test_job_lists(store: Store) -> None:
    """Jobs are listed newest first, by status and type, in pages, and counted."""
    await add_jobs(store, NewJob("t", "a"), NewJob("u", "b"), NewJob("t", "c"))
    await claimed(store)
    everything = await store.jobs()
    assert [job.job_id for job in everything] == ["c", "b", "a"]
    assert await store.jobs(before=everything[0].number, limit=1) == everything[1:2]
    assert [job.job_id for job in await store.jobs(status="available", job_type="t")] == ["c"]
    assert await store.job_counts() == {"t": {"running": 1, "available": 1}, "u": {"available": 1}}


async def test_pending_jobs_limit(store: Store) -> None:
    """Pending jobs stop at the limit."""
    await add_jobs(store, NewJob("t", "a"), NewJob("t", "b"))
    assert [job.job_id for job in await ask(store, PendingJobs(limit=1))] == ["a"]
