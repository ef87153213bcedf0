"""What machines do while their store fails: nobody waits for an answer, and nothing is guessed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smd.errors import OutcomeUnknownError, StoreError
from smd.runtime.turn import Turn
from smd.statechart.event import Event
from smd.store.base import Ended, MachineRow, Unit
from smd.store.memory import MemoryStore
from tests.hosting import hosting

pytestmark = pytest.mark.asyncio

COUNTER = """
machine: counter
context: {n: 0}
states:
  a: {on: {tick: {actions: [{type: assign, set: {n: context.n + 1}}]}}}
"""


class Failing(MemoryStore):
    """A store that can be made to fail.

    Attributes:
        commits: what a turn hears though its commit happened, or without one.
        happen: turns commit, whatever they hear.
        reads: what reading a machine's row or the rows that wait for it ends in.
        vain: a word for each turn that heard of a failure and did not happen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.commits: StoreError | None = None
        self.happen = False
        self.reads: StoreError | None = None
        self.vain: asyncio.Queue[StoreError] = asyncio.Queue()

    def run(self, unit: Unit, ended: Ended) -> None:
        error = self.commits
        if error is None or not isinstance(unit, Turn):
            super().run(unit, ended)
        elif self.happen:
            super().run(unit, lambda _value, _error: ended(None, error))
        else:
            unit.begin(1)
            asyncio.get_running_loop().call_soon(self._fail, ended, error)

    def _fail(self, ended: Ended, error: StoreError) -> None:
        ended(None, error)
        self.vain.put_nowait(error)

    async def machine(self, name: str) -> MachineRow | None:
        if self.reads is not None:
            raise self.reads
        return await super().machine(name)

    async def pending(self, machine: str, limit: int = 1000) -> list[tuple[int, Event]]:
        if self.reads is not None:
            raise self.reads
        return await super().pending(machine, limit)


async def refused(sending: Any) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await asyncio.wait_for(sending, 10)
    return caught.value


async def test_a_sender_hears_at_once_that_rows_before_its_event_cannot_be_read() -> None:
    store = Failing()
    async with hosting(store) as host:
        await host.add(COUNTER)
        await host.supervisor.stop("counter")
        await host.send("counter", "tick")
        store.reads = StoreError("cannot read: broken", hint="mend it")
        await host.supervisor.start("counter")
        for _ in range(2):
            error = await refused(host.send("counter", "tick"))
            assert (error.message, error.hint) == ("cannot read: broken", "mend it")
        store.reads = None
        host.advance(0.5)
        await host.quiet()
        assert host.context("counter") == {"n": 1}
        assert (await host.send("counter", "tick")).disposition == "taken"


async def test_a_commit_that_happened_and_could_not_be_looked_up_is_found_by_the_next_event() -> None:
    store = Failing()
    async with hosting(store) as host:
        await host.add(COUNTER)
        await host.quiet()
        store.commits, store.happen = OutcomeUnknownError("cannot write: broken"), True
        store.reads = StoreError("cannot read: broken")
        assert (await refused(host.send("counter", "tick"))).code == "outcome_unknown"
        assert host.context("counter") == {"n": 0}
        store.commits = store.reads = None
        assert (await host.send("counter", "tick")).disposition == "taken"
        assert host.context("counter") == {"n": 2}


async def test_a_commit_that_turns_out_to_have_happened_is_answered_as_such() -> None:
    store = Failing()
    async with hosting(store) as host:
        await host.add(COUNTER)
        await host.quiet()
        store.commits, store.happen = OutcomeUnknownError("cannot write: broken"), True
        assert (await host.send("counter", "tick")).disposition == "taken"
        assert host.context("counter") == {"n": 1}
        store.commits = None


@pytest.mark.parametrize("kind", [StoreError, OutcomeUnknownError])
async def test_a_machine_is_never_failed_for_the_store_and_tries_ever_more_seldom(kind: type[StoreError]) -> None:
    store = Failing()
    async with hosting(store) as host:
        await host.add(COUNTER)
        await host.quiet()
        store.commits = kind("cannot write: broken")
        for _ in range(20):
            assert type(await refused(host.send("counter", "tick"))) is kind
            await store.vain.get()
        host.supervisor.machines["counter"].post(Event("tick", {}))
        for pause in (0, 0.5, 1, 2, 4, 4, 4):
            host.advance(pause)
            await asyncio.wait_for(store.vain.get(), 10)
            await host.supervisor.hosting.close()
        assert host.supervisor.view("counter").status == "running"
        store.commits = None
        host.advance(3.5)
        assert host.context("counter") == {"n": 0}
        host.advance(0.5)
        await host.quiet()
        assert host.context("counter") == {"n": 1}


async def test_a_restart_that_the_store_refused_happens_later() -> None:
    store = Failing()
    async with hosting(store) as host:
        await host.add("machine: m\nrestart: {policy: always, delay: 1s}\nstates: {a: {on: {go: z}}, z: {type: final}}")
        await host.send("m", "go")
        store.commits = StoreError("cannot write: broken")
        host.advance(1)
        await host.supervisor.hosting.close()
        assert host.supervisor.view("m").status == "finished"
        store.commits = None
        host.advance(4)
        await host.until("m", "running")
        assert host.supervisor.view("m").life == 2
