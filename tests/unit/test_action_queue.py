"""Queue actions against a real store: what they ask, what they answer, what the context holds afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from smd.actions import STORE
from smd.actions.base import Call
from smd.errors import ActionError
from smd.jobs import Job, NewJob
from smd.statechart.event import Hold, Outcome
from smd.store.base import AddJob, ClaimJob, SettleJob
from smd.store.sqlite import SqliteStore
from tests.unit.acting import Asked, after, call_of, one

pytestmark = pytest.mark.asyncio


class Queue:
    """A store, and actions asked of it, each in a unit of its own."""

    def __init__(self, store: SqliteStore, folder: Path) -> None:
        self.store = store
        self.folder = folder

    async def add(self, job_id: str, job_type: str = "t", **more: Any) -> None:
        await self.store.submit(one(AddJob(NewJob(job_type, job_id, **more), 1.0)))

    async def claim(self, job_id: str) -> Hold:
        job: Job = await self.store.submit(one(ClaimJob("m", 2.0, job_id=job_id)))
        return Hold(job.job_id, job.epoch)

    async def status(self, job_id: str) -> str:
        job = await self.store.job(job_id)
        assert job is not None
        return job.status

    def call(self, kind: str, **more: Any) -> Call:
        return call_of(kind, self.folder, **more)

    async def ask(self, kind: str, **more: Any) -> tuple[Outcome, dict[str, Any]]:
        call = self.call(kind, **more)
        outcome: Outcome = await self.store.submit(Asked(lambda: STORE[kind](call)))
        return outcome, after(call, outcome)


@pytest_asyncio.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    store = SqliteStore(tmp_path / "smd.db")
    await store.open()
    yield Queue(store, tmp_path)
    await store.close()


# --- claiming ---------------------------------------------------------------------------------------------------------


async def test_a_claimed_job_is_held_and_stands_in_the_context(queue: Queue) -> None:
    await queue.add("j1", data={"file": "a.png", "size": None}, priority=3, source_job_id="j0")
    outcome, context = await queue.ask("check_database_queue", job_type="t")
    assert (outcome.event, outcome.empty, outcome.hold) == ("new_job", False, Hold("j1", 1, auto=True))
    assert context == {
        "current_job": {
            "id": "j1", "job_id": "j1", "source_job_id": "j0", "job_type": "t", "priority": 3,
            "data": {"file": "a.png", "size": None},
        },
        "id": "j1", "job_id": "j1", "source_job_id": "j0", "job_type": "t", "file": "a.png",
    }  # fmt: skip
    assert await queue.status("j1") == "running"


@pytest.mark.parametrize("data", [None, [1, 2], "text", 7])
async def test_job_data_that_is_no_map_is_kept_as_it_is(queue: Queue, data: Any) -> None:
    await queue.add("j1", data=data)
    _, context = await queue.ask("check_database_queue")
    assert context["current_job"]["data"] == data


async def test_job_data_never_takes_the_place_of_the_machines_own_words(queue: Queue) -> None:
    own = {"machine_name": 1, "current_state": 1, "event_data": 1, "current_job": 1, "last_error": 1, "config": 1,
           "payload": 1, "event": 1, "mine": 1}  # fmt: skip
    await queue.add("j1", data=own)
    _, context = await queue.ask("check_database_queue", context={"last_error": "before"})
    assert set(context) == {"current_job", "id", "job_id", "job_type", "mine", "last_error"}
    assert context["last_error"] == "before"
    assert context["current_job"]["data"] == own


async def test_what_the_job_before_left_goes_unless_it_was_changed(queue: Queue) -> None:
    await queue.add("j2", data={"file": "new"})
    before = {
        "current_job": {"id": "j1", "job_id": "j1", "source_job_id": "j0", "data": {"file": "old", "old": 1, "changed": 1}},
        "file": "old", "old": 1, "changed": 2, "source_job_id": "j0", "mine": 5,
    }  # fmt: skip
    _, context = await queue.ask("check_database_queue", context=before)
    del context["current_job"]
    assert context == {"file": "new", "changed": 2, "mine": 5, "id": "j2", "job_id": "j2", "job_type": "t"}


@pytest.mark.parametrize("kind", ["check_database_queue", "claim_job"])
@pytest.mark.parametrize(("ok", "status"), [(True, "completed"), (False, "failed")])
async def test_the_next_claim_settles_what_was_taken_before_it_even_if_it_finds_nothing(
    queue: Queue, kind: str, ok: bool, status: str
) -> None:  # fmt: skip
    await queue.add("j1")
    await queue.add("mine")
    held = ((await queue.claim("j1"))._replace(auto=True, ok=ok), await queue.claim("mine"))
    outcome, _ = await queue.ask(kind, held=held, context={"last_error": "broke"})
    assert (outcome.empty, outcome.ok, outcome.settled, outcome.hold) == (True, True, ("j1",), None)
    job = await queue.store.job("j1")
    assert job is not None
    assert (job.status, job.error) == (status, None if ok else "broke")
    assert await queue.status("mine") == "running"


async def test_a_claim_leaves_the_jobs_of_other_regions_alone(queue: Queue) -> None:
    await queue.add("j1")
    held = ((await queue.claim("j1"))._replace(auto=True, region="left"),)
    outcome, _ = await queue.ask("check_database_queue", held=held, region="right")
    assert outcome.settled == ()
    assert await queue.status("j1") == "running"


async def test_an_empty_queue_answers_what_the_chart_says(queue: Queue) -> None:
    assert (await queue.ask("check_database_queue"))[0].event == "no_jobs"
    outcome, _ = await queue.ask("claim_job")
    assert (outcome.event, outcome.empty) == (None, True)


async def test_claims_respect_type_and_machine_type(queue: Queue) -> None:
    await queue.add("other", "u")
    await queue.add("theirs", machine_type="big")
    assert (await queue.ask("claim_job", job_type="t", machine_type="small"))[0].empty
    outcome, _ = await queue.ask("claim_job", job_type="t", machine_type="big")
    assert outcome.hold == Hold("theirs", 1)


async def test_a_job_claimed_by_its_id_is_claimed_once(queue: Queue) -> None:
    await queue.add("j1", data={"a": 1})
    outcome, context = await queue.ask("claim_job", job_id="{wanted}", context={"wanted": "j1"}, store_as="work.now")
    assert (outcome.event, outcome.hold, context["work"]["now"]["data"]) == ("claimed", Hold("j1", 1), {"a": 1})
    assert "a" not in context
    again, _ = await queue.ask("claim_job", job_id="j1", already_claimed="late")
    assert (again.event, again.empty, again.ok) == ("late", False, True)


# --- ending -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "more", "status"),
    [("complete_job", {"result": {"n": 1}}, "completed"), ("fail_job", {"reason": "bad"}, "failed")],
)
async def test_a_held_job_is_ended_and_let_go(queue: Queue, kind: str, more: dict[str, Any], status: str) -> None:
    await queue.add("7")
    held = (await queue.claim("7"),)
    outcome, _ = await queue.ask(kind, held=held, context={"job_id": 7}, **more)
    assert (outcome.event, outcome.settled) == ("success", ("7",))
    job = await queue.store.job("7")
    assert job is not None
    assert (job.status, job.result, job.error) == (status, more.get("result"), more.get("reason"))


async def test_a_job_somebody_else_holds_is_not_ended(queue: Queue) -> None:
    await queue.add("j1")
    await queue.claim("j1")
    outcome, _ = await queue.ask("complete_job", job_id="j1")
    assert (outcome.ok, outcome.error) == (False, "cannot complete job 'j1': this machine does not hold it")
    assert await queue.status("j1") == "running"


async def _unknown(_: Queue) -> tuple[Hold, ...]:
    return ()


async def _unclaimed(queue: Queue) -> tuple[Hold, ...]:
    await queue.add("j1")
    return ()


async def _ended(queue: Queue) -> tuple[Hold, ...]:
    await queue.add("j1")
    hold = await queue.claim("j1")
    await queue.store.submit(one(SettleJob("j1", "failed", 3.0)))
    return (hold,)


async def _lost(queue: Queue) -> tuple[Hold, ...]:
    await queue.add("j1")
    hold = await queue.claim("j1")
    await queue.store.submit(one(SettleJob("j1", "available", 3.0)))
    await queue.claim("j1")
    return (hold,)


@pytest.mark.parametrize("kind", ["complete_job", "fail_job"])
@pytest.mark.parametrize(
    ("arrange", "why"),
    [
        (_unknown, "no such job"),
        (_unclaimed, "nobody has claimed it"),
        (_ended, "already failed"),
        (_lost, "lease was lost"),
    ],
)
async def test_a_job_that_cannot_be_ended_is_an_error(
    queue: Queue, kind: str, arrange: Callable[..., Any], why: str
) -> None:
    outcome, context = await queue.ask(kind, held=await arrange(queue), context={"job_id": "j1"}, error="oops")
    assert (outcome.ok, outcome.event) == (False, "oops")
    assert why in context["last_error"]


@pytest.mark.parametrize("context", [{}, {"job_id": None}, {"job_id": ["x"]}, {"job_id": True}, {"job_id": ""}])
async def test_an_id_without_value_is_an_error(queue: Queue, context: dict[str, Any]) -> None:
    with pytest.raises(ActionError, match="as job_id"):
        await queue.ask("complete_job", context=context)


# --- adding, listing, waiting -----------------------------------------------------------------------------------------


async def test_an_added_job_is_stored_as_given(queue: Queue) -> None:
    more = {"job_id": "{n}", "machine_type": "big", "payload": {"f": "{f}"}, "priority": 2, "source_job_id": "j0"}
    outcome, context = await queue.ask("add_job", job_type="t", store_as="added", context={"n": 12, "f": [1]}, **more)
    assert (outcome.event, context["added"]) == ("job_added", "12")
    job = await queue.store.job("12")
    assert job is not None
    assert (job.data, job.machine_type, job.priority, job.source_job_id) == ({"f": [1]}, "big", 2, "j0")


async def test_a_taken_id_answers_exists_and_changes_nothing(queue: Queue) -> None:
    await queue.add("j1", data={"a": 1})
    outcome, _ = await queue.ask("add_job", job_type="t", job_id="j1", payload={"a": 2}, exists="there")
    assert (outcome.event, outcome.ok) == ("there", True)
    job = await queue.store.job("j1")
    assert job is not None
    assert job.data == {"a": 1}


async def test_a_job_without_id_gets_one(queue: Queue) -> None:
    ids = {(await queue.ask("add_job", job_type="t", store_as="x"))[1]["x"] for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    "more", [{"job_type": "t", "priority": "{p}"}, {"job_type": "{t}"}, {"job_type": "t", "job_id": "{unset}"}]
)
async def test_a_job_that_makes_no_sense_is_refused(queue: Queue, more: dict[str, Any]) -> None:
    with pytest.raises(ActionError):
        await queue.ask("add_job", context={"p": "high", "t": 5}, **more)


async def test_pending_jobs_are_listed_in_claiming_order_and_not_claimed(queue: Queue) -> None:
    await queue.add("late", priority=9)
    await queue.add("soon", priority=1, data={"a": 1})
    outcome, context = await queue.ask("get_pending_jobs", store_as="work.list", limit=5)
    rows = context["work"]["list"]
    assert outcome.event == "jobs_found"
    assert [(row["id"], row["job_id"], row["status"]) for row in rows] == [
        ("soon", "soon", "pending"), ("late", "late", "pending"),
    ]  # fmt: skip
    assert rows[0]["data"] == {"a": 1}
    assert len((await queue.ask("get_pending_jobs", limit=1))[1]["pending_jobs"]) == 1
    empty, context = await queue.ask("get_pending_jobs", job_type="none")
    assert (empty.event, empty.empty, context["pending_jobs"]) == ("no_jobs", True, [])


async def test_waiting_sorts_the_tracked_jobs_and_ends_when_all_have_ended(queue: Queue) -> None:
    for name in ("a", "b", "c"):
        await queue.add(name)
        await queue.claim(name)
    await queue.store.submit(one(SettleJob("a", "completed", 3.0)))
    tracked = {"spawned_jobs": ["a", {"job_id": "b", "id": 5}, "c", "a"]}
    outcome, context = await queue.ask("wait_for_jobs", context=tracked, pending="not_yet")
    assert (outcome.event, outcome.empty) == ("not_yet", True)
    assert (context["completed_jobs"], context["failed_jobs"], context["pending_jobs"]) == (["a"], [], ["b", "c"])
    await queue.store.submit(one(SettleJob("b", "failed", 3.0)))
    await queue.store.submit(one(SettleJob("c", "completed", 3.0)))
    outcome, context = await queue.ask("wait_for_jobs", context=tracked)
    assert (outcome.event, outcome.empty) == ("all_jobs_complete", False)
    assert (context["completed_jobs"], context["failed_jobs"], context["pending_jobs"]) == (["a", "c"], ["b"], [])


@pytest.mark.parametrize("context", [{}, {"spawned_jobs": []}, {"spawned_jobs": None}])
async def test_nothing_to_wait_for_answers_at_once(queue: Queue, context: dict[str, Any]) -> None:
    outcome, _ = await queue.ask("wait_for_jobs", context=context)
    assert (outcome.event, outcome.empty, outcome.ok) == ("no_jobs_tracked", False, True)


async def test_a_job_nobody_added_yet_is_waited_for(queue: Queue) -> None:
    outcome, context = await queue.ask("wait_for_jobs", context={"spawned_jobs": ["later"]})
    assert (outcome.empty, context["pending_jobs"]) == (True, ["later"])


@pytest.mark.parametrize("tracked", ["j1", {"a": 1}, [None], [{}], [["j1"]]])
async def test_tracked_jobs_that_are_none_are_refused(queue: Queue, tracked: Any) -> None:
    with pytest.raises(ActionError, match="cannot wait for jobs"):
        await queue.ask("wait_for_jobs", context={"spawned_jobs": tracked})
