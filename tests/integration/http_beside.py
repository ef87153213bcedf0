"""A server that tells which way requests went, and a machine whose answers depend on the event alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smd.errors import BusyError, ConflictError, SmdError, StoreError, TooLargeError
from smd.http import server
from smd.http.access import Access, Peer, Role
from smd.http.app import Application
from smd.http.deadlines import USUAL, Deadlines
from smd.http.plain import Head
from smd.http.ports import Settle
from smd.http.server import serve_unix
from smd.runtime.answers import Answer
from smd.statechart.event import Event
from tests.integration.http_running import Client, Running
from tests.unit.http_double import SmallSupervisor

ANSWERS: dict[str, Answer | SmdError] = {
    "later": Answer("worker", "later", 8, "queued", ("idle",), ("idle",), "it is busy", "busy", "wait"),
    "again": Answer("worker", "again", 3, "duplicate"),
    "broken": Answer("worker", "broken", 3, "failed", reason="\ud800"),
    "ended": ConflictError("cannot send: it is finished", code="finished"),
    "lost": StoreError("cannot write: the disk is full", hint="make room"),
}
REFUSALS: dict[str, Exception] = {
    "full": BusyError("cannot send: its inbox is full"),
    "huge": TooLargeError("cannot accept event: it is too large"),
    "bug": ZeroDivisionError("nobody foresaw this"),
}


class Machine(SmallSupervisor):
    """Its answers depend on the event alone."""

    def post(self, machine: str, event: Event, reply: Settle | None, *, client: bool, size: int = 0) -> None:
        self.refusal = REFUSALS.get(event.type)
        super().post(machine, event, reply, client=client, size=size)

    def take(self, event: Event) -> Answer | SmdError:  # type: ignore[override]
        return ANSWERS.get(event.type, Answer("worker", event.type, 7, "taken", ("busy",), ("idle",)))


class Counted(Application):
    """Counts the requests that came to it as ASGI."""

    tasks = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.tasks += 1
        await super().__call__(scope, receive, send)


class Watcher(Access):
    """Everybody may look, and no more."""

    def role(self, peer: Peer | None) -> Role | None:
        return Role.OBSERVE


class Beside(Running):
    """A server that tells which way requests went."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.supervisor = Machine()
        self.app: Counted
        self.known = 0

    async def start(self, access: Access | None = None, *, deadlines: Deadlines = USUAL, **_: Any) -> None:
        self.app = Counted(self.supervisor, access=access, clock=lambda: 50.0)
        known = self.app.plain.known

        def counted(head: bytes) -> Head | None:
            said = known(head)
            self.known += said is not None
            return said

        self.app.plain.known = counted  # type: ignore[method-assign]
        self.server = await serve_unix(self.app, self.path, deadlines=deadlines)

    def sweep(self, after: float) -> None:
        """Look at all connections as one would so many seconds from now."""
        self.server._state.sweep.run(asyncio.get_running_loop().time() + after)

    def open_connections(self) -> list[server.Connection]:
        return list(self.server._state.connections)


def request(target: str, body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    lines = [
        b"POST " + target.encode() + b" HTTP/" + version, b"Host: smd", b"Content-Length: %d" % len(body), *headers
    ]  # fmt: skip
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def whole(client: Client) -> bytes:
    head = await client.reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return head + await client.reader.readexactly(int(length.split(b":")[1]))


async def until(condition: Callable[[], object]) -> None:
    """Give others their turns until it is so."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


async def in_parts(beside: Beside, client: Client, *parts: bytes) -> None:
    """Write so that the server reads each part by itself."""
    await until(beside.open_connections)
    connection, reads = beside.open_connections()[0], []
    updated = connection.buffer_updated

    def counted(nbytes: int) -> None:
        reads.append(nbytes)
        updated(nbytes)

    connection.buffer_updated = counted  # type: ignore[method-assign]
    for part in parts:
        client.writer.write(part)
        await until(lambda: reads)
        assert reads.pop() == len(part)
    connection.buffer_updated = updated  # type: ignore[method-assign]


async def exchange(beside: Beside, sent: bytes) -> tuple[bytes, bool]:
    """The answer to some bytes on a new connection, and whether the connection lives on."""
    client = await beside.client()
    client.writer.write(sent)
    answer = await whole(client)
    if b"connection: close" in answer:
        assert await client.reader.read() == b""
        return answer, False
    assert (await client.ask("GET", "/health"))[0] == 200
    return answer, True


GO = b'{"type":"go"}'
KEY = b"Idempotency-Key: k1"
