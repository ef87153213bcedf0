"""What one event did."""

from __future__ import annotations

from typing import NamedTuple

from smd.statechart.effects import Effect, Taken
from smd.statechart.snapshot import Snapshot


class Step(NamedTuple):
    """What one event did.

    Attributes:
        snapshot: the next snapshot; its version is one higher.
        taken: the microsteps, in order.
        effects: what to send, log and report, in order.
        disposition: taken, ignored, deferred or stale.
        code, reason: why it was not taken; empty when taken.
    """

    snapshot: Snapshot
    taken: tuple[Taken, ...]
    effects: tuple[Effect, ...]
    disposition: str
    code: str = ""
    reason: str = ""
