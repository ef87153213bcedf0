"""smctl version, completion."""

from __future__ import annotations

import click

from smd import __version__
from smd.cli import exits
from smd.cli.session import Session, command


@command()
@click.pass_obj
def version(session: Session) -> int:
    """Show the versions of smctl and the daemon."""
    from smd.client import ClientError  # noqa: PLC0415

    whole: dict[str, str | None] = {"client": __version__, "daemon": None}
    problem: ClientError | None = None
    try:
        whole["daemon"] = session.client.get("/v1/status")["version"]
    except ClientError as error:
        problem = error
    lines = [f"{part} {number}" for part, number in whole.items() if number]
    session.out.value(whole, lines, name=__version__)
    if problem is None:
        return exits.OK
    session.out.error(problem)
    return exits.of_error(problem)


@command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion(session: Session, shell: str) -> None:
    """Print a shell's completion script.

    For bash: source <(smctl completion bash)
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from smd.cli.entry import COMPLETE, smctl  # noqa: PLC0415  entry is the one that names this file

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this version of click has no completion for {shell}")
    for line in found(smctl, {}, "smctl", COMPLETE).source().splitlines():
        session.out.line(line.expandtabs(4))
