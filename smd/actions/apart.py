"""Folder and file mode mask of a thread, so that a Python action changes its own and not everybody's."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

_CLONE_FS = 0x200


class _AtStart:
    """As the process had them when it began, before any action could change them."""

    folder = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    umask = -1


def remember() -> None:
    """What holds now holds from now on."""
    os.close(_AtStart.folder)
    _AtStart.folder = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            _AtStart.umask = int(line.split()[1], 8)


def umask() -> int:
    """The mask at the start; -1 where the kernel does not tell."""
    return _AtStart.umask


def set_apart() -> bool:
    """Give this thread a folder and a mask of its own; False where that is not permitted, as in some containers."""
    return int(ctypes.CDLL(None).unshare(_CLONE_FS)) == 0


def set_back() -> None:
    """In a thread set apart: folder and mask as at the start."""
    if _AtStart.umask >= 0:
        os.umask(_AtStart.umask)
    with contextlib.suppress(OSError):  # nobody may enter it any more
        os.chdir(_AtStart.folder)
