"""The store that ends with the process: for tests and `--ephemeral`. It keeps every promise but durability."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, TypeVar
from uuid import uuid4

from smd.errors import StoreError
from smd.jobs import Job
from smd.statechart.event import Event
from smd.store.base import Ended, JournalRow, MachineRow, Unit
from smd.store.group import GROUP_EVENTS, Done, GroupCommit, drive, refuse, submitted
from smd.store.rows import TAKEN, job_row, journal_row, storable
from smd.store.rules import PENDING_LIMIT
from smd.store.tables import Tables
from smd.store.tables_operations import TableOperations, waiting_event
from smd.store.trouble import Trouble

T = TypeVar("T")


class MemoryStore:
    """Store in plain tables, on the event loop's own thread; see base.Store for what it promises.

    Args:
        group_events: events of one group, about.
        pending_limit: rows that may wait for one machine before a send to it is dead.
    """

    def __init__(self, *, group_events: int = GROUP_EVENTS, pending_limit: int = PENDING_LIMIT) -> None:
        self.store_id = uuid4().hex
        self.trouble = Trouble()
        self.up_until = 0.0
        self._tables = Tables()
        self._operations = TableOperations(self._tables, pending_limit)
        self._groups = GroupCommit(self._commit, group_events)
        self._open = False

    async def open(self) -> None:
        """See base.Store.open."""
        self._open = True

    async def close(self) -> None:
        """See base.Store.close."""
        await self._groups.close()
        self._open = False

    def note_up(self, now: float) -> None:
        """See base.Store.note_up."""
        if not self._open:
            raise StoreError("cannot note the time: the store is not open")
        self.up_until = now

    def run(self, unit: Unit, ended: Ended) -> None:
        """See base.Store.run."""
        if self._open:
            self._groups.run(unit, ended)
        else:
            refuse(ended, "cannot write: the store is not open")

    def together(self) -> AbstractContextManager[None]:
        """See base.Store.together."""
        return self._groups.together()

    def submit(self, unit: Unit) -> asyncio.Future[Any]:
        """See base.Store.submit."""
        return submitted(self.run, unit)

    def _commit(self, units: Sequence[Unit], ended: Callable[[list[Done]], None]) -> None:
        asyncio.get_running_loop().call_soon(ended, [self._alone(unit) for unit in units])

    def _alone(self, unit: Unit) -> Done:
        try:
            end = Done(drive(unit, self._operations.answer))
        except BaseException as error:  # noqa: BLE001 - a unit's bug is its submitter's to hear, and nobody else's
            self._tables.undo()
            return Done(error=error)
        self._tables.keep()
        return end

    def _readable(self, *values: Any) -> Tables:
        if not self._open:
            raise StoreError("cannot read: the store is not open")
        storable(values)
        return self._tables

    # --- queries ----------------------------------------------------------------------------------------------------

    async def machine(self, name: str) -> MachineRow | None:
        """See base.StoreQueries."""
        return self._readable(name).machines.get(name)

    async def machines(self) -> list[MachineRow]:
        """See base.StoreQueries."""
        return sorted(self._readable().machines.values())

    async def chart(self, hash: str) -> bytes | None:  # noqa: A002 - the protocol's name
        """See base.StoreQueries."""
        return self._readable(hash).charts.get(hash)

    async def pending(self, machine: str, limit: int = 1000) -> list[tuple[int, Event]]:
        """See base.StoreQueries."""
        rows = self._readable(machine, limit).waiting_rows(machine)
        return [waiting_event(row) for row in _first(sorted(rows, key=lambda row: (row.priority, row.seq)), limit)]

    async def pending_counts(self, machine: str | None = None) -> dict[str, int]:
        """See base.StoreQueries."""
        waiting = self._readable(machine).waiting
        counts = waiting if machine is None else {machine: waiting.get(machine, {})}
        return {name: len(seqs) for name, seqs in counts.items() if seqs}

    async def journal(self, machine: str, after: int = 0, limit: int = 1000) -> list[JournalRow]:
        """See base.StoreQueries."""
        tables = self._readable(machine, after, limit)
        places = tables.consumed.get(machine, {})
        wanted = (seq for place, seq in places.items() if place > after)
        return [journal_row(tables.journal[seq]) for seq in _first(wanted, limit)]

    async def events(
        self, machine: str | None = None, *, types: Sequence[str] | None = None, disposition: str | None = None,
        since: float | None = None, before: int | None = None, limit: int = 100,
        changed: bool = False, errors: bool = False, pending: bool | None = None,
    ) -> list[JournalRow]:  # fmt: skip
        """See base.StoreQueries."""
        tables = self._readable(machine, disposition, before, limit, *(types or ()))
        conditions: list[tuple[bool, Callable[[JournalRow], bool]]] = [
            (machine is not None, lambda row: row.machine == machine),
            (types is not None, lambda row: row.type in (types or ())),
            (disposition is not None, lambda row: row.disposition == disposition),
            (since is not None, lambda row: (row.at if row.now is None else row.now) >= (since or 0)),
            (before is not None, lambda row: row.seq < (before or 0)),
            (changed, lambda row: row.disposition == TAKEN and row.to_state is not None),
            (errors, lambda row: row.error is not None),
            (pending is not None, lambda row: (row.seq in tables.waiting.get(row.machine, ())) is pending),
        ]
        wanted = [condition for given, condition in conditions if given]
        rows = (row for row in reversed(tables.journal.values()) if all(fits(row) for fits in wanted))
        return [journal_row(row) for row in _first(rows, limit)]

    async def base(self, machine: str) -> tuple[int, bytes] | None:
        """See base.StoreQueries."""
        return self._readable(machine).bases.get(machine)

    async def job(self, job_id: str) -> Job | None:
        """See base.StoreQueries."""
        job = self._readable(job_id).jobs.get(job_id)
        return job_row(job) if job else None

    async def jobs(
        self, *, status: str | None = None, job_type: str | None = None, limit: int = 100, before: int | None = None
    ) -> list[Job]:
        """See base.StoreQueries."""
        tables = self._readable(status, job_type, limit, before)
        rows = (
            job
            for job in reversed(tables.jobs.values())
            if status in {None, job.status}
            and job_type in {None, job.job_type}
            and (before is None or job.number < before)
        )
        return [job_row(job) for job in _first(rows, limit)]

    async def job_counts(self) -> dict[str, dict[str, int]]:
        """See base.StoreQueries."""
        counts: dict[str, dict[str, int]] = {}
        pairs = Counter((job.job_type, job.status) for job in self._readable().jobs.values())
        for (job_type, status), number in pairs.items():
            counts.setdefault(job_type, {})[status] = number
        return counts


def _first(rows: Iterable[T], limit: int) -> Iterable[T]:
    return rows if limit < 0 else islice(rows, limit)
