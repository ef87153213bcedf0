"""Events: what a machine reacts to, wherever it comes from."""

from __future__ import annotations

from typing import Any, NamedTuple

Json = Any
"""A JSON value: dict, list, str, int, float, bool or None, all the way down. Treated as immutable."""

HIGH, NORMAL, LOW = 0, 1, 2
PRIORITIES = {"high": HIGH, "normal": NORMAL, "low": LOW}


class Hold(NamedTuple):
    """A job the machine holds. The lease itself is the daemon's.

    `auto` marks a job taken by `check_database_queue`, which is settled by the machine's next claim;
    `ok` turns false once an action has failed or was cancelled since; `region` is the part of a parallel
    state that claimed it (a state id). `handed` marks a job that a parent handed to this child.
    """

    job_id: str
    epoch: int
    auto: bool = False
    ok: bool = True
    region: str = ""
    handed: bool = False


class Outcome(NamedTuple):
    """The answer of one action, addressed by the action's whole key (`machine/life/entry/index`) and attempt.

    Attributes:
        event: the event type it answers with; None when the action says nothing.
        patch: changes of the context, in order (see `context.Change`).
        empty: nothing was there (no job, no event); may wait instead of answering.
        hold: a job this answer hands to the machine.
        settled: ids of jobs that are no longer held after it.
        taken: the external event that `check_events` received, which the sequence goes on with.
        error: what went wrong, for `last_error` and the error history.
    """

    key: str
    attempt: int = 1
    ok: bool = True
    event: str | None = None
    patch: tuple[tuple[Any, ...], ...] = ()
    empty: bool = False
    hold: Hold | None = None
    settled: tuple[str, ...] = ()
    taken: Event | None = None
    error: str | None = None


class Event(NamedTuple):
    """One event. `type` is its name on the wire, in guards and in the journal.

    Attributes:
        id: the sender's id, by which repeats are found; empty when the sender gave none.
        source: who sent it: a machine's name, `cli`, `timer`, `action`, `supervisor` ...
        sent_at: seconds since the epoch; 0 when unknown.
        timer: id of the timer that fired, else empty.
        outcome: the action's answer this event stands for, else None.
        owner: of a deferred time-out, the state that armed it: only there transitions are searched; else empty.
        led: of a deferred time-out, the external event that led into the owner, if nothing else of the state keeps it.
    """

    type: str
    payload: Json = None
    id: str = ""
    source: str = ""
    priority: int = NORMAL
    job_id: str | None = None
    sent_at: float = 0.0
    origin_layer: str | None = None
    timer: str = ""
    outcome: Outcome | None = None
    owner: str = ""
    led: Event | None = None
