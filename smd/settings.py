"""Settings of the daemon: files, then `SMD_*` environment, then flags. Resolved and frozen before anything starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smd.errors import SettingsError
from smd.yaml_source import read_yaml

SOCKET_PATH_LIMIT = 107
"""Bytes of a Unix socket's path on Linux."""


class Access(BaseModel):
    """Groups whose members have a role on the control socket; without any, whoever can open it operates."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operate: tuple[str, ...] = ()
    send: tuple[str, ...] = ()
    observe: tuple[str, ...] = ()


class Settings(BaseModel):
    """All settings. Paths that are not absolute begin at `state_dir`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state_dir: Path = Field(Path(".smd"), description="folder of store, logs and, unless given, the control socket")
    store: Path = Field(Path("smd.db"), description="the SQLite file")
    control_socket: Path = Field(Path("control.sock"), description="Unix socket of the API")
    logs: Path = Field(Path("logs"), description="folder of the machines' logs")
    machines: tuple[Path, ...] = Field((), description="files and folders of machines")
    actions_dirs: tuple[Path, ...] = Field((), description="folders of custom Python actions (*_action.py)")
    roots: tuple[Path, ...] = Field((), description="further folders that machines may load files from")
    work_folder: Path | None = Field(None, description="where relative paths of actions begin; default: the daemon's")
    synchronous: Literal["FULL", "NORMAL"] = Field("FULL", description="FULL survives power loss")
    control_prefix: Path | None = Field(None, description="prefix of the machines' datagram sockets")
    event_socket: Path | None = Field(None, description="socket of an event monitor that is told everything")
    datagrams: bool = Field(True, description="open the predecessor's datagram sockets")
    ephemeral: bool = Field(False, description="keep everything in memory only")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    access: Access = Access()

    def path(self, name: str) -> Path:
        """A path setting, made absolute."""
        value: Path = getattr(self, name)
        return value if value.is_absolute() else (self.state_dir / value).absolute()


def load_settings(
    files: tuple[Path, ...] = (), environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """Settings from files (later ones win), `SMD_*` variables, and flags that are not None.

    Raises:
        SettingsError: an unknown name, a wrong value, an unreadable file; says where.
    """
    values: dict[str, Any] = {}
    for file in files:
        values.update(_from_file(file))
    values.update(_from_environment(os.environ if environ is None else environ))
    values.update({name: value for name, value in (flags or {}).items() if value is not None})
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError("cannot use the settings: " + "; ".join(_told(e) for e in error.errors())) from None
    _check_socket(settings.path("control_socket"))
    return settings


def _told(error: Any) -> str:
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"


def _from_file(file: Path) -> dict[str, Any]:
    try:
        source = read_yaml(file.read_bytes(), str(file))
    except OSError as error:
        raise SettingsError(f"cannot read '{file}': {error.strerror}") from error
    if not isinstance(source.value, dict):
        raise SettingsError(f"cannot use '{file}': settings are a map of names to values")
    return source.value


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        text = environ.get(f"SMD_{name.upper()}")
        if text is None or name == "access":
            continue
        found[name] = tuple(text.split(":")) if "tuple" in str(field.annotation) else text
    return found


def _check_socket(path: Path) -> None:
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise SettingsError(
            f"cannot listen on '{path}': a socket's path has at most {SOCKET_PATH_LIMIT} bytes, "
            f"this one {len(os.fsencode(path))}",
            hint="choose a shorter --state-dir or control_socket",
        )
