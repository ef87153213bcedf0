"""What an action family is given and what it answers.

A *working* action is a coroutine `perform(call) -> Outcome`; cancelling it must end everything it started before
it returns. A *store* action is a generator `ask(call)` that yields store operations, receives their answers within
the same transaction, and returns an Outcome. Neither touches a snapshot: an Outcome carries its changes as a patch.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, Protocol

from smd.errors import ActionError, brief, storable
from smd.statechart.event import Event, Hold, Outcome
from smd.statechart.model import Action, Statechart
from smd.statechart.template import MISSING

Lookup = Callable[[tuple[str, ...]], Any]
"""Dotted path (as a tuple) to value, or MISSING."""

Log = Callable[[str, str], None]
"""(level, message)"""


class Call:
    """One run of one action.

    Attributes:
        key: the action key, `machine/life/entry/index`; the same for every attempt and after every restart.
        full_key: `store id/key`, unique in the world: the idempotency key, and the mark on child processes.
        attempt: counts from 1.
        action: the action as the chart has it; `params` are its rendered parameters.
        context: the machine's context when the action started. Not to be changed; `own_context` copies it.
        event: the external event that led into the state.
        lookup: what templates see.
        held: jobs the machine holds.
        region: the part of a parallel state this action belongs to, as in `Hold.region`; None when not known.
        fault: answers with the event that tells of an argument that cannot be used.
        chart: the chart; None when not known.
        flat: the chart has the predecessor's form, whose rules are laxer in places.
        now: seconds since the epoch when the call was made.
        work_folder: where relative paths begin.
        log: writes to the machine's log.
        output: called with (stream name, bytes) as output arrives, for the full log.
    """

    __slots__ = ("action", "attempt", "chart", "context", "event", "fault", "flat", "full_key", "held", "key", "life",
                 "log", "lookup", "machine", "now", "output", "params", "region", "state", "work_folder")  # fmt: skip

    def __init__(
        self, *, machine: str, life: int, state: str, key: str, full_key: str, attempt: int, action: Action,
        params: dict[str, Any], context: dict[str, Any], event: Event | None, lookup: Lookup, held: tuple[Hold, ...],
        now: float, work_folder: Path, log: Log, output: Callable[[str, bytes], None], region: str | None = None,
        flat: bool = False, fault: Callable[[], str | None] = lambda: "error", chart: Statechart | None = None,
    ) -> None:  # fmt: skip
        self.machine = machine
        self.life = life
        self.state = state
        self.key = key
        self.full_key = full_key
        self.attempt = attempt
        self.action = action
        self.params = params
        self.context = context
        self.event = event
        self.lookup = lookup
        self.held = held
        self.now = now
        self.work_folder = work_folder
        self.log = log
        self.output = output
        self.region = region
        self.flat = flat
        self.fault = fault
        self.chart = chart

    def own_context(self) -> dict[str, Any]:
        """A deep copy of the context, free to change."""
        return copy.deepcopy(self.context)

    def done(self, event: str | None = "", *, patch: tuple[tuple[Any, ...], ...] = (), **more: Any) -> Outcome:
        """Success, answering `event`, by default what the chart names for `success`. `more`: Outcome fields."""
        name = self.action.events.get("success") if event == "" else event
        return Outcome(self.key, self.attempt, True, name, patch, **more)

    def failed(
        self,
        error: str,
        event: str | None = "",
        *,
        patch: tuple[tuple[Any, ...], ...] = (),
        exit_code: int | None = None,
    ) -> Outcome:
        """Failure: sets `last_error` and its kin in the context, answers `event`, by default the chart's `error`.

        Of a long error its head and tail are kept; the log has it whole.
        """
        error = kept(error, self.log)
        name = self.action.events.get("error", "error") if event == "" else event
        told: list[tuple[Any, ...]] = [
            ("set", ("last_error",), error),
            ("set", ("last_error_action",), self.action.type),
        ]
        if exit_code is not None:
            told.append(("set", ("last_error_exit_code",), exit_code))
        return Outcome(self.key, self.attempt, False, name, (*told, *patch), error=error)

    def text(self, name: str) -> str:
        """A text parameter.

        Raises:
            ActionError: absent, or not text once rendered.
        """
        value = self.params.get(name)
        if not isinstance(value, str) or not value:
            raise ActionError(f"cannot run {self.action.type}: {name} must be a text, not {value!r:.80}")
        return value


def kept(error: str, log: Log) -> str:
    """An error's words as an outcome may hold them (see `errors.brief`); what that leaves out is in the log."""
    whole = storable(error)
    words = brief(whole)
    if words != whole:
        try:
            log("error", whole)
        except Exception as broken:  # noqa: BLE001 - told with the failure that could not be logged
            return brief(f"{whole} (and the log cannot be written: {type(broken).__name__})")
    return words


class Perform(Protocol):
    """A working action."""

    def __call__(self, call: Call, /) -> Awaitable[Outcome]:
        """Do it. Cancelled, everything it started ends before it raises."""
        ...


class Ask(Protocol):
    """A store action."""

    def __call__(self, call: Call, /) -> Generator[Any, Any, Outcome]:
        """Yield store operations, receive their answers, return the outcome."""
        ...


__all__ = ["MISSING", "Ask", "Call", "Log", "Lookup", "Perform", "kept"]
