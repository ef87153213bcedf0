"""smctl send-event, list-events and the histories: the exact request, stdout and exit code."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from smd.cli.events import GRACE
from tests.unit.calling import Smctl, smctl_fixture  # noqa: F401

ROUTE = "POST /v1/machines/worker/events"
TAKEN = {
    "machine": "worker",
    "type": "new_job",
    "seq": 4,
    "disposition": "taken",
    "states": ["processing"],
    "before": ["waiting"],
}
ROW = {
    "seq": 9,
    "consumed_no": 3,
    "at": 1_700_000_000.0,
    "now": 1_700_000_001.0,
    "type": "new_job",
    "from": "waiting",
    "to": "processing",
    "disposition": "taken",
    "source": "cli",
    "job_id": "j1",
    "error": None,
    "machine": "worker",
}


def answer(**changes: Any) -> dict[str, Any]:
    return {**TAKEN, "states": ["waiting"], **changes}


@pytest.mark.parametrize(
    ("reply", "line", "code"),
    [
        (TAKEN, "worker: new_job taken: waiting -> processing", 0),
        ({**TAKEN, "before": ["a", "b"], "states": ["a", "c"]}, "worker: new_job taken: a, b -> a, c", 0),
        ({**TAKEN, "before": []}, "worker: new_job taken: processing", 0),
        (
            {**TAKEN, "settled": {"states": ["done"]}},
            "worker: new_job taken: waiting -> processing; settled in done",
            0,
        ),
        (
            {**TAKEN, "settled": {"states": ["done"], "status": "failed", "error": "cannot step: endless"}},
            "worker: new_job taken: waiting -> processing; failed in done: cannot step: endless",
            1,
        ),
        (
            {**TAKEN, "settled": {"states": ["done"], "status": "finished", "error": None}},
            "worker: new_job taken: waiting -> processing; finished in done",
            0,
        ),
        (
            answer(disposition="queued", reason="machine is stopped; it is consumed at start", code="not_running"),
            "worker: new_job queued: machine is stopped; it is consumed at start",
            0,
        ),
        (answer(disposition="deferred", reason="the action runs"), "worker: new_job deferred: the action runs", 0),
        (answer(disposition="duplicate"), "worker: new_job duplicate", 0),
        (
            answer(
                type="new_jbo",
                disposition="ignored",
                reason="no such event",
                code="unknown_event",
                hint="did you mean 'new_job'?",
            ),
            "worker: new_jbo ignored: no such event; did you mean 'new_job'?",
            4,
        ),
        (
            answer(disposition="ignored", reason="the guard is false", code="guard_false"),
            "worker: new_job ignored: the guard is false",
            3,
        ),
        (
            answer(disposition="ignored", reason="the guard of 'new_job' failed: no key 'n'", code="guard_failed"),
            "worker: new_job ignored: the guard of 'new_job' failed: no key 'n'",
            1,
        ),
        (
            answer(disposition="ignored", reason="cannot keep what it carries", code="context_too_large"),
            "worker: new_job ignored: cannot keep what it carries",
            1,
        ),
        (answer(disposition="failed", reason="endless loop"), "worker: new_job failed: endless loop", 1),
    ],
)
def test_what_became_of_the_event_is_one_line_and_an_exit_code(
    smctl: Smctl, reply: dict[str, Any], line: str, code: int
) -> None:
    smctl.server.reply(ROUTE, reply)
    assert smctl("send-event", "worker", "new_job") == (code, line + "\n", "")


@pytest.mark.parametrize(
    ("args", "query", "body"),
    [
        (["worker", "new_job"], "", {"type": "new_job"}),
        (["--target", "worker", "--type", "new_job"], "", {"type": "new_job"}),
        (["--target", "worker", "new_job"], "", {"type": "new_job"}),
        (["worker", "--type", "new_job"], "", {"type": "new_job"}),
        (
            ["--target", "worker", "--type", "e", "--source", "ui", "--job-id", "j", "--payload", '{"a": [1]}'],
            "",
            {"type": "e", "source": "ui", "job_id": "j", "payload": {"a": [1]}},
        ),
        (["worker", "e", "-d", "null"], "", {"type": "e"}),
        (
            ["worker", "e", "-d", "[1]", "--key", "k 1", "--priority", "high"],
            "",
            {"type": "e", "payload": [1], "id": "k 1", "priority": "high"},
        ),
        (
            ["worker", "e", "-p", "n=1", "-p", "s=a b", "-p", 'o={"x": null}', "-p", "eq=a=b", "-p", "inf=NaN"],
            "",
            {"type": "e", "payload": {"n": 1, "s": "a b", "o": {"x": None}, "eq": "a=b", "inf": "NaN"}},
        ),
        (["worker", "e", "-d", '{"a": 1, "b": 1}', "-p", "b=2"], "", {"type": "e", "payload": {"a": 1, "b": 2}}),
        (["worker", "e", "--wait", "settled"], "?wait=settled", {"type": "e"}),
        (["worker", "e", "--wait", "taken", "--timeout", "2.5"], "?wait=taken&timeout=2.5", {"type": "e"}),
        (["worker", "e", "--timeout", "1"], "?wait=taken&timeout=1.0", {"type": "e"}),
    ],
)
def test_the_request_holds_what_was_said_and_no_more(
    smctl: Smctl, args: list[str], query: str, body: dict[str, Any]
) -> None:
    """Positionals and the predecessor's options lead to the same request."""
    smctl.server.reply(ROUTE, TAKEN)
    _, asked = smctl.one("send-event", *args)
    assert asked == ("POST", f"/v1/machines/worker/events{query}", body, "application/json")


def test_a_payload_comes_from_a_file_or_stdin(smctl: Smctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smctl.server.reply(ROUTE, TAKEN)
    (tmp_path / "p.json").write_text('{"from": "file"}')
    _, asked = smctl.one("send-event", "worker", "e", "-d", f"@{tmp_path}/p.json")
    assert asked.body["payload"] == {"from": "file"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"from": "stdin"}')))
    _, asked = smctl.one("send-event", "worker", "e", "-d", "-")
    assert asked.body["payload"] == {"from": "stdin"}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "missing machine"),
        (["worker"], "missing event"),
        (["worker", "e", "more"], "unexpected argument 'more'"),
        (["worker", "e", "--target", "worker"], "unexpected argument 'e'"),
        (["worker", "e", "-d", "{oops"], "cannot read the payload as JSON"),
        (["worker", "e", "-d", "NaN"], "NaN is not JSON"),
        (["worker", "e", "-d", "1e999"], "1e999 is too large"),
        (["worker", "e", "-d", "[" * 100_000], "cannot read the payload as JSON"),
        (["worker", "e", "-d", "@/nonexistent/p"], "cannot read '/nonexistent/p': No such file or directory"),
        (["worker", "e", "-d", "[1]", "-p", "a=1"], "not an object"),
        (["worker", "e", "-p", "novalue"], "expected key=value"),
        (["worker", "e", "--timeout", "nan"], "'nan' is not a number of seconds"),
        (["worker", "e", "--timeout", "-1"], "'-1' is not a number of seconds, 0 or more"),
        (["worker", "e", "--wait", "forever"], "'forever' is not one of"),
        (["", "e"], "missing"),
        (["..", "e"], "cannot use '..' as a name"),
        (["worker", "e", "--tragte", "x"], "--target"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_and_nothing_is_sent(smctl: Smctl, args: list[str], told: str) -> None:
    result = smctl("send-event", *args)
    assert (result.code, result.out, smctl.server.asked) == (2, "", [])
    assert told in result.err
    assert "Traceback" not in result.err


def test_a_wait_that_timed_out_shows_the_answer_so_far(smctl: Smctl) -> None:
    """Exit code 124; the event's own answer on stdout, the reason on stderr."""
    error = {"code": "wait_timeout", "message": "cannot wait longer: not settled"}
    smctl.server.reply(ROUTE, {"error": error, "answer": TAKEN}, 408)
    result = smctl("send-event", "worker", "new_job", "--wait", "settled", "--timeout", "0")
    assert result == (124, "worker: new_job taken: waiting -> processing\n", "error: cannot wait longer: not settled\n")


def test_a_daemon_that_does_not_answer_within_the_timeout_is_a_wait_that_timed_out(
    smctl: Smctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection and is silent, like one that was stopped."""
    monkeypatch.setattr("smd.cli.events.GRACE", 0.01)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{tmp_path}/silent")
        silent.listen()
        result = smctl("send-event", "worker", "e", "--timeout", "0.01", "--host", f"unix://{tmp_path}/silent")
    assert (result.code, result.out) == (124, "")
    assert result.err.startswith("error: cannot wait longer: the daemon has not answered within 0.01 s\nhint: ")


def test_the_daemon_s_own_answer_is_waited_for_a_little_longer() -> None:
    """Longer than it takes on its way, and short enough for who asked for a second."""
    assert 0 < GRACE <= 1


def test_a_finished_machine_refuses_with_exit_code_3(smctl: Smctl) -> None:
    smctl.server.fail(ROUTE, 409, "finished", "cannot send: worker is finished", "smctl restart worker")
    result = smctl("send-event", "worker", "new_job")
    assert result == (3, "", "error: cannot send: worker is finished\nhint: smctl restart worker\n")


def test_the_answer_as_json_is_the_api_s(smctl: Smctl) -> None:
    smctl.server.reply(ROUTE, TAKEN)
    assert json.loads(smctl("send-event", "worker", "new_job", "--json").out) == TAKEN
    assert smctl("send-event", "worker", "new_job", "-o", "name").out == "taken\n"


def test_events_are_listed_with_the_start_of_their_payload(smctl: Smctl) -> None:
    """`processed` is the predecessor's word for consumed; a row without disposition is pending."""
    rows = [
        {**ROW, "payload": {"text": "x" * 40}, "id": ""},
        {**ROW, "seq": 8, "disposition": None, "payload": None, "job_id": None, "id": "k"},
    ]
    smctl.server.reply("GET /v1/events", {"rows": rows, "next": None})
    result, asked = smctl.one("list-events", "--target", "worker", "--status", "processed", "--limit", "2")
    assert asked.target == "/v1/events?machine=worker&status=consumed&limit=2"
    assert result.out.splitlines() == [
        "SEQ  MACHINE  TYPE     STATUS   JOB  AT                   PAYLOAD",
        '9    worker   new_job  taken    j1   2023-11-14 22:13:20  {"text":"xxxxxxxxxxxxxxxxxxxx…',
        "8    worker   new_job  pending  -    2023-11-14 22:13:20  -",
    ]
    assert "SOURCE" in smctl("list-events", "-o", "wide").out


@pytest.mark.parametrize(
    ("at", "now", "shown"),
    [
        (1_700_000_000.0, 1_700_000_001.0, "2023-11-14 22:13:20"),
        (0.0, 1_700_000_001.0, "2023-11-14 22:13:21"),
        (1_700_000_000.0, None, "2023-11-14 22:13:20"),
        (0.0, None, "-"),
    ],
)
def test_an_event_without_a_time_of_its_own_is_shown_at_the_time_it_was_consumed(
    smctl: Smctl, at: float, now: float | None, shown: str
) -> None:
    row = {**ROW, "at": at, "now": now, "payload": None, "id": ""}
    smctl.server.reply("GET /v1/events", {"rows": [row], "next": None})
    line = smctl("list-events").out.splitlines()[1]
    assert re.split(" {2,}", line) == ["9", "worker", "new_job", "taken", "j1", shown, "-"]


@pytest.mark.parametrize(
    ("command", "route", "table", "former"),
    [
        (
            "transition-history",
            "/v1/history",
            [
                "SEQ  MACHINE  FROM     TO          EVENT    AT",
                "9    worker   waiting  processing  new_job  2023-11-14 22:13:21",
            ],
            {
                "id": 9,
                "machine": "worker",
                "from_state": "waiting",
                "to_state": "processing",
                "event": "new_job",
                "timestamp": 1_700_000_001.0,
            },
        ),
        (
            "error-history",
            "/v1/errors",
            ["SEQ  MACHINE  ERROR             JOB  AT", "9    worker   no such \\x1bfile  j1   2023-11-14 22:13:21"],
            {
                "id": 9,
                "machine": "worker",
                "error_message": "no such \x1bfile",
                "job_id": "j1",
                "timestamp": 1_700_000_001.0,
            },
        ),
    ],
)
def test_histories_show_rows_and_keep_the_predecessor_s_json(
    smctl: Smctl, command: str, route: str, table: list[str], former: dict[str, Any]
) -> None:
    whole = {"rows": [{**ROW, "error": "no such \x1bfile"} if "error" in command else ROW], "next": None}
    smctl.server.reply(f"GET {route}", whole)
    result, asked = smctl.one(command, "--machine", "worker")
    assert asked.target == f"{route}?machine=worker&limit=20"
    assert result.out.splitlines() == table
    assert json.loads(smctl(command, "--format", "json").out) == [former]
    assert json.loads(smctl(command, "-o", "json").out) == whole


@pytest.mark.parametrize(("command", "route"), [("transition-history", "/v1/history"), ("error-history", "/v1/errors")])
def test_a_row_of_no_known_time_shows_none(smctl: Smctl, command: str, route: str) -> None:
    """A send that reached nobody was never consumed."""
    smctl.server.reply(f"GET {route}", {"rows": [{**ROW, "at": 0.0, "now": None}], "next": None})
    assert smctl(command).out.splitlines()[1].endswith("  -")
    assert json.loads(smctl(command, "--format", "json").out)[0]["timestamp"] is None


def test_an_error_is_cut_only_in_a_table_on_a_terminal(smctl: Smctl, monkeypatch: pytest.MonkeyPatch) -> None:
    why = "cannot " + "x" * 100
    smctl.server.reply("GET /v1/errors", {"rows": [{"seq": 1, "machine": "m", "error": why, "now": 1.0}]})
    assert why in smctl("error-history").out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert why in smctl("error-history", "-o", "wide").out
    assert f"{why[:59]}…  " in smctl("error-history").out


def test_a_payload_comes_from_a_file_or_a_pipe_and_from_nothing_else(smctl: Smctl, tmp_path: Path) -> None:
    smctl.server.reply("POST /v1/machines/worker/events", TAKEN)
    reader, writer = os.pipe()
    os.write(writer, b'{"n": 1}')
    os.close(writer)
    _, asked = smctl.one("send-event", "worker", "e", "-d", f"@/dev/fd/{reader}")
    os.close(reader)
    assert asked.body["payload"] == {"n": 1}
    huge = tmp_path / "huge"
    huge.touch()
    os.truncate(huge, 1 << 40)
    for file, why in (
        (huge, "bytes, more than 33554432"),
        ("/dev/zero", "it is a device"),
        (tmp_path, "it is a folder"),
    ):
        result = smctl("send-event", "worker", "e", "-d", f"@{file}")
        assert (result.code, f"cannot read '{file}': " in result.err, why in result.err) == (2, True, True), result


@pytest.mark.parametrize("hours", ["-1", "x", "inf"])
def test_hours_are_hours(smctl: Smctl, hours: str) -> None:
    result = smctl("error-history", "--hours", hours)
    assert (result.code, smctl.server.asked) == (2, [])
    assert f"'{hours}' is not a number of hours, 0 or more" in result.err


def test_hours_count_back_from_now(smctl: Smctl) -> None:
    smctl.server.reply("GET /v1/history", {"rows": [], "next": None})
    before = time.time()
    result, asked = smctl.one("transition-history", "--hours", "2")
    since = float(asked.target.partition("since=")[2].partition("&")[0])
    assert before - 7200.001 <= since <= time.time() - 7199.999
    assert result == (0, "", "no transitions\n")
