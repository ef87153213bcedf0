"""smctl add-job, list, details, complete-job, fail-job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from smd.cli.inputs import given, payload, read_json, source, stdin
from smd.cli.output import Column, as_json, cell, when
from smd.cli.session import Session, command

STATUSES = {
    "available": "available",
    "running": "running",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "pending": "available",
    "processing": "running",
}
"""Status words of jobs; the last two are the predecessor's."""
COLUMNS = (
    Column("ID", "job_id"),
    Column("TYPE", "job_type"),
    Column("STATUS", "status"),
    Column("CREATED", lambda row: when(row.get("created_at"))),
    Column("ENDED", lambda row: when(row.get("completed_at"))),
    Column("HOLDER", "holder"),
    Column("PRIORITY", "priority", wide=True),
    Column("MACHINE TYPE", "machine_type", wide=True),
    Column("ATTEMPT", "attempt", wide=True),
    Column("ERROR", "error", wide=True),
)
DETAILS = (
    ("id", "job_id"),
    ("type", "job_type"),
    ("machine type", "machine_type"),
    ("status", "status"),
    ("priority", "priority"),
    ("source job", "source_job_id"),
    ("holder", "holder"),
    ("attempt", "attempt"),
    ("created", "created_at"),
    ("started", "started_at"),
    ("ended", "completed_at"),
    ("error", "error"),
    ("metadata", "metadata"),
    ("result", "result"),
)


@command()
@click.argument("job", required=False, metavar="[JOB|-]")
@click.option("--type", "kind", metavar="TYPE", help="what work it is; machines claim jobs by type")
@click.option("--machine-type", metavar="TYPE", help="only machines of this type may take it")
@click.option("--input-file", metavar="FILE", help="an existing file, given as data.input_file_path")
@click.option("-d", "--data", "--payload", metavar="JSON|@FILE|-", help="the job's data")
@click.option("-p", "pairs", multiple=True, metavar="KEY=VALUE", help="a member of the data; JSON or text")
@click.option("--priority", type=int, metavar="N", help="1 is the most urgent, 5 the default")
@click.option("--source-job", metavar="JOB", help="the job it comes from")
@click.pass_obj
def add_job(session: Session, /, job: str | None, **options: Any) -> None:
    """Add a job, or many from stdin.

    Prints the id of each job; without JOB the daemon makes one. `add-job -` reads one JSON object a line
    ({"job_type", "job_id", "payload", ...}) and adds all of them or none.
    """
    if job == "-":
        _add_many(session, options)
        return
    if not options["kind"]:
        many = "" if job else "; 'smctl add-job -' reads jobs from stdin, one JSON object a line"
        raise click.UsageError(f"missing option '--type'{many}")
    body = given(
        job_type=options["kind"],
        job_id=job,
        machine_type=options["machine_type"],
        payload=_data(options),
        priority=options["priority"],
        source_job_id=options["source_job"],
    )
    added = session.client.post("/v1/jobs", body)
    _warn(session, added)
    session.out.value(added, [added["job_id"]], name=added["job_id"])


def _add_many(session: Session, options: dict[str, Any]) -> None:
    if any(options.values()):
        raise click.UsageError("with '-' everything about a job stands on its line of stdin")
    whole = session.client.request("POST", "/v1/jobs", raw=("application/x-ndjson", stdin("the jobs")))
    for added in (whole, *whole["jobs"]):
        _warn(session, added)
    if session.out.is_text:
        session.out.form = "name"
    session.out.rows(whole["jobs"], [], whole=whole, key="job_id", nothing="")


def _data(options: dict[str, Any]) -> Any:
    data = payload(options["data"], options["pairs"])
    if options["input_file"] is None:
        return data
    if data is not None and not isinstance(data, dict):
        raise click.UsageError("cannot add --input-file to a payload that is not an object")
    file = Path(options["input_file"]).absolute()
    if not file.exists():
        raise click.UsageError(f"cannot find the input file '{file}'")
    return {**(data or {}), "input_file_path": str(file)}


def _warn(session: Session, added: dict[str, Any]) -> None:
    if added.get("warning"):
        session.out.warning(str(added["warning"]))


@command()
@click.option("--status", type=click.Choice(list(STATUSES)), help="only jobs in this status")
@click.option("--type", "kind", metavar="TYPE", help="only jobs of this type")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="how many at most")
@click.pass_obj
def list_jobs(session: Session, status: str | None, kind: str | None, limit: int) -> None:
    """List jobs, newest first."""
    wanted = STATUSES[status] if status else None
    whole = session.client.get("/v1/jobs", status=wanted, type=kind, limit=limit)
    session.out.rows(whole["jobs"], COLUMNS, whole=whole, key="job_id", nothing="no jobs")


@command()
@click.argument("job")
@click.pass_obj
def details(session: Session, job: str) -> None:
    """Show a job with its payload."""
    from smd.client import path  # noqa: PLC0415

    found = session.client.get(path("jobs", job))
    lines = []
    for label, key in DETAILS:
        value = found.get(key)
        if value is not None:
            lines.append(f"{label + ':':<14}{when(value) if key.endswith('_at') else cell(value)}")
    lines += ["payload:", *as_json(found.get("data"), indent=2).splitlines()]
    session.out.value(found, lines, name=found["job_id"])


@command()
@click.argument("job")
@click.option("--result", metavar="JSON|@FILE|-", help="what came out of it")
@click.pass_obj
def complete_job(session: Session, job: str, result: str | None) -> None:
    """Mark a job completed."""
    value = None if result is None else read_json(source(result, "the result"), "the result")
    _settle(session, job, "complete", given(result=value))


@command()
@click.argument("job")
@click.option("--reason", required=True, help="why it failed")
@click.pass_obj
def fail_job(session: Session, job: str, reason: str) -> None:
    """Mark a job failed."""
    _settle(session, job, "fail", {"reason": reason})


def _settle(session: Session, job: str, verb: str, body: dict[str, Any]) -> None:
    from smd.client import path  # noqa: PLC0415

    settled = session.client.post(path("jobs", job, verb), body)
    session.out.value(settled, [f"{settled['job_id']}: {settled['status']}"], name=settled["job_id"])
