"""Bad input: one clear error, the right exit code, no traceback, and nothing changed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from smd.client import ClientError
from tests.acceptance.daemon import Daemon, Spoken, running, smctl, smd

GOOD = "machine: good\nstates: {idle: {on: {greet: greeted}}, greeted: {}}\n"
BOMB = "".join(
    ["machine: bad\ncontext:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"]
    + [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)]
    + ["states: {idle: {}}\n"]
)
CHARTS = {
    "broken": (b"machine: bad\nstates:\n  idle: {on: [\n", "4:1: error[smd-E001]"),
    "a boolean key": (b"machine: bad\nstates:\n  idle:\n    true: {go: idle}\n", "4:5: error[smd-E004]: a key must be a text"),
    "a key that stands twice": (b"machine: bad\nstates:\n  idle: {}\n  idle: {}\n", "4:3: error[smd-E003]: the key 'idle'"),
    "an alias bomb": (BOMB.encode(), "error[smd-E006]"),
    "an unknown field": (b"machine: bad\nstate: {}\nstates: {idle: {onn: {}}}\n", "did you mean 'states'?"),
    "an unknown target": (b"machine: bad\nstates: {idle: {on: {go: iddle}}}\n", "did you mean 'idle'?"),
    "invalid UTF-8": (b'machine: bad\nstates: {idle: {description: "\xff"}}\n', "2:31: error[smd-E002]"),
    "depth": (b"machine: bad\nstates: {idle: {}}\ncontext: " + b"{a: " * 5000 + b"}" * 5000, "error[smd-E0"),
    "nothing": (b"", "error[smd-E"),
    "a list": (b"[machine, bad]\n", "error[smd-E"),
}  # fmt: skip


def refused(answer: Spoken, code: int, *told: str) -> None:
    """It ended with this code and said these things on standard error, without a traceback."""
    assert answer.code == code, answer
    assert "Traceback" not in answer.out + answer.err
    for words in told:
        assert words in answer.err, answer


@pytest.fixture
def untouched(shared: Daemon) -> Iterator[Daemon]:
    """The shared daemon with the machine `good`, which the test must not change, nor add another."""
    if "good" not in (view["name"] for view in shared.get("/v1/machines")["machines"]):
        shared.add(GOOD)
    before = _all_of(shared)
    yield shared
    assert _all_of(shared) == before
    assert "Traceback" not in shared.output


def _all_of(daemon: Daemon) -> Any:
    """Every machine, and what `good` has consumed."""
    status = daemon.get("/v1/status")
    views = daemon.get("/v1/machines")["machines"]
    return status["jobs"], sorted(view["name"] for view in views), daemon.snapshot("good"), daemon.states("good")


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", CHARTS)
def test_a_daemon_does_not_start_with_a_bad_file(folder: Path, fault: str) -> None:
    text, told = CHARTS[fault]
    (folder / "bad.yaml").write_bytes(text)
    refused(smd("run", "bad.yaml", "--state-dir", folder / "state", cwd=folder), 8, "bad.yaml:", told)


@pytest.mark.parametrize("fault", CHARTS)
def test_a_running_daemon_refuses_a_bad_machine(untouched: Daemon, fault: str) -> None:
    text, told = CHARTS[fault]
    (untouched.cwd / "bad.yaml").write_bytes(text)
    refused(untouched.smctl("add", "bad.yaml"), 8, told)
    validated = smctl("validate", "bad.yaml", cwd=untouched.cwd)
    assert validated.code == 8
    assert told in validated.out + validated.err


def test_a_file_outside_the_configured_folders_is_not_read(untouched: Daemon, folder: Path) -> None:
    (folder / "bad.yaml").write_text(GOOD)
    refused(untouched.smctl("add", folder / "bad.yaml"), 8, "outside the configured folders")


def test_a_bad_file_beside_a_good_one_starts_neither(folder: Path) -> None:
    (folder / "a.yaml").write_text(GOOD.replace("idle: {", "idle: {actions: [{type: bash, command: touch ran}], "))
    (folder / "b.yaml").write_bytes(CHARTS["broken"][0])

    refused(smd("run", "a.yaml", "b.yaml", "--state-dir", "state", cwd=folder), 8, "b.yaml:4:1")

    assert not (folder / "ran").exists()
    with closing(sqlite3.connect(folder / "state/smd.db")) as store:
        assert store.execute("SELECT name FROM machines").fetchall() == []


def test_a_bad_file_in_a_folder_is_told_and_left_out(start: Callable[..., Daemon], folder: Path) -> None:
    machines = folder / "machines"
    machines.mkdir()
    (machines / "a.yaml").write_bytes(CHARTS["broken"][0])
    (machines / "b.yaml").write_text(GOOD)
    daemon = start(machines)
    assert [view["name"] for view in daemon.get("/v1/machines")["machines"]] == ["good"]
    assert "a.yaml" in daemon.output
    assert "4:1: error[smd-E001]" in daemon.output


# --- requests ---------------------------------------------------------------------------------------------------------

EVENTS = "/v1/machines/good/events"
BIG = json.dumps({"type": "greet", "payload": {"text": "x" * 10_000_000}}).encode()


@pytest.mark.parametrize(
    ("route", "body", "status", "code"),
    [
        (EVENTS, BIG, 413, "too_large"),
        ("/v1/events", b"[" + BIG + b"]", 413, "too_large"),
        ("/v1/jobs", b'{"job_type": "t", "payload": "' + b"x" * 10_000_000 + b'"}', 413, "too_large"),
        (EVENTS, b'{"type": "\xff"}', 400, "invalid_json"),
        (EVENTS, b'{"type": "greet"', 400, "invalid_json"),
        (EVENTS, b"", 400, "invalid_json"),
        (EVENTS, b'{"type": "greet", "payload": {"n": NaN}}', 400, "invalid_json"),
        (EVENTS, b'{"type": "greet", "payload": ' + b'{"a":' * 65 + b"1" + b"}" * 66, 422, "too_deep"),
        (EVENTS, b'{"type": "greet", "payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "invalid_json"),
        (EVENTS, b'{"type": "greet", "paylod": {}}', 422, "invalid_request"),
        (EVENTS, b'{"type": ""}', 422, "invalid_request"),
        (EVENTS, b'{"type": "smd.stop"}', 422, "invalid_request"),
        (EVENTS, b'["greet"]', 422, "invalid_request"),
        (EVENTS, b'{"type": "greet", "payload": {"n": 99999999999999999999}}', 422, "invalid_request"),
        ("/v1/jobs", b'{"type": "task", "prio": 1}', 422, "invalid_request"),
        ("/v1/machines", b'{"yaml": "machine: x", "extra": 1}', 422, "invalid_request"),
        ("/v1/machines/gud/events", b'{"type": "greet"}', 404, "unknown_machine"),
        ("/v1/nowhere", b"{}", 404, "unknown_route"),
        ("/v1/machines/../../etc/passwd", b"{}", 404, "unknown_route"),
    ],
)  # fmt: skip
def test_a_bad_request_is_refused_in_words(untouched: Daemon, route: str, body: bytes, status: int, code: str) -> None:
    with untouched.client() as client, pytest.raises(ClientError) as error:
        client.request("POST", route, raw=("application/json", body))
    assert (error.value.status, error.value.code) == (status, code), error.value.message
    assert error.value.message.startswith("cannot ")


def test_smctl_says_that_a_payload_of_10_mb_is_too_large(untouched: Daemon, folder: Path) -> None:
    (folder / "big.json").write_text(json.dumps({"text": "x" * 10_000_000}))
    refused(untouched.smctl("send-event", "good", "greet", "-d", f"@{folder}/big.json"), 1, "1048576 bytes")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("send-event", "god", "greet"), 4, "did you mean 'good'?"),
        (("show", "god"), 4, "did you mean 'good'?"),
        (("send-event", "good"), 2, "missing event"),
        (("send-event", "good", "greet", "-d", "{"), 2, "JSON"),
        (("send-event", "good", "greet", "-d", "@/nowhere"), 2, "cannot read '/nowhere'"),
        (("send-event", "good", "greet", "--prio", "high"), 2, "--priority"),
        (("send-evnt", "good", "greet"), 2, "send-event"),
        (("details", "no-such-job"), 4, "no-such-job"),
        (("start", "good"), 3, "it is running"),
        (("resume", "good"), 3, "good"),
    ],
)  # fmt: skip
def test_smctl_tells_what_is_wrong_with_a_command(
    untouched: Daemon, words: tuple[str, ...], code: int, told: str
) -> None:
    refused(untouched.smctl(*words), code, told)


def test_an_unknown_event_is_ignored_with_the_nearest_name(shared: Daemon) -> None:
    shared.add(GOOD, "greeted")
    answer = shared.smctl("send-event", "greeted", "gret")
    assert answer.code == 4
    assert "ignored" in answer.out
    assert "did you mean 'greet'?" in answer.out
    assert shared.states("greeted") == ["idle"]


def test_smctl_without_a_daemon_says_how_to_start_one(folder: Path) -> None:
    refused(smctl("--host", f"unix://{folder}/none.sock", "status"), 7, "smd run")


# --- places -----------------------------------------------------------------------------------------------------------


def test_a_second_daemon_on_the_same_state_leaves_the_first_unharmed(untouched: Daemon) -> None:
    answer = smd("run", "--state-dir", untouched.state)
    refused(answer, 1, f"another daemon (pid {untouched.process.pid}) uses it")
    assert untouched.smctl("status", "good").code == 0


def test_a_socket_path_beyond_107_bytes_is_refused_before_anything_is_made(folder: Path) -> None:
    state = folder / ("long" * 30)
    refused(smd("run", "--state-dir", state), 8, "at most 107 bytes", "shorter --state-dir")
    assert not state.exists()
    refused(smctl("--host", f"unix://{state}/control.sock", "status"), 2, "107 bytes")


def test_the_longest_socket_path_there_can_be_works(folder: Path) -> None:
    state = folder / ("d" * (107 - len(str(folder)) - len("//control.sock")))
    assert len(str(state / "control.sock")) == 107
    with running(state) as daemon:
        assert daemon.smctl("status").code == 0


def test_a_folder_that_cannot_be_made_is_told(folder: Path) -> None:
    (folder / "file").write_text("kept")
    refused(smd("run", "--state-dir", folder / "file/state"), 8, "cannot use", "Not a directory", "--state-dir")
    assert (folder / "file").read_text() == "kept"


@pytest.mark.parametrize(
    "content", [b"hello, I am no database\n" * 300, b"\0" * 9000, b"SQLite format 3\0" + b"?" * 5000]
)
def test_a_store_that_is_no_database_is_left_as_it_is(folder: Path, content: bytes) -> None:
    (folder / "smd.db").write_bytes(content)
    refused(smd("run", "--state-dir", folder), 1, f"cannot open {folder}/smd.db")
    assert (folder / "smd.db").read_bytes() == content


@pytest.mark.parametrize(
    ("sql", "told"),
    [("UPDATE meta SET value = '99' WHERE name = 'version'", "version 99"), ("DROP TABLE meta", "another program")],
)
def test_a_store_of_another_time_or_program_is_left_as_it_is(start: Callable[..., Daemon], sql: str, told: str) -> None:
    daemon = start()
    daemon.add(GOOD)
    daemon.stop()
    with closing(sqlite3.connect(daemon.store)) as store:
        store.execute(sql)
        store.commit()
    before = daemon.store.read_bytes()
    refused(smd("run", "--state-dir", daemon.state), 1, f"cannot open {daemon.store}", told)
    assert daemon.store.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("run", "nowhere.yaml"), 8, "cannot read 'nowhere.yaml'"),
        (("run", "good.yaml", "--initial-context", "{"), 8, "--initial-context"),
        (("run", "good.yaml", "--initial-context", "[]"), 8, "JSON object"),
        (("run", "good.yaml", "good.yaml", "--machine-name", "x"), 8, "--machine-name"),
        (("run", "good.yaml", "--actions-dir", "nowhere"), 8, "nowhere"),
        (("run", "--log-format", "loud"), 2, "--log-format"),
        (("check", "nowhere.yaml"), 8, "cannot read 'nowhere.yaml'"),
    ],
)  # fmt: skip
def test_smd_tells_what_is_wrong_with_its_command_line(
    folder: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    (folder / "good.yaml").write_text(GOOD)
    refused(smd(*words, cwd=folder), code, told)
