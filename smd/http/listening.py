"""A listening socket that stays calm when descriptors run out.

asyncio's own server goes on after a failed `accept`, once for each place of its backlog, and each try makes a timer of
its own that tries as often again: within a minute a full process does nothing else.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import select
import socket
from collections.abc import Callable

import structlog

_log = structlog.get_logger("smd.http")

RETRY = 1.0
"""Seconds between two tries to accept while descriptors or memory are short."""
EVERY = 60.0
"""Seconds that must lie between two lines that a shortage has begun."""
_AT_ONCE = 512
"""Clients taken in one turn of the event loop at most; with few, those who come in a crowd find the queue full."""
_HINT = "raise the limit of open files (LimitNOFILE= of the unit, or ulimit -n), or end clients that rest"


class Listener:
    """Takes clients until it is closed.

    A client that cannot be taken waits in the kernel's queue: nothing is tried for `retry` seconds, and then once. The
    log has one line while that lasts and one when it is over.

    Args:
        sock: a bound stream socket; it is closed with the listener.
        factory: makes the protocol of a connection.
        backlog: clients that may wait in the kernel's queue.
        retry: seconds of rest after a failed try.
    """

    def __init__(
        self, sock: socket.socket, factory: Callable[[], asyncio.BaseProtocol], *, backlog: int, retry: float = RETRY
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._factory = factory
        self._retry = retry
        self._rest: asyncio.TimerHandle | None = None
        self._entering: set[asyncio.Task[object]] = set()
        self._shortage = _Shortage(self._loop.time)
        sock.setblocking(False)
        sock.listen(backlog)
        self._watch()

    def close(self) -> None:
        """Take no more. May be called twice."""
        if self._rest is not None:
            self._rest.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()

    async def entered(self) -> None:
        """Wait until those that were taken are connections."""
        if self._entering:
            await asyncio.wait(self._entering)

    def _watch(self) -> None:
        self._rest = None
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        taken = 0
        while taken < _AT_ONCE:
            try:
                client, _ = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                break
            except OSError as error:
                if not self._someone_waits():
                    break  # the kernel looks for a descriptor first, even if it is for nobody
                self._put_off(error)
                return
            self._enter(client)
            taken += 1
        if self._shortage.lasts and taken and not self._someone_waits():
            self._shortage.over()

    def _put_off(self, error: OSError) -> None:
        self._loop.remove_reader(self._sock)
        self._rest = self._loop.call_later(self._retry, self._watch)
        self._shortage.seen(error)

    def _enter(self, client: socket.socket) -> None:
        task: asyncio.Task[object] = self._loop.create_task(self._loop.connect_accepted_socket(self._factory, client))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    def _someone_waits(self) -> bool:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))


class _Shortage:
    """Tells the log of a shortage once, however often it is seen, and of its end.

    One that comes and goes is told of at most every `EVERY` seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = 0.0
        self._told_at = -math.inf
        self._told = False
        self.lasts = False

    def seen(self, error: OSError) -> None:
        now = self._clock()
        if not self.lasts:
            self.lasts, self._since = True, now
        if self._told or now < self._told_at + EVERY:
            return
        self._told, self._told_at = True, now
        hint = {"hint": _HINT} if error.errno == errno.EMFILE else {}
        _log.error("cannot accept connections", why=os.strerror(error.errno or 0), **hint)

    def over(self) -> None:
        if self._told:
            _log.info("accepts connections again", after_seconds=round(self._clock() - self._since, 1))
        self.lasts = self._told = False
