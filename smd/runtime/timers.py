"""One alarm for all machines: the earliest deadline of each, in a heap, behind a single call of the clock.

Promises P5 together with the snapshot, which holds the deadlines: this only remembers when to look.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import structlog

from smd.runtime.clock import Clock, Handle

_log = structlog.get_logger("smd.timers")


class Timers:
    """Calls `fire(machine)` once its deadline has come. Setting a new deadline replaces the old one.

    Deadlines that have come at the same time fire within one `together()`. A `fire` that raises is logged, and keeps no
    other machine's deadline from being met.
    """

    def __init__(
        self,
        clock: Clock,
        fire: Callable[[str], None],
        together: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._clock = clock
        self._fire = fire
        self._together = together
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._handle: Handle | None = None
        self._at = float("inf")

    def set(self, machine: str, due: float | None) -> None:
        """Arm, move, or (None) disarm a machine's deadline."""
        if due is None:
            self._due.pop(machine, None)
            return
        if self._due.get(machine) == due:
            return
        self._due[machine] = due
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(at, name) for name, at in self._due.items()]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (due, machine))
        if due < self._at:
            self._arm()

    def __len__(self) -> int:
        return len(self._due)

    def close(self) -> None:
        """Fire no more."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self._due, self._heap, self._at = None, {}, [], float("inf")

    def _arm(self) -> None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._at = self._heap[0][0] if self._heap else float("inf")
        if self._heap:
            self._handle = self._clock.call_at(self._at, self._ring)

    def _ring(self) -> None:
        self._handle = None
        try:
            with self._together():
                self._fire_due(self._clock.now())
        finally:
            self._arm()

    def _fire_due(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            due, machine = heapq.heappop(self._heap)
            if self._due.get(machine) == due:
                del self._due[machine]
                try:
                    self._fire(machine)
                except Exception:  # noqa: BLE001 - one machine's trouble is not the others'
                    _log.exception("cannot fire a timer", machine=machine)
