"""Both stores give the same answers and keep the same rows, whatever they are asked and however it is grouped."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from smd.errors import NotFoundError
from smd.jobs import Job, NewJob
from smd.statechart.effects import Send
from smd.statechart.event import Event
from smd.store.base import (
    AddJob,
    ClaimJob,
    ClearPending,
    Consumed,
    CreateMachine,
    Enqueue,
    FindMachine,
    FindPending,
    JobStates,
    Operation,
    PendingJobs,
    PutChart,
    Record,
    ReleaseJobs,
    RemoveMachine,
    Save,
    Seen,
    SettleJob,
    Store,
    UpdateMachine,
)
from smd.store.memory import MemoryStore
from smd.store.sqlite import SqliteStore
from tests.store.units import Recipe, Steps, machine

T = TypeVar("T")


def made(kind: Callable[..., T], *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    return st.tuples(*parts).map(lambda values: kind(*values))


NAMES, TYPES, IDS, JOBS = ["m", "n", "é\0"], ["a", "b"], ["", "c1", "c2", "c3"], ["j1", "j2", "j3", "j4"]
names, types, ids, jobs = map(st.sampled_from, (NAMES, TYPES, IDS, JOBS))
times = st.integers(1, 9).map(float)
maybe_type = st.none() | types
machine_types = st.sampled_from([None, "", "a", "b"])
payloads = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**66), 2**66) | st.text(max_size=3) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
events = made(Event, types, payloads, ids, st.just("cli"), st.integers(0, 2), st.none() | jobs, times)
sends = made(
    Send, st.one_of(st.just(("all",)), names.map(lambda name: (name,)), st.just(("x", "m"))), types, payloads,
    st.just("s"),
)  # fmt: skip
statuses = st.sampled_from(["running", "finished", "stopped"])
operations: st.SearchStrategy[Operation] = st.one_of(
    made(Enqueue, names, events, times, st.booleans(), st.integers(1, 4)),
    made(Seen, names, st.lists(ids, max_size=3)),
    made(PutChart, types, st.binary(max_size=3)),
    made(lambda name, status: CreateMachine(machine(name, status=status)), names, statuses),
    made(UpdateMachine, names, st.dictionaries(st.sampled_from(["origin", "error", "version"]), types)),
    made(RemoveMachine, names, times),
    made(FindMachine, names),
    made(AddJob, made(NewJob, types, jobs, machine_types, payloads, st.integers(1, 3)), times),
    made(ClaimJob, names, times, maybe_type, machine_types, st.none() | jobs),
    made(SettleJob, jobs, st.sampled_from(["completed", "failed", "available", "odd"]), times,
              st.none() | st.integers(1, 2), payloads),
    made(ReleaseJobs, st.dictionaries(jobs, st.integers(1, 2)), times),
    made(PendingJobs, maybe_type, machine_types, st.none() | st.integers(0, 2)),
    made(JobStates, st.lists(jobs)),
    made(FindPending, names, st.lists(types)),
    made(ClearPending, names, st.lists(types, max_size=1), times),
)  # fmt: skip


@st.composite
def steps(draw: st.DrawFn) -> Callable[[], Recipe]:
    """A machine's step, from where its row stands (or not), on what waits for it and on something new."""
    name, late, client = draw(names), draw(st.sampled_from([0, 0, 0, 1])), draw(st.booleans())
    fresh, sent = draw(st.lists(events, max_size=3)), draw(st.lists(sends, max_size=2))
    status, answer = draw(statuses), draw(st.none() | st.just({"a": 1}))
    disposition, error = draw(st.sampled_from(["taken", "ignored"])), draw(st.none() | st.just("e"))

    def recipe() -> Recipe:
        row = yield FindMachine(name)
        waiting = yield FindPending(name, TYPES)
        found = [] if waiting is None else [waiting]
        consumed = [
            Consumed(event, seq, disposition, 5.0, "a", "b", error, None, client, answer)
            for seq, event in [*found, *((None, event) for event in fresh)]
        ]
        at = (row.version if row else 0) + late
        record = Record(name, 2, at, at + len(consumed), status, "b", b"s", consumed, sent)
        return (yield Save(record))

    recipe.__name__ = f"{name} +{late} {fresh} {sent} {status} {disposition} client={client} answer={answer} {error}"
    return recipe


@st.composite
def plain_units(draw: st.DrawFn) -> Callable[[], Recipe]:
    """Some operations, perhaps given up at the end."""
    asked, given_up = draw(st.lists(operations, min_size=1, max_size=3)), draw(st.sampled_from([False] * 4 + [True]))

    def recipe() -> Recipe:
        answers: list[Any] = []
        for operation in asked:
            answer = yield operation
            answers.append(answer)
        if given_up:
            raise NotFoundError("cannot go on: given up")
        return answers

    recipe.__name__ = f"{asked}{' given up' if given_up else ''}"
    return recipe


groups = st.lists(st.lists(steps() | plain_units(), min_size=1, max_size=4), max_size=12)


def plain(value: Any) -> Any:
    """What two stores must agree on: a job's number may skip, and a sequence is a sequence."""
    if isinstance(value, Job):
        return tuple(plain(one) for one in value._replace(number=0))
    if isinstance(value, list | tuple | range):
        return [plain(one) for one in value]
    if isinstance(value, BaseException):
        return type(value), getattr(value, "code", None), str(value)
    return value


async def told(store: Store, batches: list[list[Callable[[], Recipe]]]) -> list[Any]:
    """Everything a store says when asked these."""
    await store.open()
    try:
        heard: list[Any] = []
        for batch in batches:
            with store.together():
                futures = [store.submit(Steps(recipe)) for recipe in batch]
            heard += await asyncio.gather(*futures, return_exceptions=True)
        heard += [await store.machines(), await store.events(limit=-1), await store.pending_counts()]
        heard += [await store.jobs(limit=-1), await store.job_counts(), await store.events(changed=True, since=3.0)]
        for name in NAMES:
            heard += [await store.pending(name), await store.journal(name), await store.events(name, errors=True)]
            heard += [await store.events(name, pending=False), await store.events(name, changed=True, since=3.0)]
            heard += await pages(store, name)
        return [plain(one) for one in heard]
    finally:
        await store.close()


async def pages(store: Store, name: str) -> list[Any]:
    """All events of a machine by pages of two, and what stands below a number that is no row of it."""
    found: list[Any] = [await store.events(name, before=4)]
    before: int | None = None
    while page := await store.events(name, before=before, limit=2):
        found.append(page)
        before = page[-1].seq
    return found


async def compare(batches: list[list[Callable[[], Recipe]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sqlite = await told(SqliteStore(Path(folder) / "db", synchronous="NORMAL", pending_limit=2), batches)
    memory = await told(MemoryStore(pending_limit=2), batches)
    assert memory == sqlite


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(groups)
def test_same_answers(batches: list[list[Callable[[], Recipe]]]) -> None:
    """Any units, in any groups, end alike in memory and in SQLite."""
    note("\n".join(f"{at}: {recipe.__name__}" for at, batch in enumerate(batches) for recipe in batch))
    setup: list[Callable[[], Recipe]] = [_creating(name) for name in NAMES[:2]]
    asyncio.run(compare([setup, *batches]))


def _creating(name: str) -> Callable[[], Recipe]:
    def recipe() -> Recipe:
        return (yield CreateMachine(machine(name)))

    return recipe


# --- who comes next -------------------------------------------------------------------------------------------------

many_jobs = st.sampled_from([f"j{number}" for number in range(30)])
job_types = st.sampled_from(["", "a", "aa", "b", "é"])
maybe_job_type = st.none() | job_types
on_jobs: st.SearchStrategy[Operation] = st.one_of(
    *[made(AddJob, made(NewJob, job_types, many_jobs, machine_types, st.none(), st.integers(1, 3)), times)] * 3,
    *[made(ClaimJob, names, times, maybe_job_type, machine_types)] * 2,
    made(SettleJob, many_jobs, st.sampled_from(["completed", "failed", "available"]), times),
    made(PendingJobs, maybe_job_type, machine_types, st.none() | st.integers(0, 3)),
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(st.lists(on_jobs, min_size=4, max_size=30), min_size=1, max_size=3), max_size=4))
def test_the_same_job_comes_next(batches: list[list[list[Operation]]]) -> None:
    """Of many jobs of several types, for several machine types or any, both stores choose alike."""
    asyncio.run(compare([[_asking(asked) for asked in batch] for batch in batches]))


def _asking(asked: list[Operation]) -> Callable[[], Recipe]:
    def recipe() -> Recipe:
        answers: list[Any] = []
        for operation in asked:
            answer = yield operation
            answers.append(answer)
        return answers

    return recipe
