"""The tables of the memory store, and how a change of them is taken back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any, TypeVar

from smd.jobs import Job, JobStatus
from smd.store.base import JournalRow, MachineRow
from smd.store.rows import QUEUED, storable

K = TypeVar("K")
V = TypeVar("V")
_ABSENT: Any = object()

_Place = tuple[int, float, int]
"""A job's place in the order of claiming: priority, age, number."""


class Tables:
    """Rows hold what a database's columns would (JSON as text), so nobody can change them from outside.

    Every change goes through `put` and `drop`, which note what was there before; `undo` brings it back.
    """

    def __init__(self) -> None:
        self.charts: dict[str, bytes] = {}
        self.machines: dict[str, MachineRow] = {}
        self.removed: dict[str, tuple[int, int]] = {}
        self.bases: dict[str, tuple[int, bytes]] = {}
        self.journal: dict[int, JournalRow] = {}
        self.consumed: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self.waiting: defaultdict[str, dict[int, None]] = defaultdict(dict)
        self.dedup: dict[tuple[str, str], str | None] = {}
        self.jobs: dict[str, Job] = {}
        self.last: dict[str, int] = {"seq": 0, "number": 0}
        self._job_ids: dict[int, str] = {}
        self._queues: defaultdict[tuple[str, str | None], list[_Place]] = defaultdict(list)
        self._before: list[tuple[dict[Any, Any], Any, Any]] = []

    # --- changing -------------------------------------------------------------------------------------------------

    def put(self, table: dict[K, V], key: K, value: V) -> None:
        """Set a row."""
        self._before.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def drop(self, table: dict[K, V], key: K) -> None:
        """Remove a row that is there."""
        self._before.append((table, key, table.pop(key)))

    def keep(self) -> None:
        """The changes so far are final."""
        self._before.clear()

    def undo(self) -> None:
        """Take back all changes since `keep`."""
        while self._before:
            table, key, before = self._before.pop()
            if before is _ABSENT:
                del table[key]
            else:
                table[key] = before
            if table is self.jobs and before is not _ABSENT:
                self._offer(before)

    def next(self, counter: str) -> int:
        """The next number of a counter."""
        self.put(self.last, counter, self.last[counter] + 1)
        return self.last[counter]

    def add_row(self, row: JournalRow) -> None:
        """Add to the journal.

        Raises:
            RequestError: a value no column can hold.
        """
        storable(row)
        self.put(self.journal, row.seq, row)
        if row.consumed_no is not None:
            self.put(self.consumed[row.machine], row.consumed_no, row.seq)
        elif row.disposition == QUEUED:
            self.put(self.waiting[row.machine], row.seq, None)

    def settle_row(self, row: JournalRow) -> None:
        """Replace a waiting row by one that waits no longer."""
        self.drop(self.waiting[row.machine], row.seq)
        self.put(self.journal, row.seq, row)
        if row.consumed_no is not None:
            self.put(self.consumed[row.machine], row.consumed_no, row.seq)

    def put_job(self, job: Job) -> Job:
        """Add or replace a job."""
        self.put(self.jobs, job.job_id, job)
        self._job_ids[job.number] = job.job_id
        self._offer(job)
        return job

    # --- looking --------------------------------------------------------------------------------------------------

    def waiting_rows(self, machine: str) -> list[JournalRow]:
        """What a machine has still to consume, oldest first."""
        return [self.journal[seq] for seq in sorted(self.waiting.get(machine, ()))]

    def next_job(self, job_type: str | None, machine_type: str | None) -> Job | None:
        """The next free job that fits, in claiming order."""
        places = [
            place
            for (of_type, for_machine), queue in self._queues.items()
            if job_type in {None, of_type} and (machine_type is None or for_machine in {None, machine_type})
            for place in self._first(of_type, for_machine, queue)
        ]
        return self.jobs[self._job_ids[min(places)[2]]] if places else None

    def _first(self, of_type: str, for_machine: str | None, queue: list[_Place]) -> Iterator[_Place]:
        # Entries that no free job of this queue stands behind (an undone job's number is given out again) are dropped
        # when they come to the top.
        free = (JobStatus.AVAILABLE, of_type, for_machine)
        while queue:
            job = self.jobs.get(self._job_ids[queue[0][2]])
            if job and (job.status, job.job_type, job.machine_type) == free and queue[0] == _place(job):
                yield queue[0]
                return
            heappop(queue)

    def _offer(self, job: Job) -> None:
        if job.status == JobStatus.AVAILABLE:
            heappush(self._queues[job.job_type, job.machine_type], _place(job))


def _place(job: Job) -> _Place:
    return job.priority, job.created_at, job.number


def claiming_order(jobs: list[Job]) -> list[Job]:
    """Sorted by priority, then age, then number."""
    return sorted(jobs, key=_place)
