"""Notes in the store that the daemon is up, so that the next start knows since when it was not."""

from __future__ import annotations

import structlog

from smd.errors import StoreError
from smd.runtime.clock import Clock, Handle
from smd.store.base import Store

_log = structlog.get_logger("smd.uptime")

EVERY = 5.0
"""Seconds between notes: by so much at most a timer that holds while the daemon is down is late after `kill -9`."""


class Uptime:
    """A note every few seconds, and one at the end. A note that fails is reported once and harms nothing else."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._handle: Handle | None = None
        self._failing = False

    def begin(self) -> None:
        """Note from now on. The first note is some seconds off: machines may still be busy with the former one."""
        self._handle = self._clock.call_at(self._clock.now() + EVERY, self._again)

    def end(self) -> None:
        """The last note, unless none was begun: timers have stopped."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self._note()

    def _again(self) -> None:
        self._note()
        self.begin()

    def _note(self) -> None:
        try:
            self._store.note_up(self._clock.now())
            self._failing = False
        except StoreError as error:
            if not self._failing:
                _log.warning("timers may be late after the next start", why=error.message)
            self._failing = True
