"""The queries of a store: which rows, then which records. What runs them is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from smd.jobs import Job, JobStatus
from smd.statechart.event import Event
from smd.store.base import JournalRow, MachineRow
from smd.store.rows import TAKEN, event_of, job_row, journal_row, machine_row
from smd.store.rules import ENDS
from smd.store.sql import SQL, padded

T = TypeVar("T")
Columns = Sequence[Any]
Values = Sequence[Any] | Mapping[str, Any]
_BY_INDEX: dict[str, str] = {str(status): SQL["ended_jobs"] for status in ENDS} | {
    str(status): SQL["jobs_at"].replace("/*status*/'running'", f"'{status}'")
    for status in (JobStatus.AVAILABLE, JobStatus.RUNNING)
}
"""Where jobs of a status are found. A partial index serves only a statement that repeats its condition as text."""
_MOST = 2**63 - 1
_WAITS = "consumed_no IS NULL AND disposition = 'queued'"


class Reading(ABC):
    """StoreQueries on SQL. See base.StoreQueries for what each promises."""

    @abstractmethod
    async def rows(self, sql: str, values: Values, make: Callable[[Columns], T]) -> list[T]:
        """Run one query away from the event loop, and make a record of each row there."""

    async def _first(self, sql: str, values: Values, make: Callable[[Columns], T]) -> T | None:
        found = await self.rows(sql, values, make)
        return found[0] if found else None

    async def machine(self, name: str) -> MachineRow | None:
        """See base.StoreQueries."""
        return await self._first(SQL["find_machine"], (name,), machine_row)

    async def machines(self) -> list[MachineRow]:
        """See base.StoreQueries."""
        return await self.rows(SQL["all_machines"], (), machine_row)

    async def chart(self, hash: str) -> bytes | None:  # noqa: A002 - the protocol's name
        """See base.StoreQueries."""
        return await self._first(SQL["find_chart"], (hash,), _only)

    async def pending(self, machine: str, limit: int = 1000) -> list[tuple[int, Event]]:
        """See base.StoreQueries."""
        return await self.rows(SQL["waiting_rows"], (machine, limit), event_of)

    async def pending_counts(self, machine: str | None = None) -> dict[str, int]:
        """See base.StoreQueries."""
        if machine is None:
            return dict(await self.rows(SQL["waiting_counts"], (), tuple))
        return dict(await self.rows(SQL["waiting_count"], (machine,), tuple))

    async def journal(self, machine: str, after: int = 0, limit: int = 1000) -> list[JournalRow]:
        """See base.StoreQueries."""
        return await self.rows(SQL["consumed_rows"], (machine, after, limit), journal_row)

    async def events(
        self, machine: str | None = None, *, types: Sequence[str] | None = None, disposition: str | None = None,
        since: float | None = None, before: int | None = None, limit: int = 100,
        changed: bool = False, errors: bool = False, pending: bool | None = None,
    ) -> list[JournalRow]:  # fmt: skip
        """See base.StoreQueries."""
        if types is not None and not types:
            return []
        wanted = _Conditions(SQL["journal_columns"], "journal INDEXED BY journal_errors" if errors else "journal")
        wanted.equal("disposition", disposition)
        wanted.one_of("type", types)
        wanted.given("coalesce(now, at) >= ?", since)
        wanted.when(changed, f"disposition = '{TAKEN}' AND to_state IS NOT NULL")
        wanted.when(errors, "error IS NOT NULL")
        wanted.when(pending is True, _WAITS)
        wanted.when(pending is False, f"NOT ({_WAITS})")
        if machine is not None and not errors and not pending:
            sql, values = wanted.put_into(SQL["events_of_machine"])
            own = {"machine": machine, "before": _MOST if before is None else before, "most": _MOST, "limit": limit}
            return await self.rows(sql, {**values, **own}, journal_row)
        wanted.equal("machine", machine)
        wanted.given("seq < ?", before)
        return await self.rows(*wanted.newest_first("seq", limit), journal_row)

    async def base(self, machine: str) -> tuple[int, bytes] | None:
        """See base.StoreQueries."""
        return await self._first(SQL["find_base"], (machine,), lambda row: (row[0], row[1]))

    async def job(self, job_id: str) -> Job | None:
        """See base.StoreQueries."""
        return await self._first(SQL["find_job"], (job_id,), job_row)

    async def jobs(
        self, *, status: str | None = None, job_type: str | None = None, limit: int = 100, before: int | None = None
    ) -> list[Job]:
        """See base.StoreQueries."""
        # Most jobs are completed, so the newest of those are soon found; of others there may be few among very many.
        scanned = status is None or (status == JobStatus.COMPLETED and job_type is None)
        found = None if scanned else _BY_INDEX.get(str(status))
        wanted = _Conditions("number", f"({found})") if found else _Conditions(SQL["job_columns"], "jobs")
        wanted.equal("status", status)
        wanted.equal("job_type", job_type)
        wanted.given("number < ?", before)
        sql, values = wanted.newest_first("number", limit)
        return await self.rows(SQL["numbered_jobs"].replace("/*numbers*/", sql) if found else sql, values, job_row)

    async def job_counts(self) -> dict[str, dict[str, int]]:
        """See base.StoreQueries."""
        counts: dict[str, dict[str, int]] = {}
        for job_type, status, number in await self.rows(SQL["job_counts"], (), tuple):
            of_type = counts.setdefault(job_type, {})
            of_type[status] = of_type.get(status, 0) + number
        return counts


def _only(row: Columns) -> Any:
    return row[0]


class _Conditions:
    """A query put together from fixed pieces; what callers give is always bound, never text."""

    def __init__(self, columns: str, table: str) -> None:
        self._head = f"SELECT {columns} FROM {table}"  # noqa: S608 - our own names
        self._all: list[str] = []
        self._values: dict[str, Any] = {}

    def _bound(self, value: Any) -> str:
        name = f"given{len(self._values)}"
        self._values[name] = value
        return f":{name}"

    def when(self, wanted: bool, condition: str) -> None:  # noqa: FBT001 - the first thing one reads
        if wanted:
            self._all.append(condition)

    def given(self, condition: str, value: Any) -> None:
        if value is not None:
            self._all.append(condition.replace("?", self._bound(value)))

    def equal(self, column: str, value: str | None) -> None:
        self.given(f"{column} = ?", value)

    def one_of(self, column: str, values: Sequence[str] | None) -> None:
        if values:
            self._all.append(f"{column} IN ({', '.join(map(self._bound, padded(list(values))))})")

    def put_into(self, sql: str) -> tuple[str, dict[str, Any]]:
        """The conditions in a query that has a place for them."""
        return sql.replace("/*conditions*/", "".join(f" AND {one}" for one in self._all)), self._values

    def newest_first(self, column: str, limit: int) -> tuple[str, dict[str, Any]]:
        where = f" WHERE {' AND '.join(self._all)}" if self._all else ""
        return f"{self._head}{where} ORDER BY {column} DESC LIMIT :limit", {**self._values, "limit": limit}
