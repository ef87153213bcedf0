"""How long a client may keep a connection without saying anything whole, and the one timer that looks at all of them.

A connection only notes when something happened. Whoever is late is found by a sweep over all connections, which comes
when the first of them may be late, and not at all while there are none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import NamedTuple, Protocol

_GAP = 1.0
"""Seconds between two sweeps at least: so much later than its deadline a connection may end."""


class Deadlines(NamedTuple):
    """Seconds a connection may last.

    Attributes:
        rest: without a request, from its beginning or from the last answer.
        silence: without a byte while a request has begun and is not whole.
        request: from the first byte of a request to its last.
    """

    rest: float = 75.0
    silence: float = 30.0
    request: float = 600.0


USUAL = Deadlines()


class Watched(Protocol):
    """A connection as the sweep sees it."""

    def due(self, deadlines: Deadlines) -> float:
        """When it is late if nothing happens; infinity if the client owes nothing."""

    def expire(self) -> None:
        """End it: it is late."""


class Sweep:
    """Ends connections that are late.

    Args:
        connections: those there are now; the sweep looks at it each time.
        deadlines: theirs.
        loop: whose clock and timer are used.
    """

    def __init__(self, connections: Collection[Watched], deadlines: Deadlines, loop: asyncio.AbstractEventLoop) -> None:
        self._connections = connections
        self._deadlines = deadlines
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """See to it that a sweep comes; called for each new connection."""
        if self._timer is None:
            self._timer = self._loop.call_later(min(self._deadlines), self._come)

    def end(self) -> None:
        """No more sweeps."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def run(self, now: float) -> float:
        """End those that are late at `now`, a time of the loop's clock.

        Returns:
            Seconds until the first of the others, or one that begins now, may be late.
        """
        left = min(self._deadlines)
        for connection in list(self._connections):
            due = connection.due(self._deadlines)
            if due <= now:
                connection.expire()
            else:
                left = min(left, max(due - now, _GAP))
        return left

    def _come(self) -> None:
        self._timer = None
        left = self.run(self._loop.time())
        if self._connections:
            self._timer = self._loop.call_later(left, self._come)
