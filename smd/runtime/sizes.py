"""How much a machine may keep."""

from __future__ import annotations

from typing import Any

from smd import codec
from smd.errors import ERROR_LIMIT, MachineError
from smd.statechart.context import CONTEXT_LIMIT as CONTEXT_LIMIT  # noqa: PLC0414 - told on
from smd.statechart.event import Event
from smd.statechart.snapshot import Snapshot
from smd.statechart.snapshot_json import to_plain

TOLD = 2 * ERROR_LIMIT
"""Bytes more that a context may have by what it is told of failures, so that there is always room for them."""
SNAPSHOT_LIMIT = 4 * CONTEXT_LIMIT
"""Bytes of all that a machine keeps: the context, and events that its actions work on or that wait."""
WAITING_LIMIT = 64
WAITING_BYTES = 262_144
"""How many events may wait in a snapshot for an action: while there are fewer, and their payloads take fewer bytes."""
_PARTS = {
    "context": "its context", "sequences": "events that its actions work on", "deferred": "events that wait for them",
    "timers": "what it sends later",
}  # fmt: skip


def context_size(context: dict[str, Any]) -> int:
    """What a context takes."""
    return codec.size(codec.canonical(context))


def outgrown(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """Why a machine may not go from one context to the other; None if it may, for it is no larger, or small enough."""
    size = context_size(after)
    if size <= CONTEXT_LIMIT or size <= context_size(before):
        return None
    return f"the context would be over {CONTEXT_LIMIT} bytes"


def excess(snapshot: Snapshot, data: bytes, *, measured: bool) -> MachineError | None:
    """Why a machine may not keep this snapshot; None if it may.

    The context is measured alone only when the whole is larger than even a context may be.

    Args:
        data: the snapshot as JSON.
        measured: each change of the context was; what is too large now is the words about what was refused.
    """
    if len(data) <= CONTEXT_LIMIT:
        return None
    if context_size(snapshot.context) > CONTEXT_LIMIT + TOLD * measured:
        return _error(snapshot, "context", f"it would be over {CONTEXT_LIMIT} bytes")
    if codec.size(data) <= SNAPSHOT_LIMIT:
        return None
    plain = to_plain(snapshot)
    largest = max(_PARTS, key=lambda part: codec.size(codec.dumps(plain[part])))
    return _error(snapshot, "snapshot", f"it would be over {SNAPSHOT_LIMIT} bytes, most of it {_PARTS[largest]}")


def room_to_wait(deferred: tuple[Event, ...]) -> int:
    """For how many more events there is room among those that wait in a snapshot; one always has room alone."""
    room = WAITING_LIMIT - len(deferred)
    if not deferred or room <= 0:
        return max(room, 0)
    return room if sum(len(codec.dumps(event.payload)) for event in deferred) < WAITING_BYTES else 0


def _error(snapshot: Snapshot, what: str, why: str) -> MachineError:
    return MachineError(
        f"cannot keep the {what} of '{snapshot.machine}': {why}", code=f"{what}_too_large",
        hint="keep large data in files and pass their names",
    )  # fmt: skip
