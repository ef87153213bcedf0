"""One request as its endpoint sees it, and reading its body within limits."""

from __future__ import annotations

import asyncio
import difflib
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote
from weakref import WeakValueDictionary

from smd.errors import RequestError, TooLargeError
from smd.http.access import Role
from smd.http.bodies import BODY_LIMIT, BULK_LIMIT, Model, check, read_json
from smd.http.ports import Supervisor
from smd.http.replies import ClientGoneError, Receive, Reply, Scope, Stream

T = TypeVar("T")
_PAGES = ("before", "after")
"""What says where a page of a list begins; lists take it under the name `cursor`, too."""
LIST_LIMIT = 1000
SLASH = "\udc2f"
"""Stands in a path for a slash within a name, `%2F`; no decoded path has this code point."""


class Context(NamedTuple):
    """What all endpoints share.

    Attributes:
        schema: makes the JSON Schema of machine files.
        clock: seconds since the epoch.
        turns: machine to the lock held by the bulk request that is next to get room in its full inbox.
    """

    supervisor: Supervisor
    schema: Callable[[], Mapping[str, Any]]
    started: float
    turns: WeakValueDictionary[str, asyncio.Lock]
    clock: Callable[[], float] = time.time


def with_parts(scope: Scope) -> Scope:
    """The scope with a path in which only slashes between parts are slashes (RFC 3986 §2.2); the given one stays."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" not in raw.lower():
        return scope
    return {**scope, "path": SLASH.join(unquote(part) for part in re.split("%2[Ff]", raw.decode("ascii")))}


def too_large(limit: int) -> TooLargeError:
    """The refusal of a body. Only one that holds many things has parts."""
    hint = "send it in parts" if limit == BULK_LIMIT else "keep large data in a file and send its name"
    return TooLargeError(f"cannot accept the body: it is over {limit} bytes", hint=hint)


async def read_body(receive: Receive, headers: list[tuple[bytes, bytes]], limit: int) -> bytes:
    """The whole body. A longer one is refused at its announcement, or at the first byte over the limit.

    Raises:
        TooLargeError: longer than `limit` bytes.
        ClientGoneError: the client left while sending.
    """
    for name, value in headers:
        if name == b"content-length" and int(value) > limit:
            raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        body = message.get("body", b"")
        size += len(body)
        if size > limit:
            raise too_large(limit)
        if not message.get("more_body", False):
            return b"".join((*parts, body)) if parts else body
        parts.append(body)


def read_query(raw: bytes, allowed: frozenset[str] | set[str]) -> dict[str, str]:
    """The query parameters; each once, none that is not known.

    Raises:
        RequestError: unknown (the hint names the nearest known one), repeated or not text.
    """
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32)
    except ValueError as error:
        raise RequestError(f"cannot read the query: {error}") from error
    query = dict(pairs)
    if unknown := query.keys() - allowed:
        name = min(unknown)[:80]
        near = difflib.get_close_matches(name, sorted(allowed), n=1)
        known = f"known are {', '.join(sorted(allowed))}" if allowed else "none is known here"
        raise RequestError(
            f"cannot accept query parameter '{name}'", hint=f"did you mean '{near[0]}'?" if near else known
        )
    if len(query) != len(pairs):
        raise RequestError("cannot accept a query parameter given twice")
    return query


def number(query: Mapping[str, str], name: str, kind: type[int] | type[float], low: float, high: float) -> Any:
    """A number of the query within bounds; None when absent.

    Raises:
        RequestError: not a number, or out of bounds.
    """
    if name not in query:
        return None
    try:
        value = kind(query[name]) if query[name].isascii() else None
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise RequestError(f"cannot accept {name}={query[name][:40]}: it must be a number from {low:g} to {high:g}")
    return value


def flag(query: Mapping[str, str], name: str) -> bool:
    """A yes or no of the query: 1, true, 0, false; absent is no.

    Raises:
        RequestError: anything else.
    """
    words = {"1": True, "true": True, "": True, "0": False, "false": False}
    if query.get(name, "0") not in words:
        raise RequestError(f"cannot accept {name}={query[name][:40]}: it must be 1 or 0")
    return words[query.get(name, "0")]


async def gone(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, given up when the client leaves.

    Raises:
        ClientGoneError: it left.
    """
    task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone(receive))
    try:
        await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        for one in (task, leaving):
            one.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


class Call:
    """One request on its way through an endpoint."""

    __slots__ = ("context", "receive", "scope")

    def __init__(self, context: Context, scope: Scope, receive: Receive) -> None:
        self.context = context
        self.scope = scope
        self.receive = receive

    @property
    def supervisor(self) -> Supervisor:
        """The verbs."""
        return self.context.supervisor

    @property
    def name(self) -> str:
        """The machine or job the path names, percent-decoded."""
        return str(self.scope["path_params"]["name"]).replace(SLASH, "/")

    def header(self, name: bytes) -> str:
        """A header's value; empty when absent."""
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == name), "")

    def query(self, *allowed: str) -> dict[str, str]:
        """The query parameters; see `read_query`. `cursor` is another name of what says where a page begins."""
        page = next((name for name in _PAGES if name in allowed), None)
        query = read_query(self.scope["query_string"], {*allowed, "cursor"} if page else set(allowed))
        if page and "cursor" in query:
            if page in query:
                raise RequestError(f"cannot accept both '{page}' and 'cursor': they say the same")
            query[page] = query.pop("cursor")
        return query

    async def body(self, limit: int = BODY_LIMIT) -> bytes:
        """The whole body; see `read_body`."""
        return await read_body(self.receive, self.scope["headers"], limit)

    async def read(self, model: type[Model], limit: int = BODY_LIMIT) -> Model:
        """The body in checked form; an empty one counts as `{}`."""
        body = await self.body(limit)
        return check(model, read_json(body) if body else {})


Endpoint = Callable[[Call], Awaitable[Reply | Stream]]


class Row(NamedTuple):
    """One line of the API: `role` None is open to whoever reached the socket.

    `query` are the parameters that a route other than GET takes; an endpoint of GET asks for its own.
    """

    path: str
    method: str
    role: Role | None
    endpoint: Endpoint
    doc: str
    query: frozenset[str] = frozenset()
