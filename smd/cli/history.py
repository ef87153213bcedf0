"""smctl transition-history, error-history."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from smd.cli.inputs import hours
from smd.cli.output import Column, Row, when
from smd.cli.session import Session, command, machine_names

TRANSITIONS = (
    Column("SEQ", "seq"),
    Column("MACHINE", "machine"),
    Column("FROM", "from"),
    Column("TO", "to"),
    Column("EVENT", "type"),
    Column("AT", lambda row: when(_moment(row))),
    Column("JOB", "job_id", wide=True),
    Column("SOURCE", "source", wide=True),
)
ERRORS = (
    Column("SEQ", "seq"),
    Column("MACHINE", "machine"),
    Column("ERROR", "error", cut=60),
    Column("JOB", "job_id"),
    Column("AT", lambda row: when(_moment(row))),
    Column("EVENT", "type", wide=True),
    Column("SOURCE", "source", wide=True),
)


def _moment(row: Row) -> float | None:
    """When it was consumed, or else sent; a time of 0 is none."""
    return row.get("now") or row.get("at") or None


def _former_transition(row: Row) -> Row:
    return _former(row, from_state=row.get("from"), to_state=row.get("to"), event=row.get("type"))


def _former_error(row: Row) -> Row:
    return _former(row, error_message=row.get("error"), job_id=row.get("job_id"))


def _former(row: Row, **members: Any) -> Row:
    """A row under the predecessor's names, in its order."""
    return {"id": row.get("seq"), "machine": row.get("machine"), **members, "timestamp": _moment(row)}


def _history(
    name: str, route: str, columns: Sequence[Column], former: Callable[[Row], Row], words: str
) -> click.Command:
    @command(name=name, help=f"List {words}, newest first.")
    @click.option("--machine", metavar="MACHINE", shell_complete=machine_names, help="only this machine's")
    @click.option("--hours", type=hours, metavar="N", help="only the last N hours")
    @click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="how many at most")
    @click.option("--format", "form", type=click.Choice(["table", "json"]), help="json: the predecessor's fields")
    @click.pass_obj
    def history(session: Session, machine: str | None, hours: float | None, limit: int, form: str | None) -> None:
        since = None if hours is None else f"{max(0.0, time.time() - hours * 3600):.3f}"
        whole = session.client.get(route, machine=machine, since=since, limit=limit)
        rows = whole["rows"]
        if form == "json":
            session.out.form = "json"
            whole = rows = [former(row) for row in rows]
        session.out.rows(rows, columns, whole=whole, key="seq", nothing=f"no {words}")

    return history


transition_history = _history("transition-history", "/v1/history", TRANSITIONS, _former_transition, "transitions")
error_history = _history("error-history", "/v1/errors", ERRORS, _former_error, "errors")
