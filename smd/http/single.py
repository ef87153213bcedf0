"""One event in, as an ASGI application takes it: for requests that wait, are large or odd. Most are `plain`."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from smd import codec
from smd.errors import RequestError, SmdError, TooLargeError
from smd.http.bodies import (
    EVENT_LIMIT,
    NAME_LIMIT,
    PAYLOAD_LIMIT,
    check_payload,
    read_event,
    read_json,
    too_large_payload,
    word,
)
from smd.http.call import Context, number, read_body, read_query, unless_gone
from smd.http.machines import done
from smd.http.ports import Supervisor
from smd.http.replies import Receive, Scope, error_body
from smd.runtime.answers import Answer
from smd.statechart.event import Event

_LATER = frozenset({"queued", "deferred"})
WAITS = frozenset({"wait", "timeout"})
_LONGEST_WAIT = 86_400.0


def _settle(future: asyncio.Future[Answer | SmdError], outcome: Answer | SmdError) -> None:
    if not future.done():
        future.set_result(outcome)


def status_of(answer: Answer) -> int:
    """The HTTP status of an answer: 202 for an event that is consumed later."""
    return 202 if answer.disposition in _LATER else 200


def key_and_source(headers: list[tuple[bytes, bytes]]) -> tuple[str, str]:
    """The id a header gives, and the kind of client."""
    key, source = "", "http"
    for name, value in headers:
        if name == b"user-agent":
            if value.startswith(b"smctl"):
                source = "cli"
        elif name == b"idempotency-key":
            given = value.decode("latin-1")
            try:
                word(given)
            except ValueError as error:
                raise RequestError(f"cannot accept the header Idempotency-Key: it {error}") from None
            if key and key != given:
                raise RequestError("cannot accept two different headers Idempotency-Key")
            key = given
    return key, source


def one_of_many(key: str, index: int) -> str:
    """The id that the header `Idempotency-Key: <key>` gives to the part of a body at an index from 0: `<key>/<index>`.

    So a body of many sent again with the same key repeats each part; without a key the id is empty.
    """
    return f"{key}/{index}" if key else ""


def check_key_of_many(key: str, count: int) -> None:
    """See that a key has room for the indices of so many parts.

    Raises:
        RequestError: it has not.
    """
    longest = one_of_many(key, max(count - 1, 0))
    if len(longest.encode()) > NAME_LIMIT:
        told = f"the ids made from it end with /0, /1 and so on, and must be at most {NAME_LIMIT} bytes"
        raise RequestError(f"cannot accept the header Idempotency-Key: {told}", hint="send a shorter key")


async def post_event(context: Context, machine: str, scope: Scope, receive: Receive) -> tuple[int, bytes]:
    """One event to one machine: status and body of the answer.

    Raises:
        SmdError: it was refused.
        ClientGoneError: the client left.
    """
    headers = scope["headers"]
    try:
        body = await read_body(receive, headers, EVENT_LIMIT)
    except TooLargeError:
        raise too_large_payload() from None
    key, source = key_and_source(headers)
    event = read_event(read_json(body), source=source, now=context.clock(), key=key)
    if len(body) > PAYLOAD_LIMIT:
        check_payload(event.payload)
    if scope["query_string"]:
        return await _post_and_wait(context.supervisor, machine, event, len(body), scope, receive)
    answer = await _posted(context.supervisor, machine, event, len(body))
    return status_of(answer), codec.dumps(answer.plain())


async def _posted(supervisor: Supervisor, machine: str, event: Event, size: int) -> Answer:
    future: asyncio.Future[Answer | SmdError] = asyncio.get_running_loop().create_future()
    supervisor.post(machine, event, partial(_settle, future), client=True, size=size)
    outcome = await future
    if isinstance(outcome, SmdError):
        raise outcome
    return outcome


def read_wait(raw: bytes) -> tuple[str, float | None]:
    """What a query asks to wait for, `taken` or `settled`, and for how many seconds at most.

    Raises:
        RequestError: it cannot be read.
    """
    query = read_query(raw, WAITS)
    until = query.get("wait", "taken")
    if until not in {"taken", "settled"}:
        raise RequestError(f"cannot wait for '{until[:40]}': known are taken, settled")
    return until, number(query, "timeout", float, 0, _LONGEST_WAIT)


async def _post_and_wait(
    supervisor: Supervisor, machine: str, event: Event, size: int, scope: Scope, receive: Receive
) -> tuple[int, bytes]:
    """With `wait=settled` also wait until no action runs; the machine's view is then under `settled`."""
    until, seconds = read_wait(scope["query_string"])
    answer: Answer | None = None
    plain: dict[str, Any] = {}
    try:
        async with asyncio.timeout(seconds):
            answer = await _posted(supervisor, machine, event, size)
            plain = answer.plain()
            if until == "settled" and answer.disposition != "queued":
                view = await unless_gone(receive, supervisor.settled(machine, None))
                plain["settled"] = await done(supervisor, view)
    except TimeoutError:
        return 408, codec.dumps(_timed_out(until, plain))
    return status_of(answer), codec.dumps(plain)


def _timed_out(until: str, plain: dict[str, Any]) -> dict[str, Any]:
    if plain:
        return {**error_body("wait_timeout", f"cannot wait longer: the machine is not {until} yet"), "answer": plain}
    hint = "the event may still be taken; sending it again with the same id tells"
    return error_body("wait_timeout", "cannot wait longer: there is no answer yet", hint)
