"""Where machine files are."""

from __future__ import annotations

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
