"""Plain requests, which the connection answers itself, beside the same requests answered by the ASGI application."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.integration.http_beside import GO, KEY, Beside, Watcher, exchange, request, until, whole
from tests.integration.http_running import ONE, answer_later


@pytest_asyncio.fixture
async def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Beside]:
    monkeypatch.setattr(secrets, "token_hex", lambda size: "ab" * size)
    beside = Beside(tmp_path / "control.sock")
    await beside.start()
    yield beside
    await beside.close()


class Case(NamedTuple):
    """A request and the status of its answer; `stays` tells whether the connection does."""

    status: int
    body: bytes
    headers: tuple[bytes, ...] = ()
    target: str = ONE
    version: bytes = b"1.1"
    stays: bool = True


CASES = {
    "taken": Case(200, GO),
    "every field": Case(200, b'{"type":"go","payload":{"n":[1]},"id":"k","source":"me","priority":"high"}'),
    "queued": Case(202, b'{"type":"later"}'),
    "duplicate": Case(200, b'{"type":"again"}'),
    "a key": Case(200, GO, (KEY,)),
    "a key twice": Case(200, GO, (KEY, KEY)),
    "from smctl": Case(200, GO, (b"User-Agent: smctl/1", b"Content-Type: application/json")),
    "other key in the body": Case(422, b'{"type":"go","id":"k2"}', (KEY,)),
    "unknown machine": Case(404, GO, target="/v1/machines/nobody/events"),
    "dots for a name": Case(404, GO, target="/v1/machines/../events"),
    "not JSON": Case(400, b"{"),
    "no body": Case(400, b""),
    "unknown field": Case(422, b'{"type":"go","colour":1}'),
    "reserved type": Case(422, b'{"type":"smd.x"}'),
    "refused later": Case(409, b'{"type":"ended"}'),
    "not stored": Case(503, b'{"type":"lost"}'),
    "inbox full": Case(429, b'{"type":"full"}'),
    "too large": Case(413, b'{"type":"huge"}', stays=False),
    "a bug": Case(500, b'{"type":"bug"}'),
    "an answer that is not JSON": Case(500, b'{"type":"broken"}'),
    "the last one": Case(200, GO, (b"Connection: close",), stays=False),
    "the last one, refused": Case(413, b'{"type":"huge"}', (b"Connection: close",), stays=False),
    "HTTP/1.0": Case(200, GO, version=b"1.0", stays=False),
    "HTTP/1.0 that would stay": Case(200, GO, (b"Connection: keep-alive",), version=b"1.0", stays=False),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_a_plain_request_has_the_answer_that_the_application_gives(beside: Beside, case: Case) -> None:
    """Byte for byte; the second time its head is known, unless it has a key."""
    plain = request(case.target, case.body, *case.headers, version=case.version)
    other = request(f"{case.target}?wait=taken", case.body, *case.headers, version=case.version)
    answers = [await exchange(beside, sent) for sent in (plain, plain)]
    healths = 2 * case.stays
    assert (beside.app.tasks, beside.known) == (healths, KEY not in case.headers)
    posted = list(beside.supervisor.posted)
    answers.append(await exchange(beside, other))
    assert beside.app.tasks == healths + 1 + case.stays
    assert answers == [answers[2]] * 3
    assert answers[2][0].startswith(b"HTTP/1.1 %d " % case.status)
    assert answers[2][1] is case.stays
    assert beside.supervisor.posted == [*posted, *posted[len(posted) // 2 :]]


LONG_WAY = {
    "more than is plain": (200, request(ONE, b'{"type":"go","payload":"%b"}' % (b"x" * 70_000))),
    "over the limit": (413, request(ONE, b" " * (7 << 20) + GO)),
    "a doubtful key": (422, request(ONE, GO, b"Idempotency-Key: a", b"Idempotency-Key: b")),
    "a query": (422, request(f"{ONE}?colour=1", GO)),
    "an encoded name": (200, request("/v1/machines/wor%6Ber/events", GO)),
    "another method": (405, request(ONE, GO).replace(b"POST", b"PUT")),
    "an upgrade": (400, request(ONE, b"", b"Connection: upgrade", b"Upgrade: websocket")),
    "a body in chunks": (
        200,
        b"POST " + ONE.encode() + b" HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nd\r\n" + GO
        + b"\r\n0\r\n\r\n",
    ),
    "no length": (400, b"POST " + ONE.encode() + b" HTTP/1.1\r\nhost: x\r\n\r\n"),
}  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(("status", "sent"), LONG_WAY.values(), ids=LONG_WAY.keys())
async def test_what_is_not_plain_goes_to_the_application(beside: Beside, status: int, sent: bytes) -> None:
    client = await beside.client()
    client.writer.write(sent)
    assert (await whole(client)).startswith(b"HTTP/1.1 %d " % status)
    assert beside.app.tasks == 1


@pytest.mark.asyncio
async def test_who_waits_to_be_asked_for_the_body_is_asked(beside: Beside) -> None:
    client = await beside.client()
    client.writer.write(request(ONE, GO, b"Expect: 100-continue").removesuffix(GO))
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.writer.write(GO)
    assert (await client.read())[0] == 200


@pytest.mark.asyncio
async def test_who_may_only_look_is_refused_either_way(tmp_path: Path) -> None:
    beside = Beside(tmp_path / "s")
    await beside.start(Watcher())
    answers = [await exchange(beside, request(target, GO)) for target in (ONE, ONE, f"{ONE}?wait=taken")]
    assert answers == [answers[0]] * 3
    assert answers[0][0].startswith(b"HTTP/1.1 403 ")
    assert (beside.supervisor.posted, beside.known) == ([], 1)
    await beside.close()


@pytest.mark.asyncio
async def test_who_has_only_stopped_sending_has_the_same_answer_either_way(beside: Beside) -> None:
    answers = []
    for target in (ONE, ONE, f"{ONE}?wait=taken"):
        arrived, release = answer_later(beside)
        client = await beside.client()
        client.writer.write(request(target, GO))
        client.writer.write_eof()
        await arrived.wait()
        await until(lambda: not beside.open_connections()[0].cycle.keep_alive)
        release()
        answers.append(await client.reader.read())
        await until(lambda: not beside.open_connections())
    assert answers == [answers[0]] * 3
    assert b"connection: close" in answers[0]
    assert (beside.app.tasks, beside.known) == (1, 1)
