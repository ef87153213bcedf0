"""Restart policies in systemd's words: `no`, `on-failure`, `always`, with growing delays and a start limit.

A restart after a failure resumes the last snapshot; a finished machine under `always` begins a new life. A machine
that was stopped by an operator stays stopped.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import structlog

from smd.runtime import control
from smd.statechart.event import HIGH, Event

if TYPE_CHECKING:
    from smd.runtime.machine import Machine
    from smd.runtime.supervisor import Supervisor

MOST_DOUBLINGS = 64
"""A delay that has doubled so often is beyond every limit."""

_log = structlog.get_logger("smd.restarts")


class Restarts:
    """Arranges the restarts of machines that ended by themselves."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._recent: dict[str, deque[float]] = {}

    def ended(self, machine: Machine) -> None:
        """A machine failed or finished: arrange its restart if its policy says so and its limit allows."""
        policy = machine.chart.restart
        wanted = policy.policy == "always" or (policy.policy == "on-failure" and machine.status == "failed")
        if not wanted or machine.status not in {"failed", "finished"}:
            return
        clock = self._supervisor.clock
        now = clock.now()
        recent = self._recent.setdefault(machine.name, deque())
        while recent and recent[0] <= now - policy.interval:
            recent.popleft()
        if len(recent) >= policy.burst:
            why = f"{policy.burst} restarts within {policy.interval:g} s"
            _log.error("start limit hit", machine=machine.name, why=why)
            self._supervisor.logs.write(
                machine.name, "error", f"start limit hit: {why}; it stays {machine.status}", now
            )
            return
        delay = min(policy.delay * 2.0 ** min(len(recent), MOST_DOUBLINGS), policy.max_delay)
        recent.append(now)
        clock.call_at(now + delay, lambda: self._again(machine))

    def _again(self, machine: Machine) -> None:
        supervisor = self._supervisor
        if supervisor.machines.get(machine.name) is not machine:
            return
        if machine.status in {"failed", "finished"}:
            machine.restarts += 1
        if machine.status == "failed" and machine.snapshot is not None:
            machine.post(Event(control.RESUME, {}, source="supervisor", priority=HIGH))
        elif machine.status in {"failed", "finished"}:
            supervisor.hosting.begin(machine)

    def forget(self, name: str) -> None:
        """The machine is gone, or an operator reset it."""
        self._recent.pop(name, None)
