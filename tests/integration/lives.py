"""A small world of machines that live at random: senders, verbs, timers, jobs and children, all drawn from one seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, NamedTuple

from smd.errors import SmdError
from smd.jobs import NewJob
from smd.runtime.inbox import Posting
from smd.statechart.event import HIGH, LOW, NORMAL, Event
from smd.store.base import JournalRow
from tests.hosting import Host

PLAIN = """
machine: {name}
context: {{c: 0}}
states:
  a: {{after: {{3s: b}}, on: {{e: {{actions: [{{type: assign, set: {{c: context.c + 1}}}}]}}, flip: b}}}}
  b: {{after: {{2s: a}}, on: {{e: {{actions: []}}, flip: a}}}}
"""
ACTOR = """
machine: {name}
states:
  a:
    after: {{4s: a2}}
    actions: [{{type: run, command: ['true'], success: ok}}]
    on: {{ok: b, e: {{actions: []}}}}
  a2: {{on: {{e: {{actions: []}}, flip: a}}, after: {{1s: a}}}}
  b: {{after: {{2s: a}}, on: {{e: {{actions: []}}, end: z}}}}
  z: {{type: final}}
"""
TAKER = """
machine: {name}
states:
  wait:
    actions: [{{type: check_database_queue, job_type: {job_type}}}]
    on: {{new_job: busy, e: {{actions: []}}, switch: away}}
  away: {{after: {{1s: wait}}, on: {{e: {{actions: []}}}}}}
  busy: {{after: {{1s: done}}, on: {{e: {{actions: []}}}}}}
  done:
    actions: [{{type: complete_job, success: ok}}]
    on: {{ok: wait, error: wait, e: {{actions: []}}}}
"""
PARENT = """
machine: {name}
states:
  idle: {{on: {{e: {{actions: []}}, go: begin}}}}
  begin:
    actions: [{{type: start_fsm, machine_name: child, yaml_path: child.yaml, linked: true, success: ok}}]
    on: {{ok: wait, error: idle, e: {{actions: []}}}}
  wait: {{after: {{5s: idle}}, on: {{done.machine.child: idle, error.machine.child: idle, e: {{actions: []}}}}}}
"""
CHILD = """
machine: child
states:
  a: {after: {2s: z}, actions: [{type: run, command: ['true'], success: ok}], on: {ok: b, e: {actions: []}}}
  b: {after: {1s: z}, on: {e: {actions: []}}}
  z: {type: final}
"""
CHARTS = {
    **{name: PLAIN.format(name=name) for name in ("plain0", "plain1")},
    **{name: ACTOR.format(name=name) for name in ("actor0", "actor1")},
    **{f"taker{n}": TAKER.format(name=f"taker{n}", job_type=kind) for n, kind in enumerate("jjk")},
    "parent": PARENT.format(name="parent"),
}
REPLACED = {"plain0", "actor0", "parent", "child"}
"""Machines that are also removed; the others' journals are whole."""
VERBS = ("pause", "hold", "resume", "stop", "start", "restart", "reset_failed", "replace", "replace")
SENDERS = 8
HANGS = 20.0
"""Seconds after which something is said to hang."""


class Sizes(NamedTuple):
    """How much a world lives through: sends of each sender, and jobs."""

    sends: int
    jobs: int


class Sent:
    """An event that was sent: the how-manieth of which sender, and all it was answered."""

    def __init__(self, number: int, machine: str, sender: int, place: int, priority: int) -> None:
        self.number = number
        self.machine = machine
        self.sender = sender
        self.place = place
        self.priority = priority
        self.answers: list[Any] = []
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        answers = [getattr(answer, "disposition", answer) for answer in self.answers]
        return f"{self.number} (the {self.place}. of sender {self.sender} to {self.machine}: {answers})"

    def hear(self, answer: Any) -> None:
        """Who sent it is told."""
        self.answers.append(answer)
        if not self.told.done():
            self.told.set_result(None)


class World:
    """Machines on a host, and what happens to them; `live`, then `settle`, then `look` fill what is checked.

    Attributes:
        sent: every event by its number.
        removed: names of machines that were removed at least once.
        hung: what took longer than HANGS.
        journal: consumed rows of each machine.
        jobs: jobs that are not done: id, status and whether a machine says that it holds it.
        waiting: rows that wait for machines that run, by name.
        replays: what a journal says otherwise than the store, or empty.
    """

    def __init__(self, host: Host, seed: int, sizes: Sizes) -> None:
        self.host = host
        self.sizes = sizes
        self.sent: dict[int, Sent] = {}
        self.removed: set[str] = set()
        self.hung: list[str] = []
        self.journal: dict[str, list[JournalRow]] = {}
        self.jobs: list[tuple[str, str, bool]] = []
        self.waiting: dict[str, int] = {}
        self.replays = ""
        self._supervisor = host.supervisor
        self._random = random.Random(seed)
        self._ids: dict[str, list[str]] = {}
        self._over = False

    # --- life -------------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Add the machines and let everything happen at once, until all senders have had all their answers."""
        for text in CHARTS.values():
            await self.host.add(text)
        happens = (self._give_verbs, self._give_verbs, self._wait_settled, self._wait_settled, self._gather)
        async with asyncio.TaskGroup() as group:
            clock = group.create_task(self._tick())
            senders = [group.create_task(self._send(number)) for number in range(SENDERS)]
            others = [group.create_task(what()) for what in (*happens, self._add_jobs)]
            await asyncio.wait(senders)
            self._over = True
            await asyncio.wait(others)
            clock.cancel()

    async def _breathe(self) -> None:
        """Let others go on: for some rounds of the loop, or while the store is read."""
        if self._random.random() < 0.2:
            await self.host.store.machine("plain0")
        for _ in range(self._random.choice((0, 1, 1, 2, 5))):
            await asyncio.sleep(0)

    async def _within(self, what: str, awaited: Awaitable[object]) -> None:
        try:
            await asyncio.wait_for(awaited, HANGS)
        except TimeoutError:
            busy = [m for m in self._supervisor.machines.values() if not m.settled()]
            seen = [f"{m.name} {m.status} {len(m.inbox)}+{len(m.behind)} in a turn: {m.submitted}" for m in busy]
            self.hung.append(f"{what} (not settled: {', '.join(seen) or 'none'})")

    async def _send(self, sender: int) -> None:
        """Every third one sends many events at once."""
        machine = self._random.choice(list(CHARTS))
        priority = self._random.choice((NORMAL, NORMAL, LOW, HIGH))
        place = 0
        for _ in range(self.sizes.sends):
            await self._breathe()
            many = self._random.choice((1, 3, 30, 300)) if sender % 3 == 0 else 1
            sent = [Sent(len(self.sent) + n, machine, sender, place + n, priority) for n in range(many)]
            self.sent.update((each.number, each) for each in sent)
            place += many
            await self._within(f"{many} events from {sent[0]}", self._post(sent))

    async def _post(self, sent: list[Sent]) -> None:
        postings: list[Posting] = [(each.machine, self._event(each), each.hear) for each in sent]
        if len(postings) == 1:
            try:
                self._supervisor.post(*postings[0])
            except SmdError as error:
                sent[0].hear(error)
        else:
            while postings := postings[self._supervisor.post_many(postings) :]:
                await self._breathe()
        await asyncio.gather(*(each.told for each in sent))

    def _event(self, sent: Sent) -> Event:
        """Some have an id, and some of those one that the machine has had before."""
        kind = "e" if self._random.random() < 0.9 else self._random.choice(("flip", "switch", "go", "end"))
        known, id_ = self._ids.setdefault(sent.machine, []), ""
        if self._random.random() < 0.4:
            id_ = self._random.choice(known) if known and self._random.random() < 0.2 else f"id{sent.number}"
            known.append(id_)
        return Event(kind, {"number": sent.number}, id=id_, source=f"sender{sent.sender}", priority=sent.priority)

    async def _give_verbs(self) -> None:
        while not self._over:
            await self._breathe()
            name, verb = (
                self._random.choice(sorted(self._supervisor.machines) or ["plain1"]),
                self._random.choice(VERBS),
            )
            with suppress(SmdError):
                await self._within(f"{verb} {name}", self._give(verb, name))

    async def _give(self, verb: str, name: str) -> None:
        if verb == "hold":
            await self._supervisor.pause(name, now=True)
        elif verb != "replace":
            await getattr(self._supervisor, verb)(name)
        elif name in REPLACED:
            await self._supervisor.remove(name)
            self.removed.add(name)
            await self._breathe()
            if name in CHARTS:
                await self.host.add(CHARTS[name])

    async def _tick(self) -> None:
        while True:
            await self._breathe()
            self.host.advance(self._random.choice((0.1, 0.5, 1, 3)))

    async def _add_jobs(self) -> None:
        for number in range(self.sizes.jobs):
            await self._breathe()
            jobs = [
                NewJob(self._random.choice("jk"), f"job{number}.{n}") for n in range(self._random.choice((1, 1, 2)))
            ]
            await self._supervisor.add_jobs(jobs)

    async def _wait_settled(self) -> None:
        while not self._over:
            await self._breathe()
            name = self._random.choice(list(CHARTS))
            with suppress(SmdError):
                await self._within(f"{name} to be settled", self._supervisor.settled(name, None))

    async def _gather(self) -> None:
        """Let what comes share a commit."""
        while not self._over:
            await self._breathe()
            with self.host.store.together():
                await self._breathe()

    # --- afterwards -------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Let every machine run, and time go by until all jobs can be done."""
        for _ in range(3 * self.sizes.jobs):
            await self._within("the machines to be up", self._bring_up())
            await self._within("the machines to be quiet", self.host.quiet())
            self.host.advance(1.1)
        await self._within("the machines to be up", self._bring_up())
        await self._within("the machines to be quiet", self.host.quiet())

    async def _bring_up(self) -> None:
        for view in self._supervisor.views():
            with suppress(SmdError):  # it has come up by itself, or its parent brings it up
                if view.status == "paused":
                    await self._supervisor.resume(view.name)
                elif view.status != "running":
                    await self._supervisor.start(view.name)

    async def look(self) -> None:
        """Note what the store and the machines hold; those that were replaced are removed before."""
        counts, views = await self.host.store.pending_counts(), self._supervisor.views()
        self.waiting = {v.name: counts[v.name] for v in views if v.status == "running" and counts.get(v.name)}
        held = {job for view in views for job in view.held}
        for status in ("available", "running"):
            for job in await self.host.store.jobs(status=status, limit=1000):
                self.jobs.append((job.job_id, status, job.job_id in held))
        for name in self.removed & self._supervisor.machines.keys():
            await self._supervisor.remove(name)
        for name in {*CHARTS, "child"}:
            self.journal[name] = await self._rows(name)
        try:
            await self.host.verify()
        except AssertionError as error:
            self.replays = str(error)

    async def _rows(self, name: str) -> list[JournalRow]:
        rows: list[JournalRow] = []
        while page := await self.host.store.journal(name, (rows[-1].consumed_no or 0) if rows else 0, 500):
            rows.extend(page)
        return rows
