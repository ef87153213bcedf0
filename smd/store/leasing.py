"""What the writer knows of jobs beside the file: who comes next, and claims that are not written yet.

A worker that ends one job and takes the next needs, statement by statement, four of them for each job. So free jobs
are read some at a time, in claiming order, and a claim is written when its transaction ends, together with all others
and in the state it has by then: a job that was claimed and ended in between is written once.

Only the writer changes jobs, so what is known here stays right until it changes them otherwise: a new job that comes
first, one given back, one ended or claimed by name. Each row is written under the condition that it has the status
and the epoch it was read with; if one has not, nothing of the transaction happens. Nothing here outlives an undone
transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import chain
from typing import Any

from smd.errors import StoreError
from smd.jobs import Job, JobStatus
from smd.store.base import ClaimJob, SettleJob
from smd.store.rows import decoded, encoded, storable
from smd.store.sql import SQL, many, padded

MOST_AHEAD = 64
"""Jobs of one list; a list begins with one and grows as its lists are used up."""
MOST_BYTES = 262_144
"""Characters of job data in one list, about."""
MOST_KINDS = 16
"""Lists kept at a time."""
MOST_HELD = 256
"""Running jobs remembered after their claim is written, so that their end needs no look at the file."""
MOST_LEASES = 64
"""Jobs of one statement."""

Kind = tuple[str | None, str | None]
"""Job type and machine type of a claim."""
Row = tuple[Any, ...]
_Lease = tuple[str, int, Job]
"""A change to write: status and epoch that the file still has, and the job as it is now."""
Execute = Callable[..., sqlite3.Cursor]

FEW_LEASES = 3
"""So many are written one by one, which costs less than the table of `write_leases`."""

_LEASE = SQL["write_lease"]
_LEASES = many("write_leases", MOST_LEASES)
_RUNNING = JobStatus.RUNNING.value
_new = tuple.__new__  # half the cost of calling the class


def choice(kind: Kind) -> str:
    """The name of the query that finds the next job of a kind."""
    if kind[0] is None:
        return "next_job" if kind[1] is None else "next_for_machine_type"
    return "next_of_type" if kind[1] is None else "next_of_both"


class _Ahead:
    """The next free jobs of a kind, by number, in claiming order. `whole`: there are no others behind them."""

    def __init__(self, size: int) -> None:
        self.rows: dict[int, Row] = {}
        self.size = size
        self.whole = False
        self.last: tuple[int, float, int] = (0, 0.0, 0)

    def read(self, execute: Execute, kind: Kind) -> None:
        wanted = {"job_type": kind[0], "machine_type": kind[1], "limit": self.size}
        cursor = execute(SQL["jobs_ahead"].replace("/*next*/", SQL[choice(kind)]), wanted)
        room = MOST_BYTES
        for row in cursor:
            self.rows[row[0]] = row
            self.last = (row[7], row[9], row[0])
            room -= len(row[5] or "") + len(row[6] or "") + len(row[13] or "")
            if room < 0:
                break
        self.whole = room >= 0 and len(self.rows) < self.size
        cursor.close()


class Leasing:
    """Claims jobs from lists, and writes what became of them with `write`."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._ahead: dict[Kind, _Ahead] = {}
        self._open: dict[str, _Lease] = {}
        self._held: dict[str, Job] = {}

    def clear(self) -> None:
        """Nothing is known any more: the transaction is gone."""
        self._ahead.clear()
        self._open.clear()
        self._held.clear()

    def claim(self, operation: ClaimJob) -> Job | None:
        """The next job of a kind, now running.

        Raises:
            RequestError: a machine name that no column can hold.
        """
        storable((operation.machine,))
        row = self._next((operation.job_type, operation.machine_type))
        if row is None:
            return None
        (number, job_id, job_type, machine_type, source, data, result, priority, _, created_at, _, _, _, metadata, _,
         epoch, attempt) = row  # fmt: skip
        job = _new(Job, (
            number, job_id, job_type, machine_type, source, decoded(data), None if result is None else decoded(result),
            priority, _RUNNING, created_at, float(operation.now), None, None,
            None if metadata is None else decoded(metadata),
            operation.machine, epoch + 1, attempt + 1,
        ))  # fmt: skip
        self._open[job_id] = ("available", epoch, job)
        return job

    def _next(self, kind: Kind) -> Row | None:
        ahead = self._ahead.get(kind)
        if ahead is None:
            if len(self._ahead) >= MOST_KINDS:
                self._ahead.clear()
            ahead = self._fill(kind, 1)
        elif not ahead.rows and not ahead.whole:
            ahead = self._fill(kind, min(MOST_AHEAD, 4 * ahead.size))
        if not ahead.rows:
            return None
        number = next(iter(ahead.rows))
        row = ahead.rows[number]
        self._take(number)
        return row

    def _fill(self, kind: Kind, size: int) -> _Ahead:
        self.write()
        ahead = _Ahead(size)
        ahead.read(self._execute, kind)
        self._ahead[kind] = ahead
        return ahead

    def changed(self, job: Job) -> None:
        """A job was claimed or ended otherwise: it is no longer free, and nothing is known of it."""
        self._held.pop(job.job_id, None)
        self._take(job.number)

    def _take(self, number: int) -> None:
        for ahead in self._ahead.values():
            ahead.rows.pop(number, None)

    def added(self, job: Job) -> None:
        """A new job is free: lists that it does not come after are forgotten."""
        order = (job.priority, job.created_at, job.number)
        for kind, ahead in list(self._ahead.items()):
            if kind[0] not in {None, job.job_type} or (job.machine_type and kind[1] not in {None, job.machine_type}):
                continue
            if ahead.rows and order < ahead.last:
                del self._ahead[kind]
            else:
                ahead.whole = False

    def freed(self, job: Job) -> None:
        """A job was given back: all lists are forgotten."""
        self._held.pop(job.job_id, None)
        self._ahead.clear()

    def settle(self, operation: SettleJob, result: str | None) -> Job | None:
        """End a job whose lease is known here, with a result; None if it is not, or not this operation's to end.

        Raises:
            RequestError: a value that no column can hold.
        """
        status, old_epoch, job = self._lease(operation.job_id)
        if job is None or job.status != _RUNNING or operation.status == JobStatus.AVAILABLE:
            return None
        if operation.epoch is not None and operation.epoch != job.epoch:
            return None
        storable((result, operation.error))
        (number, job_id, job_type, machine_type, source, data, _, priority, _, created_at, started_at, _, _, metadata,
         holder, epoch, attempt) = job  # fmt: skip
        ended = _new(Job, (
            number, job_id, job_type, machine_type, source, data, None if result is None else decoded(result), priority,
            str(operation.status), created_at, started_at, float(operation.now), operation.error, metadata, holder,
            epoch, attempt,
        ))  # fmt: skip
        self._held.pop(job_id, None)
        self._open[job_id] = (status, old_epoch, ended)
        return ended

    def _lease(self, job_id: str) -> tuple[str, int, Job | None]:
        """What the file says of a job whose lease is known here: its status and epoch; and the job as it is now."""
        if lease := self._open.get(job_id):
            return lease
        job = self._held.get(job_id)
        return (_RUNNING, job.epoch if job is not None else 0, job)

    def status(self, job_id: str) -> str | None:
        """Where a job stands, if that is known here."""
        job = self._lease(job_id)[2]
        return job.status if job is not None else None

    def write(self) -> None:
        """Write the claims since the last time, before anything else looks at jobs and before the commit.

        Raises:
            StoreError: one of the jobs is not as it was read.
        """
        if not self._open:
            return
        leases = list(self._open.values())
        self._open.clear()
        for at in range(0, len(leases), MOST_LEASES):
            self._write(leases[at : at + MOST_LEASES])
        while len(self._held) > MOST_HELD:
            del self._held[next(iter(self._held))]

    def _write(self, given: list[_Lease]) -> None:
        leases: list[Row] = []
        for old_status, old_epoch, job in given:
            (number, _, _, _, _, _, result, _, status, _, started_at, completed_at, error, _, holder, epoch,
             attempt) = job  # fmt: skip
            text = None if result is None else encoded(result)
            leases.append((number, epoch, status, holder, attempt, started_at, completed_at, text, error, old_status,
                           old_epoch))  # fmt: skip
            if status == _RUNNING:
                self._held[job.job_id] = job
        if self._changed(leases) != len(given):
            raise StoreError("cannot write jobs: one of them is no longer as it was read", code="stale_jobs")

    def _changed(self, leases: list[Row]) -> int:
        if len(leases) <= FEW_LEASES:
            return sum([self._execute(_LEASE, lease).rowcount for lease in leases])
        # A row that comes twice changes nothing the second time, so the last one fills the statement up.
        leases = padded(leases)
        return self._execute(_LEASES[len(leases)], tuple(chain.from_iterable(leases))).rowcount
