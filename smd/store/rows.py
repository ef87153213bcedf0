"""Between the store's records and the columns that keep them. Pure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from smd.codec import canonical, loads
from smd.errors import RequestError, TooLargeError
from smd.jobs import Job
from smd.statechart.event import Event
from smd.statechart.snapshot_json import outcome_from_plain, outcome_to_plain
from smd.store.base import JournalRow, MachineRow

QUEUED, DEAD, CLEARED, TAKEN = "queued", "dead", "cleared", "taken"
WAITED = 1
"""The mark of a row that was not consumed as it came."""
_BIGGEST = 2**63

WRITABLE_COLUMNS = frozenset(MachineRow._fields) - {"name", "version"}
"""What UpdateMachine may set: a name is for life, and a version counts rows."""


def encoded(value: Any) -> str | None:
    """The JSON text of a value, None for null.

    Raises:
        RequestError: a number beyond 64 bits, half a surrogate pair, or no JSON at all.
    """
    if value is None:
        return None
    try:
        return canonical(value).decode()
    except TypeError as error:
        raise RequestError(f"cannot store a value: {error}") from error


def decoded(text: str | None) -> Any:
    """The value of a JSON text that `encoded` made."""
    return None if text is None else loads(text)


def storable(values: Iterable[Any]) -> None:
    """Check plain column values as a database would.

    Raises:
        RequestError: text that is not Unicode, or a number beyond 64 bits.
    """
    try:
        for value in values:
            if isinstance(value, str):
                value.encode()
            elif isinstance(value, int) and not -_BIGGEST <= value < _BIGGEST:
                raise OverflowError
    except (UnicodeEncodeError, OverflowError) as error:
        raise unstorable(error) from error


def unstorable(error: Exception) -> RequestError:
    """What the sender of a value is told that no column can hold."""
    if isinstance(error, UnicodeEncodeError):
        return RequestError("cannot store a text: it holds half of a surrogate pair")
    if isinstance(error, OverflowError):
        return RequestError("cannot store a number: it does not fit into 64 bits")
    if isinstance(error, sqlite3.ProgrammingError):
        return RequestError("cannot store a value: a text was expected, not a map or a list")
    return TooLargeError(f"cannot store a value: {error}")


# --- events -----------------------------------------------------------------------------------------------------


def kept_detail(event: Event, detail: Any = None) -> str | None:
    """The detail column of an event: what its own columns do not hold, and what the step adds."""
    if event.outcome is None and not event.timer and event.origin_layer is None:
        return encoded(detail)
    kept: dict[str, Any] = {}
    if event.origin_layer is not None:
        kept["origin_layer"] = event.origin_layer
    if event.timer:
        kept["timer"] = event.timer
    if event.outcome is not None:
        kept["outcome"] = outcome_to_plain(event.outcome)
    if detail is not None:
        kept |= detail if isinstance(detail, dict) else {"detail": detail}
    return encoded(kept)


def event_of(columns: Sequence[Any]) -> tuple[int, Event]:
    """A waiting row's number and event, from its `event_columns`."""
    seq, kind, payload, id_, source, priority, job_id, at, detail = columns
    event = Event(kind, decoded(payload), id_, source, priority, job_id, at)
    return seq, (event if detail is None else _completed(event, loads(detail)))


def row_event(row: JournalRow) -> Event:
    """The event a journal row tells of, as it was posted; for replay."""
    event = Event(row.type, row.payload, row.id, row.source, row.priority, row.job_id, row.at)
    return _completed(event, row.detail) if isinstance(row.detail, dict) else event


def _completed(event: Event, detail: dict[str, Any]) -> Event:
    outcome = detail.get("outcome")
    return event._replace(
        origin_layer=detail.get("origin_layer"),
        timer=detail.get("timer", ""),
        outcome=outcome_from_plain(outcome) if outcome is not None else None,
    )


# --- rows -------------------------------------------------------------------------------------------------------


def journal_row(columns: Sequence[Any]) -> JournalRow:
    """From the `journal_columns`."""
    row = JournalRow._make(columns)
    if row.payload is None and row.detail is None:
        return row
    return row._replace(payload=decoded(row.payload), detail=decoded(row.detail))


def machine_row(columns: Sequence[Any]) -> MachineRow:
    """From the `machine_columns`."""
    row = MachineRow._make(columns)
    return row._replace(linked=bool(row.linked))


def job_row(columns: Sequence[Any]) -> Job:
    """From the `job_columns`."""
    job = Job._make(columns)
    return job._replace(data=decoded(job.data), result=decoded(job.result), metadata=decoded(job.metadata))
