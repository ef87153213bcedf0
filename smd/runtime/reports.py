"""What a commit is told as: notices on the bus, lines in the machine's log, warnings in the daemon's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from smd.runtime import control
from smd.statechart.effects import CONTROL, FAILED, Log, Warn
from smd.statechart.event import Event
from smd.statechart.step import Step

if TYPE_CHECKING:
    from smd.runtime.machine import Machine
    from smd.runtime.result import Result
    from smd.runtime.supervisor import Supervisor

_log = structlog.get_logger("smd.machine")


def report(supervisor: Supervisor, machine: Machine, result: Result, old_status: str) -> None:
    """Tell what a turn did, in order."""
    lines: list[tuple[str, str]] = []
    for item, done, before in result.rows:
        if isinstance(done, Step):
            _step(supervisor, machine, item.event, done, ",".join(before), lines)
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
            _log.error("machine failed", machine=machine.name, event_type=row.event.type, why=row.error)
    if result.status != old_status:
        lines.append(("info", f"{old_status} -> {machine.status}"))
        _status(supervisor, machine, old_status)
    if lines:
        supervisor.logs.write_all(machine.name, lines, supervisor.clock.now())


def _step(
    supervisor: Supervisor, machine: Machine, event: Event, step: Step, before: str, lines: list[tuple[str, str]]
) -> None:
    after = step.snapshot.configuration.label
    for effect in step.effects:
        if isinstance(effect, Log):
            lines.append((effect.level, effect.message))
            supervisor.notice_log(machine.name, effect.level, effect.message, effect.state)
        elif isinstance(effect, Warn):
            lines.append(("warning", f"{effect.code}: {effect.message}"))
            told = {"code": effect.code, "message": effect.message, "state": effect.state}
            supervisor.notice("warning", machine.name, told)
    if step.taken and step.disposition != CONTROL:
        lines.append(("info", f"{before} --{event.type}--> {after}"))
        if supervisor.bus.wants("state_change"):
            data: dict[str, Any] = {
                "from_state": before, "to_state": after, "event_trigger": event.type, "version": step.snapshot.version,
            }  # fmt: skip
            supervisor.notice("state_change", machine.name, data)
    elif event.type == control.START:
        lines.append(("info", f"started in {after}"))


def _status(supervisor: Supervisor, machine: Machine, old_status: str) -> None:
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
