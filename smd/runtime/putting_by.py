"""Events that a machine cannot consume now: put by as rows of the store, in their order, and answered so.

One that does not run consumes them when it does. One that is busy keeps some in its snapshot (`sizes.room_to_wait`);
the others are rows until there is room. Those that a transition takes at once pass them by.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from smd.errors import SmdError
from smd.runtime.answers import Answer, nearest_events
from smd.runtime.inbox import Item
from smd.runtime.sizes import WAITING_LIMIT, room_to_wait
from smd.statechart.effects import DUPLICATE, QUEUED
from smd.statechart.event import Event
from smd.store.base import Enqueue

if TYPE_CHECKING:
    from smd.runtime.result import Result
    from smd.runtime.turn import Turn

Recipe = Generator[Any, Any, Any]


def duplicate(machine: str, event: Event, known: dict[str, Any] | None) -> Answer:
    """What the sender of an event hears that was consumed or put by before."""
    known = known or {}
    words = f"the event was already {known.get('disposition', 'consumed')}"
    if known.get("reason"):
        words += f": {known['reason']}"
    return Answer(
        machine, event.type, known.get("seq", 0), DUPLICATE, tuple(known.get("states", ())),
        tuple(known.get("before", ())), words, "duplicate",
    )  # fmt: skip


def crowded(turn: Turn, item: Item) -> bool:
    """May this event not be deferred? The snapshot has no room, or older ones wait in the store.

    There is always room for a time-out: it takes the place of its timer.
    """
    result = turn.result
    if item.event.timer or result.snapshot is None:
        return False
    if result.left or (turn.late and item.seq not in turn.loaded):
        return True
    return room_to_wait(result.snapshot.deferred) == 0


def must_wait(turn: Turn, *, was_up: bool) -> bool:
    """Must a newcomer wait for rows of the store? They come first once the machine runs, and once it has room again."""
    result = turn.result
    if result.later:
        return True
    if not was_up:
        return result.status == "running"
    return result.snapshot is None or room_to_wait(result.snapshot.deferred) >= WAITING_LIMIT // 2


def put_by(turn: Turn, item: Item) -> Recipe:
    """Keep the event as a row of the store; one that is a row already stays one."""
    result, event = turn.result, item.event
    running = result.status == "running"
    result.left = result.left or running
    if item.seq is not None:
        return
    name = turn.machine.name
    try:
        seq, known = yield Enqueue(name, event, turn.now, item.client)
    except SmdError as error:
        result.told.append((item, error))
        return
    if known is not None:
        result.told.append((item, duplicate(name, event, known)))
        return
    states = result.snapshot.configuration.leaf_ids if result.snapshot else ()
    code, reason = _busy(result) if running else _at_rest(result)
    hint = ""
    if not result.chart.mentions(event.type):
        hint = f"its chart knows no '{event.type}', {nearest_events(result.chart, event.type)}"
    result.told.append((item, Answer(name, event.type, seq, QUEUED, states, states, reason, code, hint)))
    result.enqueued = True


def _busy(result: Result) -> tuple[str, str]:
    why = f"'{result.label}' is busy and as many events as may wait for its action already"
    return "busy", f"{why}; it is consumed when there is room"


def _at_rest(result: Result) -> tuple[str, str]:
    word = {"paused": "it is consumed on resume"}.get(result.status, "it is consumed at start")
    code = "paused" if result.status == "paused" else "not_running"
    return code, f"the machine is {result.status}; {word}"
