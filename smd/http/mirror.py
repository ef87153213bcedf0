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


_PATIENCE = 0.05
"""Seconds that a program with a full queue has for reading."""
_CLOSE_SECONDS = 2.0

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
    """Every notice of the bus, sent to another program's datagram socket.

    A program that keeps up is given a moment whenever its queue is full (the kernel's holds about ten); one that
    does not read within it is waited for no more until it has read. `sent` and `dropped` count notices; a program
    that comes back is found at the next notice. Nothing is sent to a file whose identity is in `own` (see
    `check_mirror`), which may grow.
    """

    def __init__(self, path: Path, bus: Bus, own: Collection[Identity] = frozenset()) -> None:
        self._path = path
        self._bus = bus
        self._own = own
        self._told = False
        self._sock: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._reads = True
        self.sent = 0
        self.dropped = 0

    def open(self) -> None:
        """Begin to mirror what happens from now on."""
        self._subscription = self._bus.subscribe()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Send what was told so far, and stop."""
        if self._task is not None:
            self._subscription.close()
            await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._disconnect()
            self._task = None

    async def _run(self) -> None:
        while True:
            datagram = codec.dumps(wire_shape(await self._subscription.get()))
            sent = self._send(datagram)
            if sent is None and self._reads:
                await self._room()
                sent = self._send(datagram)
            self._reads = sent is not None
            self.sent += bool(sent)
            self.dropped += not sent

    async def _room(self) -> None:
        """Wait until the program has read something, but not for long."""
        sock, loop = self._sock, asyncio.get_running_loop()
        if sock is None:
            return
        free: asyncio.Future[None] = loop.create_future()
        loop.add_writer(sock.fileno(), free.cancel)
        try:
            await asyncio.wait({free}, timeout=_PATIENCE)
        finally:
            loop.remove_writer(sock.fileno())

    def _send(self, datagram: bytes) -> bool | None:
        """Once over the connection there is; once more over a new one, if the program was started anew.

        Returns:
            Whether somebody has it; None if the program's queue is full.
        """
        for fresh in (False, True):
            try:
                self._connected(fresh=fresh).send(datagram)
            except (BlockingIOError, InterruptedError):
                return None
            except OSError:
                self._disconnect()
            else:
                return True
        return False

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
