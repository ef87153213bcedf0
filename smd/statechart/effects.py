"""What a step asks the world to do, and what it says of itself. Values only; the runtime acts after the commit.

Working actions and timers have no effect of their own: which run and when they fire is read off the snapshot, so
that a restart does the same as the step did.
"""

from __future__ import annotations

from typing import NamedTuple

from smd.statechart.event import NORMAL, Json

TAKEN = "taken"
IGNORED = "ignored"
DEFERRED = "deferred"
FAILED = "failed"
STALE = "stale"
QUEUED = "queued"
DUPLICATE = "duplicate"
CONTROL = "control"


class Send(NamedTuple):
    """An event for other machines: `targets` are names; `("all",)` is every other machine.

    `id` is unique and stable, so that a repeated step does not send twice.
    """

    targets: tuple[str, ...]
    type: str
    payload: Json
    id: str
    priority: int = NORMAL
    job_id: str | None = None


class Log(NamedTuple):
    """A line for the machine's log."""

    level: str
    message: str
    state: str


class Warn(NamedTuple):
    """Something the operator should know: a failed guard, an unhandled failure. `code` is stable.

    `why` is a guard's failure alone, without the words that say where and what it is.
    """

    code: str
    message: str
    state: str = ""
    why: str = ""


class Settle(NamedTuple):
    """A held job that ends with this step: `status` is completed, failed or available (released)."""

    job_id: str
    epoch: int
    status: str
    error: str | None


Effect = Send | Log | Warn | Settle


class Taken(NamedTuple):
    """One microstep: the event type that caused it, the states left and entered (ids, in order)."""

    event: str
    sources: tuple[str, ...]
    exited: tuple[str, ...]
    entered: tuple[str, ...]
