"""smctl validate, schema: tools that need no daemon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smd.cli import exits
from smd.cli.inputs import stdin
from smd.cli.session import Session, command

if TYPE_CHECKING:
    from smd.document import Problem

ISSUE = ("code", "severity", "file", "line", "column", "path", "message", "hint")


@command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("--strict", is_flag=True, help="warnings count as errors")
@click.option("--quiet", is_flag=True, help="do not show warnings; --strict still counts them")
@click.option("--actions-dir", type=click.Path(exists=True, file_okay=False), help="folder of custom actions")
@click.option("--format", "form", type=click.Choice(["text", "json"]), help="the predecessor's spelling of -o")
@click.pass_obj
def validate(session: Session, /, files: tuple[str, ...], **options: Any) -> int:
    """Check machine files, or all in a folder, without a daemon.

    Prints every problem with its place. Two files of the same machine are an error, too. Exit code: 0 no errors;
    8 errors, or warnings with --strict; 4 a file cannot be read.
    """
    from smd.document import Names, check_document  # noqa: PLC0415

    if options["form"] == "json":
        session.out.form = "json"
    custom = _custom_types(options["actions_dir"])
    reports: list[dict[str, Any]] = []
    code, names = exits.OK, Names()
    for file in _named(files):
        try:
            text = stdin("the machine") if file == "-" else Path(file).read_bytes()
        except (OSError, ValueError) as error:
            session.out.failure(f"cannot read '{file}': {getattr(error, 'strerror', None) or error}")
            code = max(code, exits.NOT_FOUND)
            continue
        problems = check_document(text, "<stdin>" if file == "-" else file, custom=custom, names=names)
        report = _report(file, problems)
        reports.append(report)
        if report["error_count"] or (options["strict"] and report["warning_count"]):
            code = exits.INVALID
        if session.out.is_text:
            _print(session, [p for p in problems if not options["quiet"] or p.severity == "error"], text)
    _conclude(session, reports)
    return code


def _named(files: tuple[str, ...]) -> list[str]:
    """The files given, each once, with those of folders in their place; an empty folder stays, and cannot be read."""
    from smd.document import machine_files  # noqa: PLC0415

    named: dict[Path, str] = {}
    for file in files:
        found = machine_files(Path(file)) if Path(file).is_dir() else []
        for path in map(str, found) if found else [file]:
            named.setdefault(Path(path).absolute(), path)
    return list(named.values())


def _custom_types(folder: str | None) -> frozenset[str]:
    """Types that a folder of action files offers, by its file names alone: checking runs no code."""
    if folder is None:
        return frozenset()
    return frozenset(file.stem.replace("_action", "") for file in Path(folder).rglob("*_action.py"))


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
