"""Time as an argument: the system's clock, and one that tests move by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol


class Handle(Protocol):
    """A call that was arranged."""

    def cancel(self) -> None:
        """Forget it; harmless when it has happened."""


class Clock(Protocol):
    """Wall-clock time in seconds since the epoch; never runs backwards."""

    def now(self) -> float:
        """The time."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        """Call back on the event loop once `now() >= when`, or earlier: the caller looks at the time again."""
        ...


LOOK_AGAIN = 30.0
"""Seconds after which a call that is further off is looked at again, in case the clock was set."""


class SystemClock:
    """The machine's clock, made monotonic: set forward it follows, set back it goes on at its own pace."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """The time."""
        ahead = time.time() - time.monotonic()
        self._offset = max(self._offset, ahead)
        return time.monotonic() + self._offset

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        """See `Clock.call_at`; it may call earlier, and be asked again then."""
        return asyncio.get_running_loop().call_later(min(max(0.0, when - self.now()), LOOK_AGAIN), callback)


class _Due:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """Stands still until `advance`; then everything due is called, in order of time."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self._heap: list[tuple[float, int, _Due]] = []
        self._count = itertools.count()

    def now(self) -> float:
        """The time."""
        return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        """See `Clock.call_at`."""
        due = _Due(callback)
        heapq.heappush(self._heap, (when, next(self._count), due))
        if when <= self._now:
            asyncio.get_running_loop().call_soon(self.advance, 0.0)
        return due

    def advance(self, seconds: float) -> None:
        """Move time forward and call what became due."""
        self._now += seconds
        while self._heap and self._heap[0][0] <= self._now:
            _, _, due = heapq.heappop(self._heap)
            if due.callback is not None:
                due.callback()
