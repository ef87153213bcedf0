"""Heads known by their bytes: only whole requests are, and only where the parser would read the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from smd.http import server
from smd.http.access import Access
from smd.http.plain import Head, Plain
from tests.integration.http_beside import GO, Beside, in_parts, request, until
from tests.integration.http_running import ONE, Client, answer_later
from tests.unit.http_double import SmallSupervisor

PLAIN = request(ONE, GO)
OTHER = request("/v1/machines/nobody/events", GO)
EMPTY = request(ONE, b"")


@pytest_asyncio.fixture
async def beside(tmp_path: Path) -> AsyncIterator[Beside]:
    beside = Beside(tmp_path / "control.sock")
    await beside.start()
    yield beside
    await beside.close()


async def statuses(client: Client, count: int) -> list[int]:
    return [(await client.read())[0] for _ in range(count)]


async def learn(beside: Beside, *requests: bytes) -> None:
    """Have heads learnt on a connection that then ends."""
    client = await beside.client()
    for one in requests:
        client.writer.write(one)
        await client.read()
    client.writer.write(PLAIN.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    await client.reader.read()
    await until(lambda: not beside.open_connections())
    beside.known = 0


@pytest.mark.asyncio
async def test_a_head_is_known_on_every_connection(beside: Beside) -> None:
    await learn(beside, PLAIN, OTHER)
    client = await beside.client()
    await in_parts(beside, client, PLAIN)
    assert await statuses(client, 1) == [200]
    await in_parts(beside, client, OTHER)
    assert await statuses(client, 1) == [404]
    assert beside.known == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("cut", [1, 40, len(PLAIN) - len(GO), len(PLAIN) - 1])
async def test_a_request_with_a_known_head_may_come_in_parts(beside: Beside, cut: int) -> None:
    await learn(beside, PLAIN)
    client = await beside.client()
    await in_parts(beside, client, PLAIN[:cut], PLAIN[cut:])
    assert await statuses(client, 1) == [200]


@pytest.mark.asyncio
async def test_two_requests_with_a_known_head_may_come_at_once(beside: Beside) -> None:
    await learn(beside, PLAIN)
    client = await beside.client()
    await in_parts(beside, client, PLAIN + PLAIN)
    assert await statuses(client, 2) == [200, 200]


@pytest.mark.asyncio
async def test_a_request_with_a_known_head_waits_for_its_turn(beside: Beside) -> None:
    await learn(beside, PLAIN)
    beside.supervisor.posted.clear()
    arrived, release = answer_later(beside)
    client = await beside.client()
    await in_parts(beside, client, PLAIN, PLAIN)
    await arrived.wait()
    assert len(beside.supervisor.posted) == 1
    release()
    assert await statuses(client, 1) == [200]


@pytest.mark.asyncio
async def test_the_rest_of_a_head_is_no_head(beside: Beside) -> None:
    """Whoever begins with it is told that this is not HTTP."""
    client, second = await beside.client(), PLAIN[30:]
    await in_parts(beside, client, PLAIN[:30], second)
    assert await statuses(client, 1) == [200]
    client.writer.close()
    other = await beside.client()
    other.writer.write(second)
    assert await statuses(other, 1) == [400]


@pytest.mark.asyncio
async def test_of_two_requests_at_once_no_head_is_learnt(beside: Beside) -> None:
    client = await beside.client()
    await in_parts(beside, client, PLAIN + OTHER)
    assert await statuses(client, 2) == [200, 404]
    await in_parts(beside, client, PLAIN)
    assert (await statuses(client, 1), beside.known) == ([200], 0)


@pytest.mark.asyncio
async def test_empty_lines_between_requests_are_no_head(beside: Beside) -> None:
    client = await beside.client()
    await in_parts(beside, client, EMPTY)
    assert await statuses(client, 1) == [400]
    await in_parts(beside, client, b"\r\n\r\n", b"\r\n\r\n", PLAIN)
    assert await statuses(client, 1) == [200]


@pytest.mark.asyncio
async def test_empty_lines_after_requests_with_a_known_head_do_not_add_up(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_LIMIT", 20)
    await learn(beside, EMPTY)
    client = await beside.client()
    for _ in range(20):
        await in_parts(beside, client, EMPTY)
        assert await statuses(client, 1) == [400]
        await in_parts(beside, client, b"\r\n")
    assert beside.known == 20


def test_the_heads_that_are_known_are_bounded() -> None:
    plain = Plain(SmallSupervisor(), Access(), lambda: 0.0)
    said = Head("m", 2, stays=True, key="", source="http")
    for number in range(5000):
        plain.learn(b"%d" % number, said)
    plain.learn(b"x" * 5000, said)
    plain.learn(b"own key", said._replace(key="k"))
    assert plain.known(b"4999") == said
    assert [plain.known(head) for head in (b"0", b"x" * 5000, b"own key")] == [None] * 3
