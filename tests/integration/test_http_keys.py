"""A request with the header Idempotency-Key, sent again, changes nothing a second time; over a real socket and store."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from smd import codec
from smd.http.access import Access, Peer
from smd.http.app import Application
from tests.hosting import hosting
from tests.unit.http_double import Caller, Response

pytestmark = pytest.mark.asyncio

COUNT = """
machine: cnt
context: {n: 0}
states: {a: {on: {inc: {actions: [{type: assign, set: {n: context.n + 1}}]}}}}
"""
INC = {"machine": "cnt", "type": "inc"}
NDJSON = (b"content-type", b"application/x-ndjson")


class Api:
    """The API over a real supervisor."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.call = Caller(host.supervisor, Application(host.supervisor, access=Access()), Peer(1, 0, 0))

    async def post(self, target: str, data: Any, key: bytes | None = None, *, lines: bool = False) -> Response:
        body = b"\n".join(map(codec.dumps, data)) if lines else codec.dumps(data)
        headers = [*((b"idempotency-key", key) for _ in range(1) if key is not None), *((NDJSON,) if lines else ())]
        return await self.call("POST", target, body, headers=headers)

    async def job_ids(self) -> list[str]:
        return sorted(job.job_id for job in await self.host.store.jobs())


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> Any:
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(hosting(tmp_path / "s.db"))
        await host.add(COUNT)
        yield Api(host)


def told(reply: Response) -> list[str]:
    return [answer["disposition"] for answer in reply.json["answers"]]


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("count", [1, 70])
async def test_many_events_sent_again_with_their_key_are_taken_once(api: Api, count: int, *, lines: bool) -> None:
    first = await api.post("/v1/events", [INC] * count, b"once", lines=lines)
    again = await api.post("/v1/events", [INC] * count, b"once", lines=lines)
    assert (told(first), told(again)) == (["taken"] * count, ["duplicate"] * count)
    assert api.host.context("cnt") == {"n": count}
    rows = await api.host.store.events("cnt", types=["inc"])
    assert {row.id for row in rows} == {f"once/{index}" for index in range(count)}


async def test_another_key_or_none_is_another_request(api: Api) -> None:
    for key in (b"a", b"b", None, None):
        assert told(await api.post("/v1/events", [INC], key)) == ["taken"]
    assert api.host.context("cnt") == {"n": 4}


async def test_an_event_s_own_id_goes_before_the_key(api: Api) -> None:
    await api.post("/v1/events", [{**INC, "id": "mine"}, {**INC, "payload": [], "source": "x"}], b"k")
    assert {row.id for row in await api.host.store.events("cnt", types=["inc"])} == {"mine", "k/1"}


async def test_one_event_and_one_of_many_with_the_same_key_are_two(api: Api) -> None:
    one = await api.post("/v1/machines/cnt/events", {"type": "inc"}, b"k")
    many = await api.post("/v1/events", [INC], b"k")
    assert (one.json["disposition"], told(many), api.host.context("cnt")) == ("taken", ["taken"], {"n": 2})


@pytest.mark.parametrize("lines", [False, True])
async def test_many_jobs_sent_again_with_their_key_are_refused_and_add_nothing(api: Api, *, lines: bool) -> None:
    jobs = [{"job_type": "image"}, {"job_type": "image", "job_id": "own"}, {"job_type": "text"}]
    replies = [await api.post("/v1/jobs", jobs, b"once", lines=lines) for _ in range(2)]
    assert [reply.status for reply in replies] == [201, 409]
    assert replies[1].code == "job_exists"
    assert await api.job_ids() == ["once/0", "once/2", "own"]


async def test_a_single_job_has_the_key_as_its_id(api: Api) -> None:
    replies = [await api.post("/v1/jobs", {"job_type": "image"}, b"once") for _ in range(2)]
    assert [(reply.status, reply.json.get("job_id")) for reply in replies] == [(201, "once"), (409, None)]
    assert (await api.post("/v1/jobs", {"job_type": "image", "job_id": "other"}, b"once")).status == 422
    assert (await api.post("/v1/jobs", {"job_type": "image", "job_id": "same"}, b"same")).status == 201
    assert await api.job_ids() == ["once", "same"]


async def test_an_id_that_is_made_from_the_key_may_not_stand_among_the_others(api: Api) -> None:
    reply = await api.post("/v1/jobs", [{"job_type": "image", "job_id": "k/1"}, {"job_type": "image"}], b"k")
    assert (reply.status, reply.code, await api.job_ids()) == (422, "repeated_id", [])


@pytest.mark.parametrize("key", [b"", b"a\tb", b"a" * 256, b"a" * 254])
@pytest.mark.parametrize(("target", "body"), [("/v1/events", [INC]), ("/v1/jobs", [{"job_type": "image"}])])
async def test_a_key_that_is_no_id_is_refused(api: Api, target: str, body: Any, key: bytes) -> None:
    reply = await api.post(target, body, key)
    assert (reply.status, "Idempotency-Key" in reply.json["error"]["message"]) == (422, True)
    assert (await api.job_ids(), api.host.context("cnt")) == ([], {"n": 0})


SLOW = """
machine: slow
states:
  idle: {on: {go: busy}}
  busy: {actions: [{type: sleep, duration: 5, success: done}], on: {done: idle}}
"""


async def test_many_with_wait_settled_are_answered_once_their_machines_rest(api: Api) -> None:
    await api.host.add(SLOW)
    events = [{"machine": "slow", "type": "go"}, INC]
    asked = asyncio.create_task(api.post("/v1/events?wait=settled&timeout=20", events))
    await api.host.until("slow", "busy")
    late = await Api(api.host).post("/v1/events?wait=settled&timeout=0.05", [{"machine": "slow", "type": "nothing"}])
    assert (late.status, late.json["answers"][0]["states"], asked.done()) == (408, ["busy"], False)
    api.host.advance(5)
    reply = await asked
    assert (reply.status, told(reply)) == (200, ["taken"] * 2)
    settled = {name: view["states"] for name, view in reply.json["settled"].items()}
    assert settled == {"slow": ["idle"], "cnt": ["a"]}
