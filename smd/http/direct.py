"""Plain requests answered by the connection itself: no scope, no task, one write.

Made for `POST /v1/machines/{name}/events`, the hot path. uvicorn's protocol keeps its order of requests: the newest one
is `cycle`, those that wait for their turn are in `pipeline`. A plain request stands there as a `Waiting`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from smd.http.access import Peer
from smd.http.plain import Head, Plain, read_head
from smd.http.replies import stopped
from smd.runtime.answers import Answer

_END = b"\r\n\r\n"


class Waiting:
    """A plain request without an answer, with what uvicorn's protocol looks at in its own cycles."""

    __slots__ = ("body", "disconnected", "head", "keep_alive", "more_body", "response_complete")

    response_started = False
    message_event = asyncio.Event()
    """Nobody waits for it."""

    def __init__(self, head: Head, body: bytes = b"", *, more_body: bool = True) -> None:
        self.head = head
        self.body = body
        self.more_body = more_body
        self.keep_alive = head.stays
        self.disconnected = False
        self.response_complete = False


class DirectProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a shorter way for plain requests.

    A head that the parser has read once is known by its bytes, on all connections: the parser begins each request in
    the same state, so it would say the same again. It is asked whenever anything else is in what was read.
    """

    cycle: Any
    pipeline: deque[tuple[Any, Any]]
    peer: Peer | None = None

    def __init__(
        self, config: Config, server_state: Any, app_state: dict[str, Any], loop: asyncio.AbstractEventLoop,
        plain: Plain,
    ) -> None:  # fmt: skip
        super().__init__(config, server_state, app_state, loop)
        self._plain = plain
        self._turn: Waiting | None = None
        self._held: Answer | Exception | None = None
        self._between = True
        self._over = False
        self._answered = loop.time()

    def take(self, buffer: bytearray, size: int) -> bool:
        """Take what was read if it is one whole request with a known head and none is before it; else `parse` it."""
        if not self._between or not (self.cycle is None or self.cycle.response_complete):
            return False
        end = buffer.find(_END, 0, size) + len(_END)
        head = self._plain.known(bytes(buffer[:end]))
        if head is None or end + head.length != size:
            return False
        self.cycle = self._turn = Waiting(head, bytes(buffer[end:size]), more_body=False)
        self._post(self._turn)
        return True

    def parse(self, buffer: bytearray, size: int) -> None:
        """Ask the parser, and learn a head from it if the lengths say that exactly one whole request was read."""
        fresh, before = self._between, self.cycle
        self.data_received(memoryview(buffer)[:size])  # type: ignore[arg-type]
        if fresh and self._between and self.cycle is not before:
            end = buffer.find(_END, 0, size) + len(_END)
            if end + self.cycle.head.length == size:
                self._plain.learn(bytes(buffer[:end]), self.cycle.head)

    def on_message_begin(self) -> None:
        """A new request, of which the parser has read a part."""
        super().on_message_begin()
        self._between = False

    def on_headers_complete(self) -> None:
        """Decide which way the request goes."""
        head = self._plain_head()
        if head is None:
            super().on_headers_complete()
            return
        before, self.cycle = self.cycle, Waiting(head)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _plain_head(self) -> Head | None:
        if self.parser.get_method() != b"POST":
            return None
        stays = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        return read_head(self.url, self.headers, stays=stays)

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        self._between = type(self.cycle) is Waiting
        if self._turn is not None and self.cycle is self._turn:
            self._post(self._turn)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Begin a request, unless it was sent ahead on a connection that has closed: nobody would hear of it."""
        if self.transport.is_closing():
            return
        if type(cycle) is not Waiting:
            super()._start_asgi_task(cycle, app)
            return
        self._turn = cycle
        if not cycle.more_body:
            self._post(cycle)

    def _post(self, request: Waiting) -> None:
        try:
            self._plain.post(self.peer, request.head, request.body, partial(self._settle, request))
        except Exception as error:  # noqa: BLE001 - what was not foreseen is logged with its answer
            self._settle(request, error)

    def _settle(self, request: Waiting, outcome: Answer | Exception) -> None:
        """Write the answer, unless the client has left or was told that none came in time."""
        if request is not self._turn or self._held is not None:
            return
        if self.flow.write_paused:
            self._held = outcome
            return
        self._turn = None
        request.body = b""
        request.response_complete = True
        if not self.transport.is_closing():
            answer, stays = self._plain.answer(request.head, outcome, stays=request.keep_alive)
            self.transport.write(answer)
            if not stays:
                self.transport.close()
        self.on_response_complete()

    def resume_writing(self) -> None:
        """The client reads again: give it the answer that was held back."""
        super().resume_writing()
        if self._turn is not None and self._held is not None:
            outcome, self._held = self._held, None
            self._settle(self._turn, outcome)

    def give_up(self) -> None:
        """Tell a client that waits that no answer came in time; what it sent ahead is not begun."""
        self._over = True
        if self._turn is not None:
            self._turn.keep_alive = False
            self._settle(self._turn, stopped())

    def on_response_complete(self) -> None:
        """Go on with the next request, in a turn of its own: a long row of refusals must not nest."""
        self.server_state.total_requests += 1
        if self._over:
            self.transport.close()
        if self.transport.is_closing():
            return
        self._answered = self.loop.time()
        if self.pipeline:
            self.loop.call_soon(self._next)
            return
        self.flow.resume_reading()

    def _next(self) -> None:
        cycle, app = self.pipeline.pop()
        if not self.pipeline:
            self.flow.resume_reading()
        self._start_asgi_task(cycle, app)
