"""Actions on events that wait for a machine."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from smd.actions.base import Call
from smd.errors import ActionError
from smd.statechart.event import Outcome
from smd.store.base import ClearPending, FindPending

Asking = Generator[Any, Any, Outcome]


def check_events(call: Call) -> Asking:
    """Wait for an event of the given types.

    Events of the machine itself come through its inbox, and are handed over there; another machine's
    (`target_machine`) are only looked at: the event stays where it is.
    """
    target, types = call.params.get("target_machine") or call.machine, event_types(call)
    nothing = call.done(call.action.events.get("empty"), empty=True)
    if target == call.machine:
        return nothing
    found = yield FindPending(target, types)
    return nothing if found is None else call.done()


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
