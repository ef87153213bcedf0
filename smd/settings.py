"""Settings of the daemon: files, then `SMD_*` environment, then flags. Resolved and frozen before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smd.errors import SettingsError
from smd.files import read_file
from smd.problems import ERROR, Problem, arranged, did_you_mean, dotted, render_problems, shown
from smd.yaml_source import MAX_BYTES, Source, scan_yaml

SOCKET_PATH_LIMIT = 107
"""Bytes of a Unix socket's path on Linux."""

_LINKS = re.compile(r"SMD_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?|NAME|ENV_\w+)")
"""What container programs set in each container beside one that is called smd."""
_OTHERS = frozenset(("SMD_HOST", "SMD_ACTION", "SMD_MACHINE", "SMD_STATE", "SMD_KEY"))
"""Variables of smd that are no settings: smctl's, and those that an action's commands are given."""

_WORDS = {
    "tuple_type": "a list", "path_type": "a path", "string_type": "a text", "model_type": "a mapping",
    "bool_type": "true or false", "bool_parsing": "true or false",
}  # fmt: skip


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
    """Settings from files (later ones win), `SMD_*` variables that are not empty, and flags that are not None.

    A variable holds a list as texts between colons, and `SMD_ACCESS` what stands under `access:`, as JSON.

    Raises:
        SettingsError: unknown names, wrong values, an unreadable file; tells all of them, each with its place.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    layers = [*map(_from_file, files), *_from_environment(os.environ if environ is None else environ)]
    layers += [_said(f"--{name.replace('_', '-')}", name, value) for name, value in given.items()]
    values: dict[str, Any] = {}
    told = []
    for layer in layers:
        if problems := layer.problems or _problems(layer.source):
            told.append(render_problems(arranged(problems), layer.source.text))
        values.update(layer.source.value if not problems else {})
    if told:
        raise SettingsError("cannot use the settings:\n\n" + "\n\n".join(told))
    settings = Settings(**values)
    _check_socket(settings.path("control_socket"))
    return settings


class _Layer(NamedTuple):
    """Settings from one place, and what is wrong with their text."""

    source: Source
    problems: list[Problem]


def _from_file(file: Path) -> _Layer:
    try:
        source, problems = scan_yaml(read_file(file, MAX_BYTES), str(file))
    except OSError as error:
        raise SettingsError(f"cannot read '{file}': {error.strerror}") from error
    if source.value is None:
        source.value = {}
    elif not isinstance(source.value, dict):
        problems.append(Problem("smd-E100", ERROR, str(file), 1, 1, "", "settings are a mapping of names to values"))
    return _Layer(source, problems)


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Layer]:
    known = {f"SMD_{name.upper()}": name for name in Settings.model_fields}
    for variable, text in environ.items():
        if not variable.startswith("SMD_") or variable in _OTHERS or _LINKS.fullmatch(variable) or not text:
            continue
        if variable not in known:
            hint = did_you_mean(variable, known, 0.75) or f"known are {', '.join(known)}"
            problem = Problem("smd-E101", ERROR, variable, 0, 0, "", "there is no such setting", hint)
            yield _Layer(Source(variable, "", {}), [problem])
        elif variable == "SMD_ACCESS":
            source, problems = scan_yaml(text, variable)
            yield _Layer(source, problems) if problems else _said(variable, "access", source.value)
        else:
            is_list = "tuple" in str(Settings.model_fields[known[variable]].annotation)
            yield _said(variable, known[variable], [part for part in text.split(":") if part] if is_list else text)


def _said(by: str, name: str, value: Any) -> _Layer:
    """One setting, from a variable or flag: a source without text, its name in the place of a file's."""
    return _Layer(Source(by, "", {name: value}), [])


def _problems(source: Source) -> list[Problem]:
    try:
        Settings(**source.value)
    except ValidationError as error:
        return [_problem(source, detail) for detail in error.errors(include_url=False)]
    return []


def _problem(source: Source, detail: Any) -> Problem:
    kind, path = detail["type"], detail["loc"]
    code, message, hint = "E103", f"must be {_WORDS.get(kind)} (got {shown(detail['input'])})", ""
    place = source.place(path)
    if kind == "extra_forbidden":
        known = (Access if path[0] == "access" else Settings).model_fields
        code, message, place = "E101", f"unknown setting {shown(path[-1])}", source.place_of_key(path)
        hint = did_you_mean(path[-1], known) or f"known are {', '.join(known)}"
    elif kind == "literal_error":
        code, message = "E102", f"must be {detail['ctx']['expected']} (got {shown(detail['input'])})"
        hint = did_you_mean(detail["input"], re.findall("'(.*?)'", detail["ctx"]["expected"]))
    elif kind not in _WORDS:
        code, message = "E102", f"{detail['msg']} (got {shown(detail['input'])})"
    within = path if source.text else path[1:]
    return Problem(f"smd-{code}", ERROR, source.name, *place, dotted(within), message, hint)


def _check_socket(path: Path) -> None:
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise SettingsError(
            f"cannot listen on '{path}': a socket's path has at most {SOCKET_PATH_LIMIT} bytes, "
            f"this one {len(os.fsencode(path))}",
            hint="choose a shorter --state-dir or control_socket",
        )
