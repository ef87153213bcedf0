"""Journal rows as they are shown: events, transitions, errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smd.errors import RequestError
from smd.http.call import LIST_LIMIT, Call, number
from smd.http.replies import Reply

_PENDING = {"pending": True, "consumed": False}
_DEFAULT = 100


def shown(row: Any) -> dict[str, Any]:
    """A journal row as a transition; what was sent at no known time is shown at the time it was consumed."""
    return {
        "seq": row.seq, "consumed_no": row.consumed_no, "at": row.at or row.now, "now": row.now, "type": row.type,
        "from": row.from_state, "to": row.to_state, "disposition": row.disposition, "source": row.source,
        "job_id": row.job_id, "error": row.error, "machine": row.machine,
    }  # fmt: skip


def shown_event(row: Any) -> dict[str, Any]:
    """A journal row as an event: with what it carried."""
    return {**shown(row), "payload": row.payload, "id": row.id}


def limit_of(query: Mapping[str, str]) -> int:
    """How many rows are asked for."""
    return number(query, "limit", int, 1, LIST_LIMIT) or _DEFAULT


def before_of(query: Mapping[str, str]) -> int | None:
    """The row below which a page begins."""
    before: int | None = number(query, "before", int, 1, float(1 << 62))
    return before


def since_of(query: Mapping[str, str]) -> float | None:
    """The time from which rows are wanted."""
    since: float | None = number(query, "since", float, 0, 1e12)
    return since


def _page(rows: Sequence[Any], plain: list[dict[str, Any]], limit: int) -> Reply:
    return Reply({"rows": plain, "next": rows[-1].seq if len(rows) == limit else None})


async def _transitions(call: Call, machine: str | None, query: Mapping[str, str], *, errors: bool = False) -> Reply:
    limit = limit_of(query)
    rows = await call.supervisor.store.events(
        machine, since=since_of(query), before=before_of(query), limit=limit, changed=not errors, errors=errors
    )
    return _page(rows, [shown(row) for row in rows], limit)


async def machine_history(call: Call) -> Reply:
    """Transitions of one machine, newest first."""
    call.supervisor.view(call.name)
    return await _transitions(call, call.name, call.query("limit", "before", "since"))


async def all_history(call: Call) -> Reply:
    """Transitions over all machines, also removed ones."""
    query = call.query("machine", "limit", "before", "since")
    return await _transitions(call, query.get("machine"), query)


async def all_errors(call: Call) -> Reply:
    """Rows that failed."""
    query = call.query("machine", "limit", "before", "since")
    return await _transitions(call, query.get("machine"), query, errors=True)


async def list_events(call: Call) -> Reply:
    """Events, waiting and consumed, with their payloads."""
    query = call.query("machine", "status", "type", "limit", "before", "since")
    if query.get("status", "pending") not in _PENDING:
        raise RequestError(f"cannot list events with status '{query['status'][:40]}': known are pending, consumed")
    limit = limit_of(query)
    rows = await call.supervisor.store.events(
        query.get("machine"), types=[query["type"]] if "type" in query else None, since=since_of(query),
        before=before_of(query), limit=limit, pending=_PENDING.get(query.get("status", "")),
    )  # fmt: skip
    return _page(rows, [shown_event(row) for row in rows], limit)
