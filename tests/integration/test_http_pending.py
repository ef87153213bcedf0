"""How many events wait for a machine: those in memory, and those in the store, each once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from smd.errors import StoreError
from smd.http.access import Access, Peer
from smd.http.app import Application
from smd.runtime.units import ask_one
from smd.statechart.event import Event
from smd.store.base import Enqueue
from smd.store.sqlite import SqliteStore
from tests.hosting import Host, hosting
from tests.unit.http_double import Caller

COUNTER = """
machine: counter
context: {n: 0}
states:
  on:
    on:
      tick: {actions: [{type: assign, set: {n: 'context.n + 1'}}]}
"""

pytestmark = pytest.mark.asyncio


def caller(supervisor: Any) -> Caller:
    return Caller(supervisor, Application(supervisor, access=Access()), Peer(1, 0, 0))


async def told(host: Host, name: str) -> tuple[int, int]:
    """What waits for a machine: in the list of all, and where it is shown alone."""
    call = caller(host.supervisor)
    listed = {view["name"]: view["pending"] for view in (await call("GET", "/v1/machines")).json["machines"]}
    return listed[name], (await call("GET", f"/v1/machines/{name}")).json["pending"]


async def sent(host: Host, name: str, count: int) -> None:
    for _ in range(count):
        await host.send(name, "tick")


@pytest.mark.parametrize("verb", ["stop", "pause"])
async def test_what_waits_for_a_machine_at_rest_is_counted_until_it_is_taken(tmp_path: Path, verb: str) -> None:
    """Also after a restart, and in the answers of verbs."""
    async with hosting(tmp_path / "smd.db") as host:
        call = caller(host.supervisor)
        name, other = await host.add(COUNTER), await host.add(COUNTER, "other")
        assert (await call("POST", f"/v1/machines/{name}/{verb}")).json["pending"] == 0
        await sent(host, name, 2)
        assert await told(host, name) == (2, 2)
        assert await told(host, other) == (0, 0)
    async with hosting(tmp_path / "smd.db") as host:
        assert await told(host, name) == (2, 2)
        await sent(host, name, 1)
        await (host.supervisor.start if verb == "stop" else host.supervisor.resume)(name)
        await host.quiet()
        assert await told(host, name) == (0, 0)
        assert host.context(name) == {"n": 3}


async def test_the_answer_of_a_verb_counts_what_waits(tmp_path: Path) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        call = caller(host.supervisor)
        name = await host.add(COUNTER)
        await host.supervisor.pause(name)
        await sent(host, name, 2)
        assert (await call("POST", f"/v1/machines/{name}/stop")).json["pending"] == 2


async def test_what_was_done_is_answered_as_done_though_the_store_cannot_be_read(tmp_path: Path) -> None:
    class Unread(SqliteStore):
        async def pending_counts(self, machine: str | None = None) -> dict[str, int]:
            if machine is not None:
                raise StoreError("cannot read: broken")
            return await super().pending_counts()

    async with hosting(Unread(tmp_path / "smd.db")) as host:
        call = caller(host.supervisor)
        name = await host.add(COUNTER)
        reply = await call("POST", f"/v1/machines/{name}/events?wait=settled", {"type": "tick"})
        assert (reply.status, reply.json["disposition"], reply.json["settled"]["pending"]) == (200, "taken", 0)
        for verb in ("pause", "resume", "stop"):
            assert (await call("POST", f"/v1/machines/{name}/{verb}")).status == 200
        assert (await call("GET", f"/v1/machines/{name}")).status == 503


async def test_a_row_of_the_store_that_is_also_in_memory_counts_once(tmp_path: Path) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        name = await host.add(COUNTER)
        await host.quiet()
        machine = host.supervisor.machines[name]
        machine.submitted = True  # as while a turn is under way: whatever comes, waits
        for _ in range(3):
            event = Event("tick", {})
            seq, _ = await host.store.submit(ask_one(Enqueue(name, event, 0.0)))
            machine.deliver(seq, event)
        machine.post(Event("tick", {}))
        machine.inbox.overflow = True
        machine.post(Event("tick", {}), lambda _: None)
        assert (len(machine.inbox), len(machine.behind)) == (4, 1)
        assert await told(host, name) == (5, 5)
        machine.submitted = False
        machine.go_on()
        await host.quiet()
        assert (await told(host, name), host.context(name)) == ((0, 0), {"n": 5})


async def test_a_list_of_machines_asks_the_store_once(tmp_path: Path) -> None:
    class Counting(SqliteStore):
        asked: Sequence[str] = ()

        async def rows(self, sql: str, *more: Any) -> Any:
            self.asked = (*self.asked, sql)
            return await super().rows(sql, *more)

    store = Counting(tmp_path / "smd.db")
    async with hosting(store) as host:
        for n in range(20):
            name = await host.add(COUNTER, f"m{n}")
            await host.supervisor.stop(name)
            await sent(host, name, 1)
        store.asked = ()
        machines = (await caller(host.supervisor)("GET", "/v1/machines")).json["machines"]
        assert [view["pending"] for view in machines] == [1] * 20
        assert len(store.asked) == 1
