"""Files that somebody names: read whole, within a limit, and only if they are files.

A pipe or a device can keep its reader waiting for ever, a huge file fills the memory: neither is begun with.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = {
    stat.S_IFDIR: (errno.EISDIR, "it is a folder, not a file"),
    stat.S_IFIFO: (errno.EINVAL, "it is a pipe, not a file"),
    stat.S_IFSOCK: (errno.EINVAL, "it is a socket, not a file"),
}
_DEVICE = (errno.EINVAL, "it is a device, not a file")


class LargeFileError(OSError):
    """A file over the limit. Nothing of it was kept."""


def read_file(path: str | Path, limit: int, *, pipes: bool = False) -> bytes:
    """A file's content.

    Args:
        limit: bytes it may have.
        pipes: a pipe will do, too, and is waited for.

    Raises:
        LargeFileError: it has more. OSError: it cannot be read, or is no regular file; `strerror` says why.
        ValueError: no file can have such a name.
    """
    _check(os.stat(path), path, limit, pipes=pipes)  # noqa: PTH116 - smctl does without pathlib; nor open a device
    waits = 0 if pipes else os.O_NONBLOCK
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | waits), "rb") as file:  # noqa: PTH123
        _check(os.fstat(file.fileno()), path, limit, pipes=pipes)  # another may stand there by now
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _large(path, f"more than {limit} bytes")
    return data


def _check(status: os.stat_result, path: str | Path, limit: int, *, pipes: bool) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        if status.st_size > limit:
            raise _large(path, f"{status.st_size} bytes, more than {limit}")
    elif not (pipes and kind == stat.S_IFIFO):
        raise OSError(*_KINDS.get(kind, _DEVICE), str(path))


def _large(path: str | Path, why: str) -> LargeFileError:
    return LargeFileError(errno.EFBIG, f"it has {why}", str(path))


def files_below(folder: str | Path, unread: Callable[[OSError], None]) -> list[str]:
    """Paths of all that is in a folder, at any depth, and is no folder; symbolic links to folders are not followed.

    Args:
        unread: called with the error for each folder that cannot be read; its `filename` is the folder.
    """
    return [os.path.join(above, name) for above, _, names in os.walk(folder, onerror=unread) for name in names]  # noqa: PTH118
