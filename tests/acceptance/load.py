"""Many senders at once, and what a store holds afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from smd import codec
from smd.runtime.charts import Charts
from smd.runtime.replay import replay
from smd.statechart.snapshot_json import to_plain
from smd.store.sqlite import SqliteStore

COUNTER = """
machine: counter
context: {count: 0, sum: 0}
states:
  even:
    on: {tick: {to: odd, actions: [&add {type: assign, set: {count: context.count + 1, sum: context.sum + event.payload.n}}]}}
  odd:
    on: {tick: {to: even, actions: [*add]}}
"""
"""Its state and counter tell how many ticks it has taken, its sum which."""


def sizes(small: Any, big: Any) -> list[Any]:
    """The parameter of a test that also has a big run, for SMD_SOAK."""
    if not os.environ.get("SMD_SOAK"):
        return [small]
    return [small, pytest.param(*(big if isinstance(big, tuple) else (big,)), marks=pytest.mark.soak)]


def seconds_of(call: Callable[[], object]) -> float:
    """How long it takes, to be compared with something else that is measured."""
    started = time.monotonic()
    call()
    return time.monotonic() - started


def at(goal: int, act: Callable[[], None]) -> Callable[[int], None]:
    """What does `act` when it hears the number `goal`."""

    def hear(number: int) -> None:
        if number == goal:
            act()

    return hear


class Sender:
    """Sends numbered ticks over many connections, each with an id; knows what was acknowledged.

    Args:
        socket: the daemon's control socket.
        heard: called with the number of acknowledgements so far.
    """

    def __init__(self, socket: Path, heard: Callable[[int], None] = lambda _: None) -> None:
        self.socket = socket
        self.heard = heard
        self.answers: dict[int, dict[str, Any]] = {}

    def send(self, machine: str, numbers: Iterable[int], connections: int = 32) -> None:
        """Send until all are acknowledged, or every connection has broken."""
        asyncio.run(self._all(machine, iter(list(numbers)), connections))

    async def _all(self, machine: str, numbers: Iterator[int], connections: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(self._one(machine, numbers))

    async def _one(self, machine: str, numbers: Iterator[int]) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
            with closing(writer):
                for number in numbers:
                    writer.write(_request(machine, number))
                    status, body = await _reply(reader)
                    assert status == 200, body
                    self.answers[number] = json.loads(body)
                    self.heard(len(self.answers))
        except (OSError, EOFError):
            return  # the daemon is gone; what it did not acknowledge is not in `answers`


def _request(machine: str, number: int) -> bytes:
    body = json.dumps({"type": "tick", "payload": {"n": number}, "id": f"tick-{number}"}).encode()
    head = f"POST /v1/machines/{machine}/events HTTP/1.1\r\nHost: smd\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _reply(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
    return int(lines[0].split()[1]), await reader.readexactly(length)


# --- the store of a daemon that is gone -------------------------------------------------------------------------------


def query(store: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of a store that no daemon uses."""
    with closing(sqlite3.connect(store)) as database:
        return database.execute(sql, values).fetchall()


def replays(store: Path) -> int:
    """Check that every machine's journal, replayed, gives its stored snapshot (P10); how many machines there are."""
    return asyncio.run(_replays(store))


async def _replays(path: Path) -> int:
    store = SqliteStore(path)
    await store.open()
    try:
        charts = Charts()
        for row in await store.rows("SELECT hash, source FROM charts", (), tuple):
            charts.restore(row[0], codec.loads(row[1]))
        machines = await store.machines()
        for machine in machines:
            rows = await store.journal(machine.name, 0, 1_000_000)
            assert [row.consumed_no for row in rows] == list(range(1, machine.version + 1)), machine.name
            again = replay(charts, rows)
            assert (codec.canonical(to_plain(again)) if again else None) == machine.snapshot, machine.name
        return len(machines)
    finally:
        await store.close()
