"""The way back into the daemon for actions that run in a thread: blocking calls, answered by the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from typing import TYPE_CHECKING, Any

from smd import codec
from smd.errors import ActionError, RequestError
from smd.jobs import Job, JobStatus
from smd.runtime.units import ask_one
from smd.statechart.event import Event
from smd.store.base import AddJob, SettleJob

if TYPE_CHECKING:
    from smd.runtime.supervisor import Supervisor


class Bridge:
    """See `smd.actions.legacy_models.Bridge`.

    On the loop's own thread, where a user's `__del__` may run, whatever waits raises ActionError.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def call(self, operation: Any, /) -> Any:
        """Ask the store in a unit of its own.

        Raises:
            SmdError: what the store refuses.
        """
        return self._wait(self._call(operation))

    def query(self, name: str, /, *arguments: Any, **options: Any) -> Any:
        """One of the store's reads."""
        return self._wait(getattr(self._supervisor.store, name)(*arguments, **options))

    def send(self, machine: str, event: Event, /) -> Any:
        """Send an event and wait until it is durable.

        Raises:
            SmdError: whatever kept the event out; a RequestError if it is not JSON, as what came from outside is.
        """
        try:
            "".join((event.type, event.id, event.source, event.job_id or "")).encode()
            event = event._replace(payload=codec.loads(codec.canonical(event.payload)))
        except (TypeError, UnicodeEncodeError) as error:
            raise RequestError(f"cannot send {event.type!r}: {error}") from error
        return self._wait(self._supervisor.send(machine, event, client=False))

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._supervisor.clock.now()

    def _wait(self, coroutine: Any) -> Any:
        with contextlib.suppress(RuntimeError):  # no loop runs in this thread
            if asyncio.get_running_loop() is self._supervisor.loop:
                coroutine.close()
                raise ActionError("cannot ask the daemon from its own event loop: it would wait for itself")
        fresh = contextvars.Context()  # what the loop does for an action is not done by the action
        return fresh.run(asyncio.run_coroutine_threadsafe, coroutine, self._supervisor.loop).result()

    async def _call(self, operation: Any) -> Any:
        answer = await self._supervisor.store.submit(ask_one(operation))
        job = answer[0] if isinstance(operation, AddJob) else answer
        if isinstance(operation, AddJob | SettleJob) and isinstance(job, Job):
            self._supervisor.jobs_changed([(job.status, job)])
            if isinstance(operation, SettleJob) and job.status == JobStatus.AVAILABLE:
                self._supervisor.job_freed(job)
        return answer
