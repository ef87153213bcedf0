"""uvicorn's HTTP protocol on a Unix socket, inside the running loop: no signals, no ticking timer.

What it adds to uvicorn: the short way of plain requests (`direct`), the peer's credentials, a bound on request heads,
deadlines for clients (`deadlines`), answers to half-closed clients, a stop with a deadline, and one receive buffer for
all connections. (asyncio's own allocates 256 KiB a read, which the C library maps and unmaps each time: on a fresh
server with 32 connections two page faults a request and a third of the speed.) Clients are taken by `listening`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import select
import socket
from enum import Enum
from pathlib import Path
from typing import Any

import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from smd import codec
from smd.http.access import peer_of
from smd.http.app import Application
from smd.http.deadlines import USUAL, Deadlines, Sweep
from smd.http.direct import DirectProtocol
from smd.http.listening import Listener
from smd.http.replies import error_body
from smd.http.sockets import BoundSocket, bind_unix

_log = structlog.get_logger("smd.http")

HEAD_LIMIT = 64 << 10
_BACKLOG = 512
_GRACE = 1.0
_CLOSING = b"content-type: application/json\r\nconnection: close\r\ncontent-length: "
_BUFFER = bytearray(64 << 10)
_RECEIVED = memoryview(_BUFFER)


class _Part(Enum):
    """The part of a request that is being received."""

    NONE = 0
    HEAD = 1
    BODY = 2


class State(ServerState):
    """uvicorn's shared state, the sweep that ends connections that are late, and when the last one left."""

    connections: set[Any]

    def __init__(self, deadlines: Deadlines, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.sweep = Sweep(self.connections, deadlines, loop)
        self.stopping = asyncio.Event()
        self.empty = asyncio.Event()
        self.empty.set()


class Connection(DirectProtocol, asyncio.BufferedProtocol):
    """One client. Everything runs in the event loop's thread, so one receive buffer serves all of them."""

    server_state: State

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Learn who is there."""
        super().connection_made(transport)
        self._head = 0
        self._body = 0
        self._part = _Part.NONE
        self._begun = self._heard = self._answered
        self.server_state.empty.clear()
        self.server_state.sweep.begin()
        self.peer = peer_of(transport.get_extra_info("socket"))
        self._extensions = {"smd.peer": self.peer, "smd.stopping": self.server_state.stopping}
        if self.server_state.stopping.is_set():
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        super().connection_lost(exc)
        if not self.connections:
            self.server_state.empty.set()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Room for the next read."""
        return _RECEIVED

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was read; what is not body may not grow without end (heads, trailers, chunk marks)."""
        if self.take(_BUFFER, nbytes):
            self._head = 0
            return
        self._head += nbytes
        self._heard = self.loop.time()
        self.parse(_BUFFER, nbytes)
        if self._head > HEAD_LIMIT + 8 * self._body and not self.transport.is_closing():
            self._refuse(431, "cannot accept the request: its head is over 64 KiB")

    def due(self, deadlines: Deadlines) -> float:
        """When it is late. A client that waits for its answer, or has still to read it, never is."""
        if self.transport.is_closing():
            return math.inf
        cycle = self.cycle
        free = cycle is None or cycle.response_complete
        if self._part is _Part.NONE:
            return self._answered + deadlines.rest if free else math.inf
        if not free and (self.pipeline or not cycle.more_body or cycle.response_started or self.flow.read_paused):
            return math.inf
        heard, begun = max(self._heard, self._answered), max(self._begun, self._answered)
        return min(heard + deadlines.silence, begun + deadlines.request)

    def expire(self) -> None:
        """End it; a client of whose request a part has come is told."""
        if self._part is _Part.HEAD or not (self.cycle is None or self.cycle.response_complete):
            self._refuse(408, "cannot wait for the rest of the request: it takes too long", "request_timeout")
        else:
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that only stopped sending still gets the answers it waits for."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or self._hung_up():
            return False
        cycle.keep_alive = False
        return True

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), 0)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def on_message_begin(self) -> None:
        """A new request."""
        super().on_message_begin()
        self._head = self._body = 0
        self._part, self._begun = _Part.HEAD, self._heard
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]

    def on_headers_complete(self) -> None:
        """The head is whole."""
        super().on_headers_complete()
        self._part = _Part.BODY

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole: bytes that follow are the next one's."""
        super().on_message_complete()
        self._head = self._body = 0
        self._part = _Part.NONE

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade is declined by answering in HTTP (RFC 9110 §7.8); what follows can no longer be parsed."""
        self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Not HTTP."""
        _log.debug("request is not HTTP", pid=self.peer.pid if self.peer else None)
        self._refuse(400, "cannot read the request: it is not HTTP/1.1")

    def _refuse(self, status: int, message: str, code: str = "invalid_http") -> None:
        """End the connection: whole requests before the bad bytes get answers, else the error is told."""
        cycle = self.cycle
        pending = cycle is not None and not cycle.response_complete
        if cycle is not None and pending and not cycle.more_body:
            cycle.keep_alive = False
            self.transport.pause_reading()
            return
        if not self.pipeline and not (cycle is not None and pending and cycle.response_started):
            body = codec.dumps(error_body(code, message))
            self.transport.write(b"%s%s%d\r\n\r\n%s" % (STATUS_LINE[status], _CLOSING, len(body), body))
        self.transport.close()


class Server:
    """A listening server. Made by `serve_unix`."""

    def __init__(self, listener: Listener, state: State, bound: BoundSocket | None) -> None:
        self._listener = listener
        self._state = state
        self._bound = bound

    @property
    def connections(self) -> int:
        """Clients connected now."""
        return len(self._state.connections)

    async def stop(self, seconds: float = 5.0) -> None:
        """Take no more, answer what was asked, go. May be called twice.

        Followers end at once; a client that reads nothing for a second is cut off. Requests without an answer after
        `seconds` get 503 `outcome_unknown`.
        """
        self._state.stopping.set()
        self._listener.close()
        if self._bound is not None:
            self._bound.close()
        await self._listener.entered()
        for connection in list(self._state.connections):
            connection.shutdown()
        if seconds > _GRACE:
            await self._cut_off_deaf()
            seconds -= _GRACE
        if not await self._emptied(seconds):
            for task in list(self._state.tasks):
                task.cancel()
            for connection in list(self._state.connections):
                connection.give_up()
            if not await self._emptied(_GRACE):
                for connection in list(self._state.connections):
                    connection.transport.abort()
                await self._state.empty.wait()
        self._state.sweep.end()

    async def _cut_off_deaf(self) -> None:
        unread = self._unread()
        await self._emptied(_GRACE)
        for connection, size in self._unread().items():
            if unread.get(connection) == size:
                connection.transport.abort()

    def _unread(self) -> dict[Any, int]:
        """Connections whose client has yet to read something, and how many bytes."""
        sizes = {one: one.transport.get_write_buffer_size() for one in self._state.connections}
        return {one: size for one, size in sizes.items() if size}

    async def _emptied(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._state.empty.wait()
        return self._state.empty.is_set()


async def serve_unix(
    app: Application, path: Path | socket.socket, *, mode: int = 0o660, deadlines: Deadlines = USUAL
) -> Server:
    """Listen on a Unix socket.

    Args:
        app: answers. Its scopes carry `extensions["smd.peer"]` (a `Peer`) and
            `extensions["smd.stopping"]` (an `asyncio.Event`).
        path: where to listen; or a socket that already listens, whose file is then left alone at the end.
        mode: rights of the socket file.
        deadlines: for clients that do not say anything whole.

    Raises:
        SettingsError: see `bind_unix`.
    """
    bound = bind_unix(path, socket.SOCK_STREAM, mode=mode) if isinstance(path, Path) else None
    config = Config(
        app, http=Connection, ws="none", lifespan="off", interface="asgi3", loop="none", log_config=None,
        access_log=False, proxy_headers=False, server_header=False, date_header=False,
        log_level="error",
    )  # fmt: skip
    config.load()  # uvicorn's warnings are all about clients' mistakes, which clients are told
    loop = asyncio.get_running_loop()
    state = State(deadlines, loop)
    sock = path if isinstance(path, socket.socket) else bound.sock  # type: ignore[union-attr]
    listener = Listener(sock, lambda: Connection(config, state, {}, loop, app.plain), backlog=_BACKLOG)
    return Server(listener, state, bound)
