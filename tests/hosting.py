"""A supervisor on a real store for tests, with a clock moved by hand. At its end every journal is replayed (P10)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from smd import actions, codec
from smd.actions.loader import CustomActions
from smd.runtime import control
from smd.runtime.answers import Answer
from smd.runtime.charts import Charts
from smd.runtime.clock import Clock, ManualClock
from smd.runtime.logs import MachineLogs
from smd.runtime.replay import replay
from smd.runtime.supervisor import Supervisor
from smd.statechart.event import HIGH, NORMAL, Event
from smd.statechart.snapshot_json import to_plain
from smd.store.base import Store
from smd.store.memory import MemoryStore
from smd.store.sqlite import SqliteStore


class Host:
    """A supervisor with short words for tests."""

    def __init__(self, supervisor: Supervisor, clock: Clock) -> None:
        self.supervisor = supervisor
        self.store = supervisor.store
        self.clock = clock

    async def add(self, text: str, name: str | None = None, **context: Any) -> str:
        """Add and start a machine from YAML text; its name."""
        view = await self.supervisor.add(text=text, name=name, context=context)
        return view.name

    async def send(self, machine: str, event_type: str, payload: Any = None, **more: Any) -> Answer:
        return await self.supervisor.send(machine, Event(event_type, payload or {}, **more))

    def post(self, kind: str, machine: str = "m", priority: int = NORMAL) -> asyncio.Future[Any]:
        """Put an event, or a verb of the supervisor's, in a machine's inbox now; what it is answered."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        verb = kind.startswith(control.PREFIX)
        event = Event(kind, {}, source="supervisor" if verb else "", priority=HIGH if verb else priority)
        self.supervisor.machines[machine].post(event, answer.set_result)
        return answer

    def states(self, machine: str) -> list[str]:
        return list(self.supervisor.view(machine).states)

    def context(self, machine: str) -> dict[str, Any]:
        context: dict[str, Any] = self.supervisor.snapshot(machine)["context"]
        return context

    async def until(self, machine: str, *states: str) -> None:
        """Wait for the machine to be in these states (or to have this status)."""
        with self.supervisor.bus.subscribe() as notices:
            while self.states(machine) != list(states) and self.supervisor.view(machine).status not in states:
                await asyncio.wait_for(notices.get(), 20)

    async def quiet(self) -> None:
        """Wait until no machine has anything under way."""
        while busy := [m for m in self.supervisor.machines.values() if not m.settled()]:
            await self.supervisor.settled(busy[0].name, 20)

    def advance(self, seconds: float) -> None:
        """Move time."""
        assert isinstance(self.clock, ManualClock)
        self.clock.advance(seconds)

    async def verify(self) -> None:
        """Every machine's journal, replayed, gives its stored snapshot, byte for byte."""
        for machine in list(self.supervisor.machines.values()):
            rows, after = [], 0
            while page := await self.store.journal(machine.name, after, 500):
                rows.extend(page)
                after = page[-1].consumed_no or 0
            assert [row.consumed_no for row in rows] == list(range(1, len(rows) + 1)), f"{machine.name}: gaps"
            again = replay(self.supervisor.charts, rows)
            row = await self.store.machine(machine.name)
            assert row is not None
            assert (codec.canonical(to_plain(again)) if again else None) == row.snapshot, machine.name


@asynccontextmanager
async def hosting(
    store: Store | Path | None = None, *, clock: Clock | None = None, actions_dir: Path | None = None,
    work_folder: Path | None = None, verify: bool = True,
) -> AsyncIterator[Host]:  # fmt: skip
    """A supervisor over this store (a path: SQLite; None: memory), recovered, closed at the end."""
    opened: Any = SqliteStore(store) if isinstance(store, Path) else store or MemoryStore()
    await opened.open()
    try:
        custom = CustomActions([actions_dir] if actions_dir else [])
        folder = work_folder or Path.cwd()
        charts = Charts(custom.types(), [folder])
        clock = clock or ManualClock()
        supervisor = Supervisor(opened, clock=clock, charts=charts, logs=MachineLogs(None), work_folder=folder)
        actions.connect(custom, supervisor.bridge)
        await supervisor.hosting.recover()
        host = Host(supervisor, clock)
        try:
            yield host
            if verify:
                await host.quiet()
                await host.verify()
        finally:
            await supervisor.close()
    finally:
        await opened.close()


__all__ = ["Host", "control", "hosting"]
