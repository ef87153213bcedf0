"""The embedded store: one SQLite file, one connection that writes, one that reads.

Each connection has a thread of its own (aiosqlite). A whole group of units crosses into the writer's thread and
back once: crossing for each statement would cost several times the commit itself.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

import aiosqlite

from smd.errors import SettingsError, StoreError
from smd.store.base import Ended, Unit
from smd.store.group import GROUP_EVENTS, Done, GroupCommit, refuse, submitted
from smd.store.lock import LockFile
from smd.store.migrate import migrate
from smd.store.reading import Columns, Reading, Values
from smd.store.rows import unstorable
from smd.store.rules import PENDING_LIMIT
from smd.store.trouble import Trouble, in_words
from smd.store.writing import Log, Place, Writing

T = TypeVar("T")
_OLDEST = (3, 37)
"""STRICT tables and RETURNING."""
_SAFE = (3, 51, 3)
_BUSY_SECONDS = 2.0
_PROBE_SECONDS, _SELDOM = 0.5, 4.0
"""Between looks at whether the disk works again, at first and at most: where trouble returns each pause is doubled."""
_RETURNS_WITHIN = 60.0
_CACHE_KIB = 16_384

# Each None that is bound looks for a way to adapt it, in vain, at several times the cost of a number; this answers
# at the least cost there is: a map without keys gives None for None.
sqlite3.register_adapter(type(None), cast("Callable[[None], None]", {}.get))


def linked_version_warning() -> str | None:
    """What is known against the SQLite this Python is linked with, or None.

    Before 3.51.3 two connections that write or checkpoint at the same time could lose committed pages
    (https://sqlite.org/wal.html, the WAL-reset bug).
    """
    if sqlite3.sqlite_version_info >= _SAFE:
        return None
    return (
        f"SQLite {sqlite3.sqlite_version} can lose committed pages when two connections write to one file; "
        "smd writes with one only and locks others out, so let no other program open the store "
        "(mended in 3.51.3)"
    )


class _Thread(aiosqlite.Connection):
    """An aiosqlite connection that runs any function in its thread."""

    def call(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Run `function` after all called before; the future resolves with its result."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((future, function))
        return future

    def hand(self, function: Callable[[], object]) -> None:
        """Run `function`, which itself sees to its result, after all called before."""
        self._tx.put_nowait((None, function))

    async def opened(self) -> None:
        """Open the connection; if that fails its thread has ended when this returns."""
        try:
            await self
        except BaseException:
            await asyncio.to_thread(self._thread.join)
            raise


class SqliteStore(Reading):
    """Store on the SQLite file `path`; see base.Store for what it promises.

    Args:
        path: the file; made if it does not exist. `<path>.lock` beside it keeps other daemons out.
        synchronous: `FULL` survives power loss; `NORMAL` may lose the last moments then, though not at a crash.
        group_events: events of one commit, about.
        pending_limit: rows that may wait for one machine before a send to it is dead.

    Raises:
        SettingsError: `synchronous` is neither.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "FULL",
        group_events: int = GROUP_EVENTS,
        pending_limit: int = PENDING_LIMIT,
    ) -> None:
        if synchronous not in {"FULL", "NORMAL"}:
            raise SettingsError(f"cannot use synchronous '{synchronous}': known are FULL and NORMAL")
        self.store_id = ""
        self.trouble = Trouble()
        self.up_until = 0.0
        self._probe_every = _PROBE_SECONDS
        self._trouble_at = float("-inf")
        self._path = path
        self._synchronous = synchronous
        self._pending_limit = pending_limit
        self._lock = LockFile(path)
        self._groups = GroupCommit(self._commit, group_events)
        self._closing: asyncio.Future[None] | None = None
        self._writer: _Thread | None = None
        self._reader: _Thread | None = None
        self._writing: Writing | None = None
        self._place: Place

    # --- life ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See base.Store.open. A store that was closed stays closed."""
        self._check_place()
        self._lock.acquire()
        self.up_until = self._lock.noted
        try:
            self._make_private()
            loop = asyncio.get_running_loop()
            self._writer = _Thread(partial(self._open_writer, loop), 64)
            await self._writer.opened()
            self._reader = _Thread(self._open_reader, 64)
            await self._reader.opened()
        except sqlite3.Error as error:
            await self.close()
            raise in_words("open", self._path, error) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See base.Store.close. Once begun it ends, whether or not the caller still waits."""
        self._groups.refuse()
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._groups.close()
        reader, self._reader = self._reader, None
        writer, self._writer = self._writer, None
        writing, self._writing = self._writing, None
        try:
            if reader is not None:
                await reader.close()
            if writer is not None and writing is not None:
                await writer.call(writing.close)
        finally:
            if writer is not None:
                await writer.close()
            self._lock.release()

    def _check_place(self) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise StoreError(f"cannot open {self._path}: SQLite {sqlite3.sqlite_version} is linked, 3.37 is needed")
        if self._path.is_dir():
            raise StoreError(f"cannot open {self._path}: it is a folder", hint="name a file in it")
        if not self._path.parent.is_dir():
            raise StoreError(f"cannot open {self._path}: there is no folder {self._path.parent}", hint="make it first")

    def _make_private(self) -> None:
        """Make a file that others cannot read; SQLite would let them, and gives its log and index the file's mode."""
        try:
            os.close(os.open(self._path.resolve(), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
        except FileExistsError:
            return  # its mode is the administrator's
        except OSError as error:
            raise StoreError(
                f"cannot open {self._path}: {error.strerror}", hint="the folder must be writable"
            ) from error

    # --- connections, opened in their own threads -----------------------------------------------------------------

    def _open_writer(self, loop: asyncio.AbstractEventLoop) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, _BUSY_SECONDS, isolation_level=None, cached_statements=256)
        try:
            (journal_mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
            if journal_mode != "wal":
                raise StoreError(
                    f"cannot open {self._path}: its file system does not allow a write-ahead log",
                    hint="use a local disk",
                )
            for pragma in (
                f"synchronous = {self._synchronous}",
                f"cache_size = -{_CACHE_KIB}",
                "wal_autocheckpoint = 0",
                "temp_store = MEMORY",
            ):
                database.execute(f"PRAGMA {pragma}")
            self.store_id = migrate(database, self._path)
            (page_size,) = database.execute("PRAGMA page_size").fetchone()
            # The log file exists from the first transaction on.
            database.executescript("BEGIN IMMEDIATE; UPDATE meta SET value = value WHERE name = 'version'; COMMIT;")
            self._place = Place(self._path.absolute())
            log = Log(Path(f"{self._path.resolve()}-wal"), page_size)
            self._writing = Writing(
                database, self._path, log, self._place,
                lambda error: loop.call_soon_threadsafe(self._noticed, error), self._pending_limit,
            )  # fmt: skip
        except BaseException:
            database.close()
            raise
        return database

    def _open_reader(self) -> sqlite3.Connection:
        name = f"file:{quote(str(self._path.absolute()))}?mode=ro"
        database = sqlite3.connect(name, _BUSY_SECONDS, uri=True, isolation_level=None, cached_statements=256)
        for pragma in ("query_only = ON", "wal_autocheckpoint = 0", f"cache_size = -{_CACHE_KIB}"):
            database.execute(f"PRAGMA {pragma}")
        return database

    # --- trouble --------------------------------------------------------------------------------------------------

    def _noticed(self, error: StoreError | None) -> None:
        """The listener hears of it before those whose unit failed."""
        loop = asyncio.get_running_loop()
        if self.trouble.set(error):
            soon = loop.time() < self._trouble_at + _RETURNS_WITHIN
            self._probe_every = min(2 * self._probe_every, _SELDOM) if soon else _PROBE_SECONDS
            self._probe_later()
        self._trouble_at = loop.time()

    def _probe_later(self) -> None:
        if self.trouble.error is not None:
            asyncio.get_running_loop().call_later(self._probe_every, self._probe)

    def _probe(self) -> None:
        if self._writer is not None and self._writing is not None:
            self._writer.call(self._writing.probe).add_done_callback(lambda _: self._probe_later())

    # --- writing and reading --------------------------------------------------------------------------------------

    def note_up(self, now: float) -> None:
        """See base.Store.note_up. It is also when the file is looked after, which nothing else tells of."""
        self._lock.note(now)
        self.up_until = now
        if self._writer is not None and self._writing is not None and self._place.lost() is not None:
            self._writer.hand(self._writing.look)

    def run(self, unit: Unit, ended: Ended) -> None:
        """See base.Store.run."""
        if self._writer is None:
            refuse(ended, f"cannot write {self._path}: the store is not open")
        else:
            self._groups.run(unit, ended)

    def together(self) -> AbstractContextManager[None]:
        """See base.Store.together."""
        return self._groups.together()

    def submit(self, unit: Unit) -> asyncio.Future[Any]:
        """See base.Store.submit."""
        return submitted(self.run, unit)

    def _commit(self, units: Sequence[Unit], ended: Callable[[list[Done]], None]) -> None:
        writer, writing = self._writer, self._writing
        assert writer is not None and writing is not None  # noqa: PT018, S101 - closing waits for the last group
        writer.hand(partial(_run, writing, units, asyncio.get_running_loop(), ended))

    async def rows(self, sql: str, values: Values, make: Callable[[Columns], T]) -> list[T]:
        """See Reading.rows.

        Raises:
            StoreError: the store is not open, or cannot be read.
        """
        if self._reader is None:
            raise StoreError(f"cannot read {self._path}: the store is not open")
        try:
            return await self._reader.call(partial(_read, self._reader, sql, values, make))
        except sqlite3.Error as error:
            raise in_words("read", self._path, error) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise unstorable(error) from error


def _run(
    writing: Writing, units: Sequence[Unit], loop: asyncio.AbstractEventLoop, ended: Callable[[list[Done]], None]
) -> None:
    try:
        ends = writing.run(units)
    except BaseException as broken:  # noqa: BLE001 - the writer's bug is told to those it concerns
        ends = [Done(error=broken)] * len(units)
    loop.call_soon_threadsafe(ended, ends)
    writing.checkpoint_if_due()


def _read(reader: _Thread, sql: str, values: Values, make: Callable[[Columns], T]) -> list[T]:
    return [make(row) for row in reader._conn.execute(sql, values).fetchall()]
