"""Jobs and queues."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from smd.errors import NotFoundError, RequestError
from smd.http.bodies import BULK_LIMIT, DEPTH_LIMIT, CompleteBody, FailBody, JobBody, check, one_key, read_json
from smd.http.call import Call
from smd.http.history import before_of, limit_of
from smd.http.replies import Reply
from smd.http.single import check_key_of_many, key_and_source, one_of_many
from smd.jobs import Job, JobStatus, NewJob
from smd.jobs.job import status_from_word

NDJSON = "application/x-ndjson"
_PLACE = re.compile(r"\(line \d+, (?=column \d+\)$)")
"""Where a line of NDJSON is wrong, as the reader of that one line tells it."""


def shown(job: Job) -> dict[str, Any]:
    """A job's JSON form."""
    return job._asdict()


def _warning(call: Call, jobs: Sequence[NewJob]) -> dict[str, str]:
    kinds = {(job.job_type, job.machine_type) for job in jobs}
    idle = sorted({kind for kind, machine in kinds if not call.supervisor.takes_job(kind, machine)})
    return {"warning": f"no machine takes jobs of type {', '.join(idle[:10])}"} if idle else {}


def _identified(jobs: Sequence[NewJob], key: str) -> list[NewJob]:
    """Many jobs, those without an id of their own with the one that the request's key gives them."""
    check_key_of_many(key, len(jobs))
    return [job if job.job_id else job._replace(job_id=one_of_many(key, index)) for index, job in enumerate(jobs)]


def _read_lines(body: bytes, key: str) -> list[NewJob]:
    """Jobs of NDJSON; a refusal names the line of the body."""
    jobs: list[NewJob] = []
    lines: list[int] = []
    for line, text in enumerate(body.splitlines(), 1):
        if not text.strip():
            continue
        try:
            jobs.append(check(JobBody, read_json(text)).job())
        except RequestError as error:
            told, placed = _PLACE.subn(f"(line {line}, ", error.message)
            told = told if placed else f"{told} (line {line})"
            raise RequestError(told, code=error.code, hint=error.hint) from None
        lines.append(line)
    jobs = _identified(jobs, key)
    _refuse_twins(jobs, "lines", lines)
    return jobs


def _read_jobs(body: bytes, key: str, *, ndjson: bool) -> tuple[list[NewJob], bool]:
    if ndjson:
        return _read_lines(body, key), True
    data = read_json(body, DEPTH_LIMIT + 1)
    if not isinstance(data, list):
        job = check(JobBody, data).job()
        return [job._replace(job_id=one_key(job.job_id, key, "job", "job_id"))], False
    jobs = _identified([check(JobBody, one).job() for one in data], key)
    _refuse_twins(jobs, "jobs", range(1, len(jobs) + 1))
    return jobs, True


def _refuse_twins(jobs: Sequence[NewJob], noun: str, places: Sequence[int]) -> None:
    first: dict[str, int] = {}
    for job, place in zip(jobs, places, strict=True):
        if job.job_id and first.setdefault(job.job_id, place) != place:
            told = f"cannot add job '{job.job_id}': its id stands twice ({noun} {first[job.job_id]} and {place})"
            raise RequestError(told, code="repeated_id")


async def add_jobs(call: Call) -> Reply:
    """Add one job, or many: all or none.

    The header Idempotency-Key is the id of a single job; of many it gives one to each that has none of its own (see
    `one_of_many`). So a request sent again is refused as a conflict, and adds nothing.
    """
    body = await call.body(BULK_LIMIT)
    key, _ = key_and_source(call.scope["headers"])
    jobs, many = _read_jobs(body, key, ndjson=call.header(b"content-type").startswith(NDJSON))
    added = await call.supervisor.add_jobs(jobs)
    warning = _warning(call, jobs)
    if many:
        return Reply({"jobs": [shown(job) for job in added], **warning}, 201)
    return Reply({**shown(added[0]), **warning}, 201)


async def list_jobs(call: Call) -> Reply:
    """Jobs, newest first."""
    query = call.query("status", "type", "limit", "before")
    limit = limit_of(query)
    status = status_from_word(query["status"][:40]) if "status" in query else None
    jobs = await call.supervisor.store.jobs(
        status=status, job_type=query.get("type"), limit=limit, before=before_of(query)
    )
    following = jobs[-1].number if len(jobs) == limit else None
    return Reply({"jobs": [shown(job) for job in jobs], "next": following})


async def show_job(call: Call) -> Reply:
    """One job."""
    job = await call.supervisor.store.job(call.name)
    if job is None:
        raise NotFoundError(f"cannot find job '{call.name[:80]}'", code="unknown_job", hint="smctl list-jobs")
    return Reply(shown(job))


async def complete_job(call: Call) -> Reply:
    """End a job well."""
    body = await call.read(CompleteBody)
    return Reply(shown(await call.supervisor.settle_job(call.name, JobStatus.COMPLETED, result=body.result)))


async def fail_job(call: Call) -> Reply:
    """End a job badly."""
    body = await call.read(FailBody)
    return Reply(shown(await call.supervisor.settle_job(call.name, JobStatus.FAILED, error=body.reason)))


async def queues(call: Call) -> Reply:
    """Numbers of jobs by type and status."""
    return Reply({"queues": await call.supervisor.store.job_counts()})
