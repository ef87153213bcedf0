"""Where machine files are, and which of them are about the same machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from smd.errors import SettingsError

_SUFFIXES = frozenset((".yaml", ".yml"))


def machine_files(path: Path) -> list[Path]:
    """The machine files a path names: itself, or the `*.yaml` and `*.yml` in a folder, in order of name.

    Raises:
        SettingsError: nothing is there.
    """
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.suffix in _SUFFIXES and p.is_file())
    if not path.is_file():
        raise SettingsError(
            f"cannot read '{path}': no such file", hint="name a machine's YAML file, or a folder of them"
        )
    return [path]


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The machine files of several paths in the order given, each once.

    Raises:
        SettingsError: at one of them nothing is there.
    """
    return list({file.absolute(): file for path in paths for file in machine_files(path)}.values())


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
