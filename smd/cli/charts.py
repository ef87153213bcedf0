"""smctl validate, schema: tools that need no daemon."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smd.cli import exits
from smd.cli.inputs import stdin
from smd.cli.session import Session, command
from smd.errors import SettingsError, SmdError

if TYPE_CHECKING:
    from smd.document import Names, Problem

ISSUE = ("code", "severity", "file", "line", "column", "path", "message", "hint")
_DESCRIPTORS = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")


@command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--strict", is_flag=True, help="warnings count as errors")
@click.option("--quiet", is_flag=True, help="do not show warnings; --strict still counts them")
@click.option("--actions-dir", metavar="DIR", help="folder of custom actions")
@click.option("--format", "form", type=click.Choice(["text", "json"]), help="the predecessor's spelling of -o")
@click.pass_obj
def validate(session: Session, /, files: tuple[str, ...], **options: Any) -> int:
    """Check machine files, or all in a folder, without a daemon.

    Prints every problem with its place. Two files of the same machine are an error, too. Exit code: 0 no errors;
    8 errors, or warnings with --strict; 4 a file or folder cannot be read, or a folder holds no machine file.
    """
    from smd.document import Names  # noqa: PLC0415

    if options["form"] == "json":
        session.out.form = "json"
    lacking: list[SmdError] = []
    custom = _custom_types(options["actions_dir"], lacking)
    found, names = _named(files, lacking), Names()
    for error in lacking:
        session.out.failure(error.message)
    reports: list[dict[str, Any]] = []
    code = exits.NOT_FOUND if lacking else exits.OK
    for file in found:
        try:
            problems, text = _checked(file, custom, names)
        except OSError as error:
            session.out.failure(f"cannot read '{file}': {error.strerror}")
            code = max(code, exits.NOT_FOUND)
            continue
        report = _report(file, problems)
        reports.append(report)
        if report["error_count"] or (options["strict"] and report["warning_count"]):
            code = exits.INVALID
        if session.out.is_text:
            _print(session, [p for p in problems if not options["quiet"] or p.severity == "error"], text)
    _conclude(session, reports)
    return code


def _checked(file: str, custom: Mapping[str, str], names: Names) -> tuple[list[Problem], bytes]:
    """The problems of a file, and its text. A pipe is read if the shell has made it: `validate <(command)`."""
    from smd.document import DocumentError, check_document, read_document  # noqa: PLC0415

    try:
        text = stdin("the machine") if file == "-" else read_document(file, pipes=file.startswith(_DESCRIPTORS))
    except DocumentError as error:
        return error.problems, b""
    return check_document(text, "<stdin>" if file == "-" else file, custom=custom, names=names), text


def _named(files: tuple[str, ...], lacking: list[SmdError]) -> list[str]:
    """The files given, each once, with those of folders in their place; what a folder lacks goes to `lacking`."""
    from smd.document import machine_files  # noqa: PLC0415

    named: dict[Path, str] = {}
    for file in files:
        try:
            found = [file] if file == "-" else list(map(str, machine_files(Path(file), lacking.append)))
        except SmdError as error:
            lacking.append(error)
            continue
        for path in found:
            named.setdefault(Path(path).absolute(), path)
    return list(named.values())


def _custom_types(folder: str | None, lacking: list[SmdError]) -> Mapping[str, str]:
    """Types that a folder of action files offers: checking runs no code."""
    from smd.actions.loader import CustomActions  # noqa: PLC0415

    try:
        return CustomActions([Path(folder)] if folder is not None else []).faults()
    except SettingsError as error:
        lacking.append(error)
        return {}


def _report(file: str, problems: list[Problem]) -> dict[str, Any]:
    errors = sum(problem.severity == "error" for problem in problems)
    return {
        "file": file,
        "issues": [{name: getattr(problem, name) for name in ISSUE} for problem in problems],
        "error_count": errors,
        "warning_count": len(problems) - errors,
    }


def _print(session: Session, problems: list[Problem], text: bytes) -> None:
    from smd.document import render_problems  # noqa: PLC0415

    for line in render_problems(problems, text).splitlines():
        session.out.line(line.expandtabs(4))


def _conclude(session: Session, reports: list[dict[str, Any]]) -> None:
    if session.out.is_text:
        errors, warnings = (sum(report[key] for report in reports) for key in ("error_count", "warning_count"))
        session.out.note(f"{_count(len(reports), 'file')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
    else:
        session.out.rows(reports, [], whole=reports, key="file", nothing="")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


@command()
@click.pass_obj
def schema(session: Session) -> None:
    """Print the JSON Schema of machine files, for editors."""
    from smd.document import json_schema  # noqa: PLC0415

    if session.out.is_text:
        session.out.form = "json"
    whole = json_schema()
    session.out.value(whole, [], name=str(whole.get("title", "")))
