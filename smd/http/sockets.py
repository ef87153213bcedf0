"""Binding Unix sockets: a dead owner's file is replaced, a living one's is refused, our own is removed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from smd.errors import SettingsError

PATH_LIMIT = 107
"""Bytes of a path in `sun_path` (unix(7)), its closing zero not counted."""


class BoundSocket:
    """A bound Unix socket and the file that stands for it."""

    def __init__(self, sock: socket.socket, path: Path) -> None:
        self.sock = sock
        self.path = path
        self._mark = _mark(path)

    def close(self) -> None:
        """Close it and remove its file, unless the file is another's by now. May be called twice."""
        if self._mark is not None and _mark(self.path) == self._mark:
            self.path.unlink(missing_ok=True)
        self._mark = None
        self.sock.close()


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino)


def check_path(path: Path) -> None:
    """Refuse a path that no socket can have.

    Raises:
        SettingsError: longer than the kernel allows.
    """
    length = len(os.fsencode(path))
    if length > PATH_LIMIT:
        raise SettingsError(
            f"cannot listen on {path}: the path has {length} bytes and a socket's may have {PATH_LIMIT}",
            hint="choose a shorter folder, for instance with --state-dir or in $XDG_RUNTIME_DIR",
        )


@contextlib.contextmanager
def _folder_locked(path: Path) -> Iterator[None]:
    """Two daemons that start at once must not replace each other's new file."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(f"cannot listen on {path}: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield
        finally:  # closing alone would leave it to a child that another thread is just starting
            fcntl.flock(folder, fcntl.LOCK_UN)
    except BlockingIOError as error:
        raise SettingsError(
            f"cannot listen on {path}: another daemon is starting in this folder", hint="start again in a moment"
        ) from error
    finally:
        os.close(folder)


def someone_listens(path: Path, kind: socket.SocketKind) -> bool:
    """Is there a program behind this socket file?"""
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(os.fspath(path))
    return answer not in {errno.ECONNREFUSED, errno.ENOENT}


def _clear(path: Path, kind: socket.SocketKind) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SettingsError(f"cannot listen on {path}: something else than a socket is there")
    if someone_listens(path, kind):
        raise SettingsError(f"cannot listen on {path}: another daemon listens there", hint="stop it first")
    path.unlink(missing_ok=True)


def bind_unix(path: Path, kind: socket.SocketKind, *, mode: int = 0o660) -> BoundSocket:
    """Bind a non-blocking Unix socket. At no moment does its file have wider rights than `mode`.

    Raises:
        SettingsError: the path is too long, or not writable, or a living program or another kind of file
            is there.
    """
    check_path(path)
    with _folder_locked(path):
        _clear(path, kind)
        sock = socket.socket(socket.AF_UNIX, kind)
        try:
            sock.setblocking(False)
            os.fchmod(sock.fileno(), mode)
            sock.bind(os.fspath(path))
            path.chmod(mode)
        except OSError as error:
            sock.close()
            raise SettingsError(f"cannot listen on {path}: {error.strerror}") from error
    return BoundSocket(sock, path)
