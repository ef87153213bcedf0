"""What a commit is told as: notices on the bus, lines in the machine's log, warnings in the daemon's.

Transitions are in the journal, so the log does not repeat them: a write a turn would cost as much as the turn. What
failed on the way is there too, as the row's error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from smd.errors import brief
from smd.statechart.effects import CONTROL, FAILED, Log, Warn
from smd.statechart.event import Event, Outcome
from smd.statechart.step import Step

if TYPE_CHECKING:
    from smd.runtime.machine import Machine
    from smd.runtime.result import Result
    from smd.runtime.supervisor import Supervisor

_log = structlog.get_logger("smd.machine")
_FAILURES = frozenset({"guard", "action", "block", "action_failed"})
"""Codes of warnings that tell of a failure."""


def report(supervisor: Supervisor, machine: Machine, result: Result, old_status: str) -> None:
    """Tell what a turn did, in order."""
    lines: list[tuple[str, str]] = []
    watched = supervisor.bus.wants("state_change")
    for item, done, before in result.rows:
        if isinstance(done, Step) and (watched or done.effects):
            _step(supervisor, machine, done, lines)
            if watched and done.taken and done.disposition != CONTROL:
                _changed(supervisor, machine, item.event, done, ",".join(before))
    for trace in result.traces:
        _log.error("step crashed", machine=machine.name, trace=trace)
    for row in result.consumed:
        if row.error is not None:
            held = machine.snapshot.held if machine.snapshot else ()
            job = held[0].job_id if held else row.event.job_id
            told = {"error_message": row.error, "job_id": job, "event": row.event.type}
            supervisor.notice("error", machine.name, told)
        if row.disposition == FAILED:
            lines.append(("error", f"failed at '{row.event.type}': {row.error}"))
            failed = "machine failed" if result.status == "failed" else "event failed"
            _log.error(failed, machine=machine.name, event_type=row.event.type, why=row.error)
    if result.status != old_status:
        lines.append(("info", f"{old_status} -> {machine.status}"))
        _status(supervisor, machine, old_status)
    if lines:
        supervisor.logs.write_all(machine.name, lines, supervisor.clock.now())


def error_of(step: Step, outcome: Outcome | None) -> str | None:
    """What failed in a step, for the journal: the action it answers for, then guards and actions on the way."""
    told = outcome.error if outcome is not None else None
    if not step.effects:
        return told
    words = [told] if told else []
    for effect in step.effects:
        if isinstance(effect, Warn) and effect.code in _FAILURES:
            own = effect.code == "action_failed" and told and effect.message.endswith(told)
            if not own:
                words.append(f"{effect.message} (in '{effect.state}')")
    return brief("; ".join(words)) if words else None


def _step(supervisor: Supervisor, machine: Machine, step: Step, lines: list[tuple[str, str]]) -> None:
    for effect in step.effects:
        if isinstance(effect, Log):
            lines.append((effect.level, effect.message))
            supervisor.notice_log(machine.name, effect.level, effect.message, effect.state)
        elif isinstance(effect, Warn):
            lines.append(("warning", f"{effect.code}: {effect.message}"))
            told = {"code": effect.code, "message": effect.message, "state": effect.state}
            supervisor.notice("warning", machine.name, told)


def _changed(supervisor: Supervisor, machine: Machine, event: Event, step: Step, before: str) -> None:
    data: dict[str, Any] = {
        "from_state": before, "to_state": step.snapshot.configuration.label, "event_trigger": event.type,
        "version": step.snapshot.version,
    }  # fmt: skip
    supervisor.notice("state_change", machine.name, data)


def _status(supervisor: Supervisor, machine: Machine, old_status: str) -> None:
    _log.info("machine", machine=machine.name, status=machine.status, states=_label(machine))
    supervisor.notice(
        "status", machine.name, {"status": machine.status, "health": machine.health, "error": machine.error}
    )
    if machine.status == "running" and old_status != "paused":
        _registered(supervisor, machine)
    elif machine.status in {"finished", "stopped", "failed"}:
        terminated(supervisor, machine)


def daemon_begins(supervisor: Supervisor) -> None:
    """The daemon started: tell of each machine that goes on."""
    for machine in _alive(supervisor):
        _registered(supervisor, machine)


def daemon_ends(supervisor: Supervisor) -> None:
    """The daemon stops, and with it each machine until the next start."""
    for machine in _alive(supervisor):
        supervisor.notice("machine_terminated", machine.name, {"config_type": machine.chart.machine})


def _alive(supervisor: Supervisor) -> list[Machine]:
    return [machine for machine in supervisor.machines.values() if machine.status in {"running", "paused"}]


def _registered(supervisor: Supervisor, machine: Machine) -> None:
    data = {"config_type": machine.chart.machine, "current_state": _label(machine)}
    supervisor.notice("machine_registered", machine.name, data)


def terminated(supervisor: Supervisor, machine: Machine) -> None:
    """The machine runs no more."""
    supervisor.notice(
        "machine_terminated", machine.name, {"config_type": machine.chart.machine, "status": machine.status}
    )


def _label(machine: Machine) -> str:
    return machine.snapshot.configuration.label if machine.snapshot is not None else ""
