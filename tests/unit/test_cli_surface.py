"""What all smctl commands share: options, forms, exit codes, errors, help, and the cost of starting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from smd.cli import exits
from smd.cli.entry import ALIASES, COMMANDS
from smd.cli.entry import smctl as group
from smd.cli.output import as_json, visible
from smd.cli.session import Command, Group
from smd.client import ClientError
from smd.errors import ChartError, SmdError
from tests.unit.calling import DAEMON, VIEW, Smctl, smctl_fixture  # noqa: F401
from tests.unit.listening import listening

RUN = [sys.executable, "-c", "import sys; from smd.cli import main; sys.exit(main())"]
ROOT = Path(str(files("smd"))).parent
TOO_DEAR = {"asyncio", "pydantic", "structlog", "starlette", "http.client", "orjson", "yaml", "urllib", "pathlib"}


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **extra}


@pytest.mark.parametrize("name", [*COMMANDS, *ALIASES])
def test_the_table_s_line_is_the_command_s_own(name: str) -> None:
    """Every name leads to a command whose help begins with the line of the table, and says -h and --host."""
    ctx = click.Context(group, info_name="smctl", help_option_names=["-h", "--help"])
    command = group.get_command(ctx, name)
    assert isinstance(command, Command | Group)
    line = COMMANDS[ALIASES.get(name, name)].line
    assert (command.help or "").replace("\n", " ").startswith(line[:20])
    shown = command.get_help(click.Context(command, ctx, info_name=name))
    assert "-h, --help" in shown
    assert "--host URL" in shown


def test_help_lists_every_command_and_is_the_default(smctl: Smctl) -> None:
    result = smctl("--help")
    assert result.code == 0
    assert [name for name in [*COMMANDS, *ALIASES] if name not in result.out] == []
    assert smctl() == smctl("-h") == result


def test_global_options_stand_before_or_after_the_command(smctl: Smctl) -> None:
    smctl.server.reply("GET /v1/machines", {"machines": [VIEW]})
    before = smctl("--host", smctl.server.host, "-o", "json", "--no-color", "list-machines")
    after = smctl("list-machines", "--no-color", "--json", "--host", smctl.server.host)
    assert before == after == (0, json.dumps({"machines": [VIEW]}, indent=2) + "\n", "")


def test_a_list_has_every_form(smctl: Smctl) -> None:
    views = [VIEW, {**VIEW, "name": "other"}]
    smctl.server.reply("GET /v1/machines", {"machines": views})
    assert smctl("list-machines", "-o", "name").out == "worker\nother\n"
    assert [json.loads(line) for line in smctl("list-machines", "-o", "ndjson").out.splitlines()] == views
    assert "ORIGIN" in smctl("list-machines", "-o", "wide").out
    assert smctl("list-machines", "-o", "xml").code == 2


def test_yaml_is_the_json_s_value(smctl: Smctl) -> None:
    smctl.server.reply("GET /v1/machines", {"machines": [VIEW]})
    assert yaml.safe_load(smctl("list-machines", "-o", "yaml").out) == {"machines": [VIEW]}


def test_a_hostile_name_cannot_drive_the_terminal(smctl: Smctl) -> None:
    """Escapes, C1 controls and bidirectional marks are shown, and JSON stays JSON."""
    evil = "a\x1b[31m\x9b2J\u202eb\nc"
    smctl.server.reply("GET /v1/machines", {"machines": [{**VIEW, "name": evil}]})
    assert "a\\x1b[31m\\x9b2J\\u202eb\\nc" in smctl("list-machines").out
    text = smctl("list-machines", "--json").out
    assert json.loads(text)["machines"][0]["name"] == evil
    assert not set(text) & set("\x1b\x9b\u202e")
    smctl.server.fail("GET /v1/machines/x", 404, "unknown_machine", f"cannot find {evil}", evil)
    result = smctl("status", "x")
    assert (result.code, "\x1b" in result.err, result.err.count("\n")) == (4, False, 2)


def test_a_refused_document_shows_each_mistake_on_a_line_of_its_own(smctl: Smctl) -> None:
    told = "cannot load x.yaml: 2 problems\nx.yaml:1:1: one\x1b[31m\nx.yaml:2:1: two"
    smctl.server.fail("GET /v1/machines/x", 422, "invalid_document", told, "mend it")
    result = smctl("status", "x")
    assert result.code == 8
    assert result.err.splitlines() == [
        "error: cannot load x.yaml: 2 problems", "  x.yaml:1:1: one\\x1b[31m", "  x.yaml:2:1: two", "hint: mend it",
    ]  # fmt: skip


def test_wide_characters_keep_columns_aligned(smctl: Smctl) -> None:
    smctl.server.reply("GET /v1/machines", {"machines": [{**VIEW, "name": "作業員"}, {**VIEW, "name": "e\u0301"}]})
    lines = smctl("list-machines").out.splitlines()
    assert lines[0].startswith("MACHINE  STATE")
    assert lines[1].startswith("作業員   waiting")
    assert lines[2].startswith("e\u0301        waiting")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["sned-event"], "did you mean 'send-event'"),
        (["queue", "lst"], "did you mean 'list'?"),
        (["list", "--limmit", "3"], "--limit"),
        (["list", "--limit", "0"], "--limit"),
        (["queue"], "Missing command"),
        (["details"], "JOB"),
        (["start"], "MACHINE"),
        (["fail-job", "j"], "--reason"),
    ],
)
def test_a_usage_error_names_the_nearest_and_exits_2(smctl: Smctl, args: list[str], told: str) -> None:
    result = smctl(*args)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert "--help' " not in result.out


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (404, "unknown_machine", 4), (404, "unknown_route", 4), (409, "job_exists", 5),
        (409, "not_running", 3), (403, "forbidden", 6), (408, "wait_timeout", 124),
        (422, "invalid_request", 2), (400, "invalid_json", 2), (422, "invalid_chart", 8),
        (422, "smd-E102", 8), (413, "too_large", 1),
        (429, "busy", 1), (503, "store_unavailable", 1), (500, "internal", 1),
    ],
)  # fmt: skip
def test_each_reply_has_its_exit_code(smctl: Smctl, status: int, code: str, exit_code: int) -> None:
    smctl.server.fail("GET /v1/queues", status, code, "cannot do it: why")
    assert smctl("queue", "list") == (exit_code, "", "error: cannot do it: why\n")


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ClientError("connection", "x", code="unreachable"), 7),
        (ClientError("connection", "x", code="forbidden"), 6),
        (ClientError("request", "x", code="invalid_host"), 2),
        (ChartError("x"), 8),
        (SmdError("x"), 1),
    ],
)
def test_each_local_error_has_its_exit_code(error: SmdError, exit_code: int) -> None:
    assert exits.of_error(error) == exit_code


def test_without_a_daemon_every_online_command_exits_7(smctl: Smctl, tmp_path: Path) -> None:
    result = smctl("list-machines", "--host", f"unix://{tmp_path}/none")
    assert (result.code, result.out) == (7, "")
    assert result.err.startswith(f"error: cannot reach smd at {tmp_path}/none")
    assert smctl("stop", "a", "b", "--host", f"unix://{tmp_path}/none").err.count("error:") == 1


def test_version_shows_both_sides(smctl: Smctl, tmp_path: Path) -> None:
    smctl.server.reply("GET /v1/status", DAEMON)
    assert smctl("version") == (0, "client 0.1.0\ndaemon 0.1.0\n", "")
    assert json.loads(smctl("version", "--json").out) == {"client": "0.1.0", "daemon": "0.1.0"}
    assert smctl("--version") == (0, "smctl 0.1.0\n", "")
    alone = smctl("version", "--host", f"unix://{tmp_path}/none")
    assert (alone.code, alone.out) == (7, "client 0.1.0\n")


def test_a_defect_is_one_line(smctl: Smctl) -> None:
    """An answer of another shape than promised gives no traceback."""
    smctl.server.reply("GET /v1/machines", {"unexpected": 1})
    result = smctl("list-machines")
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[0] == "error: cannot go on: KeyError: 'machines'"


def test_colour_is_for_terminals_that_want_it(smctl: Smctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only stderr's first word is coloured, and NO_COLOR, --no-color or a pipe turn that off."""
    assert "\x1b" not in smctl("nonsense").err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert smctl("nonsense").err.startswith("\x1b[31;1merror:\x1b[0m no such command")
    assert "\x1b" not in smctl("--no-color", "nonsense").err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in smctl("nonsense").err


@pytest.mark.parametrize(("shell", "mark"), [("bash", "complete -o nosort -F"), ("zsh", "#compdef smctl"),
                                             ("fish", "complete --no-files --command smctl")])  # fmt: skip
def test_completion_scripts_are_the_shell_s(smctl: Smctl, shell: str, mark: str) -> None:
    result = smctl("completion", shell)
    assert result.code == 0
    assert mark in result.out
    assert "_SMCTL_COMPLETE" in result.out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("smctl sen", ["plain,send-event"]),
        ("smctl stop w", ["plain,worker"]),
        ("smctl send-event w", ["plain,worker"]),
        ("smctl send-event worker n", ["plain,new_job"]),
        ("smctl list --status pe", ["plain,pending"]),
    ],
)
def test_completion_knows_commands_machines_and_events(
    smctl: Smctl, monkeypatch: pytest.MonkeyPatch, typed: str, offered: list[str]
) -> None:
    """Names come from the daemon; without one nothing is offered and nothing is said."""
    smctl.server.reply("GET /v1/machines", {"machines": [VIEW]})
    smctl.server.reply("GET /v1/machines/worker", VIEW)
    monkeypatch.setenv("_SMCTL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert smctl().out.splitlines() == offered
    monkeypatch.setenv("SMD_HOST", "unix:///nonexistent/s")
    assert smctl().err == ""


def test_ctrl_c_exits_130_without_a_word(tmp_path: Path) -> None:
    with listening(tmp_path / "s") as server:
        server.reply("GET /v1/machines/w/log", "begin\n")
        server.hold = True
        with subprocess.Popen(
            [*RUN, "logs", "-f", "w"], env=environment(SMD_HOST=server.host),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == b"begin\n"
            process.send_signal(signal.SIGINT)
            assert process.communicate() == (b"", b"")
        server.released.set()
    assert process.returncode == 130


def test_a_reader_that_has_gone_ends_smctl_quietly(tmp_path: Path) -> None:
    with listening(tmp_path / "s") as server:
        server.reply("GET /v1/machines/w/log", "a line\n" * 50_000)
        with subprocess.Popen(
            [*RUN, "logs", "w"], env=environment(SMD_HOST=server.host),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == b"a line\n"
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == b""
    assert process.returncode == 141


def test_output_before_an_error_is_not_lost(tmp_path: Path) -> None:
    """The answer of an event whose wait timed out reaches a pipe."""
    answer = {"machine": "w", "type": "e", "disposition": "taken", "states": ["b"], "before": ["a"]}
    with listening(tmp_path / "s") as server:
        reply = {"error": {"code": "wait_timeout", "message": "too long"}, "answer": answer}
        server.reply("POST /v1/machines/w/events", reply, 408)
        run = [*RUN, "send-event", "w", "e", "--timeout", "0"]
        done = subprocess.run(run, env=environment(SMD_HOST=server.host), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (124, b"w: e taken: a -> b\n", b"error: too long\n")


def test_a_full_disk_under_stdout_is_told() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run([*RUN, "--version"], env=environment(), stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"error: cannot go on: No space left on device\n")


def imported(args: list[str], **environ: str) -> tuple[int, set[str]]:
    """Exit code of smctl and every module that is loaded when it ends."""
    end = "import sys; from smd.cli import main; c = main(sys.argv[1:]); print(*sys.modules, file=sys.stderr); sys.exit(c)"
    run = [sys.executable, "-c", end, *args]
    done = subprocess.run(run, env=environment(**environ), capture_output=True, text=True, check=False)
    return done.returncode, set(done.stderr.split())


def dear(modules: set[str]) -> set[str]:
    return {name for name in modules if name in TOO_DEAR or name.partition(".")[0] in TOO_DEAR}


def test_send_event_imports_nothing_dear(tmp_path: Path) -> None:
    """The start-up budget: click, a socket, JSON and the one noun's file."""
    with listening(tmp_path / "s") as server:
        taken: dict[str, Any] = {"machine": "w", "type": "e", "disposition": "taken", "states": ["b"], "before": ["a"]}
        server.reply("POST /v1/machines/w/events", taken)
        code, modules = imported(["send-event", "w", "e", "-p", "n=1"], SMD_HOST=server.host)
    assert code == 0
    assert "smd.client" in modules
    assert dear(modules) == set()
    ours = {name for name in modules if name.startswith("smd.cli.")}
    assert ours == {f"smd.cli.{name}" for name in ("entry", "exits", "output", "session", "inputs", "events")}


def test_help_imports_no_client_and_no_command() -> None:
    code, modules = imported(["--help"])
    assert code == 0
    assert not modules & {"smd.client", "socket", "json", "smd.cli.events", "smd.cli.inputs"}
    assert dear(modules) == set()


def test_visible_text_and_json_leave_plain_text_alone() -> None:
    assert visible("plain é 作 \\n") == "plain é 作 \\n"
    assert as_json({"é": 1}) == '{"é":1}'


def test_the_console_script_ends_with_the_code_and_all_output(tmp_path: Path) -> None:
    """`main()` without arguments leaves by itself: nothing written is lost on a pipe."""
    rows = [{**VIEW, "name": f"m{number}"} for number in range(3000)]
    with listening(tmp_path / "s") as server:
        server.reply("GET /v1/machines", {"machines": rows})
        run = [*RUN, "list-machines", "-o", "name"]
        done = subprocess.run(run, env=environment(SMD_HOST=server.host), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().split() == [row["name"] for row in rows]
