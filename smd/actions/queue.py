"""The job queue's actions. Each runs inside the transaction of the step that reaches it (architecture 2.4)."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

from smd.actions.base import Call
from smd.actions.legacy_models import job_row
from smd.actions.values import path_of, setting
from smd.errors import ActionError
from smd.jobs import Job, NewJob
from smd.jobs.job import ENDED, JobStatus
from smd.statechart.context import CURRENT_JOB
from smd.statechart.event import Hold, Outcome
from smd.statechart.template import MISSING
from smd.store.base import AddJob, ClaimJob, JobStates, PendingJobs, SettleJob

Asking = Generator[Any, Any, Outcome]

COMPLETED, FAILED = JobStatus.COMPLETED.value, JobStatus.FAILED.value
_OPEN = re.compile(r"\{[A-Za-z_][^{}]*\}\Z")
_LARGEST = 2**63 - 1


# --- claiming ---------------------------------------------------------------------------------------------------------


def check_database_queue(call: Call) -> Asking:
    """Settle the job taken before, take the next one. Empty: the chart's `empty` event, or a wait."""
    settled = yield from _settle_before(call)
    job = yield _next(call)
    if job is None:
        return _nothing(call, settled)
    return _claimed(call, job, settled, CURRENT_JOB, auto=True)


def claim_job(call: Call) -> Asking:
    """Take one job by its id, or the next of a type. It must be settled by complete_job or fail_job."""
    key = str(call.params.get("store_as") or CURRENT_JOB)
    if call.params.get("job_id") is not None:
        wanted = _job_id(call)
        job = yield ClaimJob(call.machine, call.now, job_id=wanted)
        if job is None:
            return call.done(call.action.events.get("already_claimed"))
        return _claimed(call, job, (), key, auto=False)
    settled = yield from _settle_before(call)
    job = yield _next(call)
    if job is None:
        return _nothing(call, settled)
    return _claimed(call, job, settled, key, auto=False)


def _next(call: Call) -> ClaimJob:
    params = call.params
    return ClaimJob(call.machine, call.now, params.get("job_type"), params.get("machine_type"))


def _settle_before(call: Call) -> Generator[Any, Any, tuple[str, ...]]:
    """Settle the jobs that this part of the machine took by check_database_queue; their ids."""
    if not call.held:
        return ()
    settled = []
    for hold in call.held:
        if not hold.auto or call.region not in {None, hold.region}:
            continue
        settled.append(hold.job_id)
        if hold.ok:
            yield SettleJob(hold.job_id, COMPLETED, call.now, hold.epoch)
        else:
            error = str(call.context.get("last_error") or "an action failed or was cancelled")
            yield SettleJob(hold.job_id, FAILED, call.now, hold.epoch, None, error)
    return tuple(settled)


def _nothing(call: Call, settled: tuple[str, ...]) -> Outcome:
    return call.done(call.action.events.get("empty"), empty=True, settled=settled)


def _claimed(call: Call, job: Job, settled: tuple[str, ...], key: str, *, auto: bool) -> Outcome:
    hold = Hold(job.job_id, job.epoch, auto)
    if key != CURRENT_JOB:
        return call.done(patch=(("set", path_of(key), job_value(job)),), hold=hold, settled=settled)
    return call.done(patch=(("claim", (CURRENT_JOB,), job_value(job)),), hold=hold, settled=settled)


def job_value(job: Job) -> dict[str, Any]:
    """A claimed job as the context holds it; `id` and `job_id` are both its id."""
    return {
        "id": job.job_id, "job_id": job.job_id, "source_job_id": job.source_job_id, "job_type": job.job_type,
        "data": job.data, "priority": job.priority,
    }  # fmt: skip


# --- looking and waiting ----------------------------------------------------------------------------------------------


def get_pending_jobs(call: Call) -> Asking:
    """List waiting jobs in claiming order, without claiming them."""
    limit = call.params.get("limit")
    most = None if limit is None else _whole(call, "limit", limit)
    jobs: list[Job] = yield PendingJobs(call.params.get("job_type"), call.params.get("machine_type"), most)
    rows = [{**job_row(job), "id": job.job_id} for job in jobs]
    patch = (("set", path_of(str(call.params.get("store_as") or "pending_jobs")), rows),)
    if not rows:
        return call.done(call.action.events.get("empty"), patch=patch, empty=True)
    return call.done(patch=patch)


def wait_for_jobs(call: Call) -> Asking:
    """Succeed once every tracked job has ended. An id nobody has added yet counts as pending."""
    key = str(call.params.get("tracked_jobs_key") or "spawned_jobs")
    ids = _tracked(call, key)
    if not ids:
        return call.done(call.action.events.get("empty"))
    states: dict[str, str] = yield JobStates(tuple(ids))
    ended = {job_id: states[job_id] for job_id in ids if states.get(job_id) in ENDED}
    pending = [job_id for job_id in ids if job_id not in ended]
    patch = setting({
        "completed_jobs": [job_id for job_id, status in ended.items() if status == JobStatus.COMPLETED],
        "failed_jobs": [job_id for job_id, status in ended.items() if status != JobStatus.COMPLETED],
        "pending_jobs": pending,
    })  # fmt: skip
    if pending:
        return call.done(call.action.events.get("pending"), patch=patch, empty=True)
    return call.done(patch=patch)


def _tracked(call: Call, key: str) -> list[str]:
    """The ids under a context key: a list of ids or of jobs, each once."""
    found = call.lookup(path_of(key))
    if found is MISSING or found is None:
        return []
    if not isinstance(found, list):
        raise ActionError(f"cannot wait for jobs: '{key}' holds {type(found).__name__}, not a list")
    ids = [each.get("job_id", each.get("id")) if isinstance(each, dict) else each for each in found]
    for each in ids:
        if isinstance(each, bool) or not isinstance(each, str | int):
            raise ActionError(f"cannot wait for jobs: '{key}' holds {each!r:.60}, which is no job or id")
    return list(dict.fromkeys(map(str, ids)))


# --- adding and ending ------------------------------------------------------------------------------------------------


def add_job(call: Call) -> Asking:
    """Add a job; the event `exists` when its id is taken."""
    params = call.params
    new = NewJob(
        job_type=call.text("job_type"),
        job_id=_job_id(call) if params.get("job_id") is not None else "",
        machine_type=params.get("machine_type"),
        data=params.get("payload"),
        priority=_whole(call, "priority", params.get("priority", 5)),
        source_job_id=params.get("source_job_id"),
    )
    job, added = yield AddJob(new, call.now)
    key = params.get("store_as")
    patch = (("set", path_of(key), job.job_id),) if key else ()
    return call.done(patch=patch) if added else call.done(call.action.events.get("exists"), patch=patch)


def complete_job(call: Call) -> Asking:
    """End a running job well."""
    return (yield from _settle(call, JobStatus.COMPLETED, result=call.params.get("result")))


def fail_job(call: Call) -> Asking:
    """End a running job badly."""
    return (yield from _settle(call, JobStatus.FAILED, error=str(call.params.get("reason") or "failed by its machine")))


def _settle(call: Call, status: JobStatus, **more: Any) -> Asking:
    job_id = _job_id(call)
    verb = "complete" if status == JobStatus.COMPLETED else "fail"
    states: dict[str, str] = yield JobStates((job_id,))
    present = states.get(job_id)
    if present is None:
        return call.failed(f"cannot {verb} job '{job_id}': no such job")
    if present != JobStatus.RUNNING:
        why = f"it is already {present}" if present in ENDED else "nobody has claimed it"
        return call.failed(f"cannot {verb} job '{job_id}': {why}")
    hold = next((each for each in call.held if each.job_id == job_id), None)
    if hold is None and not call.flat:
        return call.failed(f"cannot {verb} job '{job_id}': this machine does not hold it")
    job = yield SettleJob(job_id, status.value, call.now, hold.epoch if hold else None, **more)
    if job is None:
        return call.failed(f"cannot {verb} job '{job_id}': its lease was lost and another holds it")
    return call.done(settled=(job_id,) if hold else ())


def _job_id(call: Call) -> str:
    """The rendered `job_id`.

    Raises:
        ActionError: its placeholder has no value, or it is no id.
    """
    given = call.params.get("job_id")
    if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
        raise ActionError(f"cannot use {given!r:.60} as job_id: it must be a text or a number")
    if isinstance(given, str) and _OPEN.match(given):
        raise ActionError(f"cannot use {given} as job_id: it has no value", hint="claim a job first, or name one")
    return str(given)


def _whole(call: Call, name: str, value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _LARGEST:
        raise ActionError(f"cannot run {call.action.type}: {name} must be a whole number, not {value!r:.40}")
    return number
