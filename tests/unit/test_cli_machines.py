"""smctl on machines: status, list, show, logs, the verbs, add and remove."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.calling import DAEMON, VIEW, Smctl, smctl_fixture  # noqa: F401

TABLE = [
    "MACHINE  STATE    STATUS   HEALTH   PENDING  SINCE",
    "worker   waiting  running  Healthy  0        2023-11-14 22:13:20",
]


def test_status_shows_the_daemon_and_its_machines(smctl: Smctl) -> None:
    smctl.server.reply("GET /v1/status", DAEMON)
    smctl.server.reply("GET /v1/machines", {"machines": [VIEW]})
    result = smctl("status")
    assert result.out.splitlines() == [
        "smd 0.1.0 (pid 42), up 2h 3m", "machines: 1 running", "jobs: 3 available", "", *TABLE,
    ]  # fmt: skip
    assert json.loads(smctl("status", "--json").out) == {"daemon": DAEMON, "machines": [VIEW]}


@pytest.mark.parametrize(("status", "code"), [("running", 0), ("stopped", 3), ("paused", 3), ("failed", 3)])
def test_status_of_one_machine_is_0_only_while_it_runs(smctl: Smctl, status: str, code: int) -> None:
    smctl.server.reply("GET /v1/machines/worker", {**VIEW, "status": status})
    assert smctl("status", "worker") == (
        code,
        (
            f"worker - Image worker: {status}\n"
            "  state:       waiting\n"
            "  since:       2023-11-14 22:13:20\n"
            "  health:      Healthy, Active, Idle\n"
            "  last event:  new_job\n"
            "  waiting for: a job of type image\n"
            "  accepts:     new_job,stop\n"
        ),
        "",
    )


@pytest.mark.parametrize("command", ["list-machines", "machine-state"])
def test_machines_are_listed_and_the_predecessor_s_json_is_kept(smctl: Smctl, command: str) -> None:
    smctl.server.reply("GET /v1/machines", {"machines": [VIEW]})
    smctl.server.reply("GET /v1/status", DAEMON)
    assert smctl(command).out.splitlines() == TABLE
    assert json.loads(smctl(command, "--format", "json").out) == [
        {"machine_name": "worker", "current_state": "waiting", "last_activity": 1_700_000_000.0, "pid": 42,
         "metadata": None}
    ]  # fmt: skip


def test_without_machines_the_predecessor_s_json_is_an_empty_array(smctl: Smctl) -> None:
    smctl.server.reply("GET /v1/machines", {"machines": []})
    smctl.server.reply("GET /v1/status", DAEMON)
    assert smctl("machine-state", "--format", "json") == (0, "[]\n", "")
    assert smctl("machine-state") == (0, "", "no machines\n")


def test_show_tells_everything_with_the_context(smctl: Smctl) -> None:
    smctl.server.reply("GET /v1/machines/worker", VIEW)
    kept = {"machine": "worker", "version": 7, "status": "running", "snapshot": {"context": {"n": 1}}}
    smctl.server.reply("GET /v1/machines/worker/snapshot", kept)
    lines = smctl("show", "worker").out.splitlines()
    assert [line.partition(":")[0] for line in lines[: len(VIEW)]] == list(VIEW)
    assert "".join(lines[len(VIEW) :]) == 'snapshot:{  "context": {    "n": 1  }}'
    assert json.loads(smctl("show", "worker", "-o", "json").out) == {**VIEW, "snapshot": {"context": {"n": 1}}}


@pytest.mark.parametrize(
    ("args", "verb", "body"),
    [
        (["start"], "start", {}),
        (["stop"], "stop", {}),
        (["restart"], "restart", {}),
        (["resume"], "resume", {}),
        (["reset-failed"], "reset-failed", {}),
        (["pause"], "pause", {}),
        (["pause", "--now"], "pause", {"now": True}),
    ],
)
def test_a_verb_reports_the_machine_as_it_is_now(
    smctl: Smctl, args: list[str], verb: str, body: dict[str, Any]
) -> None:
    smctl.server.reply(f"POST /v1/machines/worker/{verb}", VIEW)
    result, asked = smctl.one(*args, "worker")
    assert asked == ("POST", f"/v1/machines/worker/{verb}", body, "application/json")
    assert result == (0, "worker: running in waiting\n", "")


def test_each_machine_is_reported_and_the_worst_code_counts(smctl: Smctl) -> None:
    """One that fails does not keep the others from being asked; a wrong state is 3, an unknown name 4."""
    smctl.server.fail("POST /v1/machines/a/stop", 409, "some_conflict", "cannot stop a: it is stopped")
    smctl.server.fail("POST /v1/machines/b/stop", 404, "unknown_machine", "cannot find machine 'b'")
    smctl.server.reply("POST /v1/machines/worker/stop", {**VIEW, "status": "stopped", "states": []})
    assert smctl("stop", "a", "b", "worker") == (
        4, "worker: stopped\n", "error: cannot stop a: it is stopped\nerror: cannot find machine 'b'\n",
    )  # fmt: skip
    assert smctl("stop", "a", "worker").code == 3
    assert json.loads(smctl("stop", "worker", "--json").out)["name"] == "worker"
    assert len(json.loads(smctl("stop", "worker", "a", "--json").out)["machines"]) == 1


def test_a_machine_is_added_by_absolute_path_or_by_text(
    smctl: Smctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    smctl.server.reply("POST /v1/machines", VIEW, 201)
    result, asked = smctl.one("add", "w.yaml")
    assert (asked.body, result.out) == ({"path": f"{tmp_path}/w.yaml"}, "worker: running in waiting\n")
    _, asked = smctl.one("add", "/w.yaml", "--name", "w2", "--context", '{"n": 1}', "--no-start")
    assert asked.body == {"path": "/w.yaml", "name": "w2", "context": {"n": 1}, "start": False}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"machine: w\n")))
    _, asked = smctl.one("add", "-")
    assert asked.body == {"yaml": "machine: w\n"}


FAILED = {**VIEW, "status": "failed", "states": [], "error": "endless loop"}
TOLD = "error: machine 'worker' failed: endless loop\nhint: smctl logs worker\n"


@pytest.mark.parametrize("verb", ["start", "restart", "resume"])
def test_a_machine_that_fails_at_once_is_told_with_its_reason(smctl: Smctl, verb: str) -> None:
    smctl.server.reply(f"POST /v1/machines/worker/{verb}", FAILED)
    assert smctl(verb, "worker") == (1, "worker: failed\n", TOLD)
    quiet = smctl(verb, "worker", "--json")
    assert (quiet.code, json.loads(quiet.out), quiet.err) == (1, FAILED, TOLD)


def test_an_added_machine_that_fails_at_once_is_told_with_its_reason(
    smctl: Smctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"machine: w\n")))
    smctl.server.reply("POST /v1/machines", FAILED, 201)
    assert smctl("add", "-") == (1, "worker: failed\n", TOLD)


def test_an_invalid_chart_is_an_invalid_configuration(smctl: Smctl, tmp_path: Path) -> None:
    (tmp_path / "w.yaml").touch()
    smctl.server.fail("POST /v1/machines", 422, "invalid_chart", "cannot load w.yaml: 2 errors")
    assert smctl("add", f"{tmp_path}/w.yaml") == (8, "", "error: cannot load w.yaml: 2 errors\n")


def test_a_file_outside_the_folders_is_not_permitted_and_may_come_by_stdin(smctl: Smctl, tmp_path: Path) -> None:
    file = tmp_path / "my machine.yaml"
    smctl.server.fail("POST /v1/machines", 403, "outside_folders", "cannot load it: outside")
    assert smctl("add", str(file)) == (4, "", f"error: cannot read '{file}': there is no such file\n")
    file.touch()
    assert smctl("add", str(file)) == (6, "", f"error: cannot load it: outside\nhint: smctl add - < '{file}'\n")


@pytest.mark.parametrize("code", ["outside_folders", "invalid_chart"])
def test_a_file_that_does_not_exist_is_not_found(smctl: Smctl, tmp_path: Path, code: str) -> None:
    smctl.server.fail("POST /v1/machines", 422, code, "cannot load it")
    assert smctl("add", f"{tmp_path}/w.yaml").code == 4


def test_a_log_as_json_is_one_object_a_line(smctl: Smctl) -> None:
    smctl.server.reply("GET /v1/machines/worker/log", 'one\ntwo "\x1b"\n')
    want = [{"machine": "worker", "line": "one"}, {"machine": "worker", "line": 'two "\x1b"'}]
    for form in ("json", "ndjson"):
        result = smctl("logs", "worker", "-o", form)
        assert (result.code, [json.loads(line) for line in result.out.splitlines()]) == (0, want)
    for form in ("yaml", "name"):
        result = smctl("logs", "worker", "-o", form)
        assert (result.code, result.out) == (2, "")
        assert f"no form '{form}'" in result.err


def test_a_refused_document_is_shown_with_its_lines_where_smctl_can_read_it(smctl: Smctl, tmp_path: Path) -> None:
    """A place outside the text, or a file that is gone, leaves the daemon's words as they are."""
    file = tmp_path / "w.yaml"
    told = f"cannot load {file}: 2 problems\n{file}:2:4: error[smd-E101]: one\nhint: mend it\n{file}:9:1: error[smd-E101]: two"
    smctl.server.fail("POST /v1/machines", 422, "invalid_document", told, "mend it")
    plain = smctl("add", str(file))
    assert (plain.code, plain.err.count(str(file)), plain.err.count("^")) == (8, 3, 0)
    file.write_text("machine: w\na:\t\x1bb\n")
    assert smctl("add", str(file)).err.splitlines() == [
        f"error: cannot load {file}: 2 problems",
        f"  {file}:2:4: error[smd-E101]: one",
        "      a:  \N{REPLACEMENT CHARACTER}b",
        "          ^",
        "  hint: mend it",
        f"  {file}:9:1: error[smd-E101]: two",
    ]


def test_a_machine_is_removed(smctl: Smctl) -> None:
    smctl.server.reply("DELETE /v1/machines/worker", {"removed": "worker"})
    result, asked = smctl.one("remove", "worker")
    assert (asked.method, result) == ("DELETE", (0, "worker: removed\n", ""))
    assert smctl("remove", "worker", "-o", "name").out == "worker\n"


def test_logs_show_lines_with_control_characters_made_visible(smctl: Smctl) -> None:
    """A log line cannot drive the terminal."""
    smctl.server.reply("GET /v1/machines/worker/log", "one\ntwo \x1b]0;title\x07\u202e\r\nlast")
    result, asked = smctl.one("logs", "-n", "3", "worker")
    assert asked.target == "/v1/machines/worker/log?lines=3"
    assert result == (0, "one\ntwo \\x1b]0;title\\x07\\u202e\\r\nlast\n", "")
    _, asked = smctl.one("logs", "-f", "worker")
    assert asked.target == "/v1/machines/worker/log?lines=100&follow=1"
