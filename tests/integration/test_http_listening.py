"""The listening socket, also while this process may open no more files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from smd.http import listening
from smd.http.listening import Listener
from tests.integration.http_beside import until

LONG = 3600.0


class Counting(socket.socket):
    """Counts how often somebody tries to accept."""

    tries = 0

    def accept(self) -> tuple[socket.socket, str]:
        self.tries += 1
        return super().accept()


class Greeter(asyncio.Protocol):
    """Says hello."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(b"hello")
        transport.close()


class Door:
    """A listener, its socket, and clients made ahead: there may be no file left for one later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sock = Counting(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.clients = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        for client in self.clients:
            client.setblocking(False)
        self.open(LONG)

    def open(self, retry: float) -> None:
        self.listener = Listener(self.sock, Greeter, backlog=16, retry=retry)

    async def heard(self, client: socket.socket) -> bytes:
        return await asyncio.get_running_loop().sock_recv(client, 100)

    def close(self) -> None:
        self.listener.close()
        for client in self.clients:
            client.close()


@pytest_asyncio.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    door = Door(tmp_path / "s")
    yield door
    door.close()
    await door.listener.entered()


@contextlib.contextmanager
def no_files_left(but: int = 0) -> Iterator[None]:
    """This process may open no more files, but for so many."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + but, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def turns(count: int = 200) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_clients_that_come_together_are_all_taken(door: Door) -> None:
    for client in door.clients:
        client.connect(str(door.path))
    assert [await door.heard(client) for client in door.clients] == [b"hello"] * 5
    tries = door.sock.tries
    await turns()
    assert door.sock.tries == tries <= 10


@pytest.mark.asyncio
async def test_more_clients_than_are_taken_in_one_turn_are_taken(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_AT_ONCE", 2)
    for client in door.clients:
        client.connect(str(door.path))
    assert [await door.heard(client) for client in door.clients] == [b"hello"] * 5


@pytest.mark.asyncio
async def test_the_client_that_takes_the_last_descriptor_is_no_shortage(door: Door) -> None:
    with capture_logs() as lines, no_files_left(but=1):
        door.clients[0].connect(str(door.path))
        assert await door.heard(door.clients[0]) == b"hello"
        await turns()
    assert (lines, door.sock.tries) == ([], 2)


@pytest.mark.asyncio
async def test_a_shortage_makes_one_try_and_one_timer(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    timers, call_at = [], loop.call_at

    def counted(*arguments: object, **more: object) -> asyncio.TimerHandle:
        timers.append(call_at(*arguments, **more))  # type: ignore[arg-type]
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", counted)
    with capture_logs() as lines, no_files_left():
        for client in door.clients:
            client.connect(str(door.path))
        await until(lambda: timers)
        await turns()
    assert (door.sock.tries, len(timers)) == (1, 1)
    assert [(line["event"], line["why"]) for line in lines] == [("cannot accept connections", "Too many open files")]
    door.listener.close()
    assert timers[0].cancelled()


@pytest.mark.asyncio
async def test_it_tries_again_as_long_as_it_lasts_and_the_log_has_two_lines(door: Door) -> None:
    door.listener._retry = 0.0
    with capture_logs() as lines:
        with no_files_left():
            for client in door.clients:
                client.connect(str(door.path))
            await until(lambda: door.sock.tries >= 10)
        assert [await door.heard(client) for client in door.clients] == [b"hello"] * 5
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("error", "cannot accept connections"), ("info", "accepts connections again"),
    ]  # fmt: skip
    assert "LimitNOFILE" in lines[0]["hint"]


@pytest.mark.asyncio
async def test_a_shortage_that_comes_back_is_told_only_after_a_while(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.listener._retry = 0.0

    async def short(client: socket.socket) -> None:
        before = door.sock.tries
        with no_files_left():
            client.connect(str(door.path))
            await until(lambda: door.sock.tries > before)
        assert await door.heard(client) == b"hello"

    with capture_logs() as lines:
        for client in door.clients[:3]:
            await short(client)
        assert len(lines) == 2
        monkeypatch.setattr(listening, "EVERY", 0.0)
        await short(door.clients[3])
        assert len(lines) == 4


@pytest.mark.asyncio
async def test_a_closed_listener_may_be_closed_again_while_it_rests(door: Door) -> None:
    with no_files_left():
        door.clients[0].connect(str(door.path))
        await until(lambda: door.sock.tries)
    door.listener.close()
    door.listener.close()
    await turns()
    assert door.sock.tries == 1
    with pytest.raises(ConnectionError):
        door.clients[1].connect(str(door.path))
