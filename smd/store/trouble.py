"""What SQLite's errors mean, in words, and whether the store can write at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from smd.errors import OutcomeUnknownError, StoreError

GOES_ON = "; work goes on by itself"
"""Ends the hints on what passes; not true of a start that failed."""

_WORDS = {
    "SQLITE_FULL": ("the disk is full", "free some space" + GOES_ON),
    "SQLITE_READONLY": ("the file or its file system is read-only", "make it writable" + GOES_ON),
    "SQLITE_IOERR": ("the disk reports an I/O error", "look into the kernel's log" + GOES_ON),
    "SQLITE_CORRUPT": ("the file is damaged", "restore a backup"),
    "SQLITE_NOTADB": ("it is not an SQLite database", "name another file, or restore a backup"),
    "SQLITE_BUSY": ("another program has locked it", "only smd may open its store"),
    "SQLITE_CANTOPEN": ("SQLite cannot open the file", "the folder must exist and be writable"),
    "SQLITE_PERM": ("the file may not be opened", "check owner and mode of the file"),
}

_NEVER_WRITTEN = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_BUSY")
"""Failures before the commit mark of a transaction is in the log: nothing of it can come back."""


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


def in_words(verb: str, path: Path | str, error: sqlite3.Error) -> StoreError:
    """The StoreError for a failure of SQLite: "cannot <verb> <path>: why"."""
    name = _name(error)
    words, hint = next((told for known, told in _WORDS.items() if name.startswith(known)), (str(error), ""))
    return StoreError(f"cannot {verb} {path}: {words} ({name})", hint=hint)


def commit_failed(path: Path | str, error: sqlite3.Error) -> StoreError:
    """The error of a COMMIT that failed: after an I/O error its mark may be on the disk all the same."""
    told = in_words("write", path, error)
    if _name(error).startswith(_NEVER_WRITTEN):
        return told
    again = "send it again with its id"
    hint = f"{again}; {told.hint}" if told.hint else again
    return OutcomeUnknownError(f"{told.message}; whether it happened is unknown", hint=hint)


def of_the_disk(error: sqlite3.Error) -> bool:
    """Whether the store is to blame, and not what was asked of it."""
    return _name(error).startswith(tuple(_WORDS))


class Trouble:
    """Why the store cannot write, while it cannot; kept on the event loop.

    Attributes:
        error: the failure, or None while all is well.
        listener: hears the failure when trouble begins, and None when the store writes again.
    """

    def __init__(self) -> None:
        self.error: StoreError | None = None
        self.listener: Callable[[StoreError | None], None] | None = None

    def set(self, error: StoreError | None) -> bool:
        """Note how it stands now; whether trouble has begun with it."""
        before, self.error = self.error, error
        turned = (before is None) != (error is None)
        if turned and self.listener is not None:
            self.listener(error)
        return turned and error is not None
