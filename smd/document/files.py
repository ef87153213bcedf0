"""Where machine files are, reading them, and which of them are about the same machine."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from smd.errors import SettingsError
from smd.files import LargeFileError, files_below, read_file
from smd.problems import ERROR, DocumentError, Problem
from smd.yaml_source import MAX_BYTES

NO_MACHINES = "no_machines"
"""Code of the error that a folder holds no machine."""

_SUFFIXES = frozenset((".yaml", ".yml"))
_HINT = "name a machine's YAML file, or a folder of them"


def _refuse(error: SettingsError) -> NoReturn:
    raise error


def machine_files(path: Path, lacking: Callable[[SettingsError], object] = _refuse) -> list[Path]:
    """The machine files a path names: itself, or the `*.yaml` and `*.yml` in a folder, in order of name.

    Args:
        lacking: called with what a folder lacks: a folder in it that cannot be read, or any machine file at all
            (code NO_MACHINES). Without it, that is an error.

    Raises:
        SettingsError: nothing is there, or it cannot be looked at.
    """
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            return [path]
    except (FileNotFoundError, NotADirectoryError):
        raise SettingsError(f"cannot read '{path}': no such file", hint=_HINT) from None
    except OSError as error:
        raise SettingsError(f"cannot read '{path}': {error.strerror}") from error
    unread: list[SettingsError] = []
    below = map(Path, files_below(path, lambda error: unread.append(_unread(error, path))))
    found = sorted(file for file in below if file.suffix in _SUFFIXES and not _leads_nowhere(file))
    for each in unread:
        lacking(each)
    if not found and not unread:
        lacking(SettingsError(f"cannot find a machine in '{path}': no *.yaml or *.yml there", code=NO_MACHINES))
    return found


def _leads_nowhere(file: Path) -> bool:
    """A link to nothing: editors mark with one that they have a file open."""
    try:
        file.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # whoever reads it will tell
    return False


def _unread(error: OSError, named: Path) -> SettingsError:
    told = SettingsError(f"cannot read the folder '{error.filename}': {error.strerror}")
    if Path(error.filename) == named:
        raise told from error
    return told


def read_document(path: str | Path, *, pipes: bool = False) -> bytes:
    """The text of a document; with `pipes`, from a pipe, too.

    Raises:
        OSError: it cannot be read, or is no regular file. DocumentError: it is larger than any document.
    """
    try:
        return read_file(path, MAX_BYTES, pipes=pipes)
    except LargeFileError as error:
        raise DocumentError([Problem("smd-E006", ERROR, str(path), 1, 1, "", str(error.strerror))]) from None


class Names:
    """Which file gives which machine its name. Two files of one name are a mistake: nobody can say which is meant."""

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}

    def also_in(self, machine: str, file: Path) -> Path | None:
        """Note that a file is about this machine.

        Returns:
            The file that was about it before, if it is another one. Two paths that lead to one file are no two files.
        """
        first = self._files.setdefault(machine, file)
        return None if first == file or first.resolve() == file.resolve() else first
