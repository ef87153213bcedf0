"""What a query may say: nothing unknown on routes that change something, and a page under either of its names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smd.errors import NotFoundError
from smd.http.access import Access, Peer
from smd.http.app import ROUTES, Application
from smd.runtime.answers import Answer
from tests.unit.http_double import VIEW, Caller, SmallSupervisor

pytestmark = pytest.mark.asyncio

MANY = "/v1/events"
GO = {"machine": "worker", "type": "go"}
CHANGING = [(row.method, row.path.replace("{name}", "worker")) for row in ROUTES if row.method != "GET"]


@pytest.fixture
def call() -> Caller:
    supervisor = SmallSupervisor()
    return Caller(supervisor, Application(supervisor, access=Access()), Peer(1, 0, 0))


@pytest.mark.parametrize(("method", "path"), CHANGING)
async def test_a_route_that_changes_something_refuses_what_it_does_not_know(
    call: Caller, method: str, path: str
) -> None:
    body = {"type": "go"} if path.endswith("/worker/events") else None
    reply = await call(method, f"{path}?wiat=1", body)
    hint = "did you mean 'wait'?" if path.endswith("/events") else "none is known here"
    assert (reply.status, reply.json["error"]["message"]) == (422, "cannot accept query parameter 'wiat'")
    assert (reply.json["error"]["hint"], call.supervisor.called, call.supervisor.posted) == (hint, [], [])


@pytest.mark.parametrize("query", ["wait=bogus", "timeout=q", "wait=taken&wait=taken", "wait=settled&x=1"])
async def test_a_wrong_query_posts_none_of_many(call: Caller, query: str) -> None:
    assert ((await call("POST", f"{MANY}?{query}", [GO])).status, call.supervisor.posted) == (422, [])


@pytest.mark.parametrize(
    "route", ["/v1/events", "/v1/history", "/v1/errors", "/v1/machines/worker/history", "/v1/jobs"]
)
async def test_a_page_begins_at_a_cursor(call: Caller, route: str) -> None:
    assert (await call("GET", f"{route}?cursor=7")).status == 200
    assert call.supervisor.store.asked["before"] == 7
    assert (await call("GET", f"{route}?cursor=7&before=7")).status == 422


async def test_machines_are_paged_by_a_cursor_too(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call.supervisor, "views", lambda: [VIEW._replace(name=name) for name in "abc"])
    reply = await call("GET", "/v1/machines?cursor=b")
    assert [view["name"] for view in reply.json["machines"]] == ["c"]
    assert (await call("GET", "/v1/machines/worker/log?cursor=b")).status == 422


async def test_the_machines_that_took_one_of_many_are_waited_for(call: Caller) -> None:
    queued = Answer("other", "later", 1, "queued")
    call.supervisor.outcome = lambda event: queued if event.type == "later" else call.supervisor.take(event)
    events = [GO, GO, {**GO, "type": "later"}, {**GO, "machine": "nobody"}]
    reply = await call("POST", f"{MANY}?wait=settled&timeout=5", events)
    assert (reply.status, len(reply.json["answers"])) == (207, 4)
    assert list(reply.json["settled"]) == ["worker"]
    assert call.supervisor.called == [("settled", "worker")]
    assert "settled" not in (await call("POST", f"{MANY}?wait=taken", [GO])).json


async def test_a_machine_that_is_removed_meanwhile_is_told_in_its_place(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(machine: str, seconds: float | None) -> Any:
        raise NotFoundError("cannot find it", code="unknown_machine")

    monkeypatch.setattr(call.supervisor, "settled", gone)
    reply = await call("POST", f"{MANY}?wait=settled", [GO])
    assert (reply.status, reply.json["settled"]["worker"]["error"]["code"]) == (200, "unknown_machine")


async def test_a_wait_for_many_that_ends_before_they_settled_has_the_answers(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(machine: str, seconds: float | None) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(call.supervisor, "settled", never)
    reply = await call("POST", f"{MANY}?wait=settled&timeout=0.01", [GO, GO])
    assert (reply.status, reply.code, [a["seq"] for a in reply.json["answers"]]) == (408, "wait_timeout", [1, 2])


async def test_a_wait_for_many_that_ends_without_all_answers_shows_those_there_are(call: Caller) -> None:
    call.supervisor.outcome = lambda event: call.supervisor.take(event) if event.type == "go" else None
    reply = await call("POST", f"{MANY}?timeout=0.01", [{**GO, "type": "lost"}, GO])
    assert (reply.status, reply.code, reply.json["answers"][0]) == (408, "wait_timeout", None)
    assert reply.json["answers"][1]["type"] == "go"
