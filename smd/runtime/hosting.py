"""Bringing machines in and out, and what follows from each commit for the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import structlog

from smd import codec
from smd.errors import ChartError, ConflictError, NotFoundError, SmdError, StoreError
from smd.runtime import control, mishaps, reports
from smd.runtime.adopting import adopt
from smd.runtime.beginning import given_up
from smd.runtime.charts import check_name
from smd.runtime.first_context import give_context
from smd.runtime.inbox import LIMIT, Item, tell
from smd.runtime.job_verbs import ended_of, let_go
from smd.runtime.linked import Linked
from smd.runtime.machine import Machine
from smd.runtime.sizes import WAITING_LIMIT
from smd.runtime.units import Once, ask_one
from smd.statechart.event import HIGH, Event
from smd.statechart.model import COMPOUND, State, Statechart
from smd.statechart.snapshot import Snapshot
from smd.statechart.snapshot_json import from_plain
from smd.store.base import CreateMachine, Enqueue, FindMachine, MachineRow, PutChart, ReleaseJobs, RemoveMachine, Save

if TYPE_CHECKING:
    from smd.runtime.supervisor import Supervisor
    from smd.runtime.turn import Turn

_log = structlog.get_logger("smd.hosting")

TRY_AGAIN, SELDOM = 0.5, 4.0
"""Seconds before a machine tries again after the store failed, at first and at most; each pause is twice the last."""


class Hosting:
    """See the module; the part of the supervisor that keeps its table of machines."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pauses: dict[str, float] = {}
        self._held: dict[str, Machine] = {}
        supervisor.store.trouble.listener = self._store_turned
        self._linked = Linked(supervisor)

    # --- in and out ---------------------------------------------------------------------------------------------

    async def create(
        self, chart: Statechart, name: str | None, context: dict[str, Any], origin: str, *, start: bool = False
    ) -> Machine:
        """Add a machine, and with `start` begin its life: it is not added without its start, whatever happens.

        Raises:
            ConflictError: the name is taken. ChartError: no name is given anywhere.
        """
        supervisor = self._supervisor
        name = name or chart.machine
        if not name:
            raise ChartError(
                "cannot add a machine: neither the file nor the command names it", hint="give --machine-name"
            )
        check_name(name)
        row = MachineRow(
            name, 0, chart.hash, "stopped", 0, initial_context=json.dumps(context).encode(), origin=origin,
            work_folder=str(supervisor.work_folder), since=supervisor.clock.now(),
        )  # fmt: skip

        payload = {"context": codec.loads(row.initial_context), "chart": chart.hash}
        first = Event(control.START, payload, source="supervisor", priority=HIGH, sent_at=row.since)

        def recipe() -> Any:
            yield PutChart(chart.hash, codec.dumps(chart.source))
            taken = (yield CreateMachine(row)) is not None
            return taken, (yield Enqueue(name, first, row.since))[0] if start and not taken else 0

        taken, seq = await supervisor.store.submit(Once(recipe))
        if taken:
            raise ConflictError(
                f"cannot add machine '{name}': the name is taken", code="machine_exists", hint=f"smctl remove {name}"
            )
        stored = await supervisor.store.machine(name)
        machine = self._host(stored or row, chart, None)
        if start:
            await supervisor.answered(lambda reply: machine.deliver(seq, first, reply))
        return machine

    async def remove(self, machine: Machine) -> None:
        """Forget a machine that does not run.

        Raises:
            ConflictError: it was started meanwhile.
        """
        supervisor, name = self._supervisor, machine.name

        def recipe() -> Any:
            row = yield FindMachine(name)
            if row is not None and row.status in {"running", "paused"} and not machine.lost:
                raise ConflictError(f"cannot remove '{name}': it was started meanwhile", code=f"is_{row.status}")
            if row is not None:
                yield Save(given_up(row, control.REMOVE, supervisor.clock.now()))
            yield RemoveMachine(name, supervisor.clock.now())

        removed: asyncio.Future[Any] = supervisor.loop.create_future()

        def ended(value: Any, error: BaseException | None) -> None:
            if error is None:  # now, for another unit of the same commit may have made a machine of that name
                self.gone(machine)
            if not removed.done():
                removed.set_result(value) if error is None else removed.set_exception(error)

        supervisor.store.run(Once(recipe), ended)
        await removed
        supervisor.queue.released()
        reports.terminated(supervisor, machine)

    def _forget(self, machine: Machine) -> None:
        supervisor, name = self._supervisor, machine.name
        supervisor.working.cancel_all(machine)
        if supervisor.machines.get(name) is not machine:
            return  # what follows is a namesake's by now
        del supervisor.machines[name]
        supervisor.timers.set(name, None)
        supervisor.queue.forget(machine)
        supervisor.restarts.forget(name)
        self._linked.forget(machine)
        self._pauses.pop(name, None)

    def _host(self, row: MachineRow, chart: Statechart, snapshot: Snapshot | None) -> Machine:
        machine = Machine(self._supervisor, row, chart, snapshot)
        self._linked.note(row)
        self._supervisor.machines[row.name] = machine
        return machine

    async def place(
        self, chart: Statechart, origin: str, *, name: str | None = None, context: dict[str, Any] | None = None
    ) -> Machine:
        """A machine named by a file: created and started, or found in the store and brought in line with the file.

        A stopped machine stays stopped; a finished one begins a new life. A context that is given is that of a new
        life, now or later.
        """
        supervisor = self._supervisor
        machine = supervisor.machines.get(name or chart.machine)
        if machine is None:
            return await self.create(chart, name, context or {}, origin, start=True)
        machine.origin = origin
        await adopt(supervisor, machine, chart, origin)
        if context is not None:
            await give_context(supervisor, machine, context)
        if machine.status == "finished":
            await supervisor.start(machine.name)
        return machine

    # --- recovery -----------------------------------------------------------------------------------------------

    async def recover(self) -> int:
        """Bring back every machine of the store: state, context, timers, running sequence (P5).

        Returns:
            How many machines there are. One that cannot be restored is shown as failed, and says why.
        """
        supervisor = self._supervisor
        broken: set[str] = set()
        for row in await supervisor.store.machines():
            try:
                await self._restore(row)
            except SmdError as error:
                broken.add(row.name)
                _log.error("cannot restore machine", machine=row.name, why=error.message)
                empty = Statechart(State("", COMPOUND), hash=row.chart, machine=row.name)
                failed = row._replace(status="failed", error=error.message, health="Critical")
                self._host(failed, empty, None).lost = error.message
        held = {h.job_id: h.epoch for m in supervisor.machines.values() if m.snapshot for h in m.snapshot.held}
        waiting = [name for name in await supervisor.store.pending_counts() if name in supervisor.machines]
        for name in waiting:
            held.update(await self._handed(name))
        await supervisor.store.submit(ask_one(ReleaseJobs(held, supervisor.clock.now())))
        ended = await ended_of(supervisor.store, held)
        reports.daemon_begins(supervisor)
        for name in waiting:
            if name not in broken:
                self.load_pending(supervisor.machines[name])
        for machine in list(supervisor.machines.values()):
            if not await self._rearm(machine):
                machine.align(resumed=True)
            machine.wake = machine.watches()
            let_go(machine, ended)
            machine.go_on()
            supervisor.restarts.ended(machine)
            if machine.name not in broken:
                self._linked.follow(machine, at_start=True)
        supervisor.uptime.begin()
        return len(supervisor.machines)

    async def _handed(self, name: str) -> dict[str, int]:
        """Jobs that travel in a start which the child has not consumed."""
        rows = await self._supervisor.store.pending(name, LIMIT)
        starts = [event.payload for _, event in rows if event.type == control.START]
        return {hold[0]: hold[1] for payload in starts for hold in payload.get("held", ())}

    async def _restore(self, row: MachineRow) -> None:
        supervisor = self._supervisor
        plain = await self.chart_source(row.chart)
        chart = supervisor.charts.restore(row.chart, plain)
        snapshot = from_plain(chart, codec.loads(row.snapshot)) if row.snapshot is not None else None
        self._host(row, chart, snapshot)

    async def chart_source(self, chart_hash: str) -> Any:
        """The plain document of a chart, from memory or the store."""
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
            payload = {"down_since": await self._down_since(machine)}
            machine.post(Event(control.RESUME, payload, source="supervisor", priority=HIGH))
        return needed

    async def _down_since(self, machine: Machine) -> float | None:
        """When the daemon was last known to be up.

        Rows of other machines count only if nothing was noted: a start that crashed half-way has left some of now.
        """
        store = self._supervisor.store
        noted = store.up_until
        rows = (
            await store.journal(machine.name, after=machine.version - 1, limit=1)
            if noted
            else await store.events(pending=False, limit=1)
        )
        return max([noted, *(row.now for row in rows if row.now is not None)]) or None

    def load_pending(self, machine: Machine) -> None:
        """Fetch rows that wait in the store for this machine."""
        if not machine.loading:
            machine.loading = True
            self.spawn(self._load(machine))

    async def _load(self, machine: Machine) -> None:
        version, machine.missed = machine.version, False
        partly = machine.status == "running" and machine.snapshot is not None and machine.snapshot.deferred
        limit = WAITING_LIMIT if partly and not machine.full() else LIMIT
        try:
            rows = await self._supervisor.store.pending(machine.name, limit)
        except StoreError as error:
            machine.loading = False
            mishaps.hold(machine, error)
            return
        machine.loading = False
        stale = machine.version != version or machine.submitted
        machine.inbox.overflow = len(rows) >= limit or machine.missed or stale
        machine.missed = machine.missed or stale
        machine.loaded = frozenset(seq for seq, _ in rows) if machine.inbox.overflow and not stale else frozenset()
        if not stale:
            here = machine.inbox.seqs()
            for seq, event in rows:
                if seq not in here and (machine.status == "running" or control.is_control(event)):
                    machine.inbox.put(Item(event, seq, None, bool(event.id) and event.source != "supervisor"))
        machine.go_on()

    # --- after commits ------------------------------------------------------------------------------------------

    def committed(self, machine: Machine, turn: Turn, old_status: str) -> None:
        """Pass on what one machine's commit means for others, and report it."""
        supervisor, result = self._supervisor, turn.result
        if self._pauses:
            self._pauses.pop(machine.name, None)
        for row, chart in result.children:
            child = supervisor.machines.get(row.name) or self._host(row, chart, None)
            child.next_chart, child.lost = None, ""
            child.chart, child.parent, child.linked, child.origin = chart, row.parent, row.linked, row.origin
            self._linked.note(row)
        for name, seq, event in result.delivered:
            target = supervisor.machines.get(name)
            if target is not None and (target.status == "running" or control.is_control(event)):
                target.deliver(seq, event)
        if result.jobs:
            supervisor.jobs_changed(result.jobs)
        if result.enqueued or result.delivered:
            supervisor.queue.events_waiting()
        if result.status == "running" and old_status != "running":
            machine.inbox.overflow = machine.missed = True
            supervisor.restarts.cancel(machine.name)
        if result.status != old_status and result.status not in {"running", "paused"}:
            self._linked.follow(machine)
            supervisor.restarts.ended(machine)
        reports.report(supervisor, machine, result, old_status)  # last, for a log may be unwritable

    def gone(self, machine: Machine) -> None:
        """The machine's row is no longer there: forget it, and tell those whose events or questions wait."""
        self._forget(machine)
        left, machine.behind = machine.inbox.take(machine.inbox.weight) + machine.behind, []
        for item in left:
            error = f"cannot take '{item.event.type}': machine '{machine.name}' was removed"
            tell(item, NotFoundError(error, code="unknown_machine"))
        machine.tell_settled(gone=True)

    # --- while the store fails ----------------------------------------------------------------------------------

    def store_status(self) -> dict[str, Any]:
        """Whether the store can write, and if not, why and what to do."""
        error = self._supervisor.store.trouble.error
        if error is None:
            return {"writable": True, "reason": None}
        return {"writable": False, "reason": error.message, "hint": error.hint}

    def _store_turned(self, error: StoreError | None) -> None:
        if error is not None:
            _log.error("the store cannot write", why=error.message, hint=error.hint)
            return
        _log.info("the store writes again")
        with self._supervisor.store.together():
            for machine in list(self._held.values()):
                self._try(machine)

    def again(self, machine: Machine, error: StoreError) -> None:
        """Let a machine try again after a pause, which grows with each vain try, or once the store writes again."""
        name = machine.name
        if self._held.get(name) is machine or self._supervisor.closing:
            return
        if self._supervisor.store.trouble.error is None and name not in self._pauses:
            _log.error("store failed", machine=name, why=error.message)
        pause = self._pauses.get(name, TRY_AGAIN)
        self._pauses[name] = min(2 * pause, SELDOM)
        self._held[name] = machine
        self.later(pause, lambda: self._try(machine))

    def _try(self, machine: Machine) -> None:
        if self._held.get(machine.name) is machine:
            del self._held[machine.name]
            if self._supervisor.machines.get(machine.name) is machine:
                machine.go_on()

    def later(self, pause: float, call: Callable[[], None]) -> None:
        """Call after so many seconds, unless all ends before."""
        clock = self._supervisor.clock
        clock.call_at(clock.now() + pause, lambda: None if self._supervisor.closing else call())

    def spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run in the background; a failure is logged."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("background work failed", why=str(error), error=type(error).__name__)

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
