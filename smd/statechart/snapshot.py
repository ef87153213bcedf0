"""The whole state of one machine, as an immutable value, and its JSON form.

`version` counts the events the machine has consumed in all its lives; it equals the `consumed_no` of its last
journal row. Everything a restart needs is in here: what runs, what waits, what is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from smd.statechart.event import Event, Hold

if TYPE_CHECKING:
    from smd.statechart.configuration import Configuration

RUNNING, FINISHING, FINISHED = "running", "finishing", "finished"

NO_LOOP: tuple[tuple[str, ...], int] = ((), 0)
"""`Snapshot.loop` of a machine that just met something new."""
NOTHING_COVERED: dict[str, Any] = {}
"""`Snapshot.covered` of a machine whose own context shows whole. Never changed."""

READY = "ready"
"""The next action is due (at `next_at`, when that is later)."""
ASKING = "asking"
"""A store action is open; its answer belongs to the same transaction."""
WAITING = "waiting"
"""The store had nothing; asked again when what it watches changes."""
WORKING = "working"
"""A working action is open, or starts as soon as its predecessor's process tree is gone."""
SLEEPING = "sleeping"
"""A timer of the snapshot continues it (sleep, retry, pace)."""
ENDED = "ended"
"""All actions are done; kept while the state is active."""
ARMED = "armed"
"""A `wait_for_jobs` that let its sequence go on and still watches."""


class Timer(NamedTuple):
    """A deadline. Fires as an event with this `id` in `Event.timer`.

    Attributes:
        kind: `after` (the chart's), `sequence` (sleep, retry, pace, time-out), `wait` (time-out of wait_for_jobs),
            `send` (a delayed send).
        due: seconds since the epoch.
        state: owner; leaving it cancels the timer. Empty for `send`.
        event: the event type that fires.
        data: for `send`: the Send as a list; for `sequence`: entry of its record; for `wait`: index of the action;
            for `after`: the external event that led into the state, unless its sequence or another timer keeps it.
    """

    id: str
    kind: str
    due: float
    state: str
    event: str
    seconds: float
    data: Any = None


class Sequence(NamedTuple):
    """The durable program counter of one state's actions.

    Attributes:
        entry: number of this state entry (or of this pass of repeatable actions), part of the action key.
        index: the action it stands at; `attempt` counts from 1.
        phase: one of the words above.
        event: the external event that led into the state, be it by way of timers and answers of actions; None once
            all actions are done and no timer or deferred time-out of the state needs it.
        failed: an action failed and no transition took its error.
        head: order of the transition whose lasting actions come first, -1 for none.
        passes: how often repeatable actions have gone round, for their pace.
        direct: `event` led here itself, not by way of an action's answer.
    """

    state: str
    entry: int
    index: int = 0  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    attempt: int = 1
    phase: str = READY
    event: Event | None = None
    failed: bool = False
    head: int = -1
    passes: int = 0
    direct: bool = False

    def moved(self, index: int, phase: str) -> Sequence:
        """The record at another action or in another phase, at its first attempt."""
        state, entry, _, _, _, event, failed, head, passes, direct = self
        return Sequence(state, entry, index, 1, phase, event, failed, head, passes, direct)


class Snapshot(NamedTuple):
    """See the module.

    Attributes:
        loop: states whose sequences ran since the last stimulus, and the number of paced turns.
        covered: the context's own values of keys where the data of the job in hand stand; the next claim puts them
            back. In the JSON form only when there are any.
    """

    machine: str
    life: int
    version: int
    chart: str
    configuration: Configuration
    context: dict[str, Any]
    history: dict[str, tuple[str, ...]]
    timers: tuple[Timer, ...]
    sequences: tuple[Sequence, ...]
    held: tuple[Hold, ...]
    deferred: tuple[Event, ...]
    entry: int
    status: str
    loop: tuple[tuple[str, ...], int]
    covered: dict[str, Any] = NOTHING_COVERED
