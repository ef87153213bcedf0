"""What becomes of a change that makes the context larger than a machine may keep.

Contexts are measured once a turn, as part of the snapshot that is written: measuring each change would cost more than
the changes. When one is found to be too large, the turn is undone and repeated *measured*: an event whose step ends
within the limit is taken as always; of any other, the change that is to blame is refused where it is made.

- A result of an action that cannot be kept is that action's failure. A job that was claimed with it fails.
- So is a change by an instant action; in a block it raises `error.execution`.
- An event from outside whose `context_map` brings too much is ignored, and its sender is told why.

Only what can be laid on nobody fails the machine. Rows of steps in which changes were measured say so (`measured` in
their detail), for a replay must measure them too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from smd.errors import ActionError, SmdError, brief
from smd.runtime.asking import refused
from smd.runtime.inbox import Item, outcome_item
from smd.runtime.sizes import outgrown
from smd.statechart.context import apply_patch
from smd.statechart.effects import Settle
from smd.statechart.event import Outcome
from smd.statechart.model import Statechart
from smd.statechart.sequence import action_of, key_of
from smd.statechart.snapshot import Snapshot
from smd.statechart.step import Step

if TYPE_CHECKING:
    from smd.runtime.turn import Turn


def measured(turn: Turn, item: Item, chart: Statechart, advance: Callable[..., Step]) -> Item:
    """The event as it is to be stepped in a measured turn.

    A result too large is replaced by the failure that it is, so that it is not written either.
    """
    if _fits(turn, item, chart, advance):
        return item
    item = _without_result(turn, item, chart)
    return item if _fits(turn, item, chart, advance) else item._replace(measured=True)


def _fits(turn: Turn, item: Item, chart: Statechart, advance: Callable[..., Step]) -> bool:
    before = turn.result.snapshot
    try:
        after = advance(chart, before, item.event, turn.now).snapshot
    except Exception:  # noqa: BLE001 - raised again where the step is taken
        return True
    return outgrown(before.context if before is not None else {}, after.context) is None


def _without_result(turn: Turn, item: Item, chart: Statechart) -> Item:
    snapshot, outcome = turn.result.snapshot, item.event.outcome
    if snapshot is None or outcome is None or (error := _unkept(snapshot, outcome)) is None:
        return item
    record = next((r for r in snapshot.sequences if key_of(snapshot, r) == outcome.key), None)
    if record is None:
        return item
    failed = refused(chart, snapshot, record, action_of(chart, record), error, turn.machine.log)
    failed = failed._replace(attempt=outcome.attempt, settled=outcome.settled)
    if outcome.hold is not None:
        why = brief(f"cannot be claimed: {error.message}")
        turn.result.settles.append(Settle(outcome.hold.job_id, outcome.hold.epoch, "failed", why))
    return item._replace(event=outcome_item(failed).event)


def _unkept(snapshot: Snapshot, outcome: Outcome) -> SmdError | None:
    try:
        context = apply_patch(snapshot.context, outcome.patch, snapshot.covered.copy())
    except ActionError as error:
        return error
    why = outgrown(snapshot.context, context)
    return ActionError(f"cannot keep its result: {why}") if why else None
