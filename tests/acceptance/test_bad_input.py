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
from tests.acceptance.daemon import Daemon, Spoken, environment, running, smctl, smd

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
    refused(untouched.smctl("add", folder / "bad.yaml"), 6, "outside the configured folders")
    refused(untouched.smctl("add", folder / "none.yaml"), 4, "there is no such file")


def test_a_bad_file_beside_a_good_one_starts_neither(folder: Path) -> None:
    (folder / "a.yaml").write_text(GOOD.replace("idle: {", "idle: {actions: [{type: bash, command: touch ran}], "))
    (folder / "b.yaml").write_bytes(CHARTS["broken"][0])

    refused(smd("run", "a.yaml", "b.yaml", "--state-dir", "state", cwd=folder), 8, "b.yaml:4:1")

    assert not (folder / "ran").exists()
    assert not (folder / "state").exists()


def test_a_bad_file_in_a_folder_is_told_and_left_out(start: Callable[..., Daemon], folder: Path) -> None:
    machines = folder / "machines"
    machines.mkdir()
    (machines / "a.yaml").write_bytes(CHARTS["broken"][0])
    (machines / "b.yaml").write_text(GOOD)
    daemon = start(machines)
    assert [view["name"] for view in daemon.get("/v1/machines")["machines"]] == ["good"]
    assert "a.yaml" in daemon.output
    assert "4:1: error[smd-E001]" in daemon.output


WRONG = """\
machine: bad
states:
  idle: {on: {go: iddle}, after: {5x: idle}}
"""
REPORT = """\
bad.yaml:3:19: error[smd-E202]: states.idle.on.go: unknown state 'iddle'
      idle: {on: {go: iddle}, after: {5x: idle}}
                      ^
hint: did you mean 'idle'?

bad.yaml:3:35: error[smd-E105]: states.idle.after.5x: must be a duration (got '5x')
      idle: {on: {go: iddle}, after: {5x: idle}}
                                      ^
hint: write 500ms, 30s,"""


def test_every_way_in_shows_the_line_a_caret_and_the_nearest_name(untouched: Daemon) -> None:
    """Of each mistake, in one form; `smctl add` has it indented, under a line of its own."""
    (untouched.cwd / "bad.yaml").write_text(WRONG)
    answers = [
        smd("check", "bad.yaml", cwd=untouched.cwd).err,
        smd("run", "bad.yaml", "--ephemeral", cwd=untouched.cwd).err.replace(f"{untouched.cwd}/", ""),
        smctl("validate", "bad.yaml", cwd=untouched.cwd).out,
    ]
    assert [answer.startswith(REPORT) for answer in answers] == [True] * 3, answers

    for words, stdin, name in ((("bad.yaml",), None, f"{untouched.cwd}/bad.yaml"), (("-",), WRONG, "request")):
        host = f"unix://{untouched.socket}"
        answer = smctl("--host", host, "add", *words, stdin=stdin, cwd=untouched.cwd)
        lines = answer.err.replace(name, "bad.yaml").splitlines()
        assert lines[0] == "error: cannot load bad.yaml: 2 problems"
        shown = "\n".join(line.removeprefix("  ") for line in lines[1:])
        assert shown.startswith(REPORT.replace("\n\n", "\n")), answer
        assert answer.err.count("did you mean") == 1


def test_the_api_tells_each_mistake_with_its_hint_but_none_of_the_file(untouched: Daemon) -> None:
    (untouched.cwd / "bad.yaml").write_text(WRONG)
    with untouched.client() as client, pytest.raises(ClientError) as error:
        client.post("/v1/machines", {"path": "bad.yaml"})
    assert error.value.code == "invalid_document"
    assert "iddle}" not in error.value.message
    assert "hint: did you mean 'idle'?" in error.value.message.splitlines()


# --- two files of one machine -----------------------------------------------------------------------------------------

RAN = "states: {idle: {actions: [{type: bash, command: touch ran}]}}\n"


@pytest.fixture
def twins(folder: Path) -> Path:
    """Two files of the machine `m1`, alone and in a folder `both`, and one of `m2`."""
    (folder / "both").mkdir()
    for place in (folder, folder / "both"):
        (place / "two.yaml").write_text("machine: m1\n" + RAN)
        (place / "three.yaml").write_text("metadata: {machine_name: m1}\n" + RAN)
    (folder / "other.yaml").write_text("machine: m2\n" + RAN)
    return folder


@pytest.mark.parametrize(
    ("words", "one", "other"),
    [
        (("two.yaml", "three.yaml"), "two.yaml", "three.yaml"),
        (("other.yaml", "both"), "both/three.yaml", "both/two.yaml"),
        (("two.yaml", "both/two.yaml"), "two.yaml", "both/two.yaml"),
    ],
)
def test_two_files_of_one_machine_start_nothing(twins: Path, words: tuple[str, ...], one: str, other: str) -> None:
    """Neither runs, nor does a third; the store is not even made."""
    told = f"cannot start: machine 'm1' is in two files, '{twins}/{one}' and '{twins}/{other}'"
    refused(smd("run", *words, "--state-dir", "state", cwd=twins), 8, told, "another name")
    assert not (twins / "state").exists()
    assert not list(twins.rglob("ran"))


def test_a_name_of_the_command_line_is_the_name_that_counts(
    start: Callable[..., Daemon], twins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be the second of its kind, part two files of one name, and host one file under two names."""
    answer = smd("run", "both", "--machine-name", "m3", "--state-dir", "state", cwd=twins)
    refused(answer, 8, "machine 'm3' is in two files", "--machine-name")
    (twins / "both/four.yaml").write_text("machine: m1\n" + RAN)
    refused(smd("run", "both", "--ephemeral", cwd=twins), 8, "both/three.yaml' (of 2 files")
    configured = {**environment(), "SMD_MACHINES": f"{twins}/two.yaml"}
    monkeypatch.setattr("tests.acceptance.daemon.environment", lambda: configured)
    answer = smd("run", "other.yaml", "--machine-name", "m1", "--state-dir", "state", cwd=twins)
    refused(answer, 8, f"'m1' is in two files, '{twins}/two.yaml' and '{twins}/other.yaml'", "--machine-name")
    for file in ("three.yaml", "two.yaml"):
        daemon = start(twins / file, "--machine-name", file)
        names = {view["name"] for view in daemon.get("/v1/machines")["machines"]}
        assert names >= {"m1", file}
        daemon.stop()


def test_check_and_validate_tell_of_two_files_of_one_machine(twins: Path) -> None:
    """At the name of the second, with its line and a caret; the other file is named."""
    excerpt = "metadata: {machine_name: m1}\n                             ^\nhint: give one of them another name"
    for command, words in ((smd, ("check",)), (smctl, ("validate",))):
        answer = command(*words, "two.yaml", "other.yaml", "three.yaml", cwd=twins)
        told = answer.out + answer.err
        assert answer.code == 8
        assert "three.yaml:1:26: error[smd-E107]: metadata.machine_name: machine 'm1' is in 'two.yaml' too" in told
        assert excerpt in told
        assert command(*words, "both", cwd=twins).code == 8
        assert command(*words, "two.yaml", "other.yaml", cwd=twins).code == 0


def test_one_file_given_twice_is_one(start: Callable[..., Daemon], twins: Path) -> None:
    """By its path, by another path to it, and found in a folder."""
    (twins / "both/three.yaml").unlink()
    (twins / "link.yaml").symlink_to("both/two.yaml")
    ways = ("both/two.yaml", "both", "both/../both/two.yaml", "link.yaml")
    for command, words in ((smd, ("check",)), (smctl, ("validate",))):
        assert command(*words, *ways, cwd=twins).code == 0
    checked = smd("check", "both", "both/two.yaml", "both/two.yaml", cwd=twins)
    assert checked.out == "both/two.yaml: ok\n"
    assert smctl("validate", "both", "both/two.yaml", cwd=twins).err == "1 file: 0 errors, 0 warnings\n"
    daemon = start(*(twins / way for way in ways))
    assert [view["name"] for view in daemon.get("/v1/machines")["machines"]] == ["m1"]


def test_templates_and_broken_files_of_a_folder_take_no_name(start: Callable[..., Daemon], twins: Path) -> None:
    (twins / "both/three.yaml").write_text("machine: m1\ntemplate: true\n" + RAN)
    (twins / "both/broken.yaml").write_text("machine: m1\nstates: {idle: {on: {go: nowhere}}}\n")
    daemon = start(twins / "both")
    assert [view["name"] for view in daemon.get("/v1/machines")["machines"]] == ["m1"]
    assert daemon.output.count("machine file left out") == 1


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
