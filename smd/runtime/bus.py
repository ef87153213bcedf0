"""The bus: what happened, told to whoever watches.

Order: notices carry numbers that rise by one; every subscriber sees them in that order. Nothing is told before it is
durable. Buffering: each subscriber has a queue of its own, bounded. A slow subscriber never slows the daemon: when
its queue is full it is cut to the latest notice of each machine, told so by a `reset` notice, and the loss is counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from types import TracebackType
from typing import Any, NamedTuple

OWN = frozenset({"line", "reset"})
"""Kinds that only the daemon itself makes: watchers rely on what they hold."""


class Notice(NamedTuple):
    """One thing that happened. `at` is in seconds since the epoch."""

    n: int
    kind: str
    machine: str
    at: float
    data: dict[str, Any]


class Subscription:
    """One subscriber's queue; iterate over it, or `get`. Close it when done (it is a context manager).

    `lost` counts the notices it was too slow for.
    """

    def __init__(self, bus: Bus, kinds: frozenset[str] | None, size: int) -> None:
        self._bus = bus
        self.kinds = kinds
        self._size = size
        self._notices: deque[Notice] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.lost = 0
        self.closed = False

    def offer(self, notice: Notice) -> None:
        """Called by the bus."""
        if len(self._notices) >= self._size:
            self._cut(notice)
        self._notices.append(notice)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _cut(self, newest: Notice) -> None:
        latest = {notice.machine: notice for notice in self._notices}
        kept = sorted(latest.values())[-self._size // 2 :]
        self.lost += len(self._notices) - len(kept)
        reset = Notice(newest.n, "reset", "", newest.at, {"lost": self.lost})
        self._notices = deque([reset, *kept])

    async def get(self) -> Notice:
        """The next notice, in order.

        Raises:
            asyncio.CancelledError: the subscription was closed.
        """
        while not self._notices:
            if self.closed:
                raise asyncio.CancelledError
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._notices.popleft()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Notice:
        return await self.get()

    def close(self) -> None:
        """Receive no more."""
        self.closed = True
        self._bus.leave(self)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Bus:
    """See the module."""

    def __init__(self) -> None:
        self._n = 0
        self._subscriptions: list[Subscription] = []
        self.watched: frozenset[str] | None = frozenset()

    def subscribe(self, kinds: Collection[str] | None = None, *, size: int = 1000) -> Subscription:
        """Receive notices of these kinds (None: all) from now on, at most `size` waiting."""
        subscription = Subscription(self, None if kinds is None else frozenset(kinds), size)
        self._subscriptions.append(subscription)
        self._refresh()
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Drop a subscription; harmless when it is gone."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._refresh()

    def _refresh(self) -> None:
        kinds = [s.kinds for s in self._subscriptions]
        self.watched = None if None in kinds else frozenset().union(*(k for k in kinds if k is not None))

    def wants(self, kind: str) -> bool:
        """True if somebody watches this kind; spares making notices for nobody."""
        return self.watched is None or kind in self.watched

    def publish(self, kind: str, machine: str, at: float, data: dict[str, Any]) -> None:
        """Tell all who watch."""
        self._n += 1
        if not self.wants(kind):
            return
        notice = Notice(self._n, kind, machine, at, data)
        for subscription in tuple(self._subscriptions):
            if subscription.kinds is None or kind in subscription.kinds:
                subscription.offer(notice)
