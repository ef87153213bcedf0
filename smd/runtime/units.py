"""Small units for what is not a machine's turn."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

Recipe = Generator[Any, Any, Any]


class Once:
    """A unit made of one recipe; `make` is called anew for each run."""

    def __init__(self, make: Callable[[], Recipe], events: int = 1) -> None:
        self._make = make
        self._events = events

    def begin(self, room: int) -> int:
        """It always takes part."""
        return min(self._events, max(room, 1))

    def run(self) -> Recipe:
        """See `smd.store.base.Unit`."""
        return self._make()


def ask_one(operation: Any) -> Once:
    """A unit of one operation, whose answer is the result."""

    def recipe() -> Recipe:
        return (yield operation)

    return Once(recipe)
