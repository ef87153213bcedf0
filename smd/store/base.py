"""The store: the records it keeps, the operations a unit may ask for, and the protocol every store fulfils.

Promises, given by every implementation and checked by one conformance suite:

- A *unit* is one transaction. What `submit` reports as done is durable (P1); a unit that fails leaves nothing (P2).
- Units run one after another, in the order in which they were submitted; each sees all before it.
- A group of units may share one commit. If one of them is refused the group runs again, unit by unit, so a unit
  is a recipe that may be cooked twice: it is handed over as an object whose `run` begins anew each time.
- A request that is refused (RequestError) has changed nothing and is raised where the recipe yielded it, so that a
  recipe may catch it and go on. What else goes wrong, and whatever Save raises, ends the unit.
- Text that is not Unicode and numbers beyond 64 bits are refused with RequestError.
- Reads (the coroutines) see a committed state, never a half of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from smd.jobs import Job, NewJob
from smd.statechart.effects import Send
from smd.statechart.event import Event
from smd.store.trouble import Trouble

# --- what is kept -----------------------------------------------------------------------------------------------


class MachineRow(NamedTuple):
    """A machine. `status` is running, paused, stopped, failed or finished; `label` names its active states.

    `since` is when status, label or life last changed, `last_event` the type last taken; the store keeps both.
    `version` equals the number of its consumed journal rows. `snapshot` is canonical JSON, None before its first
    start. `work_folder` is where relative paths of its actions begin; `born_of` is the key of the action that
    started it as a child.
    """

    name: str
    life: int
    chart: str
    status: str
    version: int
    label: str = ""
    parent: str | None = None
    linked: bool = False
    initial_context: bytes = b"{}"
    snapshot: bytes | None = None
    lifecycle: str = "Offline"
    health: str = "Healthy"
    restarts: int = 0
    since: float = 0.0
    last_event: str = ""
    error: str | None = None
    owner: str = ""
    owner_epoch: int = 0
    origin: str = ""
    work_folder: str = ""
    born_of: str = ""


class JournalRow(NamedTuple):
    """One event of one machine: pending while `consumed_no` is None, else its place in the order of consumption.

    `detail` is JSON: why the event was ignored or failed, and what else the event held (`outcome`, `timer`,
    `origin_layer`), which the store adds; `smd.store.rows.row_event` gives the event back whole, for a replay.
    A row that nobody will consume has disposition `dead` (a send that reached nobody) or `cleared`.
    """

    seq: int
    consumed_no: int | None
    id: str
    machine: str
    life: int
    type: str
    payload: Any
    source: str
    priority: int
    job_id: str | None
    at: float
    now: float | None
    disposition: str
    from_state: str | None
    to_state: str | None
    error: str | None
    detail: Any


class Consumed(NamedTuple):
    """One event a step consumed. `seq` is set when it was a pending row; else the row is new.

    `answer` is remembered for the event's client id (when `client` is true), so that a repeat hears the same.
    """

    event: Event
    seq: int | None
    disposition: str
    now: float
    from_state: str
    to_state: str
    error: str | None = None
    detail: Any = None
    client: bool = False
    answer: Any = None


class Record(NamedTuple):
    """What one unit leaves of a machine: written whole, or not at all.

    `consumed` are numbered `from_version + 1 ...`; `from_version + len(consumed) == version`.
    `snapshot`, `chart`, `restarts` None and `lifecycle`, `health` empty keep what the row has; `error` is set as given.
    """

    machine: str
    life: int
    from_version: int
    version: int
    status: str
    label: str
    snapshot: bytes | None
    consumed: Sequence[Consumed]
    sends: Sequence[Send] = ()
    chart: str | None = None
    lifecycle: str = ""
    health: str = ""
    error: str | None = None
    restarts: int | None = None


# --- operations, answered inside the unit's transaction ------------------------------------------------------------


class Save(NamedTuple):
    """Write a record. Answer: Saved.

    Raises StaleVersion (the row is not at `from_version`, or a pending row is gone), ConflictError with code
    `duplicate` (the client id of a new event was answered before).
    """

    record: Record


class Saved(NamedTuple):
    """Journal numbers of the consumed events, in order, and the pending rows the sends became.

    A send to a machine that does not exist (or is finished, or has too many rows waiting) becomes a dead row and a
    pending `error.communication` row for the sender (none if the record finishes it), `delivered` like the others.
    """

    seqs: Sequence[int]
    delivered: Sequence[tuple[str, int, Event]]


class Seen(NamedTuple):
    """Which client ids has this machine answered before? Answer: dict id -> remembered answer."""

    machine: str
    ids: Sequence[str]


class Enqueue(NamedTuple):
    """Keep an event for a machine that cannot take it now.

    Answer: (seq, None), or (0, remembered answer) when its client id is known.
    Raises NotFoundError (no such machine), BusyError (over `limit` rows wait).
    """

    machine: str
    event: Event
    now: float
    client: bool = False
    limit: int = 100_000


class PutChart(NamedTuple):
    """Remember a chart's plain document under its hash. Answer: None."""

    hash: str
    source: bytes


class CreateMachine(NamedTuple):
    """Add a machine row. Answer: None if added, else the MachineRow that already has the name.

    After a removed machine of that name the new row goes on with its `life` and `version`: read it back with
    FindMachine.
    """

    row: MachineRow


class UpdateMachine(NamedTuple):
    """Set columns of a machine row that no step writes (chart, origin, restarts ...). Answer: None.

    Raises NotFoundError, RequestError (`name`, `version` or no such column).
    """

    name: str
    columns: Mapping[str, Any]


class RemoveMachine(NamedTuple):
    """Remove a machine: pending rows become `cleared`, jobs are released; the journal stays. Raises NotFoundError."""

    name: str
    now: float


class FindMachine(NamedTuple):
    """Answer: MachineRow or None."""

    name: str


class ClaimJob(NamedTuple):
    """Claim one job: by `job_id`, or the next by priority, then age, then number.

    A job without machine type may be taken by any machine; `machine_type` None takes any job.
    Answer: the Job, now running with its epoch raised, or None.
    """

    machine: str
    now: float
    job_type: str | None = None
    machine_type: str | None = None
    job_id: str | None = None


class SettleJob(NamedTuple):
    """End a running job: `status` completed, failed or cancelled (or available: release, which burns no attempt).

    `epoch` None accepts any lease, and then ends also a job that nobody holds. An ended job keeps its last holder.
    Answer: the Job after it, or None when unknown, ended, or its lease is another's.
    """

    job_id: str
    status: str
    now: float
    epoch: int | None = None
    result: Any = None
    error: str | None = None


class ReleaseJobs(NamedTuple):
    """Make running jobs available again unless `held` (job id to epoch, of all snapshots) has them. Answer: number."""

    held: Mapping[str, int]
    now: float


class AddJob(NamedTuple):
    """Add a job (TooLargeError: see DATA_LIMIT). Answer: (Job, True), or (existing Job, False) when the id is taken."""

    job: NewJob
    now: float


class PendingJobs(NamedTuple):
    """Available jobs in claiming order. Answer: list of Job."""

    job_type: str | None = None
    machine_type: str | None = None
    limit: int | None = None


class JobStates(NamedTuple):
    """Answer: dict job id -> status, unknown ids left out."""

    ids: Sequence[str]


class FindPending(NamedTuple):
    """Oldest pending row of a machine of one of these event types. Answer: (seq, Event) or None."""

    machine: str
    types: Sequence[str]


class ClearPending(NamedTuple):
    """Consume pending rows of these types as `cleared` (a repeat hears so), without a step. Answer: list of their seqs.

    Rows get no `consumed_no`: the machine never saw them. `keep` are rows the asking unit consumes itself.
    """

    machine: str
    types: Sequence[str]
    now: float
    keep: Sequence[int] = ()


Operation = (
    Save | Seen | Enqueue | PutChart | CreateMachine | UpdateMachine | RemoveMachine | FindMachine | ClaimJob
    | SettleJob | ReleaseJobs | AddJob | PendingJobs | JobStates | FindPending | ClearPending
)  # fmt: skip

Recipe = Generator[Any, Any, Any]
"""Yields operations, receives their answers, returns the unit's result."""

Ended = Callable[[Any, BaseException | None], None]
"""Hears on the loop what a unit's recipe returned, or the error it ended with."""


class Unit(Protocol):
    """One transaction to be."""

    def begin(self, room: int) -> int:
        """Called on the event loop when its group starts: take at most `room` events, return how many (at least one).

        Zero drops the unit from the group; it ends with None.
        """

    def run(self) -> Recipe:
        """Called in the store's thread (if any), once, or again after a refused group. Must not touch the loop."""


class StoreQueries(Protocol):
    """Reads; StoreError when the store is not open or cannot be read.

    `limit` counts rows, -1 is all; `before` is a journal number for paging (newest first unless said).
    """

    async def machine(self, name: str) -> MachineRow | None:
        """One machine."""

    async def machines(self) -> list[MachineRow]:
        """Every machine, by name."""

    async def chart(self, hash: str) -> bytes | None:  # noqa: A002
        """The document of a chart, by its hash."""

    async def pending(self, machine: str, limit: int = 1000) -> list[tuple[int, Event]]:
        """Pending rows by priority, then seq."""

    async def pending_counts(self, machine: str | None = None) -> dict[str, int]:
        """Machine to number of pending rows, of all or of one; machines without any are left out."""

    async def journal(self, machine: str, after: int = 0, limit: int = 1000) -> list[JournalRow]:
        """Consumed rows in order of consumption, `consumed_no` above `after`; for replay."""

    async def events(
        self, machine: str | None = None, *, types: Sequence[str] | None = None, disposition: str | None = None,
        since: float | None = None, before: int | None = None, limit: int = 100,
        changed: bool = False, errors: bool = False, pending: bool | None = None,
    ) -> list[JournalRow]:  # fmt: skip
        """Journal rows, newest first. `changed`: only those that took a transition; `errors`: only failures.

        `since`: consumed (or, if nobody has, sent) then or later; `pending`: only rows that wait, or the others.
        """

    async def base(self, machine: str) -> tuple[int, bytes] | None:
        """Version and snapshot from which a replay begins, if rows before it are gone."""

    async def job(self, job_id: str) -> Job | None:
        """One job."""

    async def jobs(
        self, *, status: str | None = None, job_type: str | None = None, limit: int = 100, before: int | None = None
    ) -> list[Job]:  # fmt: skip
        """Jobs, newest first; `before` is a job number."""

    async def job_counts(self) -> dict[str, dict[str, int]]:
        """Type to status to number."""


class Store(StoreQueries, Protocol):
    """A store: see the module for what it promises."""

    store_id: str
    """Made once when the store is created; part of every action key."""
    trouble: Trouble
    """Why it cannot write, while it cannot."""
    up_until: float
    """The time last noted by `note_up`, before `open` too; 0.0 if none is known."""

    async def open(self) -> None:
        """Open, migrate, lock; StoreError: locked by another daemon, newer version, unreadable, unwritable."""

    async def close(self) -> None:
        """Finish what was submitted, checkpoint, close. May be called twice."""

    def note_up(self, now: float) -> None:
        """Remember that the daemon is up: cheap, and outlives the process at once. StoreError: not open, not kept."""

    def run(self, unit: Unit, ended: Ended) -> None:
        """Take a unit: it may begin, and even run, at once; `ended` is called after the commit, and after `run`.

        Errors it hears:
            StoreError: the commit failed; OutcomeUnknownError when it may have happened.
            SmdError: whatever the recipe or an operation raised; nothing of the unit is kept.
        """

    def together(self) -> AbstractContextManager[None]:
        """Within it units only gather: several that are known to come share a commit even if the store is idle."""

    def submit(self, unit: Unit) -> asyncio.Future[Any]:
        """The same for those who await: a future, which may be cancelled; the unit goes on."""


class StaleVersion(Exception):  # noqa: N818 - not an error of anybody: the machine re-reads its row
    """The machine row is not at the version the record starts from."""
