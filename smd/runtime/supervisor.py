"""The supervisor: every hosted machine by name, and the verbs that operators and senders use."""

from __future__ import annotations

import asyncio
import difflib
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import structlog

from smd.errors import ChartError, ConflictError, NotFoundError, RequestError, SmdError
from smd.runtime import control
from smd.runtime.answers import MachineView
from smd.runtime.beginning import begin, not_restored
from smd.runtime.bridge import Bridge
from smd.runtime.bus import Bus
from smd.runtime.charts import Charts
from smd.runtime.clock import Clock
from smd.runtime.event_verbs import EventVerbs
from smd.runtime.hosting import Hosting
from smd.runtime.inbox import LIMIT
from smd.runtime.job_verbs import JobVerbs
from smd.runtime.logs import MachineLogs
from smd.runtime.machine import Machine
from smd.runtime.payloads import Validators
from smd.runtime.queue import Queue
from smd.runtime.restarts import Restarts
from smd.runtime.timers import Timers
from smd.runtime.uptime import Uptime
from smd.runtime.views import view_of
from smd.runtime.working import Working
from smd.statechart.event import HIGH, Event
from smd.statechart.snapshot import FINISHED
from smd.statechart.snapshot_json import to_plain
from smd.store.base import Store

_log = structlog.get_logger("smd.supervisor")

TRIES = 100
"""Times that a restart begins over because another verb came between."""


class Supervisor(EventVerbs, JobVerbs):
    """See the module.

    Args:
        store: opened.
        charts: where charts come from.
        work_folder: where relative paths of machines begin.
        datagrams: names of machines that get a compatibility socket are those from files.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        charts: Charts,
        logs: MachineLogs,
        work_folder: Path,
        bus: Bus | None = None,
    ) -> None:
        self.store = store
        self.store_id = store.store_id
        self.clock = clock
        self.charts = charts
        self.logs = logs
        logs.listener = self._logged
        self.work_folder = work_folder
        self.bus = bus or Bus()
        self.machines: dict[str, Machine] = {}
        self.queue = Queue()
        self.timers = Timers(clock, self._alarm, store.together)
        self.working = Working(self)
        self.hosting = Hosting(self)
        self.restarts = Restarts(self)
        self.uptime = Uptime(store, clock)
        self.bridge = Bridge(self)
        self.started_at = clock.now()
        self.closing = False
        self.validators: dict[str, Validators] = {}
        self.loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    # --- events -------------------------------------------------------------------------------------------------

    def find(self, name: str) -> Machine:
        """A hosted machine.

        Raises:
            NotFoundError: no such machine; the hint names the nearest.
        """
        machine = self.machines.get(name)
        if machine is None:
            near = difflib.get_close_matches(name, self.machines, n=3)
            hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else "smctl list-machines shows all"
            raise NotFoundError(
                f"cannot find machine '{name}': there is none of that name", code="unknown_machine", hint=hint
            )
        return machine

    async def settled(self, name: str, within: float | None) -> MachineView:
        """Wait until nothing of the machine is under way: no turn, working action or retry.

        Raises:
            TimeoutError: it was still busy.
        """
        machine = self.find(name)
        if not machine.settled():
            waiter = self.loop.create_future()
            machine.settled_waiters.append(waiter)
            try:
                await asyncio.wait_for(waiter, within)
            finally:
                if waiter in machine.settled_waiters:
                    machine.settled_waiters.remove(waiter)
        return self.view(name)

    # --- verbs --------------------------------------------------------------------------------------------------

    async def control(self, name: str, kind: str, payload: dict[str, Any] | None = None) -> MachineView:
        """Send a control event and wait until it is durable."""
        machine = self.find(name)
        event = Event(kind, payload or {}, source="supervisor", priority=HIGH)
        await self.answered(lambda reply: machine.post(event, reply, limit=LIMIT * 1000))
        return self.view(name)

    async def start(self, name: str) -> MachineView:
        """Start a machine that is not running: a stopped or failed one goes on, a finished one begins a new life.

        Raises:
            ConflictError: it is running or paused, or could not be restored.
        """
        machine = self.find(name)
        if machine.status in {"running", "paused"}:
            hint = f"smctl resume {name}" if machine.status == "paused" else ""
            raise ConflictError(
                f"cannot start '{name}': it is {machine.status}", code=f"already_{machine.status}", hint=hint
            )
        if machine.lost:
            raise not_restored("start", machine)
        if machine.snapshot is None or machine.snapshot.status == FINISHED:
            return await self.fresh(machine)
        return await self.control(name, control.RESUME)

    async def fresh(self, machine: Machine) -> MachineView:
        """Begin a new life of a machine that does not run.

        Raises:
            ConflictError: it runs, or its chart could not be restored.
        """
        await begin(self, machine)
        return self.view(machine.name)

    async def stop(self, name: str) -> MachineView:
        """Stop a machine; its state is kept, its action and the action's processes end.

        One that waits for its restart is stopped then, and does not restart.

        Raises:
            ConflictError: it is not running.
        """
        if (restarting := self.find(name)).status in {"failed", "finished"} and self.restarts.cancel(name):
            return await self._stay_down(restarting)
        machine = self._running(name, "stop", {"running", "paused"})
        view = await self.control(name, control.STOP)
        await self.working.gone(machine)
        return view

    async def _stay_down(self, machine: Machine) -> MachineView:
        try:
            return await self.control(machine.name, control.RESET)
        except SmdError:
            self.restarts.ended(machine)
            raise

    async def restart(self, name: str) -> MachineView:
        """Begin a new life, whatever the machine did, and whatever verbs it is given meanwhile.

        Raises:
            ConflictError: its chart could not be restored, or other verbs came between again and again.
        """
        for _ in range(TRIES):
            machine = self.find(name)
            try:
                if machine.status in {"running", "paused"}:
                    await self.stop(name)
                return await self.fresh(machine)
            except ConflictError as error:
                if error.code == "not_restored":
                    raise
                between = error
        raise between

    async def pause(self, name: str, *, now: bool = False) -> MachineView:
        """Let the machine hold still; a running action ends and its outcome waits, or with `now` is cancelled.

        Raises:
            ConflictError: it is not running.
        """
        machine = self._running(name, "pause", {"running"})
        view = await self.control(name, control.PAUSE)
        if now:
            self.working.cancel_all(machine)
            await self.working.gone(machine)
        return view

    async def resume(self, name: str) -> MachineView:
        """Go on after a pause.

        Raises:
            ConflictError: it is not paused.
        """
        self._running(name, "resume", {"paused"})
        return await self.control(name, control.RESUME)

    async def reset_failed(self, name: str) -> MachineView:
        """Turn a failed machine into a stopped one; one that failed before it began begins at its next start.

        Raises:
            ConflictError: it has not failed, or could not be restored.
        """
        machine = self._running(name, "reset", {"failed"})
        if machine.lost:
            raise not_restored("reset", machine)
        self.restarts.forget(name)
        return await self.control(name, control.RESET)

    def _running(self, name: str, verb: str, legal: set[str]) -> Machine:
        machine = self.find(name)
        if machine.status not in legal:
            raise ConflictError(
                f"cannot {verb} '{name}': it is {machine.status}", code=f"not_{min(legal)}", hint=f"smctl status {name}"
            )
        return machine

    async def add(
        self, *, path: str | None = None, text: str | None = None, name: str | None = None,
        context: dict[str, Any] | None = None, start: bool = True,
    ) -> MachineView:  # fmt: skip
        """Add a machine from a file under the configured folders, or from YAML text.

        Raises:
            RequestError, ChartError: nothing usable was given. ConflictError: the name is taken.
        """
        if (path is None) == (text is None):
            raise RequestError("cannot add a machine: give either a path or a text")
        if path is not None:
            chart, origin = self.charts.load(self.charts.resolve(path, self.work_folder))
        else:
            chart, origin = self.charts.parse(text or "", "request", name or ""), ""
        if not (name or chart.machine):
            raise ChartError("cannot add a machine: it has no name", hint="write machine: NAME into it, or give --name")
        machine = await self.hosting.create(chart, name, context or {}, origin, start=start)
        return self.view(machine.name)

    async def remove(self, name: str) -> None:
        """Stop a machine and forget it; its journal stays.

        Raises:
            NotFoundError: no such machine.
        """
        machine = self.find(name)
        if machine.status in {"running", "paused"}:
            await self.stop(name)
        await self.hosting.remove(machine)

    # --- looking ------------------------------------------------------------------------------------------------

    def view(self, name: str) -> MachineView:
        """One machine.

        Raises:
            NotFoundError: no such machine.
        """
        return view_of(self.find(name))

    def views(self) -> list[MachineView]:
        """All machines, by name."""
        return [view_of(self.machines[name]) for name in sorted(self.machines)]

    def snapshot(self, name: str) -> dict[str, Any]:
        """A machine's snapshot, plain; empty before its first start."""
        snapshot = self.find(name).snapshot
        return to_plain(snapshot) if snapshot is not None else {}

    def log_tail(self, name: str, lines: int) -> list[str]:
        """The last lines of a machine's log."""
        return self.logs.tail(self.find(name).name, lines)

    def datagram_names(self) -> list[str]:
        """Machines that get a compatibility socket: those from files."""
        return [m.name for m in self.machines.values() if m.origin and m.parent is None]

    def status(self) -> dict[str, Any]:
        """The daemon, in short."""
        machines = Counter(machine.status for machine in self.machines.values())
        return {
            "status": "ok", "pid": os.getpid(), "uptime": self.clock.now() - self.started_at, "store_id": self.store_id,
            "store": self.hosting.store_status(),
            "machines": dict(machines), "timers": len(self.timers), "time": time.time(),
        }  # fmt: skip

    # --- what happens -------------------------------------------------------------------------------------------

    def notice(self, kind: str, machine: str, data: dict[str, Any]) -> None:
        """Tell the bus; callable from any thread."""
        if self._thread == threading.get_ident():
            self.bus.publish(kind, machine, self.clock.now(), data)
        else:
            self.loop.call_soon_threadsafe(self.notice, kind, machine, data)

    def log(self, machine: str, level: str, message: str, state: str = "") -> None:
        """A line of a machine's log; callable from any thread."""
        self.logs.write(machine, level, message, time.time())
        self.notice_log(machine, level, message, state)

    def notice_log(self, machine: str, level: str, message: str, state: str = "") -> None:
        """Tell the bus of a line, in smd's and in the predecessor's word."""
        self.notice("log", machine, {"level": level, "message": message, "state": state})
        self.notice("activity_log", machine, {"level": level, "message": message})

    def _logged(self, machine: str, data: bytes) -> None:
        if self.bus.wants("line"):
            self.notice("line", machine, {"text": data.decode("utf-8", "replace")})

    def _alarm(self, name: str) -> None:
        machine = self.machines.get(name)
        if machine is not None:
            machine.fire(self.clock.now())

    async def close(self) -> None:
        """End all working actions without changing any snapshot, so that the next start repeats them."""
        self.closing = True
        self.timers.close()
        self.uptime.end()
        for machine in self.machines.values():
            self.working.cancel_all(machine)
            if not machine.submitted:  # else once its turn has ended
                machine.refuse()
        await self.working.close()
        await self.hosting.close()
        await asyncio.gather(*(self.working.gone(m) for m in self.machines.values() if m.ending))
        self.logs.close()
