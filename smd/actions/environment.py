"""What a child process is given: an environment from an allow-list, limits, a program that exists."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from smd.actions.base import Call
from smd.catalogue import amount
from smd.errors import ActionError, ChartError
from smd.shell import check_argument, name_fault
from smd.statechart.durations import parse_duration

ALLOWED = frozenset(
    ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", "XDG_RUNTIME_DIR")
)  # fmt: skip
"""What passes from the environment the daemon was started in, beside `LC_*`."""

LIMITS = {
    "cpu": ("cpu", resource.RLIMIT_CPU),
    "memory": ("as", resource.RLIMIT_AS),
    "as": ("as", resource.RLIMIT_AS),
    "nofile": ("nofile", resource.RLIMIT_NOFILE),
    "fsize": ("fsize", resource.RLIMIT_FSIZE),
    "nproc": ("nproc", resource.RLIMIT_NPROC),
}
"""Limit in the chart to option of prlimit(1) and resource."""

PRLIMIT = ("/usr/bin/prlimit", "/bin/prlimit")
_SET_AND_EXEC = (
    "import os, resource, sys\n"
    "for word in sys.argv[1].split(','):\n"
    "    number, soft, hard = map(int, word.split(':'))\n"
    "    resource.setrlimit(number, (soft, hard))\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


class _AtStart:
    """The environment before any action could change it: a Python action changes the whole process's."""

    environ: ClassVar[dict[str, str]] = dict(os.environ)


def remember() -> None:
    """Give children what holds now, whatever becomes of it."""
    _AtStart.environ = dict(os.environ)


def child_environment(call: Call, extra: Mapping[str, Any]) -> dict[str, str]:
    """The environment of an action's child: the allow-list, `extra`, and the action's own words.

    Raises:
        ActionError: a name in `extra` is not one, or belongs to smd; a value cannot stand in an environment.
    """
    chosen = {k: v for k, v in _AtStart.environ.items() if k in ALLOWED or k.startswith("LC_")}
    for name, value in extra.items():
        if fault := name_fault(name):
            raise ActionError(f"cannot set the environment variable {name!r:.80}: {fault}")
        if value is not None:
            chosen[name] = check_argument(value, f"env: {name}")
    chosen.setdefault("PATH", os.defpath)
    return chosen | {
        "SMD_ACTION": call.full_key,
        "SMD_MACHINE": call.machine,
        "SMD_STATE": call.state,
        "SMD_KEY": call.key,
    }


def resolve_program(program: str, env: Mapping[str, str], cwd: str) -> str:
    """Absolute path of the program an argument list begins with, found as a shell in `cwd` would.

    Raises:
        ActionError: there is none, or it may not be executed; or there is no such folder.
    """
    if not Path(cwd).is_dir():
        raise ActionError(f"cannot run '{program}': there is no folder '{cwd}'", hint="create it, or change cwd:")
    where = str(Path(cwd, program)) if "/" in program else program
    folders = env.get("PATH", os.defpath)
    if folders:
        folders = os.pathsep.join(str(Path(cwd, each)) for each in folders.split(os.pathsep))
    found = shutil.which(where, path=folders)
    if found is not None:
        return str(Path(found).absolute())
    if "/" not in program:
        raise ActionError(f"cannot run '{program}': no such program in PATH", hint="name it by its full path")
    why = "it is not executable" if Path(where).exists() else "no such file"
    raise ActionError(f"cannot run '{program}': {why}", hint=f"relative programs are looked up from {cwd}")


def limiting(limits: Mapping[str, Any]) -> list[str]:
    """The words before a program that make it start with `limits`, so that no moment is without them.

    prlimit(1) does that; where it is missing, this Python with a constant text. The value is the soft and the hard
    limit; of `cpu` the hard limit is one second later, so that SIGXCPU tells what happened.

    Args:
        limits: `cpu` (seconds or a duration), `memory`, `as`, `fsize` (bytes, `64M`), `nofile`, `nproc` (numbers).

    Raises:
        ActionError: an unknown limit or a value that is none.
    """
    set_to = [(LIMITS[name], *_range(name, value)) for name, value in _known(limits).items() if value is not None]
    if not set_to:
        return []
    prlimit = next((path for path in PRLIMIT if os.access(path, os.X_OK)), None)
    if prlimit is not None:
        return [prlimit, *(f"--{option}={soft}:{hard}" for (option, _), soft, hard in set_to), "--"]
    words = ",".join(f"{number}:{soft}:{hard}" for (_, number), soft, hard in set_to)
    return [sys.executable, "-I", "-S", "-c", _SET_AND_EXEC, words]


def _known(limits: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in limits:
        if name not in LIMITS:
            raise ActionError(f"cannot limit {name!r:.40}: known limits are {', '.join(LIMITS)}")
    return limits


def _range(name: str, value: object) -> tuple[int, int]:
    soft = _seconds(value) if name == "cpu" else _amount(name, value)
    _, highest = resource.getrlimit(LIMITS[name][1])
    hard = soft + 1 if name == "cpu" else soft
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    return soft, hard


def _seconds(value: object) -> int:
    try:
        return max(1, round(parse_duration(value)))
    except ChartError as error:
        raise ActionError(f"cannot limit cpu: {error.message}", hint=error.hint) from error


def _amount(name: str, value: object) -> int:
    try:
        return amount(value)
    except ChartError as error:
        raise ActionError(f"cannot limit {name}: it {error.message}", hint=error.hint) from error


def spawn_error(program: str, cwd: str, error: OSError) -> ActionError:
    """Why a program could not be started, in words."""
    words = {
        errno.E2BIG: ("its arguments and environment are too long", "give long values through stdin:"),
        errno.ENOEXEC: ("it is no program: a script needs a first line like #!/bin/sh", ""),
        errno.EAGAIN: ("no more processes are allowed", "raise TasksMax= or the user's process limit"),
        errno.EMFILE: ("the daemon has too many open files", "raise LimitNOFILE= of the service"),
    }
    why, hint = words.get(error.errno or 0, (error.strerror or str(error), ""))
    if not Path(cwd).is_dir():
        why, hint = f"there is no folder '{cwd}'", "create it, or change cwd:"
    return ActionError(f"cannot run '{program}': {why}", hint=hint)
