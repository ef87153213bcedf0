"""The top of smctl: the table of commands, imported one file at a time, and the way out for every error."""

from __future__ import annotations

import os
from importlib import import_module

import click

from smd import __version__
from smd.cli import exits
from smd.cli.output import silence, text_width
from smd.cli.session import Group, Session
from smd.errors import SmdError

COMPLETE = "_SMCTL_COMPLETE"


class Place:
    """Where a command is: file, name in it, section of the help, and its one line there."""

    __slots__ = ("file", "line", "name", "section")

    def __init__(self, file: str, name: str, section: str, line: str) -> None:
        self.file = file
        self.name = name
        self.section = section
        self.line = line


COMMANDS = {
    "status": Place("machines", "status", "Machines", "Show the daemon and its machines, or one machine"),
    "list-machines": Place("machines", "list_machines", "Machines", "List machines and their states"),
    "show": Place("machines", "show", "Machines", "Show everything about a machine"),
    "start": Place("verbs", "start", "Machines", "Start machines, resuming where they stopped"),
    "stop": Place("verbs", "stop", "Machines", "Stop machines"),
    "restart": Place("verbs", "restart", "Machines", "Begin a new life of machines"),
    "pause": Place("verbs", "pause", "Machines", "Hold machines still; events wait"),
    "resume": Place("verbs", "resume", "Machines", "Let paused machines go on"),
    "reset-failed": Place("verbs", "reset_failed", "Machines", "Forget the failure of machines"),
    "add": Place("verbs", "add", "Machines", "Add a machine from a file"),
    "remove": Place("verbs", "remove", "Machines", "Remove machines"),
    "logs": Place("machines", "logs", "Machines", "Show a machine's log"),
    "send-event": Place("events", "send_event", "Events", "Send an event to a machine"),
    "list-events": Place("events", "list_events", "Events", "List events, newest first"),
    "transition-history": Place("history", "transition_history", "Events", "List transitions, newest first"),
    "error-history": Place("history", "error_history", "Events", "List errors, newest first"),
    "add-job": Place("jobs", "add_job", "Jobs", "Add a job, or many from stdin"),
    "list": Place("jobs", "list_jobs", "Jobs", "List jobs, newest first"),
    "details": Place("jobs", "details", "Jobs", "Show a job with its payload"),
    "complete-job": Place("jobs", "complete_job", "Jobs", "Mark a job completed"),
    "fail-job": Place("jobs", "fail_job", "Jobs", "Mark a job failed"),
    "queue": Place("queues", "queue", "Jobs", "Look at the queues"),
    "validate": Place("charts", "validate", "Charts", "Check machine files, without a daemon"),
    "schema": Place("charts", "schema", "Charts", "Print the JSON Schema of machine files"),
    "completion": Place("service", "completion", "Service", "Print a shell's completion script"),
    "version": Place("service", "version", "Service", "Show the versions of smctl and the daemon"),
}
ALIASES = {"machine-state": "list-machines", "create-job": "add-job", "list-jobs": "list", "lint": "validate"}


class LazyGroup(Group):
    """smctl itself: knows names and one line each; a command's file is imported when it is called."""

    def list_commands(self, _: click.Context) -> list[str]:
        """Every name, aliases included."""
        return [*COMMANDS, *ALIASES]

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, imported now; None for an unknown name."""
        place = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if place is None:
            return None
        found = getattr(import_module(f"smd.cli.{place.file}"), place.name)
        return found if isinstance(found, click.Command) else None

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """The table by section, from its own lines: help imports no command."""
        spelled = {name: [name] for name in COMMANDS}
        for alias, name in ALIASES.items():
            spelled[name].append(alias)
        for section in dict.fromkeys(place.section for place in COMMANDS.values()):
            rows = [(", ".join(spelled[n]), p.line) for n, p in COMMANDS.items() if p.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="smctl %(version)s")
def smctl() -> None:
    """Talk to smd, the daemon that hosts state machines."""


def run(args: list[str]) -> int:
    """Run one command and give its exit code. No error leaves as a traceback.

    Args:
        args: the command line without the program's name; empty shows the help.
    """
    session = Session()
    try:
        code = _guarded(args, session)
        session.out.flush()
    except BrokenPipeError:
        silence()
        return exits.BROKEN_PIPE
    except OSError as error:
        session.out.failure(f"cannot go on: {error.strerror or error}")
        silence()
        return exits.FAILED
    finally:
        session.close()
    return code


def _guarded(args: list[str], session: Session) -> int:
    try:
        return _complete(session) if COMPLETE in os.environ else _invoke(args or ["--help"], session)
    except (KeyboardInterrupt, click.Abort):
        return exits.INTERRUPTED
    except OSError:
        raise  # stdout itself: what is left in its buffer cannot be written either
    except Exception as error:  # noqa: BLE001  the promise of `run`: one line, whatever happened
        return _explain(error, session)


def _invoke(args: list[str], session: Session) -> int:
    try:
        with smctl.make_context("smctl", list(args), obj=session, terminal_width=text_width()) as ctx:
            return smctl.invoke(ctx) or exits.OK
    except click.exceptions.Exit as done:
        return done.exit_code


def _explain(error: Exception, session: Session) -> int:
    if isinstance(error, SmdError):
        session.out.error(error)
        return exits.of_error(error)
    if isinstance(error, click.ClickException):
        ctx = getattr(error, "ctx", None)
        session.out.failure(error.format_message(), f"see '{ctx.command_path} --help'" if ctx else "")
        return error.exit_code
    session.out.failure(f"cannot go on: {type(error).__name__}: {error}", "this is a defect of smctl; please report it")
    return exits.FAILED


def _complete(session: Session) -> int:
    from click.shell_completion import shell_complete  # noqa: PLC0415

    return shell_complete(smctl, {"obj": session}, "smctl", COMPLETE, os.environ[COMPLETE])
