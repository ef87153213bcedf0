"""smctl send-event, list-events."""

from __future__ import annotations

from typing import Any

import click

from smd.cli import exits
from smd.cli.inputs import given, payload, seconds
from smd.cli.output import Column, as_json, shortened, when
from smd.cli.session import Session, command, event_words, machine_names
from smd.errors import SmdError

STATUSES = {"pending": "pending", "consumed": "consumed", "processed": "consumed"}
"""Status words of events; `processed` is the predecessor's."""
GRACE = 0.5
"""Seconds the daemon may be late with its own answer that a wait timed out."""
COLUMNS = (
    Column("SEQ", "seq"),
    Column("MACHINE", "machine"),
    Column("TYPE", "type"),
    Column("STATUS", lambda row: row.get("disposition") or "pending"),
    Column("JOB", "job_id"),
    Column("AT", lambda row: when(row.get("at") or row.get("now") or None)),
    Column("PAYLOAD", lambda row: row.get("payload") and shortened(as_json(row["payload"]), 30)),
    Column("SOURCE", "source", wide=True),
    Column("ID", "id", wide=True),
)


@command()
@click.argument("words", nargs=-1, metavar="[MACHINE] [EVENT]", shell_complete=event_words)
@click.option("-d", "--data", "--payload", metavar="JSON|@FILE|-", help="payload; a file's or stdin's with @ or -")
@click.option("-p", "pairs", multiple=True, metavar="KEY=VALUE", help="a member of the payload; JSON or text")
@click.option("--wait", type=click.Choice(["taken", "settled"]), help="until it is taken, or its actions are done")
@click.option(
    "--timeout", type=seconds, metavar="SECONDS", help="how long to wait; without --wait it waits until taken"
)
@click.option("--key", metavar="ID", help="the event's id: sending it twice takes it once")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), help="high ones overtake")
@click.option("--target", metavar="MACHINE", help="the machine, by name of option")
@click.option("--type", "kind", metavar="EVENT", help="the event, by name of option")
@click.option("--source", metavar="NAME", help="who sends it, instead of cli")
@click.option("--job-id", metavar="JOB", help="the job it is about")
@click.pass_obj
def send_event(
    session: Session, /, words: tuple[str, ...], target: str | None, kind: str | None, **options: Any
) -> int:
    """Send an event to a machine.

    Prints what became of it. Exit code: 0 taken, queued, deferred or duplicate; 3 ignored; 4 no such machine
    or event; 1 it failed the machine; 124 the wait timed out.
    """
    machine, event = _addressed(words, target, kind)
    body = given(
        type=event,
        payload=payload(options["data"], options["pairs"]),
        id=options["key"],
        source=options["source"],
        job_id=options["job_id"],
        priority=options["priority"],
    )
    wait, timeout = options["wait"], options["timeout"]
    if timeout is not None:
        wait = wait or "taken"
    from smd.client import ClientError, path  # noqa: PLC0415  not before a usage error could be told

    if wait:
        session.client.timeout = None if timeout is None else timeout + GRACE
    try:
        answer = session.client.post(path("machines", machine, "events"), body, wait=wait, timeout=timeout)
    except ClientError as error:
        if error.code == "timeout" and timeout is not None:
            raise _no_answer(timeout) from error
        if isinstance(error.body, dict) and isinstance(error.body.get("answer"), dict):
            _show(session, error.body["answer"])
        raise
    _show(session, answer)
    return exits.of_answer(answer)


def _no_answer(timeout: float) -> SmdError:
    told = f"cannot wait longer: the daemon has not answered within {timeout:g} s"
    hint = "the event may still be taken; sending it again with the same --key tells"
    return SmdError(told, code="wait_timeout", hint=hint)


def _addressed(words: tuple[str, ...], target: str | None, kind: str | None) -> tuple[str, str]:
    left = list(words)
    machine = target or (left.pop(0) if left else None)
    event = kind or (left.pop(0) if left else None)
    if not machine or not event:
        raise click.UsageError(f"missing {'event' if machine else 'machine'}: smctl send-event MACHINE EVENT")
    if left:
        raise click.UsageError(f"unexpected argument '{left[0]}'; a payload goes with -d or -p")
    return machine, event


def _show(session: Session, answer: dict[str, Any]) -> None:
    session.out.value(answer, [sentence(answer)], name=str(answer.get("disposition")))


def sentence(answer: dict[str, Any]) -> str:
    """What became of an event, as one line.

    Args:
        answer: `Answer.plain()` of smd/runtime/answers.py.
    """
    disposition = answer.get("disposition")
    head = f"{answer.get('machine')}: {answer.get('type')} {disposition}"
    if disposition == "taken":
        states = ", ".join(answer.get("states") or ["-"])
        before = ", ".join(answer.get("before") or [])
        taken = f"{head}: {before} -> {states}" if before else f"{head}: {states}"
        return f"{taken}; {_settled(answer['settled'])}" if "settled" in answer else taken
    why = "; ".join(str(answer[key]) for key in ("reason", "hint") if answer.get(key))
    return f"{head}: {why}" if why else head


def _settled(view: dict[str, Any]) -> str:
    states, status = ", ".join(view.get("states") or ["-"]), view.get("status", "running")
    word = "settled" if status == "running" else status
    return f"{word} in {states}: {view['error']}" if view.get("error") else f"{word} in {states}"


@command()
@click.option(
    "--target", "--machine", "machine", metavar="MACHINE", shell_complete=machine_names, help="only its events"
)
@click.option("--status", type=click.Choice(list(STATUSES)), help="only those that wait, or only those consumed")
@click.option("--type", "kind", metavar="EVENT", help="only this type")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="how many at most")
@click.pass_obj
def list_events(session: Session, machine: str | None, status: str | None, kind: str | None, limit: int) -> None:
    """List events, newest first."""
    wanted = STATUSES[status] if status else None
    whole = session.client.get("/v1/events", machine=machine, status=wanted, type=kind, limit=limit)
    session.out.rows(whole["rows"], COLUMNS, whole=whole, key="seq", nothing="no events")
