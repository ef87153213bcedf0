"""Operations on jobs. Each change of a job's status is one statement whose condition is the rule itself."""

from __future__ import annotations

from typing import Any

from smd.jobs import Job, JobStatus
from smd.store.base import AddJob, ClaimJob, JobStates, PendingJobs, ReleaseJobs, SettleJob
from smd.store.leasing import choice
from smd.store.rows import encoded, job_row
from smd.store.rules import RELEASED, check_status, job_data, new_job_id
from smd.store.sql import SQL, padded, with_list
from smd.store.transaction import Transaction

MOST_IN_A_LIST = 1024
_TEXT = frozenset((str, type(None)))

_AHEAD = {name: SQL["jobs_ahead"].replace("/*next*/", SQL[name]) for name in SQL if name.startswith("next_")}
_CLAIM = {name: SQL["claim_job"].replace("/*next*/", SQL[name]) for name in SQL if name.startswith("next_")}


def add_job(transaction: Transaction, operation: AddJob) -> tuple[Job, bool]:
    """See base.AddJob."""
    new = operation.job
    job_id = new.job_id or new_job_id()
    columns = (job_id, new.job_type, new.machine_type, new.source_job_id, job_data(new.data), new.priority,
               operation.now, encoded(new.metadata))  # fmt: skip
    if added := transaction.execute(SQL["add_job"], columns).fetchall():
        job = job_row(added[0])
        transaction.leasing.added(job)
        return job, True
    transaction.leasing.write()
    return job_row(transaction.execute(SQL["find_job"], (job_id,)).fetchall()[0]), False


def claim_job(transaction: Transaction, operation: ClaimJob) -> Job | None:
    """See base.ClaimJob."""
    if operation.job_id is None and type(operation.job_type) in _TEXT and type(operation.machine_type) in _TEXT:
        return transaction.leasing.claim(operation)
    transaction.leasing.write()
    query = "next_by_id" if operation.job_id is not None else choice((operation.job_type, operation.machine_type))
    claimed = transaction.execute(_CLAIM[query], {**operation._asdict(), "limit": 1}).fetchall()
    if not claimed:
        return None
    job = job_row(claimed[0])
    transaction.leasing.changed(job)
    return job


def settle_job(transaction: Transaction, operation: SettleJob) -> Job | None:
    """See base.SettleJob."""
    check_status(operation.status)
    leasing = transaction.leasing
    result = encoded(operation.result)
    job = leasing.settle(operation, result) if type(operation.error) in _TEXT else None
    if job is not None:
        return job
    leasing.write()
    if operation.status == JobStatus.AVAILABLE:
        return _release(transaction, operation.job_id, operation.epoch, operation.now)
    changes = (operation.status, result, operation.error, operation.now, operation.job_id)
    if operation.epoch is None:
        ended = transaction.execute(SQL["end_job_by_operator"], changes).fetchall()
    else:
        ended = transaction.execute(SQL["end_job"], (*changes, operation.epoch)).fetchall()
    if not ended:
        return None
    job = job_row(ended[0])
    leasing.changed(job)
    return job


def _release(transaction: Transaction, job_id: str, epoch: int | None, now: float) -> Job | None:
    transaction.execute(SQL["keep_attempt"], (now, RELEASED, job_id, epoch))
    released = transaction.execute(SQL["release_job"], (job_id, epoch)).fetchall()
    if not released:
        return None
    job = job_row(released[0])
    transaction.leasing.freed(job)
    return job


def release_jobs(transaction: Transaction, operation: ReleaseJobs) -> int:
    """See base.ReleaseJobs."""
    transaction.leasing.write()
    running = transaction.execute(SQL["running_jobs"]).fetchall()
    lost = [(job_id, epoch) for job_id, epoch in running if operation.held.get(job_id) != epoch]
    return sum(_release(transaction, *lease, operation.now) is not None for lease in lost)


def release_held(transaction: Transaction, machine: str, now: float) -> None:
    """Give back whatever a machine holds."""
    transaction.leasing.write()
    for job_id, epoch in transaction.execute(SQL["held_jobs"], (machine,)).fetchall():
        _release(transaction, job_id, epoch, now)


def pending_jobs(transaction: Transaction, operation: PendingJobs) -> list[Job]:
    """See base.PendingJobs."""
    transaction.leasing.write()
    limit = -1 if operation.limit is None else operation.limit
    query = _AHEAD[choice((operation.job_type, operation.machine_type))]
    found = transaction.execute(query, {**operation._asdict(), "limit": limit})
    return [job_row(columns) for columns in found.fetchall()]


def job_states(transaction: Transaction, operation: JobStates) -> dict[str, Any]:
    """See base.JobStates."""
    if len(operation.ids) == 1 and (status := transaction.leasing.status(operation.ids[0])):
        return {operation.ids[0]: status}
    transaction.leasing.write()
    states: dict[str, Any] = {}
    for at in range(0, len(operation.ids), MOST_IN_A_LIST):
        ids = padded(list(operation.ids[at : at + MOST_IN_A_LIST]))
        states.update(transaction.execute(with_list(SQL["job_states"], len(ids)), ids).fetchall())
    return states
