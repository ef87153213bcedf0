"""What goes back over the wire: values to JSON bodies, errors to statuses. The only place that knows both."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from smd import codec
from smd.errors import (
    BusyError,
    ChartError,
    ConflictError,
    MachineError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RequestError,
    SmdError,
    StoreError,
    TooLargeError,
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]
Headers = tuple[tuple[bytes, bytes], ...]

JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")
TEXT = (b"content-type", b"text/plain; charset=utf-8")

_log = structlog.get_logger("smd.http")

STATUSES: tuple[tuple[type[SmdError], int], ...] = (
    (NotFoundError, 404), (ConflictError, 409), (TooLargeError, 413), (BusyError, 429),
    (PermissionDeniedError, 403), (RequestError, 422), (ChartError, 422), (MachineError, 409),
    (OutcomeUnknownError, 503), (StoreError, 503),
)  # fmt: skip
"""The first class an error is of gives its status."""

CODES = {"invalid_json": 400, "wait_timeout": 408, "wrong_method": 405}
"""Codes with a status of their own."""

_AFTER: dict[int, Headers] = {413: (CLOSE,), 429: ((b"retry-after", b"1"),), 503: ((b"retry-after", b"1"),)}


class Reply(NamedTuple):
    """A whole answer; `data` is JSON, or text."""

    data: Any
    status: int = 200
    headers: Headers = ()


class Stream(NamedTuple):
    """An answer that goes on; it ends when the iterator ends or the client leaves."""

    pieces: AsyncGenerator[bytes, None]


class ClientGoneError(Exception):
    """The client left before its answer: there is nobody to tell."""


def error_body(code: str, message: str, hint: str = "") -> dict[str, Any]:
    """The one form of an error."""
    error = {"code": code, "message": message}
    if hint:
        error["hint"] = hint
    return {"error": error}


def error_of(error: SmdError) -> dict[str, Any]:
    """A deliberate error as it stands in a body."""
    return error_body(error.code, error.message, error.hint)


def failure(error: Exception, scope: Scope | None = None) -> Reply:
    """The answer for an error. What was not foreseen is logged under an id, and only the id is told."""
    for kind, status in STATUSES:
        if isinstance(error, kind):
            own = CODES.get(error.code, status)
            return Reply(error_of(error), own, _AFTER.get(own, ()))
    mark = secrets.token_hex(6)
    about = {} if scope is None else {"method": scope.get("method"), "path": scope.get("path")}
    _log.error("request failed", error_id=mark, exc_info=error, **about)
    return Reply(error_body("internal", f"cannot answer: internal error {mark}", f"the log has it under {mark}"), 500)


def stopped() -> OutcomeUnknownError:
    """What those are told who still wait when the daemon has waited long enough."""
    return OutcomeUnknownError(
        "cannot wait for the answer: the daemon stops", hint="sending the event again with the same id is safe"
    )


def whole(status: int, body: bytes, headers: Headers = (), *, stays: bool = True) -> bytes:
    """A whole answer in JSON as bytes; one after which the connection does not stay says so once."""
    more = b"".join([b"%b: %b\r\n" % header for header in headers]) if headers else b""
    end = b"" if stays or CLOSE in headers else b"connection: close\r\n"
    return b"%bcontent-type: application/json\r\n%bcontent-length: %d\r\n%b\r\n%b" % (
        STATUS_LINE[status], more, len(body), end, body,
    )  # fmt: skip


async def send_body(send: Send, status: int, body: bytes, headers: Headers = (JSON,)) -> None:
    """Send a whole answer."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def send_reply(send: Send, reply: Reply) -> None:
    """Encode and send an answer."""
    if isinstance(reply.data, str):
        await send_body(send, reply.status, reply.data.encode(), (TEXT, *reply.headers))
    else:
        await send_body(send, reply.status, codec.dumps(reply.data), (JSON, *reply.headers))
