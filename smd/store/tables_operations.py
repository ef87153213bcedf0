"""The operations on the memory store's tables: the same answers as SQLite's, found by plain look-ups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from smd.jobs import Job, JobStatus
from smd.statechart.effects import Send
from smd.statechart.event import Event
from smd.store import base
from smd.store.base import Consumed, JournalRow, MachineRow, Record, Saved
from smd.store.rows import CLEARED, DEAD, QUEUED, decoded, encoded, event_of, job_row, kept_detail, storable
from smd.store.rules import (
    ENDS,
    FINISHED,
    check_columns,
    check_numbers,
    check_status,
    complete_answer,
    going_on,
    job_data,
    last_taken,
    new_job_id,
    no_machine,
    queued_answer,
    refusal,
    repeated,
    stale,
    too_many,
    undelivered,
    waiting_row,
)
from smd.store.tables import Tables, claiming_order


def waiting_event(row: JournalRow) -> tuple[int, Event]:
    """Number and event of a waiting row."""
    return event_of((row.seq, row.type, row.payload, row.id, row.source, row.priority, row.job_id, row.at, row.detail))


class TableOperations:
    """Answers operations on `tables`; a failed one may leave changes behind, for its unit to undo."""

    def __init__(self, tables: Tables, pending_limit: int) -> None:
        self._tables = tables
        self._pending_limit = pending_limit

    def answer(self, operation: base.Operation) -> Any:
        """The answer of one operation. Raises what base says of it."""
        return _ANSWERS[type(operation)](self, operation)

    # --- saving ---------------------------------------------------------------------------------------------------

    def save(self, operation: base.Save) -> Saved:
        """See base.Save."""
        record, tables = operation.record, self._tables
        check_numbers(record)
        row = tables.machines.get(record.machine)
        if row is None or row.version != record.from_version:
            raise stale(record)
        after = _saved_row(row, record)
        storable(after)
        tables.put(tables.machines, row.name, after)
        seqs = [self._consume(record, place, one) for place, one in enumerate(record.consumed, row.version + 1)]
        self._remember(record, seqs)
        delivered: list[tuple[str, int, Event]] = []
        for send in record.sends:
            for target in self._targets(record, send):
                delivered += self._deliver(record, send, target)
        return Saved(seqs, delivered)

    def _consume(self, record: Record, place: int, consumed: Consumed) -> int:
        event = consumed.event
        fate = (consumed.now, consumed.disposition, consumed.from_state or None, consumed.to_state or None,
                consumed.error, kept_detail(event, consumed.detail))  # fmt: skip
        if consumed.seq is None:
            seq = self._tables.next("seq")
            self._tables.add_row(
                JournalRow(seq, place, event.id, record.machine, record.life, event.type, encoded(event.payload),
                           event.source, event.priority, event.job_id, event.sent_at, *fate)
            )  # fmt: skip
            return seq
        row = self._tables.journal.get(consumed.seq)
        if row is None or row.machine != record.machine or row.seq not in self._tables.waiting[row.machine]:
            raise stale(record)
        now, disposition, before, after, error, detail = fate
        storable(fate)
        self._tables.settle_row(
            row._replace(consumed_no=place, life=record.life, now=now, disposition=disposition, from_state=before,
                         to_state=after, error=error, detail=detail)
        )  # fmt: skip
        return row.seq

    def _remember(self, record: Record, seqs: Sequence[int]) -> None:
        dedup = self._tables.dedup
        for consumed, seq in zip(record.consumed, seqs, strict=True):
            if not consumed.client or not consumed.event.id:
                continue
            key = (record.machine, consumed.event.id)
            if consumed.seq is None and key in dedup:
                raise repeated(record.machine)
            self._tables.put(dedup, key, encoded(complete_answer(consumed, seq)))

    def _targets(self, record: Record, send: Send) -> Sequence[str]:
        if send.targets != ("all",):
            return send.targets
        machines = self._tables.machines.values()
        return sorted(row.name for row in machines if row.name != record.machine and row.status != FINISHED)

    def _deliver(self, record: Record, send: Send, target: str) -> list[tuple[str, int, Event]]:
        now = record.consumed[-1].now if record.consumed else 0.0
        row = self._tables.machines.get(target)
        waiting = len(self._tables.waiting.get(target, ()))
        reason = refusal(target, row.status if row else None, waiting, self._pending_limit)
        event = Event(send.type, send.payload, send.id, record.machine, send.priority, send.job_id, now)
        if reason is None and row is not None:
            return [(target, self._queue(target, row.life, event), event)]
        self._add(target, row.life if row else 0, event, now, DEAD, reason)
        if record.status == FINISHED:
            return []
        told = undelivered(send, target, reason or "", now)
        return [(record.machine, self._queue(record.machine, record.life, told), told)]

    def _queue(self, machine: str, life: int, event: Event) -> int:
        return self._add(machine, life, event, None, QUEUED, None)

    def _add(
        self, machine: str, life: int, event: Event, now: float | None, disposition: str, error: str | None
    ) -> int:
        seq = self._tables.next("seq")
        self._tables.add_row(JournalRow._make(waiting_row(seq, machine, life, event, now, disposition, error)))
        return seq

    # --- machines and what waits for them ---------------------------------------------------------------------------

    def seen(self, operation: base.Seen) -> dict[str, Any]:
        """See base.Seen."""
        storable((operation.machine, *operation.ids))
        dedup, machine = self._tables.dedup, operation.machine
        return {one: decoded(dedup[machine, one]) for one in operation.ids if (machine, one) in dedup}

    def enqueue(self, operation: base.Enqueue) -> tuple[int, Any]:
        """See base.Enqueue."""
        machine, event = operation.machine, operation.event
        storable((machine,))
        row = self._tables.machines.get(machine)
        if row is None:
            raise no_machine("queue an event for", machine)
        key = (machine, event.id)
        client = operation.client and bool(event.id)
        if client and key in self._tables.dedup:
            return 0, decoded(self._tables.dedup[key])
        waiting = len(self._tables.waiting.get(machine, ()))
        if waiting >= operation.limit:
            raise too_many(machine, waiting)
        storable(waiting_row(0, machine, row.life, event, None, QUEUED))
        seq = self._queue(machine, row.life, event)
        if client:
            self._tables.put(self._tables.dedup, key, encoded(queued_answer(machine, event, seq)))
        return seq, None

    def find_pending(self, operation: base.FindPending) -> tuple[int, Event] | None:
        """See base.FindPending."""
        rows = self._waiting_of(operation.machine, operation.types)
        return waiting_event(rows[0]) if rows else None

    def clear_pending(self, operation: base.ClearPending) -> list[int]:
        """See base.ClearPending."""
        found = self._waiting_of(operation.machine, operation.types)
        rows = [row for row in found if row.seq not in operation.keep]
        self._clear(rows, operation.now)
        return [row.seq for row in rows]

    def _waiting_of(self, machine: str, types: Sequence[str]) -> list[JournalRow]:
        storable((machine, *types))
        return [row for row in self._tables.waiting_rows(machine) if row.type in types]

    def _clear(self, rows: Sequence[JournalRow], now: float) -> None:
        for row in rows:
            self._tables.settle_row(row._replace(disposition=CLEARED, now=now))
            key = (row.machine, row.id)
            known = decoded(self._tables.dedup.get(key)) if row.id else None
            if isinstance(known, dict) and known.get("seq") == row.seq:
                self._tables.put(self._tables.dedup, key, encoded({**known, "disposition": CLEARED}))

    def put_chart(self, operation: base.PutChart) -> None:
        """See base.PutChart."""
        storable((operation.hash,))
        if operation.hash not in self._tables.charts:
            self._tables.put(self._tables.charts, operation.hash, operation.source)

    def find_machine(self, operation: base.FindMachine) -> MachineRow | None:
        """See base.FindMachine."""
        storable((operation.name,))
        return self._tables.machines.get(operation.name)

    def create_machine(self, operation: base.CreateMachine) -> MachineRow | None:
        """See base.CreateMachine."""
        row, tables = operation.row, self._tables
        storable(row)
        if row.name in tables.machines:
            return tables.machines[row.name]
        if row.name in tables.removed:
            row = going_on(row, *tables.removed[row.name])
        tables.put(tables.machines, row.name, row)
        return None

    def update_machine(self, operation: base.UpdateMachine) -> None:
        """See base.UpdateMachine."""
        check_columns(operation)
        storable((operation.name, *operation.columns.values()))
        if not operation.columns:
            return
        row = self._tables.machines.get(operation.name)
        if row is None:
            raise no_machine("update", operation.name)
        self._tables.put(self._tables.machines, row.name, row._replace(**operation.columns))

    def remove_machine(self, operation: base.RemoveMachine) -> None:
        """See base.RemoveMachine."""
        name, tables = operation.name, self._tables
        storable((name,))
        row = tables.machines.get(name)
        if row is None:
            raise no_machine("remove", name)
        tables.put(tables.removed, name, (row.life, row.version))
        tables.drop(tables.machines, name)
        self._clear(tables.waiting_rows(name), operation.now)
        for job in [job for job in tables.jobs.values() if job.status == JobStatus.RUNNING and job.holder == name]:
            self._release(job)

    # --- jobs -------------------------------------------------------------------------------------------------------

    def add_job(self, operation: base.AddJob) -> tuple[Job, bool]:
        """See base.AddJob."""
        new, tables = operation.job, self._tables
        job_id = new.job_id or new_job_id()
        row = Job(
            number=0, job_id=job_id, job_type=new.job_type, machine_type=new.machine_type,
            source_job_id=new.source_job_id, data=job_data(new.data), result=None, priority=new.priority,
            status=JobStatus.AVAILABLE.value, created_at=operation.now, started_at=None, completed_at=None, error=None,
            metadata=encoded(new.metadata), holder=None, epoch=0, attempt=0,
        )  # fmt: skip
        storable(row)
        if job_id in tables.jobs:
            return job_row(tables.jobs[job_id]), False
        return job_row(tables.put_job(row._replace(number=tables.next("number")))), True

    def claim_job(self, operation: base.ClaimJob) -> Job | None:
        """See base.ClaimJob."""
        storable(operation)
        if operation.job_id is None:
            job = self._tables.next_job(operation.job_type, operation.machine_type)
        else:
            job = next((job for job in self._free(operation) if job.job_id == operation.job_id), None)
        if job is None:
            return None
        claimed = job._replace(
            status=JobStatus.RUNNING.value, holder=operation.machine, epoch=job.epoch + 1, attempt=job.attempt + 1,
            started_at=operation.now, completed_at=None, error=None,
        )  # fmt: skip
        return job_row(self._tables.put_job(claimed))

    def _free(self, wanted: base.ClaimJob | base.PendingJobs) -> list[Job]:
        return [
            job
            for job in self._tables.jobs.values()
            if job.status == JobStatus.AVAILABLE
            and wanted.job_type in {None, job.job_type}
            and (wanted.machine_type is None or job.machine_type in {None, wanted.machine_type})
        ]

    def settle_job(self, operation: base.SettleJob) -> Job | None:
        """See base.SettleJob."""
        check_status(operation.status)
        result = encoded(operation.result)
        storable((operation.job_id, operation.error, operation.epoch))
        job = self._tables.jobs.get(operation.job_id)
        if job is None or job.status in ENDS or (operation.epoch is not None and operation.epoch != job.epoch):
            return None
        leased = job.status == JobStatus.RUNNING
        if operation.status == JobStatus.AVAILABLE:
            return self._release(job) if leased else None
        if not leased and operation.epoch is not None:
            return None
        ended = job._replace(
            status=str(operation.status), result=result, error=operation.error, completed_at=operation.now
        )
        return job_row(self._tables.put_job(ended))

    def _release(self, job: Job) -> Job:
        free = job._replace(status=JobStatus.AVAILABLE.value, holder=None, started_at=None, attempt=job.attempt - 1)
        return job_row(self._tables.put_job(free))

    def release_jobs(self, operation: base.ReleaseJobs) -> int:
        """See base.ReleaseJobs."""
        running = [job for job in self._tables.jobs.values() if job.status == JobStatus.RUNNING]
        lost = [job for job in running if operation.held.get(job.job_id) != job.epoch]
        return len([self._release(job) for job in lost])

    def pending_jobs(self, operation: base.PendingJobs) -> list[Job]:
        """See base.PendingJobs."""
        storable(operation)
        return [job_row(job) for job in claiming_order(self._free(operation))[: operation.limit]]

    def job_states(self, operation: base.JobStates) -> dict[str, str]:
        """See base.JobStates."""
        storable(operation.ids)
        jobs = self._tables.jobs
        return {job_id: jobs[job_id].status for job_id in operation.ids if job_id in jobs}


def _saved_row(row: MachineRow, record: Record) -> MachineRow:
    moved = (row.label, row.status, row.life) != (record.label, record.status, record.life)
    return row._replace(
        since=record.consumed[-1].now if moved and record.consumed else row.since,
        life=record.life,
        version=record.version,
        status=record.status,
        label=record.label,
        snapshot=row.snapshot if record.snapshot is None else record.snapshot,
        chart=row.chart if record.chart is None else record.chart,
        lifecycle=record.lifecycle or row.lifecycle,
        health=record.health or row.health,
        error=record.error,
        restarts=row.restarts if record.restarts is None else record.restarts,
        last_event=last_taken(record) or row.last_event,
    )


_ANSWERS: dict[type, Callable[[TableOperations, Any], Any]] = {
    base.Save: TableOperations.save,
    base.Seen: TableOperations.seen,
    base.Enqueue: TableOperations.enqueue,
    base.PutChart: TableOperations.put_chart,
    base.CreateMachine: TableOperations.create_machine,
    base.UpdateMachine: TableOperations.update_machine,
    base.RemoveMachine: TableOperations.remove_machine,
    base.FindMachine: TableOperations.find_machine,
    base.ClaimJob: TableOperations.claim_job,
    base.SettleJob: TableOperations.settle_job,
    base.ReleaseJobs: TableOperations.release_jobs,
    base.AddJob: TableOperations.add_job,
    base.PendingJobs: TableOperations.pending_jobs,
    base.JobStates: TableOperations.job_states,
    base.FindPending: TableOperations.find_pending,
    base.ClearPending: TableOperations.clear_pending,
}
