"""What is shown of a machine, derived from its snapshot."""

from __future__ import annotations

from typing import Any

from smd.runtime.answers import MachineView, lifecycle_of
from smd.runtime.machine import Machine
from smd.statechart.sequence import NOT_STARTED, action_of
from smd.statechart.snapshot import ARMED, ENDED, SLEEPING, WAITING, WORKING, Sequence, Snapshot

_AT_REST = {"paused": "Paused", "stopped": "Stopped", "finished": "Stopped", "failed": "Error"}


def view_of(machine: Machine) -> MachineView:
    """The machine as people and programs see it, but for the events that wait in the store."""
    snapshot = machine.snapshot
    running = next((r for r in machine.running.values() if not r.task.done()), None)
    return MachineView(
        machine.name, machine.chart.label, machine.status, snapshot.configuration.leaf_ids if snapshot else (),
        machine.since, machine.life, machine.version, machine.last_event, lifecycle_of(machine.status),
        operational(machine), _health(machine), machine.error, machine.restarts, machine.parent, machine.origin,
        _only_here(machine),
        is_stuck(machine), running.type if running else None, waiting_for(machine), enabled_events(machine),
        tuple({"event": t.event, "due": t.due, "state": t.state} for t in snapshot.timers) if snapshot else (),
        tuple(h.job_id for h in snapshot.held) if snapshot else (),
    )  # fmt: skip


def _health(machine: Machine) -> str:
    """Critical for all while the store cannot be written."""
    return machine.health if machine.supervisor.store.trouble.error is None else "Critical"


def _only_here(machine: Machine) -> int:
    """Events that wait in memory and are no rows of the store."""
    inbox = machine.inbox
    return len(machine.behind) + (len(inbox) - len(inbox.seqs()) if len(inbox) else 0)


def operational(machine: Machine) -> str:
    """The operational layer: at rest by status, else Running while an action is under way, else Ready."""
    if machine.status != "running":
        return _AT_REST.get(machine.status, "Idle")
    snapshot = machine.snapshot
    busy = snapshot is not None and any(r.phase in {WORKING, SLEEPING, "asking"} for r in snapshot.sequences)
    return "Running" if busy else "Ready"


def enabled_events(machine: Machine) -> tuple[str, ...]:
    """Event types that some active state has a transition for."""
    if machine.snapshot is None or machine.status != "running":
        return ()
    found: dict[str, None] = {}
    for leaf in machine.snapshot.configuration.leaves:
        for state in (leaf, *leaf.ancestors):
            found.update((name, None) for t in state.transitions for name in t.events)
    return tuple(found)


def waiting_for(machine: Machine) -> str | None:
    """What the first sequence that waits is waiting for, in words; or the machine, which ended, its restart."""
    snapshot, supervisor = machine.snapshot, machine.supervisor
    if (due := supervisor.restarts.due(machine.name)) is not None:
        return f"its restart in {max(0.0, due - supervisor.clock.now()):.1f} s"
    if snapshot is None or machine.status != "running":
        return None
    return next((text for r in snapshot.sequences if (text := _waiting(machine, snapshot, r))), None)


def _waiting(machine: Machine, snapshot: Snapshot, record: Sequence) -> str | None:
    if record.phase in {WAITING, ARMED}:
        action = action_of(machine.chart, record)
        params: Any = action.params.value
        what = {"jobs": "a job", "tracked": "tracked jobs to end", "events": "an event"}.get(
            action.watch or "", "an answer"
        )
        kind = params.get("job_type") or params.get("event_types")
        return f"{what} ({kind})" if kind else what
    if record.phase == SLEEPING:
        timer = next((t for t in snapshot.timers if t.data == record.entry and t.kind == "sequence"), None)
        return None if timer is None or record.index == NOT_STARTED else f"a {timer.event} of {timer.seconds:g} s"
    return None


def is_stuck(machine: Machine) -> bool:
    """An action failed unhandled, its sequence is over, and no event, timer or answer can move the state any more."""
    snapshot = machine.snapshot
    if snapshot is None or machine.status != "running":
        return False
    ended = [r for r in snapshot.sequences if r.phase == ENDED and r.failed]
    moving = any(r.phase != ENDED for r in snapshot.sequences) or any(t.kind == "after" for t in snapshot.timers)
    own = {
        name for r in ended for t in machine.chart.states[r.state].transitions for name in t.events if "*" not in name
    }
    return bool(ended) and not moving and not (own - {"stop", "error"})
