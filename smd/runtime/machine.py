"""One hosted machine: an inbox, a snapshot, and what follows from a commit.

There is no task per machine. `post` puts an event in the inbox and, if none is under way, submits a `Turn` to the
store; its commit calls back, replies go out, working actions and timers are brought in line with the new snapshot,
and if the inbox is not empty the next turn is submitted. An idle machine is a few small objects (P7).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from smd.errors import BusyError
from smd.jobs import Job
from smd.runtime import control, mishaps
from smd.runtime.answers import Answer
from smd.runtime.inbox import LIMIT, Inbox, Item, Reply, tell
from smd.runtime.result import Result
from smd.runtime.sizes import WAITING_LIMIT, room_to_wait
from smd.runtime.turn import Turn
from smd.statechart.event import Event
from smd.statechart.model import Statechart
from smd.statechart.snapshot import ARMED, ASKING, READY, SLEEPING, WAITING, WORKING, Snapshot
from smd.statechart.step import Step
from smd.store.base import MachineRow

if TYPE_CHECKING:
    from smd.runtime.supervisor import Supervisor
    from smd.runtime.working import Running

_log = structlog.get_logger("smd.machine")


class Machine:
    """See the module.

    Attributes:
        snapshot, status, life, version, health, error: as of the last commit.
        running: working actions whose outcome has not been consumed, by (key, attempt).
        wake: something that a waiting action watches may have changed.
        woken: jobs for which it was woken.
        queue_mark: the queue's change counter when the store was last asked; -1 if it must look again.
        behind: newcomers that wait until rows of the store have been read, so as not to overtake them.
        missed: rows of the store may wait that nobody has looked at, one of them urgent perhaps.
        loaded: numbers of the rows read last, if others wait behind them: what else comes in is younger than those.
        firing: ids of timers whose event was posted and is not consumed yet.
        troubles: times in a row that its row was not where it was thought.
        next_chart: what a new life begins with, if that is not the chart of this one.
        lost: why it could not be restored from the store, if so.
    """

    __slots__ = ("behind", "chart", "ending", "error", "firing", "health", "inbox", "last_event", "life", "linked",
                 "loaded", "loading", "lost", "measured", "missed", "name", "next_chart", "origin", "parent",
                 "parked", "queue_mark", "restarts", "running", "settled_waiters", "since", "snapshot", "status",
                 "submitted", "supervisor", "troubles", "turn", "version", "wake", "woken", "work_folder")  # fmt: skip

    def __init__(self, supervisor: Supervisor, row: MachineRow, chart: Statechart, snapshot: Snapshot | None) -> None:
        self.supervisor = supervisor
        self.name = row.name
        self.chart = chart
        self.next_chart: Statechart | None = None
        self.lost = ""
        self.snapshot = snapshot
        self.status = row.status
        self.life = row.life
        self.version = row.version
        self.health = row.health
        self.error = row.error
        self.parent = row.parent
        self.linked = row.linked
        self.origin = row.origin
        self.restarts = row.restarts
        self.since = row.since
        self.last_event = row.last_event
        self.work_folder = Path(row.work_folder) if row.work_folder else supervisor.work_folder
        self.inbox = Inbox()
        self.parked: list[Item] = []
        self.running: dict[tuple[str, int], Running] = {}
        self.ending: set[asyncio.Task[Any]] = set()
        self.settled_waiters: list[asyncio.Future[None]] = []
        self.wake = False
        self.woken: tuple[Job, ...] = ()
        self.submitted = False
        self.loading = False
        self.queue_mark = 0
        self.troubles = 0
        self.behind: list[Item] = []
        self.missed = False
        self.loaded: frozenset[int] = frozenset()
        self.measured: tuple[tuple[Event, ...], bool] = ((), False)
        self.firing: frozenset[str] = frozenset()
        self.turn: Turn | None = None

    # --- in -----------------------------------------------------------------------------------------------------

    def post(
        self, event: Event, reply: Reply | None = None, *, client: bool = False, limit: int = LIMIT, weight: int = 1
    ) -> None:
        """Put an event in the inbox; `reply` hears what became of it once that is durable.

        Raises:
            BusyError: the inbox is full (only for events with a sender that can wait).
        """
        if reply is not None and self.room(limit) <= 0:
            raise BusyError(
                f"cannot take '{event.type}': {len(self.inbox)} events wait for '{self.name}'",
                hint="send it again later",
            )
        item = Item(event, None, reply, client and bool(event.id), weight)
        if reply is not None:
            self.post_all((item,))
        else:
            self.inbox.put(item)
            self.ready()

    def post_all(self, items: Sequence[Item]) -> None:
        """Put events of senders in the inbox, in their order; there must be room for them."""
        if self.supervisor.closing:
            for item in items:
                tell(item, BusyError(f"cannot take '{item.event.type}': the daemon is stopping", hint="send it again"))
            return
        if self.held_back():
            self.behind.extend(item for item in items if item.event.priority)
            items = [item for item in items if not item.event.priority]
            if not (self.loading or self.submitted):
                self.go_on()
        if items:
            self.inbox.put_all(items)
            self.ready()

    def room(self, limit: int = LIMIT) -> int:
        """For how many more events there is room."""
        behind = sum([item.weight for item in self.behind]) if self.behind else 0
        return limit - self.inbox.weight - behind

    def held_back(self) -> bool:
        """Rows of the store must be read before newcomers come in; while they have no room these pass them by."""
        return self.loading or (self.inbox.overflow and self.status == "running" and not self.full())

    def full(self) -> bool:
        """So many events wait for its action that no rows of the store are read: not before half of them are gone."""
        deferred = self.snapshot.deferred if self.snapshot is not None else ()
        if self.measured[0] is not deferred:
            self.measured = (deferred, room_to_wait(deferred) < WAITING_LIMIT // 2)
        return self.measured[1]

    def deliver(self, seq: int, event: Event, reply: Reply | None = None) -> None:
        """A pending row of the store is for this machine; `reply` only where that does not run."""
        if self.status != "running":
            self.inbox.put(Item(event, seq, reply))  # a control event, for nothing else is delivered then
        elif self.loading:
            self.missed = True
        elif len(self.inbox) >= LIMIT or (self.inbox.overflow and not self.full()):
            self.inbox.overflow = self.missed = True
        else:
            self.inbox.put(Item(event, seq))
        self.go_on()

    def nudge(self) -> None:
        """What a waiting action watches has changed."""
        self.wake = True
        self.ready()

    def ready(self) -> None:
        """Submit a turn unless one is under way, or the machine was removed."""
        supervisor = self.supervisor
        if not self.submitted and not supervisor.closing and supervisor.machines.get(self.name) is self:
            self.submit(Turn(self))

    def submit(self, turn: Turn) -> None:
        """Hand a turn to the store."""
        self.submitted = True
        self.turn = turn
        self.supervisor.store.run(turn, self._ended)

    # --- after the commit ---------------------------------------------------------------------------------------

    def _ended(self, result: Result | None, error: BaseException | None) -> None:
        turn, self.turn, self.submitted = self.turn, None, False
        if turn is None:
            return
        if error is not None:
            mishaps.turn_failed(self, turn, error)
        elif result is not None:
            self.committed(turn)

    def committed(self, turn: Turn) -> None:
        """The turn is durable: tell its senders, then bring everything in line with it."""
        result = turn.result
        before, old_status = self.snapshot, self.status
        crowded = self.inbox.overflow and self.full()
        fresh = result.life != self.life
        resumed = old_status != "running" or fresh or result.untimed
        self.troubles = 0
        self.snapshot, self.status, self.chart = result.snapshot, result.status, result.chart
        self.life, self.version, self.health, self.error = result.life, result.version, result.health, result.error
        if result.asked:
            self.queue_mark = turn.mark
        if resumed and not fresh:  # a wake-up may have come to nothing before
            self.queue_mark = -1
        if self.firing:  # a timer's successor may have its id
            self.firing -= {consumed.event.timer for consumed in result.consumed}
        if result.consumed:
            self.last_event = result.consumed[-1].event.type
            if result.snapshot is not None and (
                before is None or before.configuration != result.snapshot.configuration
            ):
                self.since = result.consumed[-1].now
        if result.left:
            self.inbox.overflow, self.loaded = True, frozenset()
        self.parked.extend(result.parked)
        if resumed or self.status != "running":
            self._sort_waiting(result, came_up=old_status != "running" and self.status == "running")
        elif result.later or (crowded and not self.full()):
            self.behind = [*result.later, *self.inbox.take_newcomers(), *self.behind]
        watched = self.supervisor.queue.places(self) if turn.wakes else None
        try:
            self._reply(turn, result)
            self.supervisor.hosting.committed(self, turn, old_status)
        except Exception:  # noqa: BLE001 - the commit stands; what fails to tell of it must not stop the machine
            _log.exception("cannot report a commit", machine=self.name)
        finally:
            self.align(before, resumed=resumed)
            if watched is not None:
                self.supervisor.queue.pass_on(self, result.taken_jobs(), watched)
            self.go_on()

    def _sort_waiting(self, result: Result, *, came_up: bool) -> None:
        """Timer events under way are dropped: what is armed fires again, an earlier life's never.

        Rows that were read are read again when the machine runs, for some of them a turn may have left where they
        are. Events that came while it was coming up wait behind those that were put by in the store before.
        """
        self.firing = frozenset()
        self.inbox.drop_timers()
        if self.status != "running":
            self.inbox.drop_pending()
        if came_up:
            self.behind = [*self.inbox.take_newcomers(), *self.behind]
        self.behind = [*result.later, *self.behind]

    def _reply(self, turn: Turn, result: Result) -> None:
        for item, told in result.told:
            if item.reply is not None:
                tell(item, told)
        for (item, done, before), seq in zip(result.rows, result.seqs, strict=True):
            if item.reply is None:
                continue
            if isinstance(done, Step):
                tell(item, turn.answer(item, done, before, seq))
            else:
                tell(item, done._replace(seq=seq) if isinstance(done, Answer) else done)

    def go_on(self) -> None:
        """Take the next turn if there is anything for it to do; newcomers come in once no row is ahead of them."""
        if self.supervisor.closing:
            self.refuse()
        if self.behind and not self.held_back():
            behind, self.behind = self.behind, []
            self.inbox.put_all(behind)
        if len(self.inbox) or self.wake or self.asks():
            self.ready()
        elif self.inbox.overflow and self.status == "running" and (self.missed or not self.full()):
            self.supervisor.hosting.load_pending(self)
        else:
            self.tell_settled()

    def refuse(self) -> None:
        """There is no next turn: tell those who wait for it. Rows stay where they are."""
        mishaps.refuse_waiting(self, BusyError("cannot go on: the daemon is stopping", hint="send it again"))

    def asks(self) -> bool:
        """A store action is open that a turn has not come to."""
        snapshot = self.snapshot
        if self.status != "running" or snapshot is None or not snapshot.sequences:
            return False
        return any(r.phase == ASKING for r in snapshot.sequences)

    def align(self, before: Snapshot | None = None, *, resumed: bool = False) -> None:
        """Bring timers, waits and working actions in line with the snapshot, after a commit and after a restart."""
        snapshot = self.snapshot
        if resumed and self.parked and self.status == "running":
            for item in self.parked:
                self.inbox.put(item)
            self.parked = []
        if snapshot is None or self.supervisor.closing:
            return
        if resumed or self.status != "running" or before is None or snapshot.timers is not before.timers:
            self._arm(snapshot)
        if snapshot.sequences or self.running or (before is not None and before.sequences):
            self.supervisor.working.align(self)
            self.supervisor.queue.watch(self)
        if resumed:
            self.fire(self.supervisor.clock.now())

    def _arm(self, snapshot: Snapshot) -> None:
        self.firing = self.firing & {t.id for t in snapshot.timers} if self.firing else self.firing
        waiting = [t.due for t in snapshot.timers if t.id not in self.firing] if self.status == "running" else []
        self.supervisor.timers.set(self.name, min(waiting, default=None))

    def fire(self, now: float) -> None:
        """Post an event for every timer that is due; called by the alarm."""
        snapshot = self.snapshot
        if snapshot is None or self.status != "running":
            return
        due = sorted((t for t in snapshot.timers if t.due <= now and t.id not in self.firing), key=lambda t: t.due)
        self.firing |= {t.id for t in due}
        self._arm(snapshot)
        for timer in due:
            kind = timer.event if timer.kind == "after" else f"{control.PREFIX}{timer.kind}"
            self.post(Event(kind, {}, source="timer", timer=timer.id, sent_at=timer.due))

    # --- looking ------------------------------------------------------------------------------------------------

    def settled(self) -> bool:
        """Nothing of it is under way: no turn, no working action, no retry."""
        snapshot = self.snapshot
        busy = snapshot is not None and self.status == "running" and any(
            r.phase in {WORKING, SLEEPING, ASKING, READY} for r in snapshot.sequences
        )  # fmt: skip
        overflow = self.inbox.overflow and self.status == "running"
        return not (self.submitted or self.loading or len(self.inbox) or overflow or self.behind or busy)

    def tell_settled(self, *, gone: bool = False) -> None:
        """Wake those who wait until nothing is under way, or until the machine is gone."""
        if self.settled_waiters and (gone or self.settled()):
            waiters, self.settled_waiters = self.settled_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def watches(self) -> bool:
        """Some action waits for a job, an event, or the end of tracked jobs."""
        snapshot = self.snapshot
        return self.status == "running" and snapshot is not None and any(
            r.phase in {WAITING, ARMED} for r in snapshot.sequences
        )  # fmt: skip

    def log(self, level: str, message: str) -> None:
        """A line for the machine's log; callable from any thread."""
        self.supervisor.log(self.name, level, message)

    def output(self, key: str, stream: str, data: bytes) -> None:
        """Output of the command of an action key, as it arrives."""
        self.supervisor.logs.output(self.name, key, stream, data)
