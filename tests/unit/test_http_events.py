"""Events over HTTP: the hot path, its refusals, waiting, and many at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from smd import codec
from smd.errors import (
    ActionError,
    BusyError,
    ChartError,
    ConflictError,
    MachineError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RequestError,
    StoreError,
    TooLargeError,
)
from smd.http.access import Access, Peer
from smd.http.app import Application
from smd.http.bodies import EVENT_LIMIT
from smd.runtime.answers import Answer
from smd.statechart.event import HIGH, NORMAL, Event
from tests.unit.http_double import Caller, SmallSupervisor

ONE = "/v1/machines/worker/events"


@pytest.fixture
def call() -> Caller:
    supervisor = SmallSupervisor()
    return Caller(supervisor, Application(supervisor, access=Access(), clock=lambda: 50.0), Peer(1, 0, 0))


@pytest.mark.asyncio
async def test_an_event_is_posted_as_sent_and_its_answer_comes_back(call: Caller) -> None:
    body = {
        "type": "go", "payload": {"n": [1]}, "id": "k", "source": "me", "job_id": "j", "priority": "high",
    }  # fmt: skip
    reply = await call("POST", ONE, body)
    assert call.supervisor.posted == [Event("go", {"n": [1]}, "k", "me", HIGH, "j", 50.0)]
    assert (reply.status, reply.json) == (
        200,
        {
            "machine": "worker", "type": "go", "seq": 1, "disposition": "taken", "states": ["busy"],
            "before": ["idle"],
        },
    )  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("headers", "event"),
    [
        ((), Event("go", {}, "", "http", NORMAL, None, 50.0)),
        (((b"user-agent", b"smctl/1.0"),), Event("go", {}, "", "cli", NORMAL, None, 50.0)),
        (((b"idempotency-key", b"k1"),), Event("go", {}, "k1", "http", NORMAL, None, 50.0)),
        (((b"idempotency-key", b"k1"), (b"idempotency-key", b"k1")), Event("go", {}, "k1", "http", sent_at=50.0)),
    ],
)
async def test_what_the_body_leaves_out_comes_from_the_headers(call: Caller, headers: Any, event: Event) -> None:
    await call("POST", ONE, {"type": "go"}, headers=headers)
    assert call.supervisor.posted == [event]


@pytest.mark.asyncio
@pytest.mark.parametrize("payload", [None, 5, "text", [1, {}], {"type": "x"}, 2**63, 1e300, "\U0001f600", {"": 0}])
async def test_a_payload_may_be_any_json(call: Caller, payload: Any) -> None:
    await call("POST", ONE, {"type": "go", "payload": payload})
    assert call.supervisor.posted[0].payload == payload


@pytest.mark.asyncio
async def test_a_body_in_parts_is_one_body(call: Caller) -> None:
    await call("POST", ONE, parts=[b'{"ty', b"", b'pe":"go"}'])
    assert [event.type for event in call.supervisor.posted] == ["go"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("disposition", "status"),
    [("taken", 200), ("ignored", 200), ("duplicate", 200), ("failed", 200), ("queued", 202), ("deferred", 202)],
)
async def test_the_status_tells_whether_the_event_was_worked_on(call: Caller, disposition: str, status: int) -> None:
    call.supervisor.outcome = lambda event: Answer("worker", "go", 1, disposition, reason="r", code="c", hint="h")
    reply = await call("POST", ONE, {"type": "go"})
    assert (reply.status, reply.json["disposition"], reply.json["reason"]) == (status, disposition, "r")


NOT_JSON = [
    b"", b"{", b"{'a':1}", b'{"type":"go",}', b'{"type":"go"} x', b"\xff\xfe", b'{"type":"\xff"}',
    b'{"type":"\\ud800"}', b'{"type":"go","payload":NaN}', b'{"type":"go","payload":Infinity}',
    b'{"type":"go","payload":1e999}', b'{"type":"go","payload":"\x00"}', b"[" * 2000, b"\x00",
]  # fmt: skip
REFUSED = [
    b"null", b"5", b'"go"', b"[]", b'[{"type":"go"}]', b"{}", b'{"type":null}', b'{"type":5}',
    b'{"type":true}',
    b'{"type":["go"]}', b'{"type":{}}', b'{"type":""}', b'{"type":"a\\nb"}', b'{"type":"a\\u0000"}',
    b'{"type":"\\u0085"}', b'{"type":"' + b"a" * 256 + b'"}', b'{"type":"' + "é".encode() * 128 + b'"}',
    b'{"type":"smd."}', b'{"type":"smd.start"}', b'{"type":"go","colour":1}',
    b'{"type":"go","machine":"worker"}',
    b'{"type":"go","id":5}', b'{"type":"go","id":""}', b'{"type":"go","id":"a\\tb"}',
    b'{"type":"go","source":{}}',
    b'{"type":"go","priority":"urgent"}', b'{"type":"go","priority":0}', b'{"type":"go","priority":["high"]}',
    b'{"type":"go","job_id":7}', b'{"type":"go","payload":18446744073709551616}',
    b'{"type":"go","payload":-9223372036854775809}', b'{"type":"go","payload":' + b"9" * 300 + b"}",
    b'{"type":"go","payload":' + b"[" * 65 + b"]" * 65 + b"}",
    b'{"type":"go","payload":' + b'{"a":' * 100 + b"1" + b"}" * 101,
]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("body", NOT_JSON)
async def test_what_is_not_json_is_400_and_posts_nothing(call: Caller, body: bytes) -> None:
    reply = await call("POST", ONE, body)
    assert (reply.status, reply.code, call.supervisor.posted) == (400, "invalid_json", [])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"null", "cannot accept event: must be an object"),
        (b"[]", "cannot accept event: must be an object"),
        (b"{}", "cannot accept event: type: is missing"),
        (b'{"type":5}', "cannot accept event: type: must be a string"),
        (b'{"type":"go","priority":0}', "cannot accept event: priority: must be 'high', 'normal' or 'low'"),
        (b"{", "cannot read JSON: unexpected end of data (line 1, column 2)"),
        (b'{"type":"\xff"}', "cannot read JSON: it is not UTF-8"),
        (b'{"type":"go",\n"payload":1e999}', "cannot read JSON: a number is too large (line 2, column 11)"),
        (
            b'{"type":"go","payload":NaN}',
            "cannot read JSON: unexpected character, expected a JSON value (line 1, column 24)",
        ),
    ],
)
async def test_refusals_are_in_words_of_our_own(call: Caller, body: bytes, message: str) -> None:
    assert (await call("POST", ONE, body)).json["error"]["message"] == message


@pytest.mark.asyncio
@pytest.mark.parametrize("body", REFUSED, ids=lambda body: body[:40])
async def test_what_breaks_a_rule_is_422_and_posts_nothing(call: Caller, body: bytes) -> None:
    reply = await call("POST", ONE, body)
    assert (reply.status, call.supervisor.posted) == (422, [])
    assert reply.json["error"]["message"].startswith("cannot ")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"type": "go", "id": "a"}, ((b"idempotency-key", b"b"),)),
        ({"type": "go"}, ((b"idempotency-key", b""),)),
        ({"type": "go"}, ((b"idempotency-key", b"a\tb"),)),
        ({"type": "go"}, ((b"idempotency-key", b"a" * 256),)),
        ({"type": "go"}, ((b"idempotency-key", b"a"), (b"idempotency-key", b"b"))),
    ],
)
async def test_a_doubtful_key_is_refused(call: Caller, body: Any, headers: Any) -> None:
    reply = await call("POST", ONE, body, headers=headers)
    assert (reply.status, call.supervisor.posted) == (422, [])


@pytest.mark.asyncio
async def test_numbers_in_strings_and_depth_within_bounds_are_no_offence(call: Caller) -> None:
    payload = {"card": "9" * 40, "deep": codec.loads(b"[" * 60 + b"]" * 60), "brackets": "[" * 200}
    assert (await call("POST", ONE, {"type": "go", "payload": payload})).status == 200


@pytest.mark.asyncio
async def test_an_unknown_field_is_named_with_the_nearest_known(call: Caller) -> None:
    error = (await call("POST", ONE, {"type": "go", "paylod": 1})).json["error"]
    assert "'paylod'" in error["message"]
    assert error["hint"] == "did you mean 'payload'?"


@pytest.mark.asyncio
async def test_an_announced_body_over_the_limit_is_refused_unread(call: Caller) -> None:
    reply = await call("POST", ONE, b"{}", headers=((b"content-length", b"%d" % (EVENT_LIMIT + 1)),))
    assert (reply.status, reply.code, call.sent, call.supervisor.posted) == (413, "too_large", 0, [])
    assert reply.headers[b"connection"] == b"close"


@pytest.mark.asyncio
async def test_an_unannounced_body_is_refused_at_the_first_byte_over_the_limit(call: Caller) -> None:
    reply = await call("POST", ONE, parts=[b"x" * 65536] * 100)
    assert (reply.status, call.sent, call.supervisor.posted) == (413, EVENT_LIMIT // 65536 + 1, [])


@pytest.mark.asyncio
@pytest.mark.parametrize("character", ["x", "é", "\n", "\x01", '"', "\\"])
@pytest.mark.parametrize("ascii_only", [True, False])
async def test_a_payload_is_measured_as_its_text_however_it_is_escaped(
    call: Caller, character: str, *, ascii_only: bool
) -> None:
    """A mebibyte with its two quotes passes; one character more does not."""
    most = ((1 << 20) - 2) // len(character.encode())
    statuses = []
    for count in (most, most + 1):
        body = json.dumps({"type": "go", "payload": character * count}, ensure_ascii=ascii_only).encode()
        statuses.append((await call("POST", ONE, body)).status)
    assert statuses == [200, 413]
    assert [event.payload for event in call.supervisor.posted] == [character * most]


@pytest.mark.asyncio
async def test_a_client_that_leaves_while_sending_posts_nothing(call: Caller) -> None:
    call.leave.set()
    scope_parts = [b'{"type":"go"}']
    app, posted = call.app, call.supervisor.posted

    async def receive() -> Any:
        if scope_parts:
            return {"type": "http.request", "body": scope_parts.pop(), "more_body": True}
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": ONE, "query_string": b"", "headers": [],
             "extensions": {"smd.peer": call.peer}}  # fmt: skip
    await app(scope, receive, send)
    assert posted == []


HOSTILE_NAMES = ["..", "../x", "a/b", "worker/../x", "%", "nobody", "\x00", "\n", "é" * 20, "a" * 300, "wor ker", ""]


@pytest.mark.asyncio
@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_a_strange_machine_name_is_404(call: Caller, name: str) -> None:
    reply = await call("POST", f"/v1/machines/{name}/events", {"type": "go"})
    assert (reply.status, call.supervisor.posted) == (404, [])


ERRORS = [
    (NotFoundError("n"), 404, "not_found"), (ConflictError("c", code="finished"), 409, "finished"),
    (TooLargeError("t"), 413, "too_large"), (BusyError("b"), 429, "busy"),
    (PermissionDeniedError("p"), 403, "forbidden"), (RequestError("r"), 422, "invalid_request"),
    (ChartError("c"), 422, "invalid_chart"), (RequestError("j", code="invalid_json"), 400, "invalid_json"),
    (MachineError("m"), 409, "machine_failed"), (StoreError("s"), 503, "store_unavailable"),
    (OutcomeUnknownError("o"), 503, "outcome_unknown"), (ActionError("a"), 500, "internal"),
    (ValueError("secret"), 500, "internal"),
]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(("error", "status", "code"), ERRORS)
async def test_every_error_has_its_status_and_code(call: Caller, error: Exception, status: int, code: str) -> None:
    call.supervisor.refusal = error
    reply = await call("POST", ONE, {"type": "go"})
    other = await call("POST", "/v1/machines/worker/start")
    assert {(reply.status, reply.code), (other.status, other.code)} == {(status, code)}
    assert "secret" not in reply.raw.decode()
    assert "Traceback" not in reply.raw.decode()


@pytest.mark.asyncio
async def test_an_unforeseen_error_is_told_by_the_id_it_is_logged_under(
    call: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    call.supervisor.refusal = ValueError("secret")
    message = (await call("POST", ONE, {"type": "go"})).json["error"]["message"]
    logged = capsys.readouterr().out
    assert message.split()[-1] in logged
    assert "secret" in logged


@pytest.mark.asyncio
async def test_an_error_that_comes_later_is_the_answer(call: Caller) -> None:
    call.supervisor.outcome = lambda event: OutcomeUnknownError("o", hint="send again")
    reply = await call("POST", ONE, {"type": "go"})
    assert (reply.status, reply.json["error"]["hint"]) == (503, "send again")


@pytest.mark.asyncio
async def test_waiting_until_settled_adds_the_view(call: Caller) -> None:
    reply = await call("POST", f"{ONE}?wait=settled&timeout=5", {"type": "go"})
    assert (reply.status, reply.json["disposition"], reply.json["settled"]["name"]) == (200, "taken", "worker")


@pytest.mark.asyncio
async def test_an_event_that_only_queued_is_not_waited_for(call: Caller) -> None:
    call.supervisor.outcome = lambda event: Answer("worker", "go", 1, "queued")
    reply = await call("POST", f"{ONE}?wait=settled", {"type": "go"})
    assert (reply.status, call.supervisor.called) == (202, [])


@pytest.mark.asyncio
async def test_a_wait_that_ends_without_an_answer_is_408(call: Caller) -> None:
    call.supervisor.outcome = lambda event: None
    reply = await call("POST", f"{ONE}?wait=taken&timeout=0.01", {"type": "go"})
    assert (reply.status, reply.code, "answer" in reply.json) == (408, "wait_timeout", False)


@pytest.mark.asyncio
async def test_a_wait_that_ends_before_it_settled_is_408_with_the_answer(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(machine: str, seconds: float | None) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(call.supervisor, "settled", never)
    reply = await call("POST", f"{ONE}?wait=settled&timeout=0.01", {"type": "go"})
    assert (reply.status, reply.code, reply.json["answer"]["seq"]) == (408, "wait_timeout", 1)


@pytest.mark.asyncio
async def test_a_client_that_leaves_ends_its_wait(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def never(machine: str, seconds: float | None) -> Any:
        try:
            call.leave.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(call.supervisor, "settled", never)
    assert (await call("POST", f"{ONE}?wait=settled", {"type": "go"})).status == 0
    assert ended.is_set()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "query", ["wait=never", "timeout=x", "timeout=-1", "timeout=nan", "tiemout=1", "wait=taken&wait=taken", "wait=%ff"]
)
async def test_a_wrong_query_posts_nothing(call: Caller, query: str) -> None:
    reply = await call("POST", f"{ONE}?{query}", {"type": "go"})
    assert (reply.status, call.supervisor.posted) == (422, [])
