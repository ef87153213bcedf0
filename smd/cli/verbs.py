"""smctl start, stop, restart, pause, resume, reset-failed, add, remove: changing machines."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from smd.cli import exits
from smd.cli.inputs import given, read_json, source, stdin
from smd.cli.session import VERB_TIMEOUT, Session, command, machine_names
from smd.errors import SmdError

UNREAD = ("outside_folders", "invalid_chart")
"""Codes of refusals of a file that the daemon may not have read at all."""

_names = click.argument("machines", nargs=-1, required=True, metavar="MACHINE...", shell_complete=machine_names)


def _each(session: Session, machines: Sequence[str], ask: Callable[[str], dict[str, Any]], key: str = "name") -> int:
    """Ask for each machine in turn, report each, and give the worst exit code."""
    from smd.client import ClientError  # noqa: PLC0415

    session.client.timeout = VERB_TIMEOUT
    answers: list[dict[str, Any]] = []
    worst = exits.OK
    for machine in dict.fromkeys(machines):
        try:
            answer = ask(machine)
        except ClientError as error:
            session.out.error(error)
            worst = max(worst, exits.WRONG_STATE if error.status == 409 else exits.of_error(error))
            if error.kind == "connection":
                break
            continue
        answers.append(answer)
        if session.out.is_text:
            session.out.line(_report(answer))
        worst = max(worst, _outcome(session, answer))
    if not session.out.is_text:
        whole = answers[0] if len(answers) == len(machines) == 1 else {"machines": answers}
        session.out.rows(answers, [], whole=whole, key=key, nothing="")
    return worst


def _report(answer: dict[str, Any]) -> str:
    if "removed" in answer:
        return f"{answer['removed']}: removed"
    states = ", ".join(answer.get("states") or [])
    return f"{answer['name']}: {answer['status']}" + (f" in {states}" if states else "")


def _outcome(session: Session, view: dict[str, Any]) -> int:
    """The exit code for a machine as it is now; why one has failed is told."""
    if view.get("status") != "failed":
        return exits.OK
    session.out.failure(f"machine '{view['name']}' failed: {view.get('error')}", f"smctl logs {view['name']}")
    return exits.FAILED


def _verb(verb: str, text: str) -> click.Command:
    @command(name=verb, help=text)
    @_names
    @click.pass_obj
    def apply(session: Session, machines: tuple[str, ...]) -> int:
        return _ask_all(session, machines, verb, {})

    return apply


def _ask_all(session: Session, machines: Sequence[str], verb: str, body: dict[str, Any]) -> int:
    from smd.client import path  # noqa: PLC0415

    return _each(session, machines, lambda name: dict(session.client.post(path("machines", name, verb), body)))


start = _verb("start", "Start machines, resuming where they stopped. A finished one begins a new life.")
stop = _verb("stop", "Stop machines. Their state is kept; events sent meanwhile wait.")
restart = _verb("restart", "Begin a new life of machines, from the initial state.")
resume = _verb("resume", "Let paused machines go on.")
reset_failed = _verb("reset-failed", "Forget the failure of machines, so that they can be started again.")


@command()
@_names
@click.option("--now", is_flag=True, help="cancel the running action; it is repeated on resume")
@click.pass_obj
def pause(session: Session, machines: tuple[str, ...], now: bool) -> int:  # noqa: FBT001  click calls it
    """Hold machines still; events wait.

    A running action ends and its outcome waits too, unless --now cancels it.
    """
    return _ask_all(session, machines, "pause", {"now": True} if now else {})


@command()
@click.argument("file", metavar="FILE|-")
@click.option("--name", metavar="MACHINE", help="instead of the name in the file")
@click.option("--context", metavar="JSON|@FILE|-", help="first context, put over the file's")
@click.option("--no-start", is_flag=True, help="leave it stopped")
@click.pass_obj
def add(session: Session, file: str, name: str | None, context: str | None, no_start: bool) -> int:  # noqa: FBT001
    """Add a machine from a file.

    The daemon reads the file itself, so it must lie in a folder the daemon knows; `-` sends stdin's text. Exit
    code: 0 it is there; 1 it failed at once; 4 no such file; 5 the name is taken; 6 a folder the daemon does not
    know; 8 the file has mistakes.
    """
    if file == context == "-":
        raise click.UsageError("cannot read both the machine and its context from stdin")
    if file == "-":
        chart = {"yaml": stdin("the machine").decode(errors="replace")}
    else:
        chart = {"path": str(Path(file).absolute())}
    first = None if context is None else read_json(source(context, "the context"), "the context")
    body = {**chart, **given(name=name, context=first, start=False if no_start else None)}
    session.client.timeout = VERB_TIMEOUT
    try:
        view = session.client.post("/v1/machines", body)
    except SmdError as error:
        if error.code == "invalid_document":
            _show_source(error, chart)
        if error.code in UNREAD and "path" in chart:
            return _unread(session, error, file)
        raise
    session.out.value(view, [_report(view)], name=view["name"])
    return _outcome(session, view)


def _unread(session: Session, error: SmdError, file: str) -> int:
    """Tell why the daemon did not load a file: perhaps there is none, and if there is, stdin may carry it."""
    if not os.path.lexists(file):
        session.out.failure(f"cannot read '{file}': there is no such file")
        return exits.NOT_FOUND
    if error.code == "outside_folders":
        error.hint = f"smctl add - < {shlex.quote(file)}"
    session.out.error(error)
    return exits.of_error(error)


def _show_source(error: SmdError, chart: dict[str, str]) -> None:
    """Put the source lines into a refusal. A file that only the daemon can read is refused without them."""
    from smd.document import DocumentError, read_document  # noqa: PLC0415
    from smd.problems import with_excerpts  # noqa: PLC0415

    try:
        text = chart["yaml"] if "yaml" in chart else read_document(chart["path"])
    except (OSError, DocumentError):
        return
    error.message = with_excerpts(error.message, text).expandtabs(4)
    if f"hint: {error.hint}" in error.message.split("\n"):
        error.hint = ""


@command()
@_names
@click.pass_obj
def remove(session: Session, machines: tuple[str, ...]) -> int:
    """Remove machines. Their history stays."""
    from smd.client import path  # noqa: PLC0415

    def ask(name: str) -> dict[str, Any]:
        return dict(session.client.request("DELETE", path("machines", name)))

    return _each(session, machines, ask, "removed")
