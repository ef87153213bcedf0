"""What the SQLite store knows of jobs beside the file: written late, never wrongly."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smd.errors import StoreError
from smd.jobs import Job, NewJob
from smd.store.base import AddJob, ClaimJob, JobStates, SettleJob
from smd.store.claiming import add_job, claim_job, job_states, settle_job
from smd.store.migrate import migrate
from smd.store.transaction import Transaction


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(tmp_path / "db", isolation_level=None)
    migrate(opened, tmp_path / "db")
    yield opened
    opened.close()


@pytest.fixture
def transaction(database: sqlite3.Connection) -> Transaction:
    made = Transaction(database)
    for number in range(100):
        add_job(made, AddJob(NewJob("task", f"j{number}"), 1.0))
    return made


def claim(transaction: Transaction) -> Job:
    job = claim_job(transaction, ClaimJob("m", 2.0, "task"))
    assert job is not None
    return job


def attempts(database: sqlite3.Connection) -> list[Any]:
    columns = "epoch, attempt, holder, started_at, ended_at, outcome, error"
    return database.execute(f"SELECT {columns} FROM job_attempts ORDER BY number").fetchall()


@pytest.mark.parametrize("together", [True, False])
def test_each_claim_is_one_attempt_with_its_end(
    database: sqlite3.Connection, transaction: Transaction, *, together: bool
) -> None:
    """Whether a job ends in the transaction of its claim or in a later one, its history holds one whole row."""
    for number in range(99):
        job = claim(transaction)
        assert job.job_id == f"j{number}"
        if not together:
            transaction.flush()
        assert settle_job(transaction, SettleJob(job.job_id, "failed", 3.0, job.epoch, error="e"))
    transaction.flush()
    assert attempts(database) == [(1, 1, "m", 2.0, 3.0, "failed", "e")] * 99
    found = database.execute("SELECT status, epoch, holder, error, count(*) FROM jobs GROUP BY 1, 2, 3, 4").fetchall()
    assert found == [("available", 0, None, None, 1), ("failed", 1, "m", "e", 99)]


def test_many_jobs_need_few_statements(database: sqlite3.Connection, transaction: Transaction) -> None:
    """A job that is claimed and ended costs no statement of its own."""
    texts: list[str] = []
    database.set_trace_callback(texts.append)
    for _ in range(64):
        job = claim(transaction)
        assert job_states(transaction, JobStates((job.job_id,))) == {job.job_id: "running"}
        settle_job(transaction, SettleJob(job.job_id, "completed", 3.0, job.epoch))
    transaction.flush()
    assert len(texts) < 16


@pytest.mark.parametrize("change", ["status = 'cancelled'", "epoch = 7"])
def test_a_job_that_is_not_as_it_was_read_is_not_written(
    database: sqlite3.Connection, transaction: Transaction, change: str
) -> None:
    """The condition of a move is in its statement: what was known beside the file cannot make it illegal."""
    claim(transaction)
    database.execute(f"UPDATE jobs SET {change} WHERE job_id = 'j0'")
    with pytest.raises(StoreError, match="no longer as it was read"):
        transaction.flush()
    assert attempts(database) == []


def test_what_was_undone_is_free_again(database: sqlite3.Connection, transaction: Transaction) -> None:
    """After a transaction that never happened the same job comes next, at the same epoch."""
    database.execute("BEGIN")
    first = claim(transaction)
    transaction.leasing.write()
    settle_job(transaction, SettleJob(first.job_id, "completed", 3.0, first.epoch))
    transaction.undo()
    database.execute("ROLLBACK")
    assert claim(transaction) == first
