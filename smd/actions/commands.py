"""`bash` and `run`: commands as process trees; the exit code becomes an event."""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smd.actions.base import MISSING, Call
from smd.actions.environment import child_environment
from smd.actions.processes import CAP, Finished, run_tree
from smd.actions.values import parse_json, path_of
from smd.errors import ActionError, ChartError
from smd.shell import ShellProgram, check_argument, check_no_dash
from smd.statechart.durations import parse_duration
from smd.statechart.event import Outcome
from smd.statechart.template import Placeholder

PARSED_CAP = 1 << 20
"""Bytes of output that `parse` reads; as much as a whole context may hold."""

_SHOWN = 500
_NO_OPTION = "options of this program run code or other programs; write -- before the placeholder where it allows that"


async def perform_bash(call: Call) -> Outcome:
    """Run shell text. Placeholders arrive as variables; see `smd.shell`."""
    program: ShellProgram
    program, placeholders = call.action.program
    try:
        values = [_value(call, p) for p in placeholders]
        roots = [str(each) for each in call.params.get("roots") or ()]
        argv = program.argv(values, roots)
    except ActionError as error:
        return _could_not(call, program.text, error, call.fault())
    return await _perform(call, argv, program.text)


def _value(call: Call, placeholder: Placeholder) -> Any:
    """What a placeholder of the command stands for: without a value, its own text; with a default of none, nothing."""
    value = placeholder.render(call.lookup)
    if value is MISSING:
        call.log("warning", f"bash: '{{{placeholder.text}}}' has no value and stays as written")
        return f"{{{placeholder.text}}}"
    return "" if value is None else value


async def perform_run(call: Call) -> Outcome:
    """Run a program without a shell; each item of `command` is exactly one argument.

    The items that `smd.shell.check_argv` found where a program that runs others takes options do not begin with `-`.
    """
    given = call.params["command"]
    try:
        if not isinstance(given, list) or not given:
            raise ActionError(f"cannot run {given!r:.80}: command must be a list: program, argument ...")
        argv = [check_argument(item, f"argument {number}") for number, item in enumerate(given)]
        for number in call.action.program or ():
            check_no_dash(argv[number], f"argument {number}", _NO_OPTION)
    except ActionError as error:
        return _could_not(call, str(given), error, call.fault())
    return await _perform(call, argv, shlex.join(argv))


async def _perform(call: Call, argv: Sequence[str], shown: str) -> Outcome:
    try:
        timeout = _seconds(call, "timeout")
        finished = await run_tree(
            argv,
            env=child_environment(call, call.params.get("env") or {}),
            cwd=_folder(call),
            stdin=_stdin(call.params.get("stdin")),
            mark=call.full_key,
            timeout=timeout,
            kill_after=_seconds(call, "kill_after") or 5.0,
            limits=call.params.get("limits") or {},
            on_output=call.output,
            cap=PARSED_CAP if call.params.get("parse") in {"json", "lines"} else CAP,
        )
    except ActionError as error:
        return _could_not(call, shown, error)
    if timeout is not None and finished.timed_out:
        return _failed(call, shown, f"timed out after {timeout:g} s")
    return _answer(call, shown, finished)


# --- what it is given -------------------------------------------------------------------------------------------------


def _seconds(call: Call, name: str) -> float | None:
    value = call.params.get(name)
    try:
        return None if value is None else parse_duration(value)
    except ChartError as error:
        raise ActionError(f"cannot use {name}: {error.message}", hint=error.hint) from error


def _stdin(value: Any) -> bytes | None:
    if value is None:
        return None
    try:
        return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()
    except UnicodeEncodeError as error:
        raise ActionError(f"cannot give stdin: {error}") from error


def _folder(call: Call) -> Path:
    """The folder to run in. One that data chose must lie in the work folder or under a root (P9)."""
    base = call.work_folder.absolute()
    given = call.params.get("cwd")
    if given is None:
        return base
    if not isinstance(given, str) or not given or "\0" in given:
        raise ActionError(f"cannot use cwd {given!r:.80}: it must be a folder")
    folder = base / given
    if given != _as_written(call, "cwd"):
        roots = [base, *(base / str(root) for root in call.params.get("roots") or ())]
        if not any(_within(folder, root) for root in roots):
            raise ActionError(
                f"cannot use cwd '{given}': it lies outside the work folder {base}",
                hint="write the folder literally, or declare it under roots:",
            )
    return folder


def _within(folder: Path, root: Path) -> bool:
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root))


def _as_written(call: Call, name: str) -> Any:
    """A parameter as its author wrote it: rendered where nothing has a value."""
    rendered = call.action.params.render(lambda _: MISSING)
    return rendered.get(name) if isinstance(rendered, dict) else None


# --- what becomes of it -----------------------------------------------------------------------------------------------


def _answer(call: Call, shown: str, finished: Finished) -> Outcome:
    code = _exit_code(finished.returncode)
    try:
        patch = _stored(call, finished)
    except ActionError as error:
        if code == 0:
            return _failed(call, shown, error.message)
        patch = ()  # the exit code says more than output that is no JSON either
    if code == 0:
        return call.done(patch=patch)
    events = call.action.error_events
    event = events.get(str(code), events.get(str(finished.returncode), ""))
    return _failed(call, shown, _why(finished), event, code=code, patch=patch)


def _exit_code(returncode: int) -> int:
    """As shells have it: 128 + n for a program ended by signal n."""
    return returncode if returncode >= 0 else 128 - returncode


def _why(finished: Finished) -> str:
    code = finished.returncode
    try:
        ended = f"exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
    except ValueError:
        ended = f"ended by signal {-code}"
    told = finished.stderr.decode(errors="replace").strip()
    return f"{ended}: {told[-_SHOWN:]}" if told else ended


def _stored(call: Call, finished: Finished) -> tuple[tuple[Any, ...], ...]:
    """Where `store_as` says so, the output: text without its last newline, its lines, or the JSON value it is."""
    key = call.params.get("store_as")
    if not key:
        return ()
    text = finished.stdout.decode(errors="replace")
    parse = call.params.get("parse")
    if parse in {"json", "lines"} and finished.dropped[0]:
        size = finished.dropped[0] + PARSED_CAP
        raise ActionError(f"cannot parse the output: it has {size:,} bytes, more than {PARSED_CAP:,}")
    if parse == "json":
        return (("set", path_of(key), parse_json(text, key)),)
    return (("set", path_of(key), _lines(text) if parse == "lines" else text.removesuffix("\n")),)


def _lines(text: str) -> list[str]:
    """What programs mean by lines: each ends with a newline, perhaps with CR before it, and by nothing else."""
    *whole, rest = text.split("\n")
    lines = [line.removesuffix("\r") for line in whole]
    return [*lines, rest] if rest else lines


def _could_not(call: Call, shown: str, error: ActionError, event: str | None = "") -> Outcome:
    return _failed(call, shown, f"{error.message} ({error.hint})" if error.hint else error.message, event)


def _failed(
    call: Call, shown: str, error: str, event: str | None = "", *,
    code: int | None = None, patch: tuple[tuple[Any, ...], ...] = (),
) -> Outcome:  # fmt: skip
    """A failure in the context's words. An exit code of an earlier command does not stay behind."""
    told: list[tuple[Any, ...]] = [("set", ("last_error_command",), shown[:1000])]
    if code is None:
        told.append(("unset", ("last_error_exit_code",)))
    return call.failed(error, event, patch=(*told, *patch), exit_code=code)
