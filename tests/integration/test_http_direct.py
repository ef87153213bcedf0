"""The connection and the requests it answers itself: their order, clients that leave or do not read, the end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.http_beside import GO, KEY, Beside, exchange, request, until
from tests.integration.http_running import ONE, answer_later

MIXED = [
    request(ONE, GO), request(f"{ONE}?wait=taken", b'{"type":"later"}'), request(ONE, b"{"), request(ONE, GO),
    b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n", request("/v1/machines/nobody/events", GO), request(ONE, GO, KEY),
    b"\r\n" + request(ONE, b'{"type":"again"}'), request(ONE, b""), request(f"{ONE}?wait=settled", GO),
    request(ONE, b'{"type":"later"}'),
]  # fmt: skip
STATUSES = [200, 202, 400, 200, 200, 404, 200, 200, 400, 200, 202]


@pytest_asyncio.fixture
async def beside(tmp_path: Path) -> AsyncIterator[Beside]:
    beside = Beside(tmp_path / "control.sock")
    await beside.start()
    yield beside
    await beside.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [1, 7, 50, 131, 400, 10_000])
async def test_requests_of_both_ways_are_answered_in_order_however_they_are_cut(beside: Beside, size: int) -> None:
    client = await beside.client()
    sent = b"".join(MIXED) * 3
    for start in range(0, len(sent), size):
        client.writer.write(sent[start : start + size])
        await asyncio.sleep(0)
    assert [(await client.read())[0] for _ in range(3 * len(MIXED))] == STATUSES * 3
    assert [event.type for event in beside.supervisor.posted] == ["go", "later", "go", "go", "again", "go", "later"] * 3


@pytest.mark.asyncio
async def test_a_connection_may_have_more_requests_than_a_head_has_bytes(beside: Beside) -> None:
    client = await beside.client()
    for _ in range(1000):
        assert (await client.ask("POST", ONE, GO))[0] == 200
    assert (beside.known, beside.app.tasks) == (999, 0)


@pytest.mark.asyncio
async def test_a_thousand_refusals_sent_ahead_do_not_nest(beside: Beside) -> None:
    client = await beside.client()
    client.writer.write(request("/v1/machines/nobody/events", GO) * 1500)
    assert {(await client.read())[0] for _ in range(1500)} == {404}
    assert (await client.ask("POST", ONE, GO))[0] == 200


@pytest.mark.asyncio
async def test_a_request_sent_ahead_is_posted_after_the_answer_before_it(beside: Beside) -> None:
    arrived, release = answer_later(beside)
    client = await beside.client()
    client.writer.write(request(ONE, GO) + request(ONE, b'{"type":"second"}'))
    await arrived.wait()
    assert [event.type for event in beside.supervisor.posted] == ["go"]
    arrived.clear()
    release()
    assert (await client.read())[1]["type"] == "go"
    await arrived.wait()
    release()
    assert (await client.read())[1]["type"] == "second"


@pytest.mark.asyncio
async def test_a_request_sent_ahead_in_parts_is_read_to_its_end(beside: Beside) -> None:
    arrived, release = answer_later(beside)
    client = await beside.client()
    client.writer.write(request(ONE, GO) + request(ONE, GO)[:-4])
    await arrived.wait()
    arrived.clear()
    release()
    assert (await client.read())[0] == 200
    client.writer.write(GO[-4:])
    await arrived.wait()
    release()
    assert (await client.read())[0] == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("ahead", [b"", request(ONE, GO)])
async def test_an_answer_for_a_client_that_left_goes_nowhere(beside: Beside, ahead: bytes) -> None:
    arrived, release = answer_later(beside)
    leaver = await beside.client()
    leaver.writer.write(request(ONE, GO) + ahead)
    await arrived.wait()
    leaver.writer.transport.abort()
    if ahead:  # it reads no more, so it learns of the end only by writing
        beside.open_connections()[0].transport.abort()
    await until(lambda: not beside.server.connections)
    release()
    await asyncio.sleep(0)
    assert len(beside.supervisor.posted) == 1
    assert (await (await beside.client()).ask("GET", "/health"))[0] == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("target", [ONE, "/v1/machines/nobody/events"])
async def test_a_client_that_does_not_read_has_its_answers_held_until_it_does(beside: Beside, target: str) -> None:
    one = request(target, GO)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(beside.path))
        deaf.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += deaf.send((one * 100)[sent % len(one) :])
                for _ in range(20):
                    await asyncio.sleep(0)
        assert len(beside.open_connections()) == 1
        assert beside.open_connections()[0].transport.get_write_buffer_size() < 128 << 10
        answers, read = sent // len(one), b""
        while read.count(b"HTTP/1.1 ") < answers or not read.endswith(b"}"):
            read += await loop.sock_recv(deaf, 1 << 20)
        assert read.count(b"HTTP/1.1 ") == answers


@pytest.mark.asyncio
@pytest.mark.parametrize("known", [False, True])
async def test_a_stop_tells_who_waited_too_long_and_late_answers_are_dropped(beside: Beside, *, known: bool) -> None:
    if known:
        await exchange(beside, request(ONE, GO))
    arrived, release = answer_later(beside)
    client = await beside.client()
    client.writer.write(request(ONE, GO))
    await arrived.wait()
    await beside.server.stop(0.01)
    release()
    status, body = await client.read()
    assert (status, body["error"]["code"], await client.reader.read()) == (503, "outcome_unknown", b"")
    assert (beside.known, beside.app.tasks) == (known, known)


@pytest.mark.asyncio
async def test_a_stop_does_not_wait_for_the_rest_of_a_body(beside: Beside) -> None:
    client = await beside.client()
    client.writer.write(request(ONE, GO)[:-3])
    await until(lambda: beside.open_connections() and beside.open_connections()[0].cycle)
    await beside.server.stop(0.01)
    assert ((await client.read())[0], beside.supervisor.posted) == (503, [])


@pytest.mark.asyncio
async def test_a_stop_does_not_wait_for_a_client_that_does_not_read_answers_to_events(beside: Beside) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(beside.path))
        deaf.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                deaf.send(request(ONE, GO) * 100)
                await asyncio.sleep(0)
        await beside.server.stop(0.01)
        assert beside.server.connections == 0


@pytest.mark.asyncio
async def test_bytes_that_are_not_http_after_a_request_end_the_connection_after_its_answer(beside: Beside) -> None:
    arrived, release = answer_later(beside)
    client = await beside.client()
    client.writer.write(request(ONE, GO) + b"\x00\x01")
    await arrived.wait()
    release()
    assert ((await client.read())[0], await client.reader.read()) == (200, b"")


@pytest.mark.asyncio
async def test_nothing_is_written_to_a_connection_that_closes(beside: Beside) -> None:
    arrived, release = answer_later(beside)
    client = await beside.client()
    client.writer.write(request(ONE, GO))
    await arrived.wait()
    beside.open_connections()[0].transport.close()
    release()
    assert await client.reader.read() == b""


@pytest.mark.asyncio
async def test_what_was_sent_ahead_is_not_posted_for_a_client_that_left(beside: Beside) -> None:
    arrived, release = answer_later(beside)
    client = await beside.client()
    client.writer.write(request(ONE, GO) * 2)
    await arrived.wait()
    release()
    beside.open_connections()[0].transport.abort()
    await until(lambda: not beside.server.connections)
    assert len(beside.supervisor.posted) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "ahead", [request(ONE, GO), request(f"{ONE}?wait=taken", GO)], ids=["plain", "for the application"]
)
async def test_what_was_sent_ahead_is_not_posted_after_an_answer_that_closes(beside: Beside, ahead: bytes) -> None:
    client = await beside.client()
    client.writer.write(request(ONE, b'{"type":"huge"}') + ahead)
    assert ((await client.read())[0], await client.reader.read()) == (413, b"")
    await until(lambda: not beside.open_connections())
    assert (beside.supervisor.posted, beside.app.tasks) == ([], 0)


@pytest.mark.asyncio
@pytest.mark.parametrize("first", [ONE, f"{ONE}?wait=taken"], ids=["plain", "for the application"])
async def test_what_was_sent_ahead_is_not_posted_after_the_deadline_of_a_stop(beside: Beside, first: str) -> None:
    arrived, release = answer_later(beside)
    client = await beside.client()
    client.writer.write(request(first, GO) + request(ONE, GO))
    await arrived.wait()
    await beside.server.stop(0.01)
    release()
    assert ((await client.read())[0], await client.reader.read()) == (503, b"")
    assert len(beside.supervisor.posted) == 1
