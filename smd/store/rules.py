"""The rules every store keeps, whatever it keeps its rows in. Pure."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from smd import codec
from smd.errors import BusyError, ConflictError, NotFoundError, RequestError, StoreError, TooLargeError
from smd.jobs import JobStatus
from smd.jobs.job import DATA_LIMIT
from smd.statechart.effects import Send
from smd.statechart.event import Event
from smd.store.base import Consumed, MachineRow, Record, StaleVersion, UpdateMachine
from smd.store.rows import QUEUED, TAKEN, WRITABLE_COLUMNS, encoded, kept_detail

PENDING_LIMIT = 100_000
"""Rows that may wait for one machine before a send to it is dead."""
FINISHED = "finished"
RELEASED = "released"
ENDS = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
_SETTLED = frozenset({*ENDS, JobStatus.AVAILABLE})


def check_numbers(record: Record) -> None:
    """A record must account for every event between its two versions.

    Raises:
        StoreError: it does not.
    """
    if record.from_version + len(record.consumed) != record.version:
        raise StoreError(
            f"cannot save '{record.machine}': {len(record.consumed)} events do not lead from version "
            f"{record.from_version} to {record.version}",
            code="invalid_record",
        )


def stale(record: Record) -> StaleVersion:
    """The machine is not where the record begins."""
    return StaleVersion(f"cannot save '{record.machine}': it is not at version {record.from_version}")


def repeated(machine: str) -> ConflictError:
    """A client id that was answered before is consumed again."""
    return ConflictError(
        f"cannot save '{machine}': one of its event ids was answered before",
        code="duplicate",
        hint="ask Seen for the answer before the step",
    )


def last_taken(record: Record) -> str | None:
    """The type of the last event that changed the machine."""
    for consumed in reversed(record.consumed):
        if consumed.disposition == TAKEN:
            event: Event = consumed.event
            return event.type
    return None


def complete_answer(consumed: Consumed, seq: int) -> Any:
    """What a repeat of the event will hear: the answer with the number its row got."""
    return {**consumed.answer, "seq": seq} if isinstance(consumed.answer, dict) else consumed.answer


def undelivered(send: Send, target: str, reason: str, now: float) -> Event:
    """What the sender hears of an event that reached nobody."""
    told = {"target": target, "type": send.type, "reason": reason, "send_id": send.id}
    return Event("error.communication", told, source="store", sent_at=now)


def refusal(target: str, status: str | None, waiting: int, limit: int) -> str | None:
    """Why a machine can be sent nothing, or None; `status` is None when there is no such machine."""
    if status is None:
        return f"there is no machine '{target}'"
    if status == FINISHED:
        return f"machine '{target}' is finished"
    if waiting >= limit:
        return f"{waiting} events already wait for machine '{target}'"
    return None


def waiting_row(
    seq: int, machine: str, life: int, event: Event, now: float | None, disposition: str, error: str | None = None
) -> tuple[Any, ...]:
    """The journal columns of an event nobody has consumed."""
    return (seq, None, event.id, machine, life, event.type, encoded(event.payload), event.source, event.priority,
            event.job_id, event.sent_at, now, disposition, None, None, error, kept_detail(event))  # fmt: skip


def no_machine(verb: str, name: str) -> NotFoundError:
    """A request names a machine that does not exist."""
    return NotFoundError(f"cannot {verb} '{name}': there is no such machine")


def too_many(machine: str, waiting: int) -> BusyError:
    """The inbox of a machine is full."""
    return BusyError(
        f"cannot queue an event for '{machine}': {waiting} wait already", hint="send it again later, with its id"
    )


def queued_answer(machine: str, event: Event, seq: int) -> dict[str, Any]:
    """What a repeat of an event hears while the event waits."""
    return {"machine": machine, "type": event.type, "seq": seq, "disposition": QUEUED}


def check_columns(operation: UpdateMachine) -> None:
    """Only columns that exist and that no step counts on.

    Raises:
        RequestError: another column is named.
    """
    if unknown := sorted(set(operation.columns) - WRITABLE_COLUMNS):
        raise RequestError(f"cannot update '{operation.name}': {', '.join(unknown)} cannot be set")


def going_on(row: MachineRow, life: int, version: int) -> MachineRow:
    """A new machine's row after a removed one of its name: action keys and journal places never repeat."""
    return row._replace(life=max(row.life, life), version=version)


def check_status(status: str) -> None:
    """A job may be settled as an end, or be given back.

    Raises:
        RequestError: any other status.
    """
    if status not in _SETTLED:
        known = ", ".join([*ENDS, JobStatus.AVAILABLE])
        raise RequestError(f"cannot settle a job as '{status}': it ends as one of {known}")


def job_data(data: Any) -> str | None:
    """A new job's data as they are kept.

    Raises:
        TooLargeError: no machine could claim them. RequestError: no column can hold them.
    """
    text = encoded(data)
    if text is not None and len(text) * 4 > DATA_LIMIT and codec.size(text.encode()) > DATA_LIMIT:
        raise TooLargeError(
            f"cannot add a job: its data are over {DATA_LIMIT} bytes",
            hint="keep large data in a file and send its name",
        )
    return text


def new_job_id() -> str:
    """An id for a job whose sender gave none."""
    return uuid4().hex
