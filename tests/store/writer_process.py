"""A program for `test_sqlite.py`: writes to the store it is given and prints what was acknowledged."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from smd.statechart.event import Event
from smd.store.base import Consumed, CreateMachine, MachineRow, Record, Save
from smd.store.sqlite import SqliteStore
from tests.store.units import ask


async def write(path: Path, names: list[str]) -> None:
    """Each machine counts in its snapshot; a line per acknowledged event."""
    store = SqliteStore(path)
    await store.open()

    async def count(name: str) -> None:
        await ask(store, CreateMachine(MachineRow(name, 1, "c", "running", 0)))
        row = await store.machine(name)
        assert row is not None
        at = row.version
        while True:
            event = Consumed(Event("go", {"n": at}), None, "taken", 1.0, "a", "b")
            await ask(store, Save(Record(name, 1, at, at + 1, "running", "b", b"%d" % (at + 1), [event])))
            at += 1
            print(name, at, flush=True)  # noqa: T201 - the acknowledgement

    await asyncio.gather(*(count(name) for name in names))


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2:]))
