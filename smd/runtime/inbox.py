"""A machine's inbox in memory: by priority, then arrival; bounded at the door in number and size.

High priority overtakes, but one turn in 16 serves the others first, so that nothing starves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import structlog

from smd.runtime.control import OUTCOME, is_control
from smd.statechart.event import HIGH, LOW, NORMAL, Event, Outcome

_log = structlog.get_logger("smd.machine")

LIMIT = 1_000
FAIR_TURN = 16
EVENT_BYTES = 40 << 10
"""What counts as one event: a group of 200 events then holds about 8 MiB at most."""

Reply = Callable[[Any], None]
"""Called on the loop with an Answer, or with the SmdError that kept the event out."""


Posting = tuple[str, Event, Reply]
"""The name of a machine, an event for it, and who hears what became of it."""


class Item(NamedTuple):
    """An event in the inbox. `seq` is set if it is a pending row of the store; `client` marks a sender's own id.

    `weight` is how many events it counts for; `measured`: see `smd.runtime.measured`.
    """

    event: Event
    seq: int | None = None
    reply: Reply | None = None
    client: bool = False
    weight: int = 1
    measured: bool = False


def outcome_item(outcome: Outcome) -> Item:
    """An action's answer as an event."""
    return Item(Event(outcome.event or OUTCOME, {}, source="action", outcome=outcome))


def is_newcomer(item: Item) -> bool:
    """It comes from outside and takes its place behind what waits in the store, being neither urgent nor our own."""
    event = item.event
    return item.seq is None and event.priority > HIGH and event.outcome is None and not event.timer


def weight_of(size: int) -> int:
    """For how many events one counts whose payload takes `size` bytes."""
    return 1 + size // EVENT_BYTES


class Inbox:
    """See the module. `overflow` is true while rows of the store wait behind what is in memory.

    `weight` is the sum of the items' weights.
    """

    __slots__ = ("_high", "_low", "_normal", "_turns", "overflow", "weight")

    def __init__(self) -> None:
        # Lists, for most inboxes are taken whole, and an empty deque is ten times as large.
        self._high: list[Item] | None = None
        self._normal: list[Item] = []
        self._low: list[Item] | None = None
        self._turns = 0
        self.overflow = False
        self.weight = 0

    def __len__(self) -> int:
        waiting = len(self._normal)
        if self._high:
            waiting += len(self._high)
        if self._low:
            waiting += len(self._low)
        return waiting

    def put(self, item: Item) -> None:
        """Append by priority."""
        self.weight += item.weight
        self._queue(item.event.priority).append(item)

    def put_all(self, items: Iterable[Item]) -> None:
        """Append each by its priority, in their order."""
        normal = self._normal
        for item in items:
            self.weight += item.weight
            (normal if item.event.priority == NORMAL else self._queue(item.event.priority)).append(item)

    def put_back(self, items: list[Item]) -> None:
        """Return what was taken and not consumed, in its old order, ahead of what came since."""
        for item in reversed(items):
            self.weight += item.weight
            self._queue(item.event.priority).insert(0, item)

    def _queue(self, priority: int) -> list[Item]:
        if priority == NORMAL:
            return self._normal
        if priority <= HIGH:
            if self._high is None:
                self._high = []
            return self._high
        if self._low is None:
            self._low = []
        return self._low

    def take(self, most: int) -> list[Item]:
        """Items worth about `most` events, in the order in which they are to be consumed."""
        if self._high or self._low:
            taken = self._take_by_priority(most)
        elif self.weight <= most:
            taken, self._normal, self.weight = self._normal, [], 0
            return taken
        else:
            count = most if self.weight == len(self._normal) else self._count_by_weight(most)
            taken = self._normal[:count]
            del self._normal[:count]
        self.weight -= sum([item.weight for item in taken])
        return taken

    def _count_by_weight(self, most: int) -> int:
        for count, item in enumerate(self._normal):
            if most <= 0:
                return count
            most -= item.weight
        return len(self._normal)

    def _take_by_priority(self, most: int) -> list[Item]:
        taken: list[Item] = []
        while most > 0:
            self._turns += 1
            order = (HIGH, NORMAL, LOW) if self._turns % FAIR_TURN else (NORMAL, LOW, HIGH)
            queue = next((q for q in map(self._queue, order) if q), None)
            if queue is None:
                break
            taken.append(queue.pop(0))
            most -= taken[-1].weight
        return taken

    def seqs(self) -> set[int]:
        """Journal numbers of the pending rows that are already here."""
        queues = (self._normal, self._high or (), self._low or ())
        return {item.seq for queue in queues for item in queue if item.seq is not None}

    def drop_rows(self) -> None:
        """Forget what is also a row of the store; it will be read again."""
        self._take_if(lambda item: item.seq is not None)

    def drop_timers(self) -> None:
        """Forget events of timers."""
        self._take_if(lambda item: item.event.timer != "")

    def drop_pending(self) -> None:
        """Forget rows of the store but for control events: they are read again when the machine runs."""
        self._take_if(lambda item: item.seq is not None and not is_control(item.event))

    def take_newcomers(self) -> list[Item]:
        """See `is_newcomer`."""
        return self._take_if(is_newcomer)

    def _take_if(self, chosen: Callable[[Item], bool]) -> list[Item]:
        items = self.take(self.weight)
        self.put_all(item for item in items if not chosen(item))
        return [item for item in items if chosen(item)]


def tell(item: Item, answer: Any) -> None:
    """Reply to one sender; a sender that is broken does not keep the others from hearing."""
    try:
        if item.reply is not None:
            item.reply(answer)
    except Exception:  # noqa: BLE001 - a sender's callback is not ours
        _log.exception("cannot reply", event_type=item.event.type)
