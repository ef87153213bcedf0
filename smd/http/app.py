"""The API as one table, and the ASGI application around it.

`POST /v1/machines/{name}/events` in its plain form never comes here: the connection answers it (`direct`, `plain`). In
every other form it is answered before any router is asked; all else goes through Starlette.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from starlette.routing import Route, Router

from smd.errors import NotFoundError, RequestError
from smd.http import bulk, history, jobs, machines, service, single
from smd.http.access import Access, Role
from smd.http.bodies import NAME_LIMIT
from smd.http.call import SLASH, Call, Context, Row, read_query, with_parts
from smd.http.plain import Plain
from smd.http.ports import Supervisor
from smd.http.replies import (
    TEXT,
    ClientGoneError,
    Receive,
    Reply,
    Scope,
    Send,
    Stream,
    failure,
    send_body,
    send_reply,
    stopped,
)  # fmt: skip

OBSERVE, SEND, OPERATE = Role.OBSERVE, Role.SEND, Role.OPERATE
_MACHINES, _EVENTS = "/v1/machines/", "/events"
_M = "/v1/machines/{name}"


async def _one_event(call: Call) -> Reply:
    """The table's line of the hot path; reached only by a name the fast match passes on."""
    raise NotFoundError(f"cannot find machine '{call.name[:80]}'", code="unknown_machine")


ROUTES: tuple[Row, ...] = (
    Row(f"{_M}/events", "POST", SEND, _one_event, "send one event"),
    Row("/v1/events", "POST", SEND, bulk.post_events, "send many events", single.WAITS),
    Row("/v1/events", "GET", OBSERVE, history.list_events, "events, waiting and consumed"),
    Row("/v1/history", "GET", OBSERVE, history.all_history, "transitions of all machines"),
    Row("/v1/errors", "GET", OBSERVE, history.all_errors, "failures of all machines"),
    Row("/v1/machines", "GET", OBSERVE, machines.list_machines, "all machines"),
    Row("/v1/machines", "POST", OPERATE, machines.add_machine, "add a machine"),
    Row(_M, "GET", OBSERVE, machines.show_machine, "one machine"),
    Row(_M, "DELETE", OPERATE, machines.remove_machine, "remove a machine"),
    Row(f"{_M}/snapshot", "GET", OBSERVE, machines.snapshot, "what the machine knows"),
    Row(f"{_M}/history", "GET", OBSERVE, history.machine_history, "transitions of one machine"),
    Row(f"{_M}/log", "GET", OBSERVE, machines.log, "log of one machine, perhaps followed"),
    Row(f"{_M}/start", "POST", OPERATE, machines.verb("start"), "start a machine"),
    Row(f"{_M}/stop", "POST", OPERATE, machines.verb("stop"), "stop a machine"),
    Row(f"{_M}/restart", "POST", OPERATE, machines.verb("restart"), "begin a new life"),
    Row(f"{_M}/pause", "POST", OPERATE, machines.pause, "hold a machine still"),
    Row(f"{_M}/resume", "POST", OPERATE, machines.verb("resume"), "go on after a pause"),
    Row(f"{_M}/reset-failed", "POST", OPERATE, machines.verb("reset_failed"), "forget a failure"),
    Row("/v1/jobs", "POST", SEND, jobs.add_jobs, "add one job or many"),
    Row("/v1/jobs", "GET", OBSERVE, jobs.list_jobs, "jobs"),
    Row("/v1/jobs/{name}", "GET", OBSERVE, jobs.show_job, "one job"),
    Row("/v1/jobs/{name}/complete", "POST", OPERATE, jobs.complete_job, "end a job well"),
    Row("/v1/jobs/{name}/fail", "POST", OPERATE, jobs.fail_job, "end a job badly"),
    Row("/v1/queues", "GET", OBSERVE, jobs.queues, "numbers of jobs"),
    Row("/v1/status", "GET", OBSERVE, service.status, "the daemon in numbers"),
    Row("/v1/schema", "GET", OBSERVE, service.schema, "JSON Schema of machine files"),
    Row("/health", "GET", None, service.alive, "the daemon answers"),
    Row("/livez", "GET", None, service.alive, "the daemon answers"),
    Row("/readyz", "GET", None, service.ready, "the store can write"),
)


class Resource:
    """One path with its methods, as an ASGI application."""

    def __init__(self, context: Context, access: Access, rows: list[Row]) -> None:
        self._context = context
        self._access = access
        self._rows = {row.method: row for row in rows}
        if "GET" in self._rows:
            self._rows["HEAD"] = self._rows["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI); errors go up."""
        row = self._rows.get(scope["method"])
        if row is None:
            allowed = ", ".join(self._rows)
            hint = f"allowed: {allowed}"
            reply = failure(RequestError(f"cannot {scope['method']} here", code="wrong_method", hint=hint))
            await send_reply(send, reply._replace(headers=((b"allow", allowed.encode()),)))
            return
        if row.role is not None:
            self._access.demand(scope, row.role)
        if row.method != "GET":
            read_query(scope["query_string"], row.query)
        reply_or_stream = await row.endpoint(Call(self._context, scope, receive))
        if isinstance(reply_or_stream, Reply):
            await send_reply(send, reply_or_stream)
        elif scope["method"] == "HEAD":
            await send_reply(send, Reply(""))
        else:
            await _send_stream(send, reply_or_stream)


async def _send_stream(send: Send, stream: Stream) -> None:
    """A chunked answer; its source is closed however it ends."""
    async with contextlib.aclosing(stream.pieces) as pieces:
        await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _unknown_route(scope: Scope, _receive: Receive, _send: Send) -> None:
    path = scope["path"].replace(SLASH, "%2F")
    raise NotFoundError(f"cannot find route '{path[:200]}'", code="unknown_route")


class Application:
    """The API over a supervisor.

    Args:
        access: peer to role; whoever can open the socket operates unless given.
        schema: makes the JSON Schema of machine files.
        clock: seconds since the epoch.

    Attributes:
        plain: takes one event without a task, for connections.
    """

    def __init__(
        self, supervisor: Supervisor, *, access: Access | None = None,
        schema: Callable[[], Mapping[str, Any]] = dict, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._access = access or Access()
        self._context = Context(supervisor, schema, clock(), WeakValueDictionary(), clock)
        self.plain = Plain(supervisor, self._access, clock)
        paths: dict[str, list[Row]] = {}
        for row in ROUTES:
            paths.setdefault(row.path, []).append(row)
        routes = [Route(path, Resource(self._context, self._access, rows)) for path, rows in paths.items()]
        self._router = Router(routes, redirect_slashes=False, default=_unknown_route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        started = False

        async def sending(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            asked = with_parts(scope)
            machine = _machine_of(asked)
            if machine is None:
                await self._router(asked, receive, sending)
                return
            self._access.demand(scope, SEND)
            status, body = await single.post_event(self._context, machine, scope, receive)
        except ClientGoneError:
            return
        except asyncio.CancelledError:
            if started:
                raise
            await send_reply(send, failure(stopped()))
            return
        except Exception as error:
            if started:
                failure(error, scope)
                raise
            await send_reply(send, failure(error, scope))
            return
        await send_body(send, status, body)


def _machine_of(scope: Scope) -> str | None:
    """The machine of a request on the hot path, else None."""
    path: str = scope["path"]
    if not (path.startswith(_MACHINES) and path.endswith(_EVENTS) and scope["method"] == "POST"):
        return None
    name = path[len(_MACHINES) : -len(_EVENTS)]
    return None if not name or "/" in name or len(name) > NAME_LIMIT else name.replace(SLASH, "/")
