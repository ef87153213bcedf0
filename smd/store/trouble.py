"""What SQLite's errors mean, in words."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from smd.errors import OutcomeUnknownError, StoreError

_WORDS = {
    "SQLITE_FULL": ("the disk is full", "free some space; work goes on by itself"),
    "SQLITE_READONLY": ("the file or its file system is read-only", "make it writable; work goes on by itself"),
    "SQLITE_IOERR": ("the disk reports an I/O error", "look into the kernel's log; work goes on by itself"),
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
    return OutcomeUnknownError(f"{told.message}; whether it happened is unknown", hint="send it again with its id")
