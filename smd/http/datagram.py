"""The predecessor's datagram sockets: events for one machine, events for everybody.

A sender of datagrams hears nothing, so the promises are weaker than over HTTP, and these: what was read is
not dropped while its machine could take it; when it cannot, reading stops and the kernel's queue pushes back
on the senders. Each datagram gets an id of its own, so that offering it again after an unclear commit cannot
make it two.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from smd.errors import BusyError, RequestError, SmdError, StoreError
from smd.http.bodies import event_type, read_json, word
from smd.http.ports import Post
from smd.http.sockets import BoundSocket, bind_unix
from smd.runtime.answers import Answer
from smd.runtime.bus import OWN
from smd.statechart.event import Event

LARGEST = 256 << 10
"""Bytes of the largest datagram that is taken."""

_TURN = 64
_UNANSWERED = 500
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_RECEIVED = bytearray(LARGEST)
_UNSAFE = re.compile(r"[^A-Za-z0-9:_.@-]")

_log = structlog.get_logger("smd.datagram")


def escaped(name: str) -> str:
    r"""A machine's name as part of a file name, in systemd-escape's manner: other bytes become `\xNN`.

    Unlike there a `-` stays, because nothing becomes one: the predecessor's senders look for `my-worker`
    under its plain name.
    """
    parts = _UNSAFE.sub(lambda found: "".join(f"\\x{byte:02x}" for byte in found[0].encode()), name)
    return "\\x2e" + parts[1:] if parts.startswith(".") else parts


def datagram_sockets(prefix: str, names: Iterable[str]) -> dict[str, Path]:
    """Where each machine's socket is: `<prefix>-<machine>.sock`."""
    return {name: Path(f"{prefix}-{escaped(name)}.sock") for name in names}


class DatagramSocket:
    """A bound datagram socket that is drained in turns of the event loop.

    `junk` counts what could not be understood. `accept` is called for each datagram and may raise
    RequestError; it returns False when no more should be read before `resume`.
    """

    def __init__(self, path: Path, accept: Callable[[bytes], bool]) -> None:
        self.path = path
        self.junk = 0
        self._accept = accept
        self._bound: BoundSocket | None = None
        self._reading = False

    def open(self, *, mode: int = 0o660) -> None:
        """Bind and begin to read.

        Raises:
            SettingsError: see `bind_unix`.
        """
        self._bound = bind_unix(self.path, socket.SOCK_DGRAM, mode=mode)
        self._bound.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * LARGEST)
        self.resume()

    def close(self) -> None:
        """Stop reading and remove the file. May be called twice."""
        self.pause()
        if self._bound is not None:
            self._bound.close()
            self._bound = None

    def pause(self) -> None:
        """Read no more for now."""
        if self._reading and self._bound is not None:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._bound.sock.fileno())

    def resume(self) -> None:
        """Read again."""
        if not self._reading and self._bound is not None:
            self._reading = True
            asyncio.get_running_loop().add_reader(self._bound.sock.fileno(), self._drain, self._bound.sock)

    def _drain(self, sock: socket.socket) -> None:
        """Everything readable, at most `_TURN` datagrams before others have their turn."""
        for _ in range(_TURN):
            try:
                size, _, flags, _ = sock.recvmsg_into([_RECEIVED])
            except (BlockingIOError, InterruptedError):
                return
            try:
                if flags & socket.MSG_TRUNC:
                    raise RequestError(f"cannot take a datagram over {LARGEST} bytes", code="too_large")
                more = self._accept(bytes(memoryview(_RECEIVED)[:size]))
            except RequestError as error:
                self.junk += 1
                _log.warning("datagram refused", socket=os.fspath(self.path), reason=error.message)
                continue
            if not more:
                self.pause()
                return


def _payload(value: Any, place: str) -> Any:
    """A payload as given, or as the JSON text given."""
    if not isinstance(value, str):
        return value
    try:
        return read_json(value.encode())
    except RequestError as error:
        _log.warning("payload replaced by {}", socket=place, reason=error.message)
        return {}


def _text(value: Any, rule: Callable[[str], str], name: str) -> str:
    if not isinstance(value, str):
        raise RequestError(f"cannot take a datagram whose '{name}' is not a string")
    try:
        return rule(value)
    except ValueError as error:
        raise RequestError(f"cannot take a datagram: '{name}' {error}") from None


def _object(datagram: bytes) -> dict[str, Any]:
    data = read_json(datagram)
    if not isinstance(data, dict):
        raise RequestError("cannot take a datagram that is not a JSON object")
    return data


class ControlSocket:
    """Events for one machine: `{"type", "payload", "job_id"}`, of which a missing type reads `unknown`.

    Args:
        path: where to listen.
        machine: who receives.
        post: the supervisor's.
        clock: seconds since the epoch.

    `taken` counts events that the machine answered, `refused` those it can never take (finished, removed). Events are
    offered in the order of their arrival, also again: when one comes back, the next offer waits for the fate of all
    that are under way.
    """

    def __init__(self, path: Path, machine: str, post: Post, *, clock: Callable[[], float] = time.time) -> None:
        self._socket = DatagramSocket(path, self._accept)
        self._machine = machine
        self._post = post
        self._clock = clock
        self._boot = secrets.token_hex(8)
        self._count = 0
        self._unanswered = 0
        self._kept: list[tuple[int, Event]] = []
        self._returned = False
        self._pause = _FIRST_PAUSE
        self._retry: asyncio.TimerHandle | None = None
        self._moved = asyncio.Event()
        self.taken = 0
        self.refused = 0

    @property
    def path(self) -> Path:
        """Where it listens."""
        return self._socket.path

    @property
    def junk(self) -> int:
        """Datagrams that were no events."""
        return self._socket.junk

    @property
    def waiting(self) -> int:
        """Events read that the machine has not answered yet."""
        return self._unanswered + len(self._kept)

    def open(self, *, mode: int = 0o660) -> None:
        """Bind and begin; see `DatagramSocket.open`."""
        self._socket.open(mode=mode)

    async def close(self, seconds: float = 2.0) -> None:
        """Read no more, and let what was read be answered; what is not after `seconds` is logged as lost."""
        self._socket.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.waiting:
                    self._moved.clear()
                    await self._moved.wait()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._kept:
            _log.error("events not taken at stop", machine=self._machine, events=len(self._kept))
            self._kept.clear()

    def _accept(self, datagram: bytes) -> bool:
        data = _object(datagram)
        kind = _text("unknown" if data.get("type") is None else data["type"], event_type, "type")
        job = data.get("job_id")
        if isinstance(job, int) and not isinstance(job, bool):
            job = str(job)
        job_id = None if job is None else _text(job, word, "job_id")
        self._count += 1
        payload = _payload(data.get("payload", {}), os.fspath(self.path))
        mark = f"datagram-{self._boot}-{self._count}"
        event = Event(kind, payload, mark, "datagram", job_id=job_id, sent_at=self._clock())
        heapq.heappush(self._kept, (self._count, event))
        return self._offer()

    def _offer(self) -> bool:
        """Offer what is kept, in order. True when nothing is left and more may be read."""
        while self._kept:
            if self._unanswered >= _UNANSWERED or self._must_wait():
                return False
            number, event = heapq.heappop(self._kept)
            self._unanswered += 1
            try:
                self._post(self._machine, event, partial(self._answered, number, event), client=True)
            except SmdError as error:
                self._unanswered -= 1
                if self._keep(number, event, error):
                    return False
        return self._unanswered < _UNANSWERED

    def _must_wait(self) -> bool:
        """Is it too early to offer again? What is still under way may come back, and arrived before the rest."""
        self._returned = self._returned and self._unanswered > 0
        return self._returned or self._retry is not None

    def _answered(self, number: int, event: Event, outcome: Answer | SmdError) -> None:
        self._unanswered -= 1
        self._moved.set()
        if not isinstance(outcome, SmdError):
            self.taken += 1
            self._pause = _FIRST_PAUSE
        elif self._keep(number, event, outcome):
            self._returned = True
        if self._offer():
            self._socket.resume()

    def _keep(self, number: int, event: Event, error: SmdError) -> bool:
        """Keep it at its place for later if there can be a later."""
        if not isinstance(error, BusyError | StoreError):
            self.refused += 1
            _log.warning("event refused", machine=self._machine, type=event.type, reason=error.message)
            return False
        heapq.heappush(self._kept, (number, event))
        self._socket.pause()
        if self._retry is None and not (isinstance(error, BusyError) and self._unanswered):
            self._retry = asyncio.get_running_loop().call_later(self._pause, self._again)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True

    def _again(self) -> None:
        self._retry = None
        self._moved.set()
        if self._offer():
            self._socket.resume()


class EventSocket:
    """Where the predecessor's emitters send `{"machine_name", "type", "payload"}`.

    Args:
        path: where to listen.
        publish: the bus's: kind, machine, seconds since the epoch, data. Kinds keep the emitters' names.
        clock: seconds since the epoch.
    """

    def __init__(
        self, path: Path, publish: Callable[[str, str, float, dict[str, Any]], None], *,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._socket = DatagramSocket(path, self._accept)
        self._publish = publish
        self._clock = clock

    @property
    def path(self) -> Path:
        """Where it listens."""
        return self._socket.path

    @property
    def junk(self) -> int:
        """Datagrams that were no events."""
        return self._socket.junk

    def open(self, *, mode: int = 0o660) -> None:
        """Bind and begin; see `DatagramSocket.open`."""
        self._socket.open(mode=mode)

    def close(self) -> None:
        """Stop and remove the file."""
        self._socket.close()

    def _accept(self, datagram: bytes) -> bool:
        data = _object(datagram)
        kind = _text(data.get("type"), event_type, "type")
        if kind in OWN:
            raise RequestError(f"cannot take a datagram of type '{kind}': only the daemon tells of those")
        machine = _text(data.get("machine_name"), word, "machine_name")
        payload = _payload(data.get("payload", {}), os.fspath(self._socket.path))
        self._publish(kind, machine, self._clock(), payload if isinstance(payload, dict) else {"payload": payload})
        return True
