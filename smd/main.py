"""The `smd` command: run in the foreground, serve under systemd, check files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from smd import __version__, log
from smd.document import Names, check_document, machine_files, read_document
from smd.errors import ChartError, SettingsError, SmdError
from smd.problems import DocumentError, render_problems
from smd.settings import Settings, load_settings

INVALID = 8
"""Exit code for an invalid configuration; the same as smctl's."""

_SYSTEM = Path("/etc/smd")


_PATH = click.Path(path_type=Path, readable=False)
"""Whoever reads the file tells what is wrong with it."""


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((
        click.option("--state-dir", type=_PATH, help="Store, logs and control socket. [default: ./.smd]"),
        click.option("--actions-dir", type=_PATH, multiple=True, help="Folder of *_action.py files."),
        click.option("--event-socket-path", type=_PATH, help="Datagram socket of an event monitor."),
        click.option("--control-socket-prefix", type=_PATH, help="Prefix of the machines' datagram sockets."),
        click.option("--compat-tmp", is_flag=True, help="Use the predecessor's socket names in /tmp."),
        click.option("--ephemeral", is_flag=True, default=None, help="Keep everything in memory; nothing survives."),
        click.option("--debug", is_flag=True, help="Log more."),
        click.option("--log-format", type=click.Choice(["console", "json"]), help="Form of the log on standard error."),
    )):  # fmt: skip
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="smd")
def cli() -> None:
    """Smd hosts state machines: one daemon for all of a box. Talk to it with smctl."""


@cli.command()
@click.argument("paths", nargs=-1, type=_PATH)
@click.option("--machine-name", help="Name of the machine (with one file).")
@click.option("--initial-context", help="JSON object laid over the first context (with one file).")
@_options
def run(paths: tuple[Path, ...], machine_name: str | None, initial_context: str | None, **options: Any) -> None:
    """Run machines from files or folders in the foreground."""
    _go(_settings((), options), paths, machine_name, initial_context)


@cli.command()
@click.option("--config", type=_PATH, multiple=True, help="Settings file; default: those of /etc/smd.")
@_options
def serve(config: tuple[Path, ...], **options: Any) -> None:
    """Run as a service, with the configured machines."""
    files = config or tuple(
        p for p in (_SYSTEM / "smd.yaml", *sorted((_SYSTEM / "conf.d").glob("*.yaml"))) if p.is_file()
    )
    _go(_settings(files, options))


@cli.command()
@click.argument("paths", nargs=-1, required=True, type=_PATH)
@click.option("--actions-dir", type=_PATH, multiple=True)
def check(paths: tuple[Path, ...], actions_dir: tuple[Path, ...]) -> None:
    """Read machine files, report every mistake, and exit (8 if there is one).

    Two files of the same machine are a mistake, too: a start with both is refused.
    """
    from smd.actions.loader import CustomActions  # noqa: PLC0415 - only this command needs it here

    lacking: list[SettingsError] = []
    files: dict[Path, Path] = {}
    custom: Mapping[str, str] = {}
    try:
        custom = CustomActions([folder.absolute() for folder in actions_dir]).faults()
    except SettingsError as error:
        lacking.append(error)
    for path in paths:
        try:
            files |= {file.absolute(): file for file in machine_files(path, lacking.append)}
        except SettingsError as error:
            lacking.append(error)
    for each in lacking:
        _complain(each)
    names = Names()
    good = [_is_good(file, custom, names) for file in files.values()]
    sys.exit(0 if all(good) and not lacking else INVALID)


def _is_good(file: Path, custom: Mapping[str, str], names: Names) -> bool:
    """Has the file no mistake? Tells of it, and of all there are."""
    try:
        text = read_document(file)
        problems = check_document(text, str(file), custom=custom, names=names)
    except DocumentError as error:
        problems, text = error.problems, b""
    except OSError as error:
        _complain(SettingsError(f"cannot read '{file}': {error.strerror}"))
        return False
    click.echo(render_problems(problems, text) if problems else f"{file}: ok", err=bool(problems))
    return not any(problem.severity == "error" for problem in problems)


def _settings(files: tuple[Path, ...], options: dict[str, Any]) -> Settings:
    prefix, event_socket = options["control_socket_prefix"], options["event_socket_path"]
    if options["compat_tmp"]:
        prefix = prefix or Path("/tmp/statemachine-control")  # noqa: S108 - the predecessor's own name
        event_socket = event_socket or Path("/tmp/statemachine-events.sock")  # noqa: S108
    flags = {
        "state_dir": options["state_dir"], "actions_dirs": options["actions_dir"] or None, "control_prefix": prefix,
        "event_socket": event_socket, "ephemeral": options["ephemeral"] or None, "log_format": options["log_format"],
        "log_level": "debug" if options["debug"] else None,
    }  # fmt: skip
    try:
        return load_settings(files, os.environ, flags)
    except SmdError as error:
        _complain(error)
        sys.exit(INVALID)


def _go(settings: Settings, paths: tuple[Path, ...] = (), name: str | None = None, context: str | None = None) -> None:
    from smd import daemon  # noqa: PLC0415 - the whole daemon is not needed to print help

    log.set_up(settings.log_level, settings.log_format)
    try:
        for option, value in (("--machine-name", name), ("--initial-context", context)):
            if value and len(paths) != 1:
                raise SettingsError(f"cannot use {option}: it needs exactly one file")
        files = [daemon.Named(path, name, _context(context)) for path in paths]
        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(log.LoopTrouble())
            runner.run(daemon.serve(settings, files))
    except SmdError as error:
        _complain(error)
        sys.exit(INVALID if isinstance(error, ChartError | SettingsError) else 1)


def _context(text: str | None) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        context = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"cannot read --initial-context: {error}") from None
    if not isinstance(context, dict):
        raise SettingsError("cannot use --initial-context: it must be a JSON object")
    return context


def _complain(error: SmdError) -> None:
    if isinstance(error, DocumentError):
        click.echo(error.render(), err=True)
        return
    click.echo(f"smd: {error.message}", err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)


def main() -> None:
    """Entry point of the `smd` command; ends the process itself.

    Everything is closed by then, but the interpreter would wait for threads that users' actions left behind.
    """
    code: object = 1
    try:
        cli()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - shown as the interpreter would
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
