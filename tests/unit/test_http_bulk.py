"""Many events in one body: answers in their places, order, flow control, fairness."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from smd import codec
from smd.errors import BusyError
from smd.http import bulk
from smd.http.access import Access, Peer
from smd.http.app import Application
from smd.http.bodies import BULK_LIMIT
from smd.runtime.answers import Answer
from smd.statechart.event import Event
from tests.unit.http_double import Caller, SmallSupervisor

MANY = "/v1/events"
NDJSON = ((b"content-type", b"application/x-ndjson"),)


@pytest.fixture
def call() -> Caller:
    supervisor = SmallSupervisor()
    return Caller(supervisor, Application(supervisor, access=Access()), Peer(1, 0, 0))


def events(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"machine": "worker", "type": f"e{n}", **more} for n in range(count)]


@pytest.mark.asyncio
@pytest.mark.parametrize("ndjson", [False, True])
async def test_many_events_are_answered_each_in_its_place(call: Caller, *, ndjson: bool) -> None:
    body = b"\n".join(map(codec.dumps, events(700))) if ndjson else codec.dumps(events(700))
    reply = await call("POST", MANY, body, headers=NDJSON if ndjson else ())
    assert reply.status == 200
    assert [answer["type"] for answer in reply.json["answers"]] == [f"e{n}" for n in range(700)]
    assert [event.type for event in call.supervisor.posted] == [f"e{n}" for n in range(700)]


@pytest.mark.asyncio
async def test_answers_that_come_in_another_order_stand_in_their_places(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[Any] = []

    def post(machine: str, event: Event, reply: Any, *, client: bool, size: int = 0) -> None:
        waiting.append(partial(reply, Answer(machine, event.type, 1, "taken")))
        if len(waiting) == 5:
            for answer in reversed(waiting):
                asyncio.get_running_loop().call_soon(answer)

    monkeypatch.setattr(call.supervisor, "post", post)
    reply = await call("POST", MANY, events(5))
    assert [answer["type"] for answer in reply.json["answers"]] == ["e0", "e1", "e2", "e3", "e4"]


@pytest.mark.asyncio
async def test_a_bad_event_among_good_ones_is_told_in_its_place(call: Caller) -> None:
    good = {"machine": "worker", "type": "go"}
    bad = [{"machine": "nobody", "type": "go"}, {"type": "go"}, {"machine": "worker"}, 5, {**good, "x": 1}]
    reply = await call("POST", MANY, [good, *bad, good])
    codes = [answer.get("error", {}).get("code") for answer in reply.json["answers"]]
    assert reply.status == 207
    assert codes == [None, "unknown_machine", *["invalid_request"] * 4, None]
    assert len(call.supervisor.posted) == 2


@pytest.mark.asyncio
async def test_a_bad_line_does_not_spoil_the_others(call: Caller) -> None:
    line = codec.dumps(events(1)[0])
    reply = await call("POST", MANY, line + b"\n{oops\r\n\n" + line + b"\n", headers=NDJSON)
    codes = [answer.get("error", {}).get("code") for answer in reply.json["answers"]]
    assert (reply.status, codes) == (207, [None, "invalid_json", None])


@pytest.mark.asyncio
@pytest.mark.parametrize(("body", "status"), [(b"{}", 422), (b"[", 400), (b"", 400), (b"5", 422), (b"[[[", 400)])
async def test_a_body_that_is_no_list_is_refused_whole(call: Caller, body: bytes, status: int) -> None:
    assert (await call("POST", MANY, body)).status == status
    assert call.supervisor.posted == []


@pytest.mark.asyncio
async def test_a_payload_over_a_mebibyte_is_refused_alone(call: Caller) -> None:
    large = {"machine": "worker", "type": "go", "payload": "x" * (1 << 20)}
    reply = await call("POST", MANY, [*events(1), large])
    assert [answer.get("error", {}).get("code") for answer in reply.json["answers"]] == [None, "too_large"]


@pytest.mark.asyncio
async def test_many_events_have_a_limit_of_their_own(call: Caller) -> None:
    assert (await call("POST", MANY, events(4, payload="x" * 1_000_000))).status == 200
    reply = await call("POST", MANY, parts=[b" " * (1 << 20)] * 9)
    assert (reply.status, call.sent) == (413, BULK_LIMIT // (1 << 20) + 1)


@pytest.mark.asyncio
async def test_a_full_inbox_is_waited_for_and_the_order_kept(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine takes three events at a time; none of fifty is refused."""
    inbox: list[str] = []
    taken: list[str] = []

    def post(machine: str, event: Event, reply: Any, *, client: bool, size: int = 0) -> None:
        if len(inbox) == 3:
            raise BusyError("cannot take more: the inbox is full")
        inbox.append(event.type)
        asyncio.get_running_loop().call_soon(work, reply)

    def work(reply: Any) -> None:
        taken.append(inbox.pop(0))
        reply(Answer("worker", taken[-1], len(taken), "taken"))

    monkeypatch.setattr(call.supervisor, "post", post)
    reply = await call("POST", MANY, events(50))
    assert (reply.status, taken) == (200, [f"e{n}" for n in range(50)])


@pytest.mark.asyncio
async def test_two_requests_that_fill_one_inbox_are_both_taken_whole_and_in_their_order(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox: list[str] = []
    taken: list[str] = []

    def post(machine: str, event: Event, reply: Any, *, client: bool, size: int = 0) -> None:
        if len(inbox) == 3:
            raise BusyError("cannot take more: the inbox is full")
        inbox.append(event.type)
        asyncio.get_running_loop().call_soon(work, reply)

    def work(reply: Any) -> None:
        taken.append(inbox.pop(0))
        reply(Answer("worker", taken[-1], len(taken), "taken"))

    monkeypatch.setattr(call.supervisor, "post", post)
    arrays = [[{"machine": "worker", "type": f"{mark}{n}"} for n in range(200)] for mark in "ab"]
    replies = await asyncio.gather(*(call("POST", MANY, array) for array in arrays))
    assert [reply.status for reply in replies] == [200, 200]
    assert [[t for t in taken if t[0] == mark] for mark in "ab"] == [[e["type"] for e in array] for array in arrays]


@pytest.mark.asyncio
async def test_an_inbox_that_others_keep_full_is_told_as_busy(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_PATIENCE", 0.02)
    call.supervisor.refusal = BusyError("cannot take more")
    reply = await call("POST", MANY, events(2))
    assert [answer["error"]["code"] for answer in reply.json["answers"]] == ["busy", "busy"]


@pytest.mark.asyncio
async def test_others_have_their_turn_while_many_are_posted(call: Caller) -> None:
    seen: list[int] = []

    async def other() -> None:
        while len(call.supervisor.posted) < 5000:
            seen.append(len(call.supervisor.posted))
            await asyncio.sleep(0)

    await asyncio.gather(call("POST", MANY, events(5000)), other())
    assert len({count for count in seen if 0 < count < 5000}) > 10
