"""smctl status, list-machines, show, logs: looking at machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from smd.cli import exits
from smd.cli.output import Column, Row, as_json, cell, when
from smd.cli.session import Session, command, machine_names

COLUMNS = (
    Column("MACHINE", "name"),
    Column("STATE", "states"),
    Column("STATUS", "status"),
    Column("HEALTH", "health"),
    Column("PENDING", "pending"),
    Column("SINCE", lambda view: when(view.get("since"))),
    Column("LAST EVENT", "last_event", wide=True),
    Column("ACTION", lambda view: view.get("action") or view.get("waiting_for"), wide=True),
    Column("LIFE", "life", wide=True),
    Column("RESTARTS", "restarts", wide=True),
    Column("ORIGIN", "origin", wide=True),
)
STATUS_FIELDS = (
    ("state", lambda view: view.get("states")),
    ("since", lambda view: when(view.get("since"))),
    ("health", lambda view: ", ".join(str(view.get(key)) for key in ("health", "lifecycle", "operational"))),
    ("last event", lambda view: view.get("last_event")),
    ("action", lambda view: view.get("action")),
    ("waiting for", lambda view: view.get("waiting_for")),
    ("stuck", lambda view: "no event, timer or action can move it" if view.get("stuck") else None),
    ("jobs held", lambda view: view.get("held")),
    ("pending", lambda view: view.get("pending")),
    ("accepts", lambda view: view.get("enabled")),
    ("error", lambda view: view.get("error")),
)


@command()
@click.argument("machine", required=False, shell_complete=machine_names)
@click.pass_obj
def status(session: Session, machine: str | None) -> int:
    """Show the daemon and its machines, or one machine.

    With MACHINE the exit code is 3 unless it is running.
    """
    if machine is None:
        _daemon_status(session)
        return exits.OK
    from smd.client import path  # noqa: PLC0415

    view = session.client.get(path("machines", machine))
    session.out.value(view, _summary(view), name=view["name"])
    return exits.OK if view["status"] == "running" else exits.WRONG_STATE


def _daemon_status(session: Session) -> None:
    daemon = session.client.get("/v1/status")
    machines = session.client.get("/v1/machines")["machines"]
    if session.out.is_text:
        session.out.line(f"smd {daemon['version']} (pid {daemon['pid']}), up {duration(daemon['uptime'])}")
        for noun in ("machines", "jobs"):
            counts = ", ".join(f"{count} {word}" for word, count in daemon[noun].items() if count)
            session.out.line(f"{noun}: {counts or 'none'}")
        if not daemon.get("store", {}).get("writable", True):
            session.out.line(f"store: {daemon['store']['reason']}")
        session.out.line()
    whole = {"daemon": daemon, "machines": machines}
    session.out.rows(machines, COLUMNS, whole=whole, key="name", nothing="no machines")


def _summary(view: Row) -> Iterator[str]:
    label = f" - {view['label']}" if view.get("label") and view["label"] != view["name"] else ""
    yield f"{view['name']}{label}: {view['status']}"
    for title, show in STATUS_FIELDS:
        value = show(view)
        if value not in (None, "", [], 0):
            yield f"  {title + ':':<13}{cell(value)}"


def duration(seconds: float) -> str:
    """A span as people say it, the two largest units of days, hours, minutes and seconds."""
    rest = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or (parts and rest) or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


@command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), help="json: the predecessor's fields")
@click.pass_obj
def list_machines(session: Session, form: str | None) -> None:
    """List machines and their states."""
    whole = session.client.get("/v1/machines")
    rows = whole["machines"]
    if form == "json":
        session.out.form = "json"
        pid = session.client.get("/v1/status")["pid"]
        whole = rows = [_former(view, pid) for view in rows]
    session.out.rows(rows, COLUMNS, whole=whole, key="name", nothing="no machines")


def _former(view: Row, pid: int) -> Row:
    """A machine under the predecessor's names; its `metadata` was always null."""
    return {
        "machine_name": view["name"],
        "current_state": ",".join(view["states"]),
        "last_activity": view["since"],
        "pid": pid,
        "metadata": None,
    }


@command()
@click.argument("machine", shell_complete=machine_names)
@click.pass_obj
def show(session: Session, machine: str) -> None:
    """Show everything about a machine, its snapshot and context included."""
    from smd.client import path  # noqa: PLC0415

    view = session.client.get(path("machines", machine))
    kept = session.client.get(path("machines", machine, "snapshot"))
    whole: dict[str, Any] = {**view, "snapshot": kept["snapshot"]}
    lines = [f"{key}: {when(value) if key == 'since' else cell(value)}" for key, value in view.items()]
    lines += ["snapshot:", *as_json(kept["snapshot"], indent=2).splitlines()]
    session.out.value(whole, lines, name=view["name"])


@command()
@click.argument("machine", shell_complete=machine_names)
@click.option("-f", "--follow", is_flag=True, help="go on with new lines as they come")
@click.option("-n", "--lines", type=click.IntRange(0), default=100, show_default=True, help="how many old lines")
@click.pass_obj
def logs(session: Session, machine: str, follow: bool, lines: int) -> None:  # noqa: FBT001  click calls it
    """Show a machine's log.

    With `-o json` or `-o ndjson` each line is a JSON object of its own ({"machine", "line"}).
    """
    if session.out.form in {"yaml", "name"}:
        raise click.UsageError(f"a log has no form '{session.out.form}': it has table, json and ndjson")
    from smd.client import path  # noqa: PLC0415

    if follow:
        session.client.timeout = None
    wanted = True if follow else None
    for line in session.client.stream_lines(path("machines", machine, "log"), lines=lines, follow=wanted):
        session.out.line(line if session.out.is_text else as_json({"machine": machine, "line": line}))
        if follow:
            session.out.flush()
