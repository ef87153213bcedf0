"""Jobs: what they are and which moves between their states are legal. Pure."""

from __future__ import annotations

from smd.jobs.job import LEGACY_WORDS, Job, JobStatus, NewJob, status_from_word

__all__ = ["LEGACY_WORDS", "Job", "JobStatus", "NewJob", "status_from_word"]
