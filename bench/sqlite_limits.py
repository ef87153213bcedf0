"""What raw SQLite gives on this disk: the limits of whatever stands on it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from bench.daemon import folder
from bench.rows import Group, Measured, Row, Size

SINGLE = "SQLite FULL, 1 row a commit"
HUNDRED = "SQLite FULL, 100 rows a commit"
CLAIM = "SQLite FULL, claim + ack"

_ROW = ("m", "go", '{"file":"a.png"}' + " " * 264)
_INSERT = "INSERT INTO journal(machine, type, payload) VALUES (?, ?, ?)"
_CLAIM = """UPDATE jobs SET status = 'running' WHERE id =
    (SELECT id FROM jobs WHERE status = 'available' ORDER BY id LIMIT 1) AND status = 'available' RETURNING id"""
_TABLES = """CREATE TABLE journal(seq INTEGER PRIMARY KEY, machine TEXT, type TEXT, payload TEXT);
    CREATE TABLE jobs(id INTEGER PRIMARY KEY, status TEXT, payload TEXT);
    CREATE INDEX by_status ON jobs(status, id);"""


def _opened(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, isolation_level=None)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = FULL")
    base.executescript(_TABLES)
    return base


def _inserted(base: sqlite3.Connection, commits: int, rows: int) -> float:
    """Rows a second."""
    began = time.perf_counter()
    for _ in range(commits):
        base.execute("BEGIN IMMEDIATE")
        base.executemany(_INSERT, [_ROW] * rows)
        base.execute("COMMIT")
    return commits * rows / (time.perf_counter() - began)


def _worked(base: sqlite3.Connection, jobs: int) -> float:
    """Jobs a second, each claimed in one commit and acknowledged in another."""
    base.execute("BEGIN")
    base.executemany("INSERT INTO jobs(status, payload) VALUES ('available', ?)", [(_ROW[2],)] * jobs)
    base.execute("COMMIT")
    began = time.perf_counter()
    for _ in range(jobs):
        (job,) = base.execute(_CLAIM).fetchall()
        base.execute("UPDATE jobs SET status = 'completed' WHERE id = ?", job)
    return jobs / (time.perf_counter() - began)


def _measure(size: Size) -> Sequence[Measured]:
    runs = []
    for _ in range(size.runs):
        with folder() as place:
            base = _opened(place / "limits.db")
            try:
                runs.append({
                    SINGLE: _inserted(base, size.commits, 1),
                    HUNDRED: _inserted(base, size.commits // 4, 100),
                    CLAIM: _worked(base, size.commits // 2),
                })  # fmt: skip
            finally:
                base.close()
    return runs


GROUP = Group(
    "sqlite",
    (
        Row(SINGLE, "rows/s", more=True, reference=("the floors' machine", 9_488)),
        Row(HUNDRED, "rows/s", more=True, reference=("the floors' machine", 373_100)),
        Row(CLAIM, "jobs/s", more=True, reference=("the floors' machine", 4_296)),
    ),
    _measure,
)
