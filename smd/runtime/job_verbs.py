"""The supervisor's verbs on jobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from smd.errors import ConflictError, NotFoundError
from smd.jobs import Job, NewJob
from smd.runtime.bus import Bus
from smd.runtime.clock import Clock
from smd.runtime.machine import Machine
from smd.runtime.queue import Queue
from smd.runtime.units import Once, ask_one
from smd.store.base import AddJob, SettleJob, Store


class JobVerbs(ABC):
    """Part of `Supervisor`."""

    store: Store
    clock: Clock
    queue: Queue
    bus: Bus
    machines: dict[str, Machine]

    @abstractmethod
    def notice(self, kind: str, machine: str, data: dict[str, Any]) -> None:
        """Tell the bus."""

    async def add_jobs(self, jobs: Sequence[NewJob]) -> list[Job]:
        """Add jobs, all or none.

        Raises:
            ConflictError: an id is taken.
        """
        now = self.clock.now()

        def recipe() -> Any:
            added = []
            for job in jobs:
                stored, new = yield AddJob(job, now)
                if not new:
                    raise ConflictError(
                        f"cannot add job '{job.job_id}': the id is taken by a job that is {stored.status}",
                        code="job_exists",
                    )
                added.append(stored)
            return added

        added: list[Job] = await self.store.submit(Once(recipe, min(len(jobs), 200)))
        self.jobs_changed([(job.status, job) for job in added])
        return added

    async def settle_job(self, job_id: str, status: str, *, result: Any = None, error: str | None = None) -> Job:
        """End a job by an operator's word.

        Raises:
            NotFoundError: no such job. ConflictError: it has ended.
        """
        job = await self.store.submit(ask_one(SettleJob(job_id, status, self.clock.now(), None, result, error)))
        if job is None:
            known = await self.store.job(job_id)
            if known is None:
                raise NotFoundError(f"cannot settle job '{job_id}': there is none of that id", code="unknown_job")
            raise ConflictError(f"cannot make job '{job_id}' {status}: it is {known.status}", code="job_ended")
        self.jobs_changed([(job.status, job)])
        return job  # type: ignore[no-any-return]

    def jobs_changed(self, jobs: list[tuple[str, Job]]) -> None:
        """Wake who waits, tell who watches."""
        self.queue.changed(jobs)
        if self.bus.wants("job"):
            for status, job in jobs:
                self.notice("job", job.holder or "", {"job_id": job.job_id, "job_type": job.job_type, "status": status})

    def takes_job(self, job_type: str, machine_type: str | None) -> bool:
        """Does any hosted machine's chart take such a job?"""
        return self.queue.takes(self.machines.values(), job_type, machine_type)
