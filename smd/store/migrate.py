"""Bringing a database to the newest form: numbered files, each run once, in a transaction of its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from uuid import uuid4

from smd.errors import StoreError
from smd.store.sql import FOLDER

MIGRATIONS = FOLDER / "migrations"
_META = "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


def migrations(folder: Path = MIGRATIONS) -> dict[int, Path]:
    """Number to file, `0001_name.sql` being the first, without gaps."""
    files = {int(file.name.split("_")[0]): file for file in sorted(folder.glob("*.sql"))}
    if list(files) != list(range(1, len(files) + 1)):
        raise StoreError(f"cannot migrate: the files in {folder} are not numbered from 1 without gaps")
    return files


def migrate(database: sqlite3.Connection, path: Path, folder: Path = MIGRATIONS) -> str:
    """Bring `database` (in autocommit mode) to the newest version and return its store id.

    Raises:
        StoreError: it is newer than this program, or another program's; a step failed (the steps before it stay).
    """
    known = migrations(folder)
    version = _version(database, path)
    if version > len(known):
        raise StoreError(
            f"cannot open {path}: it has version {version}, this smd knows versions up to {len(known)}",
            hint="use the smd that wrote it, or a newer one",
            code="newer_version",
        )
    for number in range(version + 1, len(known) + 1):
        _step(database, path, number, known[number])
    (store_id,) = database.execute("SELECT value FROM meta WHERE name = 'store_id'").fetchone()
    return str(store_id)


def _version(database: sqlite3.Connection, path: Path) -> int:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()}
    if "meta" in tables:
        found = database.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        if found and str(found[0]).isdecimal():
            return int(found[0])
    if tables:
        raise StoreError(
            f"cannot open {path}: it is a database of another program",
            hint="name a file that does not exist yet; smd makes it",
        )
    return 0


def _step(database: sqlite3.Connection, path: Path, number: int, file: Path) -> None:
    first = f"{_META}; INSERT INTO meta VALUES ('store_id', '{uuid4().hex}'), ('version', '0');"  # noqa: S608 - ours
    version = f"UPDATE meta SET value = '{number}' WHERE name = 'version'"  # noqa: S608 - our own number
    text = file.read_text(encoding="utf-8")
    try:
        database.executescript(f"BEGIN IMMEDIATE; {first if number == 1 else ''} {text}\n; {version}; COMMIT;")
    except sqlite3.Error as error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise StoreError(f"cannot migrate {path}: step {file.name}: {error}") from error
