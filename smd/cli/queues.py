"""smctl queue."""

from __future__ import annotations

import click

from smd.cli.output import Column
from smd.cli.session import Group, Session, command

STATUSES = ("available", "running", "completed", "failed", "cancelled")
COLUMNS = (Column("TYPE", "type"), *(Column(status.upper(), status) for status in STATUSES))


@click.group(cls=Group)
def queue() -> None:
    """Look at the queues."""


@command(name="list")
@click.pass_obj
def list_queues(session: Session) -> None:
    """List job types and how many jobs each has in each status."""
    whole = session.client.get("/v1/queues")
    none = dict.fromkeys(STATUSES, 0)
    rows = [{"type": kind, **none, **counts} for kind, counts in sorted(whole["queues"].items())]
    session.out.rows(rows, COLUMNS, whole=whole, key="type", nothing="no queues")


queue.add_command(list_queues)
