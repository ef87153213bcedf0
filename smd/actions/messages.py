"""Actions on events that wait for a machine."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

from smd.actions.base import Call
from smd.errors import ActionError
from smd.statechart.event import Event, Outcome
from smd.store.base import ClearPending, FindPending

Asking = Generator[Any, Any, Outcome]


class Consume(NamedTuple):
    """Take a pending row of the asking machine out of the queue, as part of this unit's record.

    Answered by the runtime, not by the store: True, or False when a batch already under way has the event.
    """

    seq: int
    event: Event


def check_events(call: Call) -> Asking:
    """Go on with the oldest waiting event of the given types; empty when there is none.

    Of another machine (`target_machine`) it only looks: that event stays where it is.
    """
    target = call.params.get("target_machine") or call.machine
    found: tuple[int, Event] | None = yield FindPending(target, event_types(call))
    if found is None:
        return call.done(call.action.events.get("empty"), empty=True)
    if target != call.machine:
        return call.done()
    seq, event = found
    if not (yield Consume(seq, event)):
        return call.done(call.action.events.get("empty"), empty=True)
    return call.done(taken=event)


def clear_events(call: Call) -> Asking:
    """Discard waiting events of the given types."""
    target = call.params.get("target_machine") or call.machine
    cleared = yield ClearPending(target, event_types(call), call.now)
    return call.done() if cleared else call.done(call.action.events.get("empty"))


def event_types(call: Call) -> tuple[str, ...]:
    """The parameter `event_types`: a text or a list of texts.

    Raises:
        ActionError: anything else.
    """
    given: Any = call.params.get("event_types")
    types = [given] if isinstance(given, str) else given
    if not isinstance(types, list) or not types or not all(isinstance(each, str) and each for each in types):
        raise ActionError(
            f"cannot run {call.action.type}: event_types must be an event type or a list, not {given!r:.80}"
        )
    return tuple(types)
