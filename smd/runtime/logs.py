"""A log file for each machine: what its `log` actions say, what went wrong, and the full output of its commands."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import structlog

OPEN_FILES = 256
LONGEST_LINE = 65_536
"""Bytes of output without a line break that are written as a line."""
KEEP_BYTES = 10_000_000
"""A log that grows beyond it is moved to `.1`, whose place is lost."""

_log = structlog.get_logger("smd.logs")


def file_name(machine: str) -> str:
    """A machine's name as a file name, escaped like systemd-escape: everything but letters, digits and `:_.-`."""
    escaped = "".join(
        c if (c.isalnum() and c.isascii()) or c in ":_-" or (c == "." and n) else _escape(c)
        for n, c in enumerate(machine)
    )
    return escaped or "_"


def _indented(message: str) -> str:
    return message.replace("\n", "\n    ") if "\n" in message else message


def _escape(character: str) -> str:
    return (
        "-" if character == "/" else "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
    )


def _appending(path: Path) -> IO[bytes]:
    """The file, open at its end. One that is made is not for others to read: commands print all sorts of things."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    return os.fdopen(descriptor, "ab", buffering=0)


class MachineLogs:
    """Appends lines; callable from any thread. Without a folder only the last lines are kept, in memory.

    `listener` is called with (machine, bytes) for whatever is appended, after it is. Lines that cannot be written are
    lost, as a full disk must not keep a machine from its work; the daemon's log says so when it begins and ends.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: OrderedDict[str, IO[bytes]] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._tails: dict[str, deque[str]] = {}
        self._rests: dict[tuple[str, str, str], bytes] = {}
        self._lost: dict[str, int] = {}
        self.listener: Callable[[str, bytes], None] | None = None
        self._lock = threading.Lock()

    def write(self, machine: str, level: str, message: str, at: float) -> None:
        """One line of text; line breaks inside it are indented."""
        self.write_all(machine, [(level, message)], at)

    def write_all(self, machine: str, lines: Iterable[tuple[str, str]], at: float) -> None:
        """Several lines (level, message) of one moment."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}Z"
        told = [f"{stamp} {level:<7} {_indented(message)}\n" for level, message in lines]
        if told:
            self._append(machine, "".join(told).encode("utf-8", "backslashreplace"))

    def output(self, machine: str, key: str, stream: str, data: bytes) -> None:
        """Raw output of a command, as it arrives; a line is written once it is whole. `key` tells commands apart."""
        *whole, rest = (self._rests.pop((machine, key, stream), b"") + data).split(b"\n")
        if len(rest) >= LONGEST_LINE:
            whole.append(rest)
        elif rest:
            self._rests[machine, key, stream] = rest
        mark = b"    | " if stream == "stdout" else b"    ! "
        if whole:
            self._append(machine, b"".join([mark + line + b"\n" for line in whole]))

    def end_output(self, machine: str, key: str) -> None:
        """The command is over: write what stands in an unfinished last line."""
        if not self._rests:
            return
        for stream in ("stdout", "stderr"):
            if (machine, key, stream) in self._rests:
                self.output(machine, key, stream, b"\n")

    def _append(self, machine: str, data: bytes) -> None:
        self._to_file(machine, data)
        if self.listener is not None:
            self.listener(machine, data)

    def _to_file(self, machine: str, data: bytes) -> None:
        with self._lock:
            if self._folder is None:
                tail = self._tails.setdefault(machine, deque(maxlen=1000))
                tail.extend(data.decode("utf-8", "replace").removesuffix("\n").split("\n"))
                return
            try:
                file = self._file(machine)
                file.write(data)
                self._sizes[machine] += len(data)
                if self._sizes[machine] > KEEP_BYTES:
                    self._rotate(machine)
            except OSError as error:
                self._lose(machine, data, error)
                return
            if self._lost and (lost := self._lost.pop(machine, 0)):
                _log.info("the machine's log is written again", machine=machine, lost_bytes=lost)

    def _lose(self, machine: str, data: bytes, error: OSError) -> None:
        if machine not in self._lost:
            _log.error("cannot write the machine's log", machine=machine, why=error.strerror)
        self._lost[machine] = self._lost.get(machine, 0) + len(data)

    def _path(self, machine: str) -> Path:
        return (self._folder or Path()) / f"{file_name(machine)}.log"

    def _file(self, machine: str) -> IO[bytes]:
        file = self._files.pop(machine, None)
        if file is None:
            if len(self._files) >= OPEN_FILES:
                oldest, closed = self._files.popitem(last=False)
                closed.close()
                del self._sizes[oldest]
            file = _appending(self._path(machine))
            self._sizes[machine] = file.tell()
        self._files[machine] = file
        return file

    def _rotate(self, machine: str) -> None:
        self._files.pop(machine).close()
        del self._sizes[machine]
        path = self._path(machine)
        with contextlib.suppress(FileNotFoundError):  # someone has removed it; the next line makes another
            path.replace(path.with_suffix(".log.1"))

    def tail(self, machine: str, lines: int) -> list[str]:
        """The last lines, oldest first."""
        with self._lock:
            if self._folder is None:
                return list(self._tails.get(machine, ()))[-lines:]
        path = self._path(machine)
        if not path.exists():
            return []
        with path.open("rb") as file:
            end = file.seek(0, 2)
            size = 512 * max(lines, 1) + 4096
            while True:
                start = file.seek(max(0, end - size))
                found = file.read(end - start).split(b"\n")[:-1]
                if not start or len(found) > lines:  # the first one may be cut
                    return [line.decode("utf-8", "replace") for line in found[-lines:]] if lines else []
                size *= 4

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()
            self._sizes.clear()
