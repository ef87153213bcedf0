"""What a job with an action between claim and completion costs by itself: no engine, only its commit and its threads.

On smd's own tables, each job is one commit (the machine's row, the job before, this job, two rows of the journal) in a
thread that writes, told to an event loop, handed to a thread that acts, and told to the loop again.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bench.daemon import folder
from bench.rows import BenchError, Group, Measured, Row, Size
from smd.store.migrate import migrate
from smd.store.sql import many

CHAIN = "bare chain: 1 commit, 3 threads a job"

_MACHINE = """INSERT INTO machines (name, life, chart, status, version, label, linked, initial_context, lifecycle,
    health, restarts, since, last_event, owner, owner_epoch, origin, work_folder, born_of, snapshot)
    VALUES ('m', 1, 'c', 'running', 0, 'a', 0, x'', 'Active', 'Healthy', 0, 0.0, '', '', 0, '', '', '', zeroblob(1100))
    """
_ADD = "INSERT INTO jobs (job_id, job_type, data, created_at) VALUES (hex(randomblob(16)), 'task', ?, ?)"
_SAVE = "UPDATE machines SET version = ?, snapshot = ? WHERE name = 'm' AND version = ?"
_END = "UPDATE jobs SET status = 'completed', completed_at = 1.0 WHERE number = ? AND status = 'running'"
_CLAIM = """UPDATE jobs SET status = 'running', holder = 'm', epoch = 1, attempt = 1, started_at = 1.0
    WHERE number = ? AND status = 'available'"""
_JOURNAL = many("insert_row", 2)[2]
_DETAIL = "x" * 500
_CHECKPOINT_EVERY = 100
"""Commits; about a thousand pages of the log."""


def _opened(path: Path, jobs: int) -> sqlite3.Connection:
    base = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0"):
        base.execute(f"PRAGMA {pragma}")
    migrate(base, path)
    base.execute("BEGIN")
    base.execute(_MACHINE)
    base.executemany(_ADD, [('{"file":"a.png"}' + " " * 200, float(number)) for number in range(jobs)])
    base.execute("COMMIT")
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return base


def _row(number: int, detail: str | None) -> tuple[object, ...]:
    return (number, number, "", "m", 1, "go", "{}", "action", 1, None, 1.0, 1.0, "taken", "a", "b", None, detail, None)


def _commit(base: sqlite3.Connection, job: int) -> None:
    """End the job before and claim this one."""
    base.execute("BEGIN IMMEDIATE")
    base.execute(_SAVE, (job, b"%01100d" % job, job - 1))
    base.execute(_END, (job - 1,))
    base.execute(_CLAIM, (job,))
    base.execute(_JOURNAL, (*_row(2 * job, _DETAIL), *_row(2 * job + 1, None)))
    base.execute("COMMIT")
    if not job % _CHECKPOINT_EVERY:
        base.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


@contextmanager
def _thread() -> Iterator[Callable[[Callable[[], None] | None], None]]:
    """A thread that does what it is handed, one after another."""
    work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def serve() -> None:
        while (one := work.get()) is not None:
            one()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield work.put
    finally:
        work.put(None)
        thread.join()


async def _run(base: sqlite3.Connection, jobs: int) -> float:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    with _thread() as write, _thread() as act:

        def claim(job: int) -> None:
            def written() -> None:
                try:
                    _commit(base, job)
                except sqlite3.Error as error:
                    loop.call_soon_threadsafe(ended.set_exception, error)
                else:
                    loop.call_soon_threadsafe(claimed, job)

            write(written)

        def claimed(job: int) -> None:
            def done() -> None:
                loop.call_soon_threadsafe(acted, job)

            act(done)

        def acted(job: int) -> None:
            if job == jobs:
                ended.set_result(None)
            else:
                claim(job + 1)

        began = time.perf_counter()
        claim(1)
        await ended
        return jobs / (time.perf_counter() - began)


def _measure(size: Size) -> Sequence[Measured]:
    runs = []
    for _ in range(size.runs):
        with folder() as place, closing(_opened(place / "chain.db", size.working_jobs)) as base:
            try:
                runs.append({CHAIN: asyncio.run(_run(base, size.working_jobs))})
            except sqlite3.Error as error:
                raise BenchError(f"cannot run the bare chain: {error}") from error
    return runs


GROUP = Group("chain", (Row(CHAIN, "jobs/s", more=True),), _measure)
