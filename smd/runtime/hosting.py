"""Bringing machines in and out, and what follows from each commit for the others."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from smd import codec
from smd.errors import ChartError, ConflictError, SmdError, StoreError
from smd.runtime import control, reports
from smd.runtime.inbox import LIMIT
from smd.runtime.machine import TRY_AGAIN, Machine
from smd.runtime.result import Result
from smd.runtime.units import Once, ask_one
from smd.statechart.event import HIGH, Event
from smd.statechart.model import Statechart
from smd.statechart.snapshot import Snapshot
from smd.statechart.snapshot_json import from_plain
from smd.store.base import CreateMachine, MachineRow, PutChart, ReleaseJobs, RemoveMachine, UpdateMachine

if TYPE_CHECKING:
    from smd.runtime.supervisor import Supervisor

_log = structlog.get_logger("smd.hosting")


class Hosting:
    """See the module; the part of the supervisor that keeps its table of machines."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tasks: set[asyncio.Task[Any]] = set()
        self.store_error: str | None = None

    # --- in and out ---------------------------------------------------------------------------------------------

    async def create(
        self, chart: Statechart, name: str | None, context: dict[str, Any], origin: str, *, work_folder: str = ""
    ) -> Machine:
        """Add a machine that has never run.

        Raises:
            ConflictError: the name is taken. ChartError: no name is given anywhere.
        """
        supervisor = self._supervisor
        name = name or chart.machine
        if not name:
            raise ChartError(
                "cannot add a machine: neither the file nor the command names it", hint="give --machine-name"
            )
        _check_name(name)
        row = MachineRow(
            name, 0, chart.hash, "stopped", 0, initial_context=json.dumps(context).encode(), origin=origin,
            work_folder=work_folder or str(supervisor.work_folder), since=supervisor.clock.now(),
        )  # fmt: skip

        def recipe() -> Any:
            yield PutChart(chart.hash, codec.dumps(chart.source))
            existing = yield CreateMachine(row)
            return existing

        existing = await supervisor.store.submit(Once(recipe))
        if existing is not None:
            raise ConflictError(
                f"cannot add machine '{name}': the name is taken", code="machine_exists", hint=f"smctl remove {name}"
            )
        stored = await supervisor.store.machine(name)
        return self._host(stored or row, chart, None)

    async def remove(self, machine: Machine) -> None:
        """Forget a machine that does not run."""
        supervisor = self._supervisor
        await supervisor.store.submit(ask_one(RemoveMachine(machine.name, supervisor.clock.now())))
        supervisor.machines.pop(machine.name, None)
        supervisor.timers.set(machine.name, None)
        supervisor.queue.forget(machine)
        supervisor.restarts.forget(machine.name)
        supervisor.queue.released()
        reports.terminated(supervisor, machine)

    def _host(self, row: MachineRow, chart: Statechart, snapshot: Snapshot | None) -> Machine:
        machine = Machine(self._supervisor, row, chart, snapshot)
        self._supervisor.machines[row.name] = machine
        return machine

    async def place(
        self, chart: Statechart, origin: str, *, name: str | None = None, context: dict[str, Any] | None = None
    ) -> Machine:
        """A machine named by a file: created and started, or found in the store and brought in line with the file.

        A stopped machine stays stopped; a finished one begins a new life.
        """
        supervisor = self._supervisor
        machine = supervisor.machines.get(name or chart.machine)
        if machine is None:
            machine = await self.create(chart, name, context or {}, origin)
            await supervisor.start(machine.name)
            return machine
        machine.origin = origin
        await self._adopt(machine, chart, origin)
        if machine.status == "finished":
            await supervisor.start(machine.name)
        return machine

    async def _adopt(self, machine: Machine, chart: Statechart, origin: str) -> None:
        if chart.hash == machine.chart.hash:
            return

        def recipe() -> Any:
            yield PutChart(chart.hash, codec.dumps(chart.source))
            yield UpdateMachine(machine.name, {"origin": origin})

        await self._supervisor.store.submit(Once(recipe))
        if machine.snapshot is None or machine.status == "finished":
            machine.chart = chart
        elif control.fits(chart, machine.snapshot):
            await self._supervisor.control(machine.name, control.RELOAD, {"chart": chart.hash})
        else:
            label = machine.snapshot.configuration.label
            _log.warning("kept the stored chart", machine=machine.name, states=label,
                         why="the file has no such states; smctl restart begins anew with it")  # fmt: skip

    # --- recovery -----------------------------------------------------------------------------------------------

    async def recover(self) -> int:
        """Bring back every machine of the store: state, context, timers, running sequence (P5).

        Returns:
            How many machines there are. One that cannot be restored is shown as failed, and says why.
        """
        supervisor = self._supervisor
        for row in await supervisor.store.machines():
            try:
                await self._restore(row)
            except SmdError as error:
                _log.error("cannot restore machine", machine=row.name, why=error.message)
        held = {h.job_id: h.epoch for m in supervisor.machines.values() if m.snapshot for h in m.snapshot.held}
        await supervisor.store.submit(ask_one(ReleaseJobs(held, supervisor.clock.now())))
        for name in await supervisor.store.pending_counts():
            if name in supervisor.machines:
                supervisor.machines[name].inbox.overflow = True
        for machine in list(supervisor.machines.values()):
            if not await self._rearm(machine):
                machine.align(resumed=True)
            machine.wake = machine.watches()
            machine.go_on()
            if machine.status == "failed":
                supervisor.restarts.ended(machine)
        return len(supervisor.machines)

    async def _restore(self, row: MachineRow) -> None:
        supervisor = self._supervisor
        plain = await self._chart_source(row.chart)
        chart = supervisor.charts.restore(row.chart, plain)
        snapshot = from_plain(chart, codec.loads(row.snapshot)) if row.snapshot is not None else None
        self._host(row, chart, snapshot)

    async def _chart_source(self, chart_hash: str) -> Any:
        try:
            return self._supervisor.charts.known(chart_hash).source
        except SmdError:
            source = await self._supervisor.store.chart(chart_hash)
        if source is None:
            raise ChartError(f"cannot restore a machine: the store does not have its chart {chart_hash[:12]}")
        return codec.loads(source)

    async def _rearm(self, machine: Machine) -> bool:
        """Timers that count from the restart are set again by a control event before any of them can fire."""
        snapshot = machine.snapshot
        needed = (
            machine.status == "running" and snapshot is not None and control.needs_rearming(machine.chart, snapshot)
        )
        if needed:
            last = await self._supervisor.store.events(machine.name, pending=False, limit=1)
            down_since = last[0].now if last else None
            machine.post(Event(control.RESUME, {"down_since": down_since}, source="supervisor", priority=HIGH))
        return needed

    def load_pending(self, machine: Machine) -> None:
        """Fetch rows that wait in the store for this machine."""
        if not machine.loading:
            machine.loading = True
            self._spawn(self._load(machine))

    async def _load(self, machine: Machine) -> None:
        try:
            rows = await self._supervisor.store.pending(machine.name, LIMIT)
        except StoreError:
            self._later(machine.ready)
            return
        finally:
            machine.loading = False
        here = machine.inbox.seqs()
        consuming = {item.seq for item in machine.turn.batch if item.seq is not None} if machine.turn else set()
        machine.inbox.overflow = len(rows) >= LIMIT
        fresh = [(seq, event) for seq, event in rows if seq not in here and seq not in consuming]
        wanted = fresh if machine.status == "running" else [r for r in fresh if r[1].type.startswith(control.PREFIX)]
        for seq, event in wanted:
            machine.inbox.put(_item(seq, event))
        machine.go_on()

    # --- after commits ------------------------------------------------------------------------------------------

    def committed(self, machine: Machine, result: Result, old_status: str) -> None:
        """Pass on what one machine's commit means for others, and report it."""
        supervisor = self._supervisor
        self.store_error = None
        for row, chart in result.children:
            child = supervisor.machines.get(row.name) or self._host(row, chart, None)
            child.chart, child.parent, child.linked, child.origin = chart, row.parent, row.linked, row.origin
        for name, seq, event in result.delivered:
            target = supervisor.machines.get(name)
            if target is not None and (target.status == "running" or event.type.startswith(control.PREFIX)):
                target.deliver(seq, event)
        if result.jobs:
            supervisor.jobs_changed(result.jobs)
        if result.enqueued:
            supervisor.queue.events_waiting()
        if result.status == "running" and old_status != "running":
            machine.inbox.overflow = True
        reports.report(supervisor, machine, result, old_status)
        if result.status != old_status and result.status not in {"running", "paused"}:
            self._stop_linked(machine)
            supervisor.restarts.ended(machine)

    def begin(self, machine: Machine) -> None:
        """Begin a new life without waiting for it."""
        self._spawn(self._supervisor.fresh(machine))

    def _stop_linked(self, parent: Machine) -> None:
        for child in self._supervisor.machines.values():
            if child.parent == parent.name and child.linked and child.status in {"running", "paused"}:
                child.post(Event(control.STOP, {}, source=parent.name, priority=0))

    def store_failed(self, machine: Machine, error: BaseException) -> None:
        """The machine's commit failed: read its row again before it goes on; keep trying while the store is down."""
        if self.store_error is None:
            _log.error("store failed", machine=machine.name, why=str(error))
        self.store_error = str(error) if isinstance(error, StoreError) else None
        delay = TRY_AGAIN if isinstance(error, StoreError) else 0.0
        supervisor = self._supervisor
        supervisor.clock.call_at(supervisor.clock.now() + delay, lambda: self._spawn(self._reread(machine)))

    async def _reread(self, machine: Machine) -> None:
        supervisor = self._supervisor
        try:
            row = await supervisor.store.machine(machine.name)
            if row is None:
                supervisor.machines.pop(machine.name, None)
                return
            chart = supervisor.charts.restore(row.chart, await self._chart_source(row.chart))
            machine.snapshot = from_plain(chart, codec.loads(row.snapshot)) if row.snapshot is not None else None
        except SmdError as error:
            self.store_failed(machine, error)
            return
        machine.chart = chart
        machine.status, machine.life, machine.version = row.status, row.life, row.version
        machine.health, machine.error = row.health, row.error
        machine.inbox.drop_rows()
        machine.inbox.overflow = True
        machine.submitted = False
        machine.align(resumed=True)
        machine.go_on()

    def _later(self, call: Any) -> None:
        clock = self._supervisor.clock
        clock.call_at(clock.now() + TRY_AGAIN, call)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))


def _item(seq: int, event: Event) -> Any:
    from smd.runtime.inbox import Item  # noqa: PLC0415

    return Item(event, seq)


def _check_name(name: str) -> None:
    if (
        len(name.encode("utf-8", "replace")) > 128
        or not name.strip()
        or any(c in name for c in "/\0\n\r")
        or name == "all"
    ):
        raise ChartError(f"cannot name a machine {name!r:.140}: at most 128 bytes, no slash or line break, not 'all'")


def file_origin(path: Path) -> str:
    """How a file is remembered as a machine's origin."""
    return str(path.resolve())
