"""The daemon itself: is it well, how much is there, what may a machine file say."""

from __future__ import annotations

import os
from collections import Counter

from smd import __version__
from smd.http.call import Call
from smd.http.replies import Reply


async def alive(_call: Call) -> Reply:
    """The loop turns."""
    return Reply({"status": "ok"})


async def ready(call: Call) -> Reply:
    """The store can write: `status()["store"]["writable"]` of the supervisor, true unless said."""
    store = call.supervisor.status().get("store", {})
    if store.get("writable", True):
        return Reply({"status": "ok"})
    return Reply({"status": "unavailable", "reason": str(store.get("reason", "the store cannot write"))}, 503)


async def status(call: Call) -> Reply:
    """Numbers over everything."""
    jobs: Counter[str] = Counter()
    for counts in (await call.supervisor.store.job_counts()).values():
        jobs.update(counts)
    about = {
        "status": "ok", "version": __version__, "pid": os.getpid(), "store_id": call.supervisor.store_id,
        "uptime": max(0.0, call.context.clock() - call.context.started), "store": {}, "jobs": dict(jobs),
    }  # fmt: skip
    return Reply({**about, **call.supervisor.status()})


async def schema(call: Call) -> Reply:
    """JSON Schema of machine files."""
    return Reply(dict(call.context.schema()))
