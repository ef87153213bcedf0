"""How much a machine may keep."""

from __future__ import annotations

from smd import codec
from smd.errors import MachineError
from smd.statechart.snapshot import Snapshot
from smd.statechart.snapshot_json import to_plain

CONTEXT_LIMIT = 1_048_576
"""Bytes of a machine's context as JSON (see `codec.size`)."""
SNAPSHOT_LIMIT = 4 * CONTEXT_LIMIT
"""Bytes of all that a machine keeps: the context, and events that its actions work on or that wait."""
_PARTS = {
    "context": "its context", "sequences": "events that its actions work on", "deferred": "events that wait for them",
    "timers": "what it sends later",
}  # fmt: skip


def excess(snapshot: Snapshot, data: bytes) -> MachineError | None:
    """Why a machine may not keep this snapshot; None if it may.

    The context is measured alone only when the whole is larger than even a context may be.

    Args:
        data: the snapshot as JSON.
    """
    if len(data) <= CONTEXT_LIMIT:
        return None
    if codec.size(codec.canonical(snapshot.context)) > CONTEXT_LIMIT:
        return _error(snapshot, "context", f"it would be over {CONTEXT_LIMIT} bytes")
    if codec.size(data) <= SNAPSHOT_LIMIT:
        return None
    plain = to_plain(snapshot)
    largest = max(_PARTS, key=lambda part: codec.size(codec.dumps(plain[part])))
    return _error(snapshot, "snapshot", f"it would be over {SNAPSHOT_LIMIT} bytes, most of it {_PARTS[largest]}")


def _error(snapshot: Snapshot, what: str, why: str) -> MachineError:
    return MachineError(
        f"cannot keep the {what} of '{snapshot.machine}': {why}", code=f"{what}_too_large",
        hint="keep large data in files and pass their names",
    )  # fmt: skip
