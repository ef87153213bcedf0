"""A server on a real Unix socket, and clients that write bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smd import codec
from smd.http.access import Access
from smd.http.app import Application
from smd.http.server import Server, serve_unix
from smd.runtime.answers import Answer
from smd.statechart.event import Event
from tests.unit.http_double import SmallSupervisor

ONE = "/v1/machines/worker/events"


class Client:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, method: str, target: str, body: bytes = b"", *headers: str) -> None:
        lines = [f"{method} {target} HTTP/1.1", "host: smd", f"content-length: {len(body)}", *headers]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name: value for name, _, value in pairs}

    async def read(self) -> tuple[int, Any]:
        status, headers = await self.head()
        return status, codec.loads(await self.reader.readexactly(int(headers["content-length"])))

    async def ask(self, method: str, target: str, body: bytes = b"", *headers: str) -> tuple[int, Any]:
        self.write(method, target, body, *headers)
        return await self.read()

    async def chunk(self) -> bytes:
        size = int(await self.reader.readline(), 16)
        return (await self.reader.readexactly(size + 2))[:-2]


class Running:
    """A server and its clients."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.supervisor = SmallSupervisor()
        self.clients: list[Client] = []
        self.server: Server

    async def start(self, **access: Any) -> None:
        self.server = await serve_unix(Application(self.supervisor, access=Access(**access)), self.path)

    async def client(self) -> Client:
        client = Client(*await asyncio.open_unix_connection(str(self.path)))
        self.clients.append(client)
        return client

    async def close(self) -> None:
        await self.server.stop(0.1)
        for client in self.clients:
            client.writer.close()
            with contextlib.suppress(OSError):
                await client.writer.wait_closed()


def answer_later(running: Running) -> tuple[asyncio.Event, Callable[[], None]]:
    """Hold the answers of the machine back: an event that says one waits, and what lets them go."""
    arrived, held = asyncio.Event(), []

    def post(machine: str, event: Event, reply: Any, *, client: bool, size: int = 0) -> None:
        running.supervisor.posted.append(event)
        held.append((reply, event))
        arrived.set()

    def release() -> None:
        for reply, event in held:
            reply(Answer("worker", event.type, 1, "taken"))

    running.supervisor.post = post  # type: ignore[method-assign]
    return arrived, release
