"""The lock file that keeps a second daemon away from a store."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from smd.errors import StoreError


class LockFile:
    """`<path>.lock`, held by `flock` until released or until the process ends, however it ends.

    The file stays behind: removing it would let two processes lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        # Two names of one file must meet at one lock.
        self.path = Path(f"{path.resolve()}.lock")
        self._store = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock and write our process id into it.

        Raises:
            StoreError: another process has it, or the file cannot be made.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot open {self._store}: its lock file {self.path}: {error.strerror}",
                hint="the folder must exist and be writable",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise StoreError(
                f"cannot open {self._store}: another daemon (pid {holder or 'unknown'}) uses it",
                hint="one store belongs to one daemon: stop the other, or give this one a store of its own",
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"cannot open {self._store}: {self.path}: {error.strerror}") from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
