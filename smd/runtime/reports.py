"""What a commit is told as: notices on the bus, lines in the machine's log, warnings in the daemon's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from smd.runtime import control
from smd.statechart.effects import CONTROL, FAILED, Log, Warn
from smd.statechart.event import Event

if TYPE_CHECKING:
    from smd.runtime.machine import Machine
    from smd.runtime.result import Result
    from smd.runtime.supervisor import Supervisor
    from smd.statechart.step import Step

_log = structlog.get_logger("smd.machine")


def report(supervisor: Supervisor, machine: Machine, result: Result, old_status: str) -> None:
    """Tell what a turn did, in order."""
    for event, step, before in result.steps:
        _step(supervisor, machine, event, step, before)
    for trace in result.traces:
        _log.error("step crashed", machine=machine.name, trace=trace)
    for row in result.consumed:
        if row.error is not None:
            job = machine.snapshot.held[0].job_id if machine.snapshot and machine.snapshot.held else row.event.job_id
            supervisor.notice(
                "error", machine.name, {"error_message": row.error, "job_id": job, "event": row.event.type}
            )
        if row.disposition == FAILED:
            supervisor.logs.write(machine.name, "error", f"failed at '{row.event.type}': {row.error}", row.now)
            _log.error("machine failed", machine=machine.name, event_type=row.event.type, why=row.error)
    if result.status != old_status:
        _status(supervisor, machine, old_status)


def _step(supervisor: Supervisor, machine: Machine, event: Event, step: Step, before: str) -> None:
    after = step.snapshot.configuration.label
    now = supervisor.clock.now()
    for effect in step.effects:
        if isinstance(effect, Log):
            supervisor.log(machine.name, effect.level, effect.message, effect.state)
        elif isinstance(effect, Warn):
            supervisor.logs.write(machine.name, "warning", f"{effect.code}: {effect.message}", now)
            supervisor.notice(
                "warning", machine.name, {"code": effect.code, "message": effect.message, "state": effect.state}
            )
    if step.taken and step.disposition != CONTROL:
        supervisor.logs.write(machine.name, "info", f"{before} --{event.type}--> {after}", now)
        if supervisor.bus.wants("state_change"):
            data: dict[str, Any] = {
                "from_state": before,
                "to_state": after,
                "event_trigger": event.type,
                "version": step.snapshot.version,
            }
            supervisor.notice("state_change", machine.name, data)
    elif event.type == control.START:
        supervisor.logs.write(machine.name, "info", f"started in {after}", now)


def _status(supervisor: Supervisor, machine: Machine, old_status: str) -> None:
    supervisor.logs.write(machine.name, "info", f"{old_status} -> {machine.status}", supervisor.clock.now())
    _log.info("machine", machine=machine.name, status=machine.status, states=_label(machine))
    supervisor.notice(
        "status", machine.name, {"status": machine.status, "health": machine.health, "error": machine.error}
    )
    if machine.status == "running" and old_status != "paused":
        data = {"config_type": machine.chart.machine, "current_state": _label(machine)}
        supervisor.notice("machine_registered", machine.name, data)
    elif machine.status in {"finished", "stopped", "failed"}:
        terminated(supervisor, machine)


def terminated(supervisor: Supervisor, machine: Machine) -> None:
    """The machine runs no more."""
    supervisor.notice(
        "machine_terminated", machine.name, {"config_type": machine.chart.machine, "status": machine.status}
    )


def _label(machine: Machine) -> str:
    return machine.snapshot.configuration.label if machine.snapshot is not None else ""
