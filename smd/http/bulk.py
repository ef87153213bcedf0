"""Many events in one body.

Events are posted in their order, in slices between which others have their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from smd.errors import RequestError, SmdError
from smd.http.bodies import BULK_LIMIT, DEPTH_LIMIT, PAYLOAD_LIMIT, check_payload, read_event, read_json
from smd.http.call import Call, Context
from smd.http.jobs import NDJSON
from smd.http.ports import Posting, Settle
from smd.http.replies import Reply, error_of
from smd.http.single import key_and_source
from smd.runtime.answers import Answer
from smd.statechart.event import Event

_SLICE = 64
"""Events of a bulk request that are posted before others have their turn."""
_PATIENCE = 2.0
"""Seconds for which a bulk request waits, in all, for room that only others can make."""
_LOOK = 0.004


class Collector:
    """What became of many events, each in its place; no future per event.

    `waiting` counts those posted that have no outcome yet; `patience` is what is left of it, in seconds; `size` is
    about what each event takes, in bytes.
    """

    def __init__(self, places: int, size: int) -> None:
        self.outcomes: list[Answer | SmdError | None] = [None] * places
        self.waiting = 0
        self.size = size // max(places, 1)
        self.patience = _PATIENCE
        self._moved = asyncio.Event()

    def put(self, index: int, outcome: Answer | SmdError) -> None:
        """What became of an event that was posted."""
        self.outcomes[index] = outcome
        self.waiting -= 1
        self._moved.set()

    async def all(self) -> None:
        """Wait until no outcome is missing."""
        while self.waiting:
            await self.next()

    async def next(self) -> None:
        """Wait for some outcome."""
        self._moved.clear()
        await self._moved.wait()

    def reply(self) -> Reply:
        """One answer or error each, in order."""
        answers: list[Any] = []
        status = 200
        for outcome in self.outcomes:
            if isinstance(outcome, Answer):
                answers.append(outcome.plain())
            elif outcome is not None:
                answers.append(error_of(outcome))
                status = 207
        return Reply({"answers": answers}, status)


def _postings(
    collector: Collector, documents: Sequence[Any], *, source: str, now: float, large: bool, start: int
) -> list[Posting]:
    """The events of one slice; what cannot be read has its error at once.

    Args:
        large: some payload may be over its limit.
    """
    postings: list[Posting] = []
    put = collector.put
    for index, document in enumerate(documents[start : start + _SLICE], start):
        try:
            data = read_json(document) if type(document) is bytes else document
            event = read_event(data, source=source, now=now, addressed=True)
            if large:
                check_payload(event.payload)
        except RequestError as error:
            collector.outcomes[index] = error
        else:
            postings.append((data["machine"], event, partial(put, index)))
    return postings


async def _offer(collector: Collector, context: Context, postings: list[Posting]) -> None:
    """Post events in their order, waiting for room whenever an inbox is full."""
    while postings:
        done = context.supervisor.post_many(postings, client=True, size=collector.size)
        collector.waiting += done
        if done == len(postings):
            return
        await _wait_and_post(collector, context, *postings[done])
        postings = postings[done + 1 :]


async def _wait_and_post(collector: Collector, context: Context, machine: str, event: Event, reply: Settle) -> None:
    """Post once the inbox has room. Bulk requests to one machine have it by turns, each until it is full again."""
    turn = context.turns.setdefault(machine, asyncio.Lock())
    async with turn:
        while not context.supervisor.post_many([(machine, event, reply)], client=True, size=collector.size):
            if collector.waiting:
                await collector.next()
            elif collector.patience > 0:
                collector.patience -= _LOOK
                await asyncio.sleep(_LOOK)
            else:
                _post_at_last(context, machine, event, reply)
                break
    collector.waiting += 1


def _post_at_last(context: Context, machine: str, event: Event, reply: Settle) -> None:
    """Others have kept the inbox full for all of a request's patience: the sender hears why the event is not taken."""
    try:
        context.supervisor.post(machine, event, reply, client=True, size=0)
    except SmdError as error:
        reply(error)


def _documents(body: bytes, *, ndjson: bool) -> list[Any]:
    """The events of a body: decoded values, or lines, which are bytes yet."""
    if ndjson:
        return [line for line in body.split(b"\n") if line.strip()]
    data = read_json(body, DEPTH_LIMIT + 1)
    if type(data) is not list:
        raise RequestError("cannot accept events: the body must be an array of events")
    return data


async def post_events(call: Call) -> Reply:
    """Many events to any machines: one answer or error each, in order."""
    body = await call.body(BULK_LIMIT)
    _, source = key_and_source(call.scope["headers"])
    documents = _documents(body, ndjson=call.header(b"content-type").startswith(NDJSON))
    collector = Collector(len(documents), len(body))
    now, large = call.context.clock(), len(body) > PAYLOAD_LIMIT
    read = partial(_postings, collector, documents, source=source, now=now, large=large)
    for start in range(0, len(documents), _SLICE):
        if start:
            await asyncio.sleep(0)
        await _offer(collector, call.context, read(start=start))
    await collector.all()
    return collector.reply()
