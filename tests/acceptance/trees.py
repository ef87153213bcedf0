"""Processes of actions: finding them by a word in their environment, hearing from them, waiting for their end."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable
from pathlib import Path


def marked(word: str) -> dict[int, str]:
    """The living processes with this word in their environment, and their command lines."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if word.encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return found


def gone(pids: Iterable[int], within: float) -> bool:
    """Wait until these processes have ended; whether they have before `within` seconds are over."""
    deadline = time.monotonic() + within
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return False
        finally:
            os.close(descriptor)
    return True


class Whisper:
    """A pipe with a name, into which commands write a line when they have come so far."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "whisper"
        os.mkfifo(self.path)
        # For reading and writing, so that it does not end when a writer does.
        self._lines = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CLOEXEC), "rb", buffering=0)

    def hear(self, count: int) -> list[str]:
        """Wait for so many lines."""
        return [self._lines.readline().decode().strip() for _ in range(count)]

    def close(self) -> None:
        self._lines.close()
