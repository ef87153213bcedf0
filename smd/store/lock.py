"""The lock file that keeps a second daemon away from a store, and tells when the last one was up."""

from __future__ import annotations

import fcntl
import math
import os
from pathlib import Path

from smd.errors import StoreError

_held: set[int] = set()
"""Descriptors of the locks this process holds."""


def _let_go() -> None:
    """In a forked child: a lock belongs to the open file, so the child would hold it after the daemon's end."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)


class LockFile:
    """`<path>.lock`, held by `flock` until released or until the process ends, however it ends.

    The file stays behind: removing it would let two processes lock two files of one name. Its lines are the process
    id and the time last noted. The time is written, not left to the file's modification time: a copy keeps it.

    Attributes:
        noted: the time last noted, here or by a former holder; 0.0 if none is known.
    """

    def __init__(self, path: Path) -> None:
        # Two names of one file must meet at one lock.
        self.path = Path(f"{path.resolve()}.lock")
        self._store = path
        self._descriptor = -1
        self.noted = 0.0

    def acquire(self) -> None:
        """Take the lock, read the time noted by a former holder, and write our process id.

        Raises:
            StoreError: another process has it, or the file cannot be made.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot open {self._store}: its lock file {self.path}: {error.strerror}",
                hint="the folder must exist and be writable, the file no link",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.noted = _time(_lines(descriptor)[1])
            size = os.pwrite(descriptor, self._text(self.noted), 0)
            os.ftruncate(descriptor, size)
        except BlockingIOError:
            holder = _lines(descriptor)[0].strip()
            os.close(descriptor)
            raise StoreError(
                f"cannot open {self._store}: another daemon (pid {holder or 'unknown'}) uses it",
                hint="one store belongs to one daemon: stop the other, or give this one a store of its own",
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"cannot open {self._store}: {self.path}: {error.strerror}") from error
        self._descriptor = descriptor
        _held.add(descriptor)

    def note(self, now: float) -> None:
        """Keep a time for the next holder: one small write into the page cache, safe from the process's end.

        Raises:
            StoreError: the lock is not held, or the file cannot be written.
        """
        if self._descriptor < 0:
            raise StoreError(f"cannot note the time in {self.path}: the store is not open")
        try:
            os.pwrite(self._descriptor, self._text(now), 0)
        except OSError as error:
            raise StoreError(f"cannot note the time in {self.path}: {error.strerror}") from error
        self.noted = now

    @staticmethod
    def _text(now: float) -> bytes:
        return f"{os.getpid()}\n{now!r}\n".encode()

    def release(self) -> None:
        """Give the lock back; may be called twice."""
        if self._descriptor >= 0:
            _held.discard(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


def _lines(descriptor: int) -> list[str]:
    return [*os.pread(descriptor, 80, 0).decode(errors="replace").split("\n"), ""]


def _time(line: str) -> float:
    try:
        time = float(line)
    except ValueError:
        return 0.0
    return time if math.isfinite(time) else 0.0
