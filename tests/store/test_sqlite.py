"""What only a file can promise: restarts, crashes, locks, failing disks, versions."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smd.errors import OutcomeUnknownError, RequestError, SettingsError, StoreError
from smd.jobs import NewJob
from smd.statechart.event import Event
from smd.store import sqlite as sqlite_module
from smd.store.base import AddJob, ClaimJob, Enqueue, PutChart, RemoveMachine, SettleJob
from smd.store.migrate import migrations
from smd.store.sqlite import SqliteStore, linked_version_warning
from smd.store.trouble import commit_failed
from smd.store.writing import CHECKPOINT_FRAMES, LOOK_AFTER
from tests.store.units import add_machines, ask, asking, saving, sending, took

pytestmark = pytest.mark.asyncio
ROOT = Path(__file__).parents[2]


async def reopened(store: SqliteStore, path: Path) -> SqliteStore:
    await store.close()
    store = SqliteStore(path)
    await store.open()
    return store


async def opening(path: Path) -> str:
    """What opening a store says when it is refused."""
    store = SqliteStore(path)
    with pytest.raises(StoreError) as refused:
        await store.open()
    await store.close()
    return str(refused.value)


def writer(path: Path, *names: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "tests.store.writer_process", str(path), *names]
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=ROOT)


# --- restarts -----------------------------------------------------------------------------------------------------


async def test_everything_is_there_after_a_restart(tmp_path: Path, sqlite: SqliteStore) -> None:
    """A reopened store has the same id, rows, numbers and inbox counts, and goes on from there."""
    path = tmp_path / "smd.db"
    await add_machines(sqlite, "m", "n")
    await ask(sqlite, saving([took(id="c", client=True, answer={})], sends=[sending("n")]))
    await ask(sqlite, AddJob(NewJob("t", "j"), 1.0))
    before = (sqlite.store_id, await sqlite.events(), await sqlite.machines(), await sqlite.pending("n"))
    store = await reopened(sqlite, path)
    try:
        assert (store.store_id, await store.events(), await store.machines(), await store.pending("n")) == before
        assert re.fullmatch("[0-9a-f]{32}", store.store_id)
        assert (await ask(store, saving([took()], at=1))).seqs == [3]
        with pytest.raises(RequestError, match="1 wait already"):
            await ask(store, Enqueue("n", Event("x"), 1.0, limit=1))
    finally:
        await store.close()


async def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """After `kill -9` in mid-write every acknowledged event is there, and snapshot and journal agree."""
    path, names = tmp_path / "smd.db", ["a", "b", "c"]
    for round_ in range(5):
        process = writer(path, *names)
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(50 + 37 * round_)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [line for line in process.stdout if line.endswith("\n")]
        process.wait()
        process.stdout.close()
        last = dict(line.split() for line in acknowledged)
        assert set(last) == set(names)
        store = SqliteStore(path)
        await store.open()
        for name in names:
            row = await store.machine(name)
            assert row is not None
            assert row.version >= int(last[name])
            assert row.snapshot == b"%d" % row.version
            places = [one.consumed_no for one in await store.journal(name, limit=-1)]
            assert places == list(range(1, row.version + 1))
        await store.close()


async def test_second_daemon_is_kept_out(tmp_path: Path, sqlite: SqliteStore) -> None:
    """A second opener, also by another name of the file, hears who has the store; after the end it is free."""
    path = tmp_path / "smd.db"
    (tmp_path / "link.db").symlink_to(path)
    for name in ("smd.db", "link.db"):
        assert f"another daemon (pid {os.getpid()}) uses it" in await opening(tmp_path / name)
    assert await sqlite.machines() == []
    await sqlite.close()
    store = SqliteStore(path)
    await store.open()
    await store.close()


async def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A killed daemon's lock is gone with it; while it lives its pid is told."""
    path = tmp_path / "smd.db"
    process = writer(path, "a")
    assert process.stdout is not None
    process.stdout.readline()
    assert f"another daemon (pid {process.pid}) uses it" in await opening(path)
    process.kill()
    process.wait()
    process.stdout.close()
    store = SqliteStore(path)
    await store.open()
    await store.close()


async def test_lock_is_not_left_to_forked_children(tmp_path: Path, sqlite: SqliteStore) -> None:
    """A Python action may fork; its child would keep the store locked after the daemon was killed."""
    child = multiprocessing.get_context("fork").Process(target=signal.pause)
    child.start()
    try:
        await sqlite.close()
        again = SqliteStore(tmp_path / "smd.db")
        await again.open()
        await again.close()
    finally:
        child.kill()
        child.join()


# --- what cannot be opened ------------------------------------------------------------------------------------------


async def test_newer_version_is_refused(tmp_path: Path, sqlite: SqliteStore) -> None:
    """A store of a newer smd is refused, with both versions, and left as it is."""
    path = tmp_path / "smd.db"
    await sqlite.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = '99' WHERE name = 'version'")
    database.close()
    assert f"it has version 99, this smd knows versions up to {len(migrations())}" in await opening(path)


async def test_other_files_are_refused(tmp_path: Path) -> None:
    """A text, a damaged file, another program's database, a folder, no folder: each is told in words."""
    (tmp_path / "text").write_text("hello " * 1000)
    (tmp_path / "folder").mkdir()
    with sqlite3.connect(tmp_path / "other") as database:
        database.execute("CREATE TABLE jobs (id INTEGER)")
    database.close()
    assert "it is not an SQLite database" in await opening(tmp_path / "text")
    assert "another program" in await opening(tmp_path / "other")
    assert "it is a folder" in await opening(tmp_path / "folder")
    assert "there is no folder" in await opening(tmp_path / "none" / "smd.db")
    assert (tmp_path / "text").read_text() == "hello " * 1000


async def test_damaged_file_is_told(tmp_path: Path, sqlite: SqliteStore) -> None:
    """A store whose pages were overwritten is refused as damaged."""
    path = tmp_path / "smd.db"
    await add_machines(sqlite, "m")
    await sqlite.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + os.urandom(len(whole) - 100))
    assert "the file is damaged" in await opening(path)


async def test_nobody_else_reads_a_new_store_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    """Also the log and its index; also when the name is a link to a file that is not there yet."""
    folder = tmp_path / "new"
    folder.mkdir()
    (tmp_path / "link.db").symlink_to(folder / "smd.db")
    store = SqliteStore(tmp_path / "link.db")
    await store.open()
    modes = {file.name: file.stat().st_mode & 0o137 for file in folder.iterdir()}
    assert modes == dict.fromkeys(("smd.db", "smd.db-wal", "smd.db-shm", "smd.db.lock"), 0)
    (folder / "smd.db").chmod(0o664)
    await (await reopened(store, folder / "smd.db")).close()
    assert (folder / "smd.db").stat().st_mode & 0o777 == 0o664


async def test_unwritable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which no file can be made is told in words."""

    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("smd.store.lock.os.open", refuse)
    assert "Permission denied" in await opening(tmp_path / "smd.db")


async def test_unknown_synchronous(tmp_path: Path) -> None:
    """Only the two safe levels are accepted; both work."""
    with pytest.raises(SettingsError, match="known are FULL and NORMAL"):
        SqliteStore(tmp_path / "smd.db", synchronous="OFF; DROP TABLE jobs")
    store = SqliteStore(tmp_path / "smd.db", synchronous="NORMAL")
    await store.open()
    await ask(store, PutChart("h", b"x"))
    await store.close()


async def test_version_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The linked SQLite is named while it is older than the mended one."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    assert linked_version_warning() is None
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    assert sqlite3.sqlite_version in str(linked_version_warning())


# --- the log, and failing disks -------------------------------------------------------------------------------------


async def test_log_stays_short(tmp_path: Path, sqlite: SqliteStore) -> None:
    """However much is written, the log holds little more than a checkpoint's frames, and nothing after the end."""
    await add_machines(sqlite, "m")
    log = tmp_path / "smd.db-wal"
    longest = 0
    for at in range(400):
        await ask(sqlite, saving([took()], at=at, snapshot=os.urandom(60_000)))
        longest = max(longest, log.stat().st_size)
    written = 400 * 60_000
    limit = (CHECKPOINT_FRAMES + LOOK_AFTER[0] * 20) * (4096 + 24)
    assert longest < limit < written / 4
    await sqlite.close()
    assert not log.exists() or log.stat().st_size == 0


async def test_full_database_heals(tmp_path: Path, sqlite: SqliteStore) -> None:
    """When there is no room the writer is told; what fits goes on; with room everything works again."""
    await add_machines(sqlite, "m", "n")
    assert sqlite._writer is not None
    (pages,) = await sqlite._writer.execute_fetchall("PRAGMA page_count")
    await sqlite._writer.execute_fetchall(f"PRAGMA max_page_count = {pages[0] + 5}")
    with sqlite.together():
        big = sqlite.submit(asking(saving([took()], snapshot=bytes(100_000))))
        small = sqlite.submit(asking(saving([took()], name="n", sends=[sending("m")])))
    with pytest.raises(StoreError, match="the disk is full") as refused:
        await big
    assert refused.value.code == "store_unavailable"
    assert (await small)[0].seqs == [1]
    await sqlite._writer.execute_fetchall("PRAGMA max_page_count = 100000")
    assert (await ask(sqlite, saving([took()], snapshot=bytes(100_000)))).seqs == [3]
    assert await sqlite.pending_counts() == {"m": 1}


_LIMITED = """
import asyncio, json, resource, sys
from collections.abc import Sequence
from pathlib import Path
from smd.errors import StoreError
from smd.statechart.event import Event
from smd.store.base import Enqueue, PutChart
from smd.store.sqlite import SqliteStore
from tests.store.units import add_machines, ask

async def write():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    await add_machines(store, "m")
    kept, refused, heard, well = [], [], [], asyncio.Event()

    def listen(error):
        heard.append(error and [error.code, error.message, error.hint])
        if error is None:
            well.set()

    store.trouble.listener = listen
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, hard))
    while len(refused) < 3:
        try:
            kept.append((await ask(store, Enqueue("m", Event("e", "x" * 9000), 1.0)))[0])
        except StoreError as error:
            refused.append([error.code, error.message, error.hint])
            assert store.trouble.error is not None
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept.append((await ask(store, Enqueue("m", Event("e", "x"), 1.0)))[0])
    rows = [seq for seq, _ in await store.pending("m")]
    await well.wait()
    assert store.trouble.error is None
    await store.close()
    print(json.dumps([kept, rows, refused, heard]))

asyncio.run(write())
"""


async def test_failing_disk_heals(tmp_path: Path) -> None:
    """When the disk refuses a write, senders hear what is known, nothing is lost, and work resumes by itself."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    program = [sys.executable, "-c", _LIMITED, str(tmp_path / "smd.db")]
    done = await asyncio.to_thread(subprocess.run, program, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr == ""
    kept, rows, refused, heard = json.loads(done.stdout)
    assert kept == rows == list(range(1, len(kept) + 1))
    assert len(kept) > 10
    for code, text, hint in refused:
        assert code == "outcome_unknown"
        assert "the disk reports an I/O error (SQLITE_IOERR" in text
        assert "send it again with its id; look into the kernel's log" in hint
    assert heard[1:] == [None]
    assert heard[0][0] == "store_unavailable"
    assert refused[0][1].startswith(heard[0][1])
    assert heard[0][2].startswith("look into the kernel's log")


async def test_failed_commit_is_told_truly() -> None:
    """Only a failure after which nothing can come back says that nothing happened."""

    def failure(name: str) -> sqlite3.Error:
        error = sqlite3.OperationalError("x")
        error.sqlite_errorname = name
        return error

    for name in ("SQLITE_FULL", "SQLITE_READONLY_DBMOVED", "SQLITE_BUSY_SNAPSHOT"):
        assert commit_failed("p", failure(name)).code == "store_unavailable"
    for name in ("SQLITE_IOERR_FSYNC", "SQLITE_IOERR_WRITE", "SQLITE_CORRUPT", "SQLITE_ERROR"):
        assert isinstance(commit_failed("p", failure(name)), OutcomeUnknownError)


async def test_locked_by_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program holds a write lock a whole group hears so; afterwards it is taken."""
    monkeypatch.setattr(sqlite_module, "_BUSY_SECONDS", 0.01)
    store = SqliteStore(tmp_path / "smd.db")
    await store.open()
    stranger = sqlite3.connect(tmp_path / "smd.db", isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    futures = [store.submit(asking(PutChart("h", b"x"))) for _ in range(3)]
    await asyncio.wait(futures)
    assert all("another program has locked it" in str(future.exception()) for future in futures)
    stranger.execute("ROLLBACK")
    stranger.close()
    await ask(store, PutChart("h", b"x"))
    await store.close()


async def test_attempts_are_noted(tmp_path: Path, sqlite: SqliteStore) -> None:
    """Each claim of a job has a row that says who had it and how it ended."""
    await add_machines(sqlite, "m")
    await ask(sqlite, AddJob(NewJob("t", "j"), 1.0))
    await ask(sqlite, ClaimJob("m", 2.0))
    await ask(sqlite, RemoveMachine("m", 3.0))
    await ask(sqlite, ClaimJob("n", 4.0))
    await ask(sqlite, SettleJob("j", "failed", 5.0, 2, error="e"))
    await sqlite.close()
    database = sqlite3.connect(tmp_path / "smd.db")
    attempts = database.execute("SELECT * FROM job_attempts ORDER BY epoch").fetchall()
    database.close()
    assert attempts == [(1, 1, 1, "m", 2.0, 3.0, "released", None), (1, 2, 1, "n", 4.0, 5.0, "failed", "e")]


async def test_base_of_a_replay(tmp_path: Path, sqlite: SqliteStore) -> None:
    """A base is found by its machine."""
    await sqlite.close()
    database = sqlite3.connect(tmp_path / "smd.db")
    database.execute("INSERT INTO bases VALUES ('m', 7, x'00ff')")
    database.commit()
    database.close()
    store = SqliteStore(tmp_path / "smd.db")
    await store.open()
    assert (await store.base("m"), await store.base("n")) == ((7, b"\x00\xff"), None)
    await store.close()
