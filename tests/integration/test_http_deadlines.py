"""Clients that say nothing whole are let go; those that wait for an answer, or send slowly, are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from smd.http.deadlines import Deadlines
from tests.integration.http_beside import GO, KEY, Beside, in_parts, request, until
from tests.integration.http_running import ONE, Client, answer_later

REST, SILENCE, REQUEST = Deadlines()
HALF_HEAD = b"GET /hea"
HALF_BODY = request(ONE, GO)[:-3]
HALF_BODY_FOR_THE_APPLICATION = request("/v1/jobs", b'{"type":"go"}')[:-3]
HALVES = [HALF_HEAD, HALF_BODY, HALF_BODY_FOR_THE_APPLICATION]
NAMES = ["head", "body", "body for the application"]


@pytest_asyncio.fixture
async def beside(tmp_path: Path) -> AsyncIterator[Beside]:
    beside = Beside(tmp_path / "control.sock")
    await beside.start()
    yield beside
    await beside.close()


async def is_open(beside: Beside, client: Client) -> bool:
    """Whether the connection, looked at now, is neither closed nor told anything."""
    return not beside.open_connections()[0].transport.is_closing() and not client.reader._buffer  # type: ignore[attr-defined]


async def told_408(client: Client) -> bool:
    status, body = await client.read()
    return (status, body["error"]["code"], await client.reader.read()) == (408, "request_timeout", b"")


@pytest.mark.asyncio
@pytest.mark.parametrize("half", HALVES, ids=NAMES)
async def test_half_a_request_is_told_and_closed_when_nothing_more_comes(beside: Beside, half: bytes) -> None:
    client = await beside.client()
    await in_parts(beside, client, half)
    beside.sweep(SILENCE - 5)
    assert await is_open(beside, client)
    beside.sweep(SILENCE)
    assert await told_408(client)
    await until(lambda: not beside.server.connections)
    assert beside.supervisor.posted == []


@pytest.mark.asyncio
@pytest.mark.parametrize("half", HALVES, ids=NAMES)
async def test_half_a_request_after_a_whole_one_has_the_same_deadline(beside: Beside, half: bytes) -> None:
    client = await beside.client()
    await client.ask("POST", ONE, GO)
    await in_parts(beside, client, half)
    beside.sweep(SILENCE)
    assert await told_408(client)


@pytest.mark.asyncio
@pytest.mark.parametrize("half", HALVES, ids=NAMES)
async def test_the_deadline_begins_again_with_every_byte(beside: Beside, half: bytes) -> None:
    client = await beside.client()
    loop = asyncio.get_running_loop()
    await in_parts(beside, client, half[:-2])
    first = loop.time()
    await until(lambda: loop.time() > first)
    await in_parts(beside, client, half[-2:-1])
    beside.server._state.sweep.run(first + SILENCE)
    assert await is_open(beside, client)
    beside.sweep(SILENCE)
    assert await told_408(client)


@pytest.mark.asyncio
@pytest.mark.parametrize("half", HALVES, ids=NAMES)
async def test_a_request_sent_byte_by_byte_must_still_come_to_an_end(tmp_path: Path, half: bytes) -> None:
    beside = Beside(tmp_path / "control.sock")
    await beside.start(deadlines=Deadlines(silence=2 * REQUEST))
    client = await beside.client()
    loop = asyncio.get_running_loop()
    await in_parts(beside, client, half[:-2])
    begun = loop.time()
    await until(lambda: loop.time() > begun)
    await in_parts(beside, client, half[-2:-1])
    beside.sweep(REQUEST - 5)
    assert await is_open(beside, client)
    beside.server._state.sweep.run(begun + REQUEST)
    assert await told_408(client)
    await beside.close()


@pytest.mark.asyncio
async def test_an_upload_in_parts_is_answered(beside: Beside) -> None:
    client = await beside.client()
    body = b'{"type":"go","payload":"%s"}' % (b"x" * 100_000)
    whole = request(ONE, body)
    for start in range(0, len(whole), 20_000):
        client.writer.write(whole[start : start + 20_000])
        await client.writer.drain()
        beside.sweep(SILENCE - 5)
    assert (await client.read())[0] == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("said", [b"", b"\r\n"], ids=["nothing", "an empty line"])
async def test_a_fresh_connection_rests_as_long_as_a_kept_one(beside: Beside, said: bytes) -> None:
    client = await beside.client()
    await until(beside.open_connections)
    if said:
        await in_parts(beside, client, said)
    beside.sweep(REST - 5)
    assert await is_open(beside, client)
    beside.sweep(REST)
    assert await client.reader.read() == b""


@pytest.mark.asyncio
@pytest.mark.parametrize("sent", [request(ONE, GO), request(ONE, GO, KEY), b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"])
async def test_a_connection_that_rests_after_an_answer_is_closed(beside: Beside, sent: bytes) -> None:
    client = await beside.client()
    client.writer.write(sent * 2)
    assert [(await client.read())[0] for _ in range(2)] == [200, 200]
    beside.sweep(REST - 5)
    assert await is_open(beside, client)
    beside.sweep(REST)
    assert await client.reader.read() == b""


@pytest.mark.asyncio
@pytest.mark.parametrize("ahead", [b"", HALF_HEAD, HALF_BODY, request(ONE, GO), request(ONE, GO) + HALF_BODY])
@pytest.mark.parametrize("first", [ONE, f"{ONE}?wait=taken"], ids=["plain", "for the application"])
async def test_who_waits_for_an_answer_is_never_late(beside: Beside, first: str, ahead: bytes) -> None:
    arrived, release = answer_later(beside)
    client = await beside.client()
    client.writer.write(request(first, GO) + ahead)
    await arrived.wait()
    beside.sweep(10 * REQUEST)
    assert await is_open(beside, client)
    release()
    assert (await client.read())[0] == 200
    if ahead in {HALF_HEAD, HALF_BODY}:
        beside.sweep(SILENCE - 5)
        assert await is_open(beside, client)
        beside.sweep(SILENCE)
        assert await told_408(client)


@pytest.mark.asyncio
async def test_who_follows_a_log_is_never_late(beside: Beside) -> None:
    client = await beside.client()
    client.write("GET", "/v1/machines/worker/log?follow=1")
    await client.head()
    await client.chunk()
    beside.sweep(10 * REQUEST)
    assert await is_open(beside, client)


@pytest.mark.asyncio
async def test_a_body_that_nobody_waits_for_ends_the_connection_without_a_second_answer(beside: Beside) -> None:
    client = await beside.client()
    client.writer.write(request("/nowhere", b"x" * 100)[:-1])
    assert (await client.read())[0] == 404
    beside.sweep(SILENCE - 5)
    assert await is_open(beside, client)
    beside.sweep(SILENCE)
    assert await client.reader.read() == b""


@pytest.mark.asyncio
async def test_who_reads_slowly_gets_the_whole_answer_of_a_connection_that_closes(beside: Beside) -> None:
    client = await beside.client()
    await until(beside.open_connections)
    transport = beside.open_connections()[0].transport
    transport.write(b"x" * 5_000_000)
    transport.close()
    assert transport.get_write_buffer_size() > 0
    beside.sweep(10 * REQUEST)
    assert len(await client.reader.read()) == 5_000_000


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("deadlines", "sent"), [(Deadlines(silence=0), HALF_HEAD), (Deadlines(request=0), HALF_BODY), (Deadlines(0), b"")]
)
async def test_the_end_comes_by_itself(tmp_path: Path, deadlines: Deadlines, sent: bytes) -> None:
    beside = Beside(tmp_path / "control.sock")
    await beside.start(deadlines=deadlines)
    client = await beside.client()
    client.writer.write(sent)
    assert (await client.reader.read()).startswith(b"HTTP/1.1 408 " if sent else b"")
    await until(lambda: not beside.server.connections)
    await beside.close()


@pytest.mark.asyncio
async def test_all_connections_share_one_timer_which_requests_do_not_touch(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    timers, call_at = [], loop.call_at

    def counted(*arguments: object, **more: object) -> asyncio.TimerHandle:
        timers.append(call_at(*arguments, **more))  # type: ignore[arg-type]
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", counted)
    clients = [await beside.client() for _ in range(5)]
    for client in clients * 20:
        assert (await client.ask("POST", ONE, GO))[0] == 200
    assert len(timers) == 1
    await beside.server.stop()
    assert timers[0].cancelled()
