"""What every command shares: the global options, the connection, and the classes that carry them.

The global options are accepted before and after the command's name: the group and each command declare them,
and both write into the one `Session` of the call.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from smd.cli.output import FORMS, Output

if TYPE_CHECKING:
    from smd.client import Client

VERB_TIMEOUT = 120.0
"""Seconds to wait for an answer to a verb: stopping a machine may take its action's `kill_after`."""


class Session:
    """One call of smctl: where the daemon is and how to answer.

    Attributes:
        host: what `--host` said, or None.
    """

    def __init__(self) -> None:
        self.host: str | None = None
        self.out = Output()
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The connection to the daemon, made at first use.

        Raises:
            ClientError: no daemon is found, or the host cannot be understood.
        """
        if self._client is None:
            from smd.client import Client, find_host  # noqa: PLC0415  offline commands and --help do without it

            self._client = Client(find_host(self.host, os.environ))
        return self._client

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            self._client.close()


def _set_host(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).host = value


def _set_form(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).out.form = value


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001  click calls it
    if value:
        ctx.ensure_object(Session).out.form = "json"


def _set_plain(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001  click calls it
    if value:
        ctx.ensure_object(Session).out.color = False


def _global_options() -> list[click.Option]:
    option = partial(click.Option, expose_value=False)
    forms = f"form of the data: {', '.join(FORMS)}"
    return [
        option(["--host"], metavar="URL", callback=_set_host, help="unix:///path or http://host:port"),
        option(["-o", "--output"], type=click.Choice(FORMS), callback=_set_form, metavar="FORM", help=forms),
        option(["--json"], is_flag=True, callback=_set_json, help="the same as -o json"),
        option(["--no-color"], is_flag=True, callback=_set_plain, help="no colours on stderr (also NO_COLOR)"),
    ]


def _format_options(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter, shared: list[click.Option]
) -> None:
    options = [param for param in command.get_params(ctx) if isinstance(param, click.Option)]
    own = [option.get_help_record(ctx) for option in options if option not in shared]
    for title, records in (("Options", own), ("Global options", [p.get_help_record(ctx) for p in shared])):
        rows = [record for record in records if record]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


class Command(click.Command):
    """A command that also takes the global options."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.shared = _global_options()
        self.params += self.shared

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Own options first, the global ones apart."""
        _format_options(self, ctx, formatter, self.shared)


class Group(click.Group):
    """A group that takes the global options and names the nearest command when one is unknown."""

    command_class = Command

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **{**attributes, "no_args_is_help": False})
        self.shared = _global_options()
        self.params += self.shared

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Own options first, the global ones apart, then the commands."""
        _format_options(self, ctx, formatter, self.shared)
        self.format_commands(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command named first.

        Raises:
            click.UsageError: there is none of that name.
        """
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from difflib import get_close_matches  # noqa: PLC0415

            near = get_close_matches(args[0], self.list_commands(ctx))
            meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise click.UsageError(f"no such command '{args[0]}'{meant}", ctx)
        return super().resolve_command(ctx, args)


command: Callable[..., Callable[[Callable[..., Any]], Command]] = partial(click.command, cls=Command)
"""`click.command` for a command with the global options."""


def machine_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Live machine names, for the shell's completion."""
    rows = _live(ctx, "/v1/machines").get("machines", [])
    return [row["name"] for row in rows if row["name"].startswith(incomplete)]


def event_words(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """A machine's name, then the events it accepts now, for the shell's completion."""
    given = ctx.params.get("words") or ()
    if not given:
        return machine_names(ctx, _, incomplete)
    from smd.client import path  # noqa: PLC0415

    enabled = _live(ctx, path("machines", given[0])).get("enabled", [])
    return [event for event in enabled if event.startswith(incomplete)]


def _live(ctx: click.Context, path: str) -> dict[str, Any]:
    """A daemon's answer within a second; empty without one, since a completion has nowhere to complain."""
    from smd.client import ClientError  # noqa: PLC0415

    try:
        client = ctx.ensure_object(Session).client
        client.timeout = 1.0
        answer = client.get(path)
    except ClientError:
        return {}
    return answer if isinstance(answer, dict) else {}
