"""What a machine's log tells."""

from __future__ import annotations

import subprocess

from tests.acceptance.daemon import SMCTL, Daemon, environment

TALKER = """
machine: talker
states:
  idle: {on: {go: talking}}
  talking:
    actions: [{type: bash, command: "echo spoken; echo cried >&2"}]
    on: {job_done: {to: idle, actions: [{type: log, message: all said}]}}
"""


def test_following_a_log_shows_every_line_of_the_log(shared: Daemon) -> None:
    """`smctl logs -f` shows what `smctl logs` shows afterwards, the output of commands included."""
    shared.add(TALKER)
    words = [str(SMCTL), "--host", f"unix://{shared.socket}", "logs", "-f", "talker"]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        try:
            shown = [following.stdout.readline()]
            shared.send("talker", "go")
            while "all said" not in shown[-1]:
                shown.append(following.stdout.readline())
        finally:
            following.kill()

    whole = shared.smctl("logs", "talker").out.splitlines(keepends=True)
    assert sorted(shown) == sorted(whole[: len(shown)])


def test_a_line_of_output_is_one_line_however_it_arrives(shared: Daemon) -> None:
    """A line written in two pieces is not cut where the pieces meet."""
    shared.add(
        'machine: stutter\nstates:\n  on:\n    actions: [{type: bash, command: "printf one; sleep 0.1; echo two", success: said}]\n'
        "    on: {said: {to: done, actions: [{type: log, message: all said}]}}\n  done: {}\n"
    )
    shared.lines("stutter", "all said")

    assert "    | onetwo" in shared.smctl("logs", "stutter").out.splitlines()
