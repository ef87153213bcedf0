"""What one SQLite transaction works with, and what memory knows beside the file: the next number, who waits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

from smd.errors import RequestError
from smd.store.base import Operation
from smd.store.group import Answer
from smd.store.leasing import Leasing
from smd.store.rows import unstorable
from smd.store.rules import PENDING_LIMIT
from smd.store.sql import SQL, many

MOST_ROWS = 128
"""Rows of one INSERT. Each statement gives up the interpreter's lock and must win it back from a busy event loop, so
few large statements are faster than many small ones; sizes are powers of two, so that their texts are few too."""

_INSERTS = many("insert_row", MOST_ROWS)


class FlushError(Exception):
    """A row cannot be written. It may be another unit's than the one that had it written, so no recipe hears of it.

    Args:
        error: what the unit is told whose row it is.
    """

    def __init__(self, error: RequestError) -> None:
        super().__init__(error.message)
        self.error = error


class Transaction:
    """The writer's side of the database between BEGIN and COMMIT. `leasing` holds what is not written of jobs yet.

    `next_seq` and `waiting` (pending rows a machine) belong to the only writer, so they are kept in memory. They
    go back with `undo`, and are read anew after a commit of which nobody knows whether it happened.
    """

    def __init__(self, database: sqlite3.Connection, pending_limit: int = PENDING_LIMIT) -> None:
        self.execute = database.execute
        self.executemany = database.executemany
        self.leasing = Leasing(database.execute)
        self.pending_limit = pending_limit
        self.next_seq = 1
        self.waiting: dict[str, int] = {}
        self._first_seq = 1
        self._before: dict[str, int] = {}
        self._rows: list[tuple[Any, ...]] = []

    def read(self) -> None:
        """Read the number and the counts from the database."""
        self.next_seq = self._first_seq = self.execute(SQL["last_seq"]).fetchone()[0] + 1
        self.waiting = dict(self.execute(SQL["waiting_counts"]).fetchall())
        self.leasing.clear()
        self._before.clear()

    def keep(self) -> None:
        """The transaction is durable."""
        self._first_seq = self.next_seq
        self._before.clear()

    def undo(self) -> None:
        """The transaction is gone."""
        self._rows.clear()
        self.leasing.clear()
        self.next_seq = self._first_seq
        self.waiting.update(self._before)
        self._before.clear()

    def take_seqs(self, count: int) -> range:
        """The next `count` journal numbers."""
        seqs = range(self.next_seq, self.next_seq + count)
        self.next_seq = seqs.stop
        return seqs

    def add_rows(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Journal rows to insert, by `flush`, before anything looks for them and before the commit."""
        self._rows.extend(rows)

    def flush(self) -> None:
        """Write the claims and insert the rows of the time since the last.

        Raises:
            FlushError: one of them holds a value that no column can hold.
        """
        at, left = 0, len(self._rows)
        try:
            self.leasing.write()
            while left:
                size = min(MOST_ROWS, 1 << (left.bit_length() - 1))
                self.execute(_INSERTS[size], tuple(chain.from_iterable(self._rows[at : at + size])))
                at, left = at + size, left - size
        except (UnicodeEncodeError, OverflowError, sqlite3.DataError, sqlite3.InterfaceError) as error:
            raise FlushError(unstorable(error)) from error
        except sqlite3.ProgrammingError as error:
            if "binding" not in str(error):
                raise
            raise FlushError(unstorable(error)) from error
        finally:
            self._rows.clear()

    def wait(self, machine: str, change: int) -> None:
        """So many rows more (or less) wait for a machine."""
        count = self.waiting.get(machine, 0)
        self._before.setdefault(machine, count)
        self.waiting[machine] = count + change


Perform = Callable[[Transaction, Any], Any]
"""Does an operation and gives its answer."""


def answerer(transaction: Transaction, operations: Mapping[type, Perform]) -> Answer:
    """Answers operations inside a transaction, telling the sender of a value that no column can hold."""

    def answer(operation: Operation) -> Any:
        try:
            return operations[type(operation)](transaction, operation)
        except (UnicodeEncodeError, OverflowError, sqlite3.DataError, sqlite3.ProgrammingError) as error:
            if isinstance(error, sqlite3.ProgrammingError) and "binding parameter" not in str(error):
                raise
            raise unstorable(error) from error

    return answer
