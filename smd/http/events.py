"""Many events in one body."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

from smd.errors import BusyError, RequestError, SmdError
from smd.http.bodies import BULK_LIMIT, DEPTH_LIMIT, PAYLOAD_LIMIT, check_payload, read_event, read_json
from smd.http.call import Call, Context
from smd.http.jobs import NDJSON
from smd.http.ports import Settle
from smd.http.replies import Reply, error_of
from smd.http.single import key_and_source as _key_and_source
from smd.runtime.answers import Answer
from smd.statechart.event import Event

_SLICE = 64
"""Events of a bulk request that are posted before others have their turn."""
_PATIENCE = 2.0
"""Seconds for which a bulk request waits, in all, for room that only others can make."""
_LOOK = 0.004


class Collector:
    """Answers of many events, each in its place; no future per event.

    `moved` is set at every answer, `waiting` counts the answers to come; `patience` is what is left of it, in seconds.
    """

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.waiting = 0
        self.failed = False
        self.patience = _PATIENCE
        self.moved = asyncio.Event()

    def place(self) -> Settle:
        """Room for the next answer, and what puts it there."""
        self.answers.append(None)
        return partial(self._put, len(self.answers) - 1)

    def _put(self, index: int, outcome: Answer | SmdError) -> None:
        self.waiting -= 1
        self.refuse(index, outcome) if isinstance(outcome, SmdError) else self._keep(index, outcome)
        self.moved.set()

    def _keep(self, index: int, answer: Answer) -> None:
        self.answers[index] = answer.plain()

    def refuse(self, index: int, error: SmdError) -> None:
        """An event that was not accepted."""
        self.answers[index] = error_of(error)
        self.failed = True

    async def all(self) -> None:
        """Wait until every answer is there."""
        while self.waiting:
            await self.next()

    async def next(self) -> None:
        """Wait for some answer."""
        self.moved.clear()
        await self.moved.wait()


async def _offer(collector: Collector, context: Context, machine: str, event: Event) -> None:
    """Post one event of many, waiting for room if the inbox is full."""
    reply, index = collector.place(), len(collector.answers) - 1
    collector.waiting += 1
    try:
        try:
            context.supervisor.post(machine, event, reply, client=True)
        except BusyError:
            await _wait_and_post(collector, context, machine, event, reply)
    except SmdError as error:
        collector.waiting -= 1
        collector.refuse(index, error)


async def _wait_and_post(collector: Collector, context: Context, machine: str, event: Event, reply: Settle) -> None:
    """Post once the inbox has room. Bulk requests to one machine have it by turns, each until it is full again.

    Raises:
        BusyError: others have kept it full for all of this request's patience.
    """
    turn = context.turns.setdefault(machine, asyncio.Lock())
    async with turn:
        while True:
            try:
                return context.supervisor.post(machine, event, reply, client=True)
            except BusyError:
                if collector.waiting > 1:
                    await collector.next()
                elif collector.patience > 0:
                    collector.patience -= _LOOK
                    await asyncio.sleep(_LOOK)
                else:
                    raise


def _documents(body: bytes, *, ndjson: bool) -> Iterator[Any]:
    """The events of a body as decoded values; a line that cannot be read gives its error instead."""
    if not ndjson:
        data = read_json(body, DEPTH_LIMIT + 1)
        if type(data) is not list:
            raise RequestError("cannot accept events: the body must be an array of events")
        yield from data
        return
    for line in body.split(b"\n"):
        if line.strip():
            try:
                yield read_json(line)
            except RequestError as error:
                yield error


async def post_events(call: Call) -> Reply:
    """Many events to any machines: one answer or error each, in order.

    Events are posted in their order, in slices between which others have their turn.
    """
    body = await call.body(BULK_LIMIT)
    _, source = _key_and_source(call.scope["headers"])
    collector = Collector()
    now, large = call.context.clock(), len(body) > PAYLOAD_LIMIT
    ndjson = call.header(b"content-type").startswith(NDJSON)
    for count, data in enumerate(_documents(body, ndjson=ndjson), 1):
        try:
            if isinstance(data, RequestError):
                raise data
            event = read_event(data, source=source, now=now, addressed=True)
            if large:
                check_payload(event.payload)
        except RequestError as error:
            collector.place()
            collector.refuse(len(collector.answers) - 1, error)
        else:
            await _offer(collector, call.context, data["machine"], event)
        if not count % _SLICE:
            await asyncio.sleep(0)
    await collector.all()
    return Reply({"answers": collector.answers}, 207 if collector.failed else 200)
