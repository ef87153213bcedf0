"""smctl add-job, list, details, complete-job, fail-job, queue: the exact request, stdout and exit code."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.calling import Smctl, smctl_fixture  # noqa: F401

JOB: dict[str, Any] = {
    "number": 1,
    "job_id": "j1",
    "job_type": "image",
    "machine_type": None,
    "source_job_id": None,
    "data": {"file": "a.png"},
    "result": None,
    "priority": 5,
    "status": "available",
    "created_at": 1_700_000_000.0,
    "started_at": None,
    "completed_at": None,
    "error": None,
    "metadata": None,
    "holder": None,
    "epoch": 0,
    "attempt": 1,
}


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    def feed(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    return feed


@pytest.mark.parametrize(
    ("args", "body"),
    [
        (["j1", "--type", "image"], {"job_type": "image", "job_id": "j1"}),
        (["--type", "image"], {"job_type": "image"}),
        (
            ["j1", "--type", "image", "--machine-type", "gpu", "--priority", "1", "--source-job", "j0"],
            {"job_type": "image", "job_id": "j1", "machine_type": "gpu", "priority": 1, "source_job_id": "j0"},
        ),
        (["j1", "--type", "image", "--payload", "[1]"], {"job_type": "image", "job_id": "j1", "payload": [1]}),
        (
            ["j1", "--type", "image", "-d", '{"a": 1}', "-p", "b=x"],
            {"job_type": "image", "job_id": "j1", "payload": {"a": 1, "b": "x"}},
        ),
    ],
)
@pytest.mark.parametrize("command", ["add-job", "create-job"])
def test_a_job_is_added_and_its_id_printed(smctl: Smctl, command: str, args: list[str], body: dict[str, Any]) -> None:
    smctl.server.reply("POST /v1/jobs", JOB, 201)
    result, asked = smctl.one(command, *args)
    assert asked == ("POST", "/v1/jobs", body, "application/json")
    assert result == (0, "j1\n", "")


def test_an_input_file_goes_into_the_data_with_its_absolute_path(
    smctl: Smctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    smctl.server.reply("POST /v1/jobs", JOB, 201)
    _, asked = smctl.one("add-job", "j1", "--type", "t", "--input-file", "a.png", "--payload", '{"x": 1}')
    assert asked.body["payload"] == {"x": 1, "input_file_path": f"{tmp_path}/a.png"}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["j1"], "missing option '--type'\n"),
        ([], "missing option '--type'; 'smctl add-job -' reads jobs from stdin"),
        (["j1", "--type", "t", "--input-file", "/nonexistent/a"], "cannot find the input file '/nonexistent/a'"),
        (["j1", "--type", "t", "--input-file", "/", "--payload", "[1]"], "not an object"),
        (["j1", "--type", "t", "--payload", "{"], "cannot read the payload as JSON"),
        (["-", "--type", "t"], "stands on its line of stdin"),
        (["-"], "stdin is empty"),
    ],
)
def test_a_wrong_job_is_told_and_nothing_is_sent(smctl: Smctl, stdin: Any, args: list[str], told: str) -> None:
    stdin(b"\n")
    result = smctl("add-job", *args)
    assert (result.code, smctl.server.asked) == (2, [])
    assert told in result.err


def test_a_warning_of_the_daemon_goes_to_stderr(smctl: Smctl) -> None:
    smctl.server.reply("POST /v1/jobs", {**JOB, "warning": "no machine takes jobs of type image"}, 201)
    result = smctl("add-job", "j1", "--type", "image")
    assert result == (0, "j1\n", "warning: no machine takes jobs of type image\n")


def test_many_jobs_are_sent_as_they_stand_on_stdin(smctl: Smctl, stdin: Any) -> None:
    """One request, so all are added or none; one id a line."""
    lines = '{"job_type": "image", "job_id": "j1"}\n{"job_type": "image", "job_id": "j2"}\n'
    stdin(lines.encode())
    smctl.server.reply("POST /v1/jobs", {"jobs": [JOB, {**JOB, "job_id": "j2"}], "warning": "late"}, 201)
    result, asked = smctl.one("add-job", "-")
    assert asked == ("POST", "/v1/jobs", lines, "application/x-ndjson")
    assert result == (0, "j1\nj2\n", "warning: late\n")


def test_a_taken_job_id_is_a_conflict(smctl: Smctl) -> None:
    smctl.server.fail("POST /v1/jobs", 409, "job_exists", "cannot add job 'j1': it exists")
    assert smctl("add-job", "j1", "--type", "t") == (5, "", "error: cannot add job 'j1': it exists\n")


@pytest.mark.parametrize(
    ("args", "query"),
    [
        (["list"], "?limit=20"),
        (["list-jobs", "--status", "pending", "--type", "image"], "?status=available&type=image&limit=20"),
        (["list", "--status", "processing"], "?status=running&limit=20"),
        (["list", "--status", "cancelled", "--limit", "1"], "?status=cancelled&limit=1"),
    ],
)
def test_jobs_are_listed_by_either_vocabulary(smctl: Smctl, args: list[str], query: str) -> None:
    smctl.server.reply("GET /v1/jobs", {"jobs": [JOB], "next": None})
    result, asked = smctl.one(*args)
    assert asked.target == f"/v1/jobs{query}"
    assert result.out.splitlines() == [
        "ID  TYPE   STATUS     CREATED              ENDED  HOLDER",
        "j1  image  available  2023-11-14 22:13:20  -      -",
    ]


def test_details_show_the_payload(smctl: Smctl) -> None:
    smctl.server.reply("GET /v1/jobs/j%201", {**JOB, "job_id": "j 1"})
    result, _ = smctl.one("details", "j 1")
    assert result.out.splitlines() == [
        "id:           j 1",
        "type:         image",
        "status:       available",
        "priority:     5",
        "attempt:      1",
        "created:      2023-11-14 22:13:20",
        "payload:",
        "{",
        '  "file": "a.png"',
        "}",
    ]


@pytest.mark.parametrize(
    ("args", "verb", "body", "status"),
    [
        (["complete-job", "j1"], "complete", {}, "completed"),
        (["complete-job", "j1", "--result", '{"n": 1}'], "complete", {"result": {"n": 1}}, "completed"),
        (["fail-job", "j1", "--reason", "disk full"], "fail", {"reason": "disk full"}, "failed"),
    ],
)
def test_a_job_is_settled(smctl: Smctl, args: list[str], verb: str, body: dict[str, Any], status: str) -> None:
    smctl.server.reply(f"POST /v1/jobs/j1/{verb}", {**JOB, "status": status})
    result, asked = smctl.one(*args)
    assert asked.body == body
    assert result == (0, f"j1: {status}\n", "")


def test_an_unknown_job_is_not_found(smctl: Smctl) -> None:
    smctl.server.fail("GET /v1/jobs/no", 404, "unknown_job", "cannot find job 'no'", "smctl list-jobs")
    assert smctl("details", "no") == (4, "", "error: cannot find job 'no'\nhint: smctl list-jobs\n")


def test_queues_are_counted_by_type_and_status(smctl: Smctl) -> None:
    whole = {"queues": {"b": {"running": 2}, "a": {"available": 1, "failed": 3}}}
    smctl.server.reply("GET /v1/queues", whole)
    assert smctl("queue", "list").out.splitlines() == [
        "TYPE  AVAILABLE  RUNNING  COMPLETED  FAILED  CANCELLED",
        "a     1          0        0          3       0",
        "b     0          2        0          0       0",
    ]
    assert json.loads(smctl("queue", "list", "--json").out) == whole
