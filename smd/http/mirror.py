"""The mirror of what happens: the predecessor's event datagrams, sent to another program's socket."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import structlog

from smd import codec
from smd.errors import SettingsError
from smd.http.ports import Bus, Notice

_log = structlog.get_logger("smd.mirror")

Identity = tuple[int, int]
"""Device and inode of a file: the same under each of its names."""


def identity(path: Path) -> Identity | None:
    """Which file is there, links followed; None if none is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


_STAMPED = frozenset(
    {"machine_registered", "state_change", "error", "machine_terminated", "job_started", "job_completed"}
)
_NAMED = frozenset({"machine_registered", "machine_terminated"})


def wire_shape(notice: Notice) -> dict[str, Any]:
    """A notice as the predecessor's machines wrote it: `machine_name`, `type`, `payload`."""
    payload = dict(notice.data)
    if notice.kind in _STAMPED:
        payload.setdefault("timestamp", notice.at)
    if notice.kind in _NAMED:
        payload.setdefault("machine_name", notice.machine)
    return {"machine_name": notice.machine, "type": notice.kind, "payload": payload}


def check_mirror(path: Path, own: Iterable[Path]) -> None:
    """Refuse to mirror events to a socket that this program reads: each event would cause the next one, for ever.

    Raises:
        SettingsError: `path` leads to the same place as one of `own`.
    """
    meant = Path(os.path.realpath(path))
    for each in own:
        if each.name == meant.name and Path(os.path.realpath(each.parent)) == meant.parent:
            raise SettingsError(
                f"cannot send all events to {path}: the daemon itself listens on {each}",
                hint="name another program's socket (--event-socket-path), or choose another --state-dir",
            )


class EventMirror:
    """Every notice of the bus, sent to another program's datagram socket. It never waits for that program.

    `sent` and `dropped` count notices; a program that comes back is found at the next notice. Nothing is sent to a
    file whose identity is in `own` (see `check_mirror`), which may grow.
    """

    def __init__(self, path: Path, bus: Bus, own: Collection[Identity] = frozenset()) -> None:
        self._path = path
        self._bus = bus
        self._own = own
        self._told = False
        self._sock: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self.sent = 0
        self.dropped = 0

    def open(self) -> None:
        """Begin to mirror what happens from now on."""
        self._subscription = self._bus.subscribe()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._subscription.close()
            self._disconnect()
            self._task = None

    async def _run(self) -> None:
        while True:
            self._send(codec.dumps(wire_shape(await self._subscription.get())))

    def _send(self, datagram: bytes) -> None:
        """Once over the connection there is; once more over a new one, if the program was started anew."""
        for fresh in (False, True):
            try:
                self._connected(fresh=fresh).send(datagram)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self._disconnect()
            else:
                self.sent += 1
                return
        self.dropped += 1

    def _connected(self, *, fresh: bool) -> socket.socket:
        if self._sock is None or fresh:
            self._disconnect()
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sock.setblocking(False)
            self._sock = sock
            sock.connect(os.fspath(self._path))
            if identity(self._path) in self._own:
                self._tell_own()
                raise OSError(errno.ELOOP, "the daemon's own socket")
        return self._sock

    def _tell_own(self) -> None:
        if not self._told:
            self._told = True
            _log.error("events are not mirrored", socket=os.fspath(self._path), reason="the daemon listens there")

    def _disconnect(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.close()
            self._sock = None
