"""Migrations, and queries that use an index: what SQLite is told, and how it goes about it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from smd.errors import StoreError
from smd.jobs import JobStatus, NewJob
from smd.store.base import AddJob
from smd.store.migrate import MIGRATIONS, migrate, migrations
from smd.store.sql import FOLDER, QUERIES, with_list
from smd.store.sqlite import SqliteStore
from tests.store.units import ask

pytestmark = pytest.mark.asyncio


async def test_migrations_run_once_each(tmp_path: Path) -> None:
    """Files run in order, once; a failing one leaves the steps before it and nothing of itself."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_a.sql").write_text("CREATE TABLE a (x);")
    database = sqlite3.connect(tmp_path / "db", isolation_level=None)
    first = migrate(database, tmp_path / "db", folder)
    (folder / "0002_b.sql").write_text("CREATE TABLE b (x); INSERT INTO a VALUES (1);")
    (folder / "0003_c.sql").write_text("CREATE TABLE c (x); INSERT INTO nowhere VALUES (1);")
    with pytest.raises(StoreError, match=r"step 0003_c\.sql: no such table: nowhere"):
        migrate(database, tmp_path / "db", folder)
    (folder / "0003_c.sql").write_text("CREATE TABLE c (x);")
    assert migrate(database, tmp_path / "db", folder) == first
    assert database.execute("SELECT count(*), (SELECT value FROM meta WHERE name = 'version') FROM a").fetchone() == (
        1, "3",
    )  # fmt: skip
    database.close()
    (folder / "0005_e.sql").write_text("")
    with pytest.raises(StoreError, match="without gaps"):
        migrations(folder)


async def test_a_machine_s_old_rows_keep_their_order(tmp_path: Path) -> None:
    """In a store of the first version some rows were consumed later than rows with higher numbers."""
    old = tmp_path / "old"
    old.mkdir()
    (old / "0001_first.sql").write_text((MIGRATIONS / "0001_first.sql").read_text())
    database = sqlite3.connect(tmp_path / "smd.db", isolation_level=None)
    migrate(database, tmp_path / "smd.db", old)
    places = {1: 1, 2: 4, 3: 2, 4: None, 5: 3, 6: 5, 7: None, 8: 6}
    for seq, place in places.items():
        values = (seq, place, "queued" if place is None else "taken")
        database.execute(
            "INSERT INTO journal VALUES (?, ?, '', 'm', 1, 'go', NULL, '', 1, NULL, 1.0, NULL, ?, '', '', NULL, NULL)",
            values,
        )
    database.close()
    store = SqliteStore(tmp_path / "smd.db")
    await store.open()
    try:
        assert [row.seq for row in await store.events("m")] == [8, 7, 6, 5, 4, 3, 2, 1]
        assert [row.seq for row in await store.events("m", before=6, limit=3)] == [5, 4, 3]
        assert [row.seq for row in await store.events("m", before=4, limit=9)] == [3, 2, 1]
        assert [row.seq for row in await store.events("m", pending=True)] == [7, 4]
    finally:
        await store.close()


async def test_an_older_store_keeps_its_jobs_and_machines(tmp_path: Path) -> None:
    """Their tables are made anew by the fourth step; numbers of jobs go on from the highest ever given.

    The fifth step forgets what it noted of an attempt that the job's own row tells.
    """
    old = tmp_path / "old"
    old.mkdir()
    for file in list(migrations().values())[:3]:
        (old / file.name).write_text(file.read_text())
    path = tmp_path / "smd.db"
    database = sqlite3.connect(path, isolation_level=None)
    store_id = migrate(database, path, old)
    database.execute(
        "INSERT INTO machines VALUES (7, 'm', 2, 'c', 'paused', 5, 'a', NULL, 0, x'', '', '', 1, 2.5, 'go', NULL, '', 0,"
        " 'o', 'w', '', x'00')"
    )
    for job_id in ("first", "second", "last"):
        database.execute("INSERT INTO jobs (job_id, job_type, created_at) VALUES (?, 't', 1.0)", (job_id,))
    database.execute(
        "UPDATE jobs SET status = 'running', holder = 'm', epoch = 2, attempt = 1, started_at = 3.0 WHERE number = 2"
    )
    database.execute("INSERT INTO job_attempts VALUES (2, 1, 1, 'm', 2.0, 2.5, 'released', NULL)")
    database.execute("INSERT INTO job_attempts VALUES (2, 2, 1, 'm', 3.0, NULL, NULL, NULL)")
    database.execute("DELETE FROM jobs WHERE number = 3")
    database.close()
    store = SqliteStore(path)
    await store.open()
    try:
        assert store.store_id == store_id
        machine = await store.machine("m")
        assert machine is not None
        assert (machine.status, machine.life, machine.version, machine.snapshot) == ("paused", 2, 5, b"\x00")
        assert [(job.number, job.job_id, job.status, job.holder) for job in await store.jobs()] == [
            (2, "second", "running", "m"), (1, "first", "available", None),
        ]  # fmt: skip
        added, _ = await ask(store, AddJob(NewJob("t"), 4.0))
        assert added.number == 4
    finally:
        await store.close()
    database = sqlite3.connect(path)
    assert database.execute("SELECT * FROM past_attempts").fetchall() == [(2, 1, 1, "m", 2.0, 2.5, "released", None)]
    assert database.execute("SELECT * FROM job_attempts ORDER BY epoch").fetchall() == [
        (2, 1, 1, "m", 2.0, 2.5, "released", None), (2, 2, 1, "m", 3.0, None, None, None),
    ]  # fmt: skip
    assert database.execute("SELECT * FROM sqlite_sequence").fetchall() == [("jobs", 4)]
    database.close()


async def test_tables_made_anew_are_as_they_were(tmp_path: Path) -> None:
    """The fourth step repeats the whole schema of three tables: nothing but the way rules are written may differ."""
    described = []
    for count in (3, 4):
        folder = tmp_path / str(count)
        folder.mkdir()
        for file in list(migrations().values())[:count]:
            (folder / file.name).write_text(file.read_text())
        database = sqlite3.connect(":memory:", isolation_level=None)
        migrate(database, Path(":memory:"), folder)
        found: list[Any] = []
        for table in ("machines", "jobs", "job_attempts"):
            found += database.execute("SELECT * FROM pragma_table_xinfo(?)", (table,)).fetchall()
            found += database.execute(
                'SELECT i.name, i."unique", i.origin, i.partial, c.* FROM pragma_index_list(?) AS i,'
                " pragma_index_xinfo(i.name) AS c ORDER BY i.name, c.seqno",
                (table,),
            ).fetchall()
        described.append(found)
        database.close()
    assert described[0] == described[1]


async def test_queries_say_what_they_are_for() -> None:
    """Every query has a purpose, in a sentence, and compiles against the newest version."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database, Path(":memory:"))
    for name, query in QUERIES.items():
        assert re.match("[A-Z].*[.]$", query.purpose), name
        if not name.endswith("_columns"):
            text = with_list(query.text, 1).replace("/*next*/", QUERIES["next_job"].text)
            names = dict.fromkeys(re.findall(r":(\w+)", text))
            database.execute(f"EXPLAIN {text}", names or [None] * _places(text)).fetchall()
    assert {file.suffix for file in FOLDER.iterdir() if file.is_file()} == {".sql", ".py"}
    assert len(QUERIES) == sum(file.read_text().count("\n-- ") + 1 for file in FOLDER.glob("*.sql"))
    assert [file.name for file in MIGRATIONS.iterdir()]
    database.close()


def _places(sql: str) -> int:
    numbered = [int(number) for number in re.findall(r"\?(\d+)", sql)]
    return max(numbered) if numbered else sql.count("?")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in QUERIES
        if name.startswith(("next_", "waiting", "consume", "save", "end_", "oldest", "events_of"))
    ],
)
async def test_hot_queries_use_an_index(name: str) -> None:
    """No statement of the hot path reads a whole table, or sorts more than two rows."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database, Path(":memory:"))
    text = with_list(QUERIES[name].text, 1)
    names = dict.fromkeys(re.findall(r":(\w+)", text))
    found = database.execute(f"EXPLAIN QUERY PLAN {text}", names or [None] * _places(text)).fetchall()
    steps = [row[3] for row in found]
    whole = [
        step for step in steps if re.match(r"SCAN (jobs|journal|machines|dedup)(?! USING (COVERING )?INDEX)", step)
    ]
    database.close()
    assert steps
    assert whole == []
    if name.startswith("next_"):
        assert not any("TEMP B-TREE" in step for step in steps if "UNION" not in text)
        assert any(re.search("USING (COVERING )?INDEX", step) for step in steps)


@pytest.mark.parametrize("name", ["save_machine", "insert_row", "write_lease", "end_job", "add_job"])
async def test_statements_of_every_commit_build_no_table(name: str) -> None:
    """SQLite builds one, with a page cache of its own, for an IN of more than two values in a CHECK or an index."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database, Path(":memory:"))
    steps = database.execute(f"EXPLAIN {QUERIES[name].text}", [None] * _places(QUERIES[name].text)).fetchall()
    database.close()
    built = [step[1] for step in steps if step[1] in {"OpenEphemeral", "OpenAutoindex", "SorterOpen"}]
    assert built == (["OpenEphemeral"] if "RETURNING" in QUERIES[name].text else [])  # which gathers what it returns


@pytest.mark.parametrize("job_type", [None, "t"])
@pytest.mark.parametrize("status", JobStatus)
async def test_few_jobs_of_a_status_are_listed_without_reading_all(
    sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch, status: JobStatus, job_type: str | None
) -> None:
    """A list of the failed jobs costs as much as there are failed ones; completed ones are most, and soon found."""
    asked: list[tuple[str, Sequence[Any]]] = []

    async def noted(sql: str, values: Sequence[Any], _make: object) -> list[Any]:
        asked.append((sql, values))
        return []

    monkeypatch.setattr(sqlite, "rows", noted)
    await sqlite.jobs(status=status, job_type=job_type, before=9)
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database, Path(":memory:"))
    ((sql, values),) = asked
    steps = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()]
    database.close()
    through = any(re.search("USING (COVERING )?INDEX", step) for step in steps)
    assert through is not (status == JobStatus.COMPLETED and job_type is None)
