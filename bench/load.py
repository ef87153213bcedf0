"""A cheap load generator: a program of its own that writes prepared requests and counts replies.

It reads a plan from standard input (JSON) and writes what it saw to standard output (JSON). Each connection sends
its next request when the reply to the one before it is whole (by Content-Length), so as many requests are in flight
as there are connections. Nothing is parsed but the head of a reply.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.rows import BenchError

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_ROOM = 1 << 20


class Stream(NamedTuple):
    """One connection's requests: `bodies` posted to `path` in turn, `times` requests in all.

    A stream with `beside` set goes on until all others have ended.
    """

    path: str
    bodies: Sequence[str]
    times: int = 0
    beside: bool = False


class Seen(NamedTuple):
    """What the generator saw. Latencies in milliseconds, of streams and of those beside them.

    `errors` holds the first replies that were not 2xx; `taken` counts the word "taken" in replies.
    """

    seconds: float
    replies: int
    taken: int
    latencies: list[float]
    beside: list[float]
    errors: list[str]


def drive(control: Path, streams: Sequence[Stream], *, timeout: float = 120.0) -> Seen:
    """Run the generator and wait for it.

    Raises:
        BenchError: a reply was not 2xx, the connection broke, or it took longer than `timeout` seconds.
    """
    plan = {"socket": str(control), "streams": [stream._asdict() for stream in streams]}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.load"], input=json.dumps(plan).encode(), capture_output=True,
            timeout=timeout, cwd=Path(__file__).parent.parent, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BenchError(f"cannot finish the load: no end after {timeout:.0f} s") from None
    if done.returncode:
        raise BenchError(f"cannot drive the load: {done.stderr.decode(errors='replace').strip()[-300:]}")
    seen = Seen(**json.loads(done.stdout))
    if seen.errors:
        raise BenchError(f"cannot use the figures: the daemon refused a request: {seen.errors[0][:300]}")
    return seen


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Connection:
    def __init__(self, address: str, plan: dict[str, Any]) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address)
        self.socket.setblocking(False)
        head = f"POST {plan['path']} HTTP/1.1\r\nHost: smd\r\nContent-Type: application/json\r\nContent-Length: "
        self.requests = [f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in plan["bodies"]]
        self.beside: bool = plan["beside"]
        self.left: int = sys.maxsize if self.beside else plan["times"]
        self.at = 0
        self.unsent = memoryview(b"")
        self.read = bytearray()
        self.whole = 0
        self.began = 0
        self.latencies: list[int] = []

    def send(self) -> bool:
        """Write what is left of the request; False when the socket is full."""
        while self.unsent:
            try:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
            except BlockingIOError:
                return False
        return True

    def begin(self) -> bool:
        """Begin the next request."""
        self.unsent = memoryview(self.requests[self.at % len(self.requests)])
        self.at += 1
        self.left -= 1
        self.began = time.perf_counter_ns()
        return self.send()

    def receive(self) -> bytes | None:
        """The whole reply, or None while it is not there."""
        piece = self.socket.recv(_ROOM)
        if not piece:
            raise BenchError("the daemon closed the connection")
        self.read += piece
        if not self.whole:
            end = self.read.find(_END)
            if end < 0:
                return None
            self.whole = end + len(_END) + _length(bytes(self.read[:end]))
        if len(self.read) < self.whole:
            return None
        reply = bytes(self.read)
        self.latencies.append(time.perf_counter_ns() - self.began)
        self.read.clear()
        self.whole = 0
        return reply


def _length(head: bytes) -> int:
    low = head.lower()
    at = low.find(_LENGTH)
    if at < 0:
        raise BenchError(f"a reply without Content-Length: {head[:80]!r}")
    return int(low[at + len(_LENGTH) :].split(b"\r\n", 1)[0])


class _Generator:
    def __init__(self, connections: Sequence[_Connection]) -> None:
        self.poll = select.epoll()
        self.by_number = {connection.socket.fileno(): connection for connection in connections}
        self.busy = sum(not connection.beside for connection in connections)
        self.taken = self.replies = 0
        self.errors: list[str] = []

    def run(self) -> float:
        """Drive all connections to their ends; seconds until the last of those that count ended."""
        began = time.perf_counter()
        for number, connection in self.by_number.items():
            self.poll.register(number, select.EPOLLIN)
            self._go_on(number, connection)
        while self.busy:
            for number, ready in self.poll.poll():
                connection = self.by_number[number]
                if ready & select.EPOLLOUT and connection.send():
                    self.poll.modify(number, select.EPOLLIN)
                if ready & ~select.EPOLLOUT:
                    self._reply(number, connection)
        return time.perf_counter() - began

    def _go_on(self, number: int, connection: _Connection) -> None:
        if not connection.begin():
            self.poll.modify(number, select.EPOLLIN | select.EPOLLOUT)

    def _reply(self, number: int, connection: _Connection) -> None:
        reply = connection.receive()
        if reply is None:
            return
        if not reply.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")) and len(self.errors) < 3:
            self.errors.append(reply[-600:].decode(errors="replace"))
        if not connection.beside:
            self.replies += 1
            self.taken += reply.count(b'"taken"')
        if connection.left and not self.errors:
            self._go_on(number, connection)
        elif not connection.beside:
            self.busy -= 1


def _main() -> None:
    plan = json.load(sys.stdin)
    connections = [_Connection(plan["socket"], one) for one in plan["streams"]]
    generator = _Generator(connections)
    seconds = generator.run()
    latencies: dict[bool, list[float]] = {True: [], False: []}
    for connection in connections:
        latencies[connection.beside] += [taken / 1e6 for taken in connection.latencies]
    one = generator
    seen = Seen(seconds, one.replies, one.taken, latencies[False], latencies[True], one.errors)
    json.dump(seen._asdict(), sys.stdout)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        _main()
    except (BenchError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        os._exit(1)
