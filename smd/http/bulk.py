"""Many events in one body.

Events are posted in their order, in slices between which others have their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from smd.errors import NotFoundError, RequestError, SmdError
from smd.http.bodies import BULK_LIMIT, DEPTH_LIMIT, PAYLOAD_LIMIT, check_payload, read_event, read_json
from smd.http.call import Call, Context, unless_gone
from smd.http.jobs import NDJSON
from smd.http.machines import done
from smd.http.ports import Posting, Settle, Supervisor
from smd.http.replies import Reply, error_body, error_of
from smd.http.single import check_key_of_many, key_and_source, one_of_many, read_wait
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

    def machines(self) -> list[str]:
        """Those that have taken an event, each once: one that only put it by is not waited for."""
        taken = (outcome for outcome in self.outcomes if isinstance(outcome, Answer))
        return list(dict.fromkeys(answer.machine for answer in taken if answer.disposition != "queued"))

    def reply(self) -> Reply:
        """One answer or error each, in order; null where none is known."""
        answers: list[Any] = []
        status = 200
        for outcome in self.outcomes:
            if isinstance(outcome, Answer):
                answers.append(outcome.plain())
            elif outcome is None:
                answers.append(None)
            else:
                answers.append(error_of(outcome))
                status = 207
        return Reply({"answers": answers}, status)


def _postings(
    collector: Collector, documents: Sequence[Any], *, key: str, source: str, now: float, large: bool, start: int
) -> list[Posting]:
    """The events of one slice; what cannot be read has its error at once.

    Args:
        key: of the request; see `one_of_many`.
        large: some payload may be over its limit.
    """
    postings: list[Posting] = []
    put = collector.put
    for index, document in enumerate(documents[start : start + _SLICE], start):
        try:
            data = read_json(document) if type(document) is bytes else document
            event = read_event(data, source=source, now=now, key=one_of_many(key, index) if key else "", addressed=True)
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


async def _post_all(collector: Collector, context: Context, count: int, read: Callable[..., list[Posting]]) -> None:
    """Post so many events, as `read` gives them slice by slice, and wait until there is an outcome for each."""
    for start in range(0, count, _SLICE):
        if start:
            await asyncio.sleep(0)
        await _offer(collector, context, read(start=start))
    await collector.all()


async def _settled(supervisor: Supervisor, machine: str) -> dict[str, Any]:
    try:
        return await done(supervisor, await supervisor.settled(machine, None))
    except NotFoundError as error:  # somebody has removed it meanwhile
        return error_of(error)


async def _all_settled(supervisor: Supervisor, machines: Sequence[str]) -> dict[str, Any]:
    """Each machine as it was when nothing of it was under way; one that is no longer there has its error."""
    views = await asyncio.gather(*(_settled(supervisor, machine) for machine in machines))
    return dict(zip(machines, views, strict=True))


def _timed_out(collector: Collector) -> Reply:
    """The answers there are, under the error."""
    answers = collector.reply().data["answers"]
    if None in answers:
        hint = "the others may still be taken; sending them again with the same ids tells"
        error = error_body("wait_timeout", "cannot wait longer: there is no answer yet to some events", hint)
    else:
        error = error_body("wait_timeout", "cannot wait longer: the machines are not settled yet")
    return Reply({**error, "answers": answers}, 408)


async def post_events(call: Call) -> Reply:
    """Many events to any machines: one answer or error each, in order.

    The header Idempotency-Key gives an id to each event that has none of its own; see `one_of_many`. With
    `wait=settled` the machines that took one are under `settled`, by name, each as it was once no action of it ran.
    """
    body = await call.body(BULK_LIMIT)
    key, source = key_and_source(call.scope["headers"])
    until, seconds = read_wait(call.scope["query_string"])
    documents = _documents(body, ndjson=call.header(b"content-type").startswith(NDJSON))
    check_key_of_many(key, len(documents))
    collector = Collector(len(documents), len(body))
    now, large = call.context.clock(), len(body) > PAYLOAD_LIMIT
    read = partial(_postings, collector, documents, key=key, source=source, now=now, large=large)
    try:
        async with asyncio.timeout(seconds):
            await _post_all(collector, call.context, len(documents), read)
            reply = collector.reply()
            if until == "settled":
                work = _all_settled(call.supervisor, collector.machines())
                reply.data["settled"] = await unless_gone(call.receive, work)
    except TimeoutError:
        return _timed_out(collector)
    return reply
