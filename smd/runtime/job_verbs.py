"""The supervisor's verbs on jobs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from smd.errors import ConflictError, NotFoundError
from smd.jobs import Job, JobStatus, NewJob
from smd.jobs.job import ENDED
from smd.runtime import control
from smd.runtime.bus import Bus
from smd.runtime.clock import Clock
from smd.runtime.machine import Machine
from smd.runtime.queue import Queue
from smd.runtime.units import Once, ask_one
from smd.statechart.event import HIGH, Event
from smd.store.base import AddJob, JobStates, SettleJob, Store


def let_go(machine: Machine | None, jobs: Mapping[str, float]) -> None:
    """Have a machine drop what it holds of these jobs, by leases up to the given epoch."""
    if machine is None or machine.snapshot is None or not machine.snapshot.held:
        return
    lost = [
        [hold.job_id, hold.epoch]
        for hold in machine.snapshot.held
        if not hold.auto and hold.epoch <= jobs.get(hold.job_id, -1)
    ]
    if lost:
        machine.post(Event(control.LET_GO, {"held": lost}, source="supervisor", priority=HIGH))


async def ended_of(store: Store, jobs: Collection[str]) -> dict[str, float]:
    """Those of these jobs that nobody holds any more, whatever their epoch."""
    states = await store.submit(ask_one(JobStates(tuple(jobs)))) if jobs else {}
    return {job_id: math.inf for job_id in jobs if states.get(job_id) != JobStatus.RUNNING}


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
            ConflictError: an id is taken. TooLargeError: data that no machine could claim.
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
        """Wake who waits, tell who watches, and the machine that holds a job which was ended otherwise.

        Otherwise than by its own record, that is: by an operator, by another machine, by the models of Python actions.
        What a machine holds is part of its snapshot and only its own records change that; so it is sent the control
        event `smd.let-go`, whose row is what a replay takes the hold away by. A job taken by `check_database_queue` is
        let go by the machine's next claim anyway. Nothing is lost with the event if the daemon ends before: the next
        one looks at all holds when it starts.
        """
        self.queue.changed(jobs)
        for status, job in jobs:
            if job.epoch and job.holder is not None and status in ENDED:
                let_go(self.machines.get(job.holder), {job.job_id: job.epoch})
        if self.bus.wants("job"):
            for status, job in jobs:
                self.notice("job", job.holder or "", {"job_id": job.job_id, "job_type": job.job_type, "status": status})

    def job_freed(self, job: Job) -> None:
        """A job that some machine holds was given back, though not by that machine: it lets go of it."""
        for machine in self.machines.values():
            let_go(machine, {job.job_id: job.epoch})

    def takes_job(self, job_type: str, machine_type: str | None) -> bool:
        """Does any hosted machine's chart take such a job?"""
        return self.queue.takes(self.machines.values(), job_type, machine_type)
