"""The writer: runs groups of units on its one connection, and keeps the write-ahead log short.

It lives in the connection's thread. A group runs in one transaction; if any unit of it is refused, the group
is rolled back and runs again unit by unit, so that only the culprit hears of it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from smd.errors import StoreError
from smd.store.base import AddJob, ClaimJob, JobStates, PendingJobs, Save, Seen, SettleJob, Unit
from smd.store.group import Done, drive
from smd.store.operations import OPERATIONS
from smd.store.rules import PENDING_LIMIT
from smd.store.saving import Gathered
from smd.store.transaction import FlushError, Perform, Transaction, answerer
from smd.store.trouble import commit_failed, in_words, of_the_disk

CHECKPOINT_FRAMES = 1_000
"""A checkpoint of so many pages takes a few milliseconds; letting the log grow makes every commit slower."""
TRUNCATE_FRAMES = 16_000
LOOK_AFTER = 8, 100
"""Groups, or rows changed, after which the log's length is looked at again: a look would cost each small group dear."""
_LOG_HEADER, _FRAME_HEADER = 32, 24
_BESIDE = frozenset({Seen, AddJob, ClaimJob, SettleJob, JobStates, PendingJobs})
"""Operations that do not look at machines."""
_PROBE = (
    "BEGIN IMMEDIATE",
    "INSERT INTO meta (name, value) VALUES ('probe', '')",
    "DELETE FROM meta WHERE name = 'probe'",
    "COMMIT",
)
"""Writes a page; an update that changes nothing would not."""


class Log:
    """How long the write-ahead log is, read off the file itself.

    Each frame repeats the salts of the log's header; frames left over from before the last restart of the log
    carry older ones (https://sqlite.org/fileformat2.html#walformat).
    """

    def __init__(self, path: Path, page_size: int) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._frame = _FRAME_HEADER + page_size

    def holds(self, frames: int) -> bool:
        """Whether it holds at least so many frames."""
        salts = os.pread(self._descriptor, 8, 16)
        at = _LOG_HEADER + (frames - 1) * self._frame
        return len(salts) == 8 and os.pread(self._descriptor, 8, at + 8) == salts

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


class Place:
    """Whether the store's file is still the one at its path: one that was deleted or moved can be written for ever.

    Args:
        path: where the file is that was just opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._file = self._found()

    def lost(self) -> StoreError | None:
        """Why what is written would not be found again, or None."""
        if self._found() == self._file:
            return None
        return StoreError(
            f"cannot write {self._path}: its file was deleted, moved or replaced while it was in use",
            hint="put it back, and work goes on by itself; or start smd anew",
        )

    def _found(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # it cannot be looked at, which does not say that it is gone
            return self._file
        return status.st_dev, status.st_ino


class Writing:
    """Runs units.

    Args:
        path: for messages.
        log: says when a checkpoint is due.
        place: says whether the file is still at its path.
        noticed: told, in this thread, why nothing can be written, and None once `probe` finds that it can be again.
    """

    def __init__(
        self, database: sqlite3.Connection, path: Path, log: Log, place: Place,
        noticed: Callable[[StoreError | None], object], pending_limit: int = PENDING_LIMIT,
    ) -> None:  # fmt: skip
        self._database = database
        self._path = path
        self._log = log
        self._place = place
        self._lost: StoreError | None = None
        self._checkpoint_at = CHECKPOINT_FRAMES
        self._groups = self._looked_at = 0
        self._transaction = Transaction(database, pending_limit)
        self._gathered = Gathered(self._transaction)
        self._answer = answerer(self._transaction, OPERATIONS)
        self._answer_together = answerer(self._transaction, self._together())
        self._known = False
        self._noticed = noticed
        self._trouble = ""
        self._calm = False

    def run(self, units: Sequence[Unit]) -> list[Done]:
        """One transaction for all; where a unit fails, one for each."""
        if self._lost is not None:
            return [Done(error=self._lost)] * len(units)
        if len(units) > 1:
            ends = self._attempt(units)
            if ends is not None:
                return ends
        return [self._alone(unit) for unit in units]

    def _attempt(self, units: Sequence[Unit]) -> list[Done] | None:
        try:
            self._begin()
        except sqlite3.Error as error:
            self._roll_back()
            return [Done(error=self._failed(error))] * len(units)
        try:
            ends = [Done(drive(unit, self._answer_together)) for unit in units]
            self._gathered.flush()
            self._transaction.flush()
        except BaseException:  # noqa: BLE001 - whose it is, the second run tells
            self._gathered.clear()
            self._roll_back()
            return None
        broken = self._commit()
        return [Done(error=broken)] * len(units) if broken else ends

    def _together(self) -> dict[type, Perform]:
        """Operations within a group. What is gathered of machines is written before any that may look at it."""
        gathered = self._gathered

        def flushed(perform: Perform) -> Perform:
            def after(transaction: Transaction, operation: Any) -> Any:
                gathered.flush()
                return perform(transaction, operation)

            return after

        others = {kind: perform if kind in _BESIDE else flushed(perform) for kind, perform in OPERATIONS.items()}
        return {**others, Save: lambda _, operation: gathered.save(operation.record)}

    def _alone(self, unit: Unit) -> Done:
        try:
            self._begin()
            end = Done(drive(unit, self._answer))
            self._transaction.flush()
        except sqlite3.Error as error:
            self._roll_back()
            return Done(error=self._failed(error))
        except FlushError as error:
            self._roll_back()
            return Done(error=error.error)
        except BaseException as error:  # noqa: BLE001 - a unit's bug is its submitter's to hear, and nobody else's
            self._roll_back()
            return Done(error=error)
        broken = self._commit()
        return Done(error=broken) if broken else end

    def _begin(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        if not self._known:
            self._transaction.read()
            self._known = True

    def _commit(self) -> StoreError | None:
        try:
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            self._known = False
            self._failed(error)
            return commit_failed(self._path, error)
        self._transaction.keep()
        return None

    def _roll_back(self) -> None:
        self._transaction.undo()
        if not self._database.in_transaction:
            return
        try:
            self._database.execute("ROLLBACK")
        except sqlite3.Error:
            # The disk failed; SQLite has dropped the transaction, and what we know must be read anew.
            self._known = False

    def _failed(self, error: sqlite3.Error) -> StoreError:
        """The failure in words; what is the disk's is noted."""
        told = in_words("write", self._path, error)
        if of_the_disk(error):
            self._turned(told)
        return told

    def _turned(self, told: StoreError) -> None:
        self._calm = False
        if told.message != self._trouble:
            self._trouble = told.message
            self._noticed(told)

    def look(self) -> None:
        """Refuse everything from now on if the file is no longer at its path, and until it is there again."""
        self._lost = self._place.lost()
        if self._lost is not None:
            self._turned(self._lost)

    def probe(self) -> None:
        """Write a little. Trouble is over once that works and nothing has failed since the last probe."""
        calm, self._calm = self._calm, True
        self.look()
        if self._lost is not None:
            return
        try:
            for statement in _PROBE:
                self._database.execute(statement)
        except sqlite3.Error as error:
            self._roll_back()
            self._known = False
            self._failed(error)
            return
        if calm:
            self._trouble = ""
            self._noticed(None)

    def checkpoint_if_due(self) -> None:
        """Copy the log into the database once it is long enough. The next commit tells of a failing disk."""
        self._groups += 1
        changes = self._database.total_changes
        if self._groups < LOOK_AFTER[0] and changes - self._looked_at < LOOK_AFTER[1]:
            return
        self._groups, self._looked_at = 0, changes
        if not self._log.holds(self._checkpoint_at):
            return
        mode = "TRUNCATE" if self._log.holds(TRUNCATE_FRAMES) else "PASSIVE"
        try:
            _, frames, copied = self._database.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error:
            self._checkpoint_at += CHECKPOINT_FRAMES
            return
        # A reader may have held some frames back: try again when as many have come on top.
        self._checkpoint_at = CHECKPOINT_FRAMES if copied >= frames else frames + CHECKPOINT_FRAMES

    def close(self) -> None:
        """Leave a short log behind, and the connection closed."""
        self._log.close()
        try:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            # Everything is in the log; the next start copies it.
            return
        finally:
            self._database.close()
