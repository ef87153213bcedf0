"""A job, its states, and the predecessor's words for them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from smd.errors import RequestError


class JobStatus(StrEnum):
    """Life cycle of a job: available, running, then one of the three ends."""

    AVAILABLE = "available"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})

LEGACY_WORDS = {"pending": JobStatus.AVAILABLE, "processing": JobStatus.RUNNING}
"""The predecessor's words; its other two are the same."""


def status_from_word(word: str) -> JobStatus:
    """A status from smd's or the predecessor's word.

    Raises:
        RequestError: no such status.
    """
    try:
        return LEGACY_WORDS.get(word) or JobStatus(word)
    except ValueError as error:
        known = ", ".join([*JobStatus, *LEGACY_WORDS])
        raise RequestError(f"cannot use job status '{word}': known are {known}") from error


DATA_LIMIT = 262_144
"""Bytes of a job's data as JSON (see `codec.size`). The context of the machine that claims the job holds them twice, as
`current_job.data` and at its top, so they take half of what a context may be and leave the rest to the machine."""


class NewJob(NamedTuple):
    """A job to add; its data are DATA_LIMIT bytes at most.

    Without `job_id` the store makes one. Priority 1 is the most urgent; 5 is the default.
    """

    job_type: str
    job_id: str = ""
    machine_type: str | None = None
    data: Any = None
    priority: int = 5
    source_job_id: str | None = None
    metadata: Any = None


class Job(NamedTuple):
    """A job as stored. Times are seconds since the epoch. `epoch` rises at each claim and names the lease."""

    number: int
    job_id: str
    job_type: str
    machine_type: str | None
    source_job_id: str | None
    data: Any
    result: Any
    priority: int
    status: str
    created_at: float
    started_at: float | None
    completed_at: float | None
    error: str | None
    metadata: Any
    holder: str | None
    epoch: int
    attempt: int
