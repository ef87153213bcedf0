"""Machines: shown, added, removed, driven; and their logs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from smd.errors import NotFoundError, StoreError
from smd.http.bodies import MACHINE_LIMIT, MachineBody, Nothing, PauseBody
from smd.http.call import LIST_LIMIT, Call, Endpoint, flag, gone, number
from smd.http.ports import Notice, Supervisor
from smd.http.replies import Reply, Stream
from smd.runtime.answers import MachineView

_LOG_LINES = 100
_LOG_MOST = 10_000


async def shown(supervisor: Supervisor, name: str) -> dict[str, Any]:
    """One machine, with the events that wait for it in the store.

    Raises:
        NotFoundError: no such machine. StoreError: the store cannot be read.
    """
    supervisor.view(name)  # an unknown name is no question for the store
    stored = await supervisor.store.pending_counts(name)
    return supervisor.view(name).plain(stored.get(name, 0))


async def done(supervisor: Supervisor, view: MachineView) -> dict[str, Any]:
    """A machine after something was done to it, which is told even if the machine cannot be looked at once more.

    Args:
        view: as it was then, without what waits in the store.
    """
    try:
        return await shown(supervisor, view.name)
    except (StoreError, NotFoundError):  # the store cannot be read, or somebody has removed the machine meanwhile
        return view.plain()


async def list_machines(call: Call) -> Reply:
    """Machines by name: all, or with `limit` so many, those after the name `after`."""
    query = call.query("limit", "after")
    limit = number(query, "limit", int, 1, LIST_LIMIT)
    stored = await call.supervisor.store.pending_counts()
    views = [view for view in call.supervisor.views() if view.name > query.get("after", "")]
    shown = views if limit is None else views[:limit]
    following = shown[-1].name if len(shown) < len(views) else None
    return Reply({"machines": [view.plain(stored.get(view.name, 0)) for view in shown], "next": following})


async def show_machine(call: Call) -> Reply:
    """One machine."""
    return Reply(await shown(call.supervisor, call.name))


async def snapshot(call: Call) -> Reply:
    """What the machine knows, context included."""
    plain = call.supervisor.snapshot(call.name)
    view = call.supervisor.view(call.name)
    return Reply({"machine": view.name, "version": view.version, "status": view.status, "snapshot": plain})


async def add_machine(call: Call) -> Reply:
    """Add a machine from a file or from YAML."""
    body = await call.read(MachineBody, MACHINE_LIMIT)
    view = await call.supervisor.add(
        path=body.path, text=body.yaml, name=body.name, context=body.context, start=body.start
    )
    return Reply(await done(call.supervisor, view), 201)


async def remove_machine(call: Call) -> Reply:
    """Remove a machine; its history stays."""
    await call.supervisor.remove(call.name)
    return Reply({"removed": call.name})


async def pause(call: Call) -> Reply:
    """Hold a machine still."""
    body = await call.read(PauseBody)
    return Reply(await done(call.supervisor, await call.supervisor.pause(call.name, now=body.now)))


def verb(name: str) -> Endpoint:
    """The endpoint of a verb without arguments, a method of the supervisor."""

    async def endpoint(call: Call) -> Reply:
        await call.read(Nothing)
        return Reply(await done(call.supervisor, await getattr(call.supervisor, name)(call.name)))

    return endpoint


async def log(call: Call) -> Reply | Stream:
    """The last lines of the machine's log; with `follow=1` also those to come, until the client leaves."""
    query = call.query("lines", "follow")
    asked = number(query, "lines", int, 0, _LOG_MOST)
    lines = _LOG_LINES if asked is None else asked
    name = call.supervisor.view(call.name).name
    if not flag(query, "follow"):
        return Reply("".join(f"{line}\n" for line in call.supervisor.log_tail(name, lines)))
    return Stream(_follow(call, name, lines))


async def _follow(call: Call, name: str, lines: int) -> AsyncGenerator[bytes, None]:
    """The tail and what comes after it, without a gap: both are asked for in one turn of the loop."""
    stopping: asyncio.Event | None = call.scope["extensions"].get("smd.stopping")
    subscription = call.supervisor.bus.subscribe({"line"})
    waiting: set[asyncio.Future[Any]] = {asyncio.ensure_future(gone(call.receive))}
    if stopping is not None:
        waiting.add(asyncio.ensure_future(stopping.wait()))
    try:
        yield "".join(f"{line}\n" for line in call.supervisor.log_tail(name, lines)).encode()
        ends = frozenset(waiting)
        while True:
            coming = asyncio.ensure_future(subscription.get())
            waiting = {coming, *ends}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done() or coming.cancelled():
                return
            yield _piece(coming.result(), name)
    finally:
        subscription.close()
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _piece(notice: Notice, name: str) -> bytes:
    if notice.kind == "reset":
        return b"... lines are missing here: they came faster than they were read\n"
    text: str = notice.data["text"] if notice.machine == name else ""
    return text.encode()
