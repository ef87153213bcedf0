"""Restart policies in systemd's words: `no`, `on-failure`, `always`, with growing delays and a start limit.

A restart after a failure resumes the last snapshot; a finished machine under `always` begins a new life. A machine
that was stopped by an operator stays stopped, also if it waited for its restart: it is given a row of its own then.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import structlog

from smd.errors import BusyError, ConflictError, NotFoundError, StoreError
from smd.runtime import control
from smd.runtime.beginning import begin
from smd.runtime.clock import Handle
from smd.statechart.event import HIGH, Event

if TYPE_CHECKING:
    from smd.runtime.machine import Machine
    from smd.runtime.supervisor import Supervisor

TRY_AGAIN = 4.0
"""Seconds before a machine tries to begin anew once more after the store failed."""
MOST_DOUBLINGS = 64
"""A delay that has doubled so often is beyond every limit."""

_log = structlog.get_logger("smd.restarts")


class Restarts:
    """Arranges the restarts of machines that ended by themselves."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._recent: dict[str, deque[float]] = {}
        self._due: dict[str, float] = {}
        self._handles: dict[str, Handle] = {}

    def ended(self, machine: Machine) -> None:
        """A machine failed or finished: arrange its restart if its policy says so and its limit allows."""
        policy = machine.chart.restart
        wanted = policy.policy == "always" or (policy.policy == "on-failure" and machine.status == "failed")
        if not wanted or machine.status not in {"failed", "finished"}:
            return
        now = self._supervisor.clock.now()
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
        self._arrange(machine, now + delay)

    def due(self, name: str) -> float | None:
        """When the machine restarts by itself; None if it does not."""
        return self._due.get(name)

    def cancel(self, name: str) -> bool:
        """Let the machine not restart by itself; whether it would have."""
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.cancel()
        return self._due.pop(name, None) is not None

    def forget(self, name: str) -> None:
        """The machine is gone, or an operator reset it."""
        self.cancel(name)
        self._recent.pop(name, None)

    def _arrange(self, machine: Machine, when: float) -> None:
        self.cancel(machine.name)
        self._due[machine.name] = when
        self._wait(machine, when)

    def _wait(self, machine: Machine, when: float) -> None:
        self._handles[machine.name] = self._supervisor.clock.call_at(when, lambda: self._again(machine, when))

    def _again(self, machine: Machine, when: float) -> None:
        supervisor = self._supervisor
        if supervisor.machines.get(machine.name) is not machine or supervisor.closing:
            return
        if supervisor.clock.now() < when:  # a clock may call early
            self._wait(machine, when)
        elif machine.status == "failed" and machine.snapshot is not None:
            self.cancel(machine.name)
            machine.restarts += 1
            machine.post(Event(control.RESUME, {}, source="supervisor", priority=HIGH))
        else:
            supervisor.hosting.spawn(self._begin(machine))

    async def _begin(self, machine: Machine) -> None:
        """Begin a new life, unless somebody has it otherwise before that is put in the inbox."""
        restarts = machine.restarts

        def wanted() -> bool:
            machine.restarts = restarts + 1
            return self.cancel(machine.name)

        try:
            await begin(self._supervisor, machine, wanted)
        except (StoreError, BusyError):
            machine.restarts = restarts
            if machine.status in {"failed", "finished"}:
                self._arrange(machine, self._supervisor.clock.now() + TRY_AGAIN)
        except (ConflictError, NotFoundError) as error:
            _log.info("not begun anew", machine=machine.name, why=error.message)
