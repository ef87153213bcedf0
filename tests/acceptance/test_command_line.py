"""What smctl says and how it ends when things go wrong, with the real daemon behind it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.daemon import Daemon

ENDLESS = "machine: endless\nstates: {a: {always: b}, b: {always: a}}\n"
WHY = "error: machine 'endless' failed: cannot finish the step of 'start': more than 1000 microsteps"


def test_a_machine_that_fails_at_once_is_a_failed_command_with_the_reason(shared: Daemon) -> None:
    verbs: list[tuple[str, ...]] = [("add", "-"), ("restart", "endless"), ("start", "endless")]
    for words in verbs:
        answer = shared.smctl(*words, stdin=ENDLESS)
        assert (answer.code, answer.out) == (1, "endless: failed\n"), answer
        assert answer.err.startswith(WHY)
    assert shared.smctl("remove", "endless").code == 0


def test_a_slash_in_a_name_is_a_part_of_the_name(shared: Daemon) -> None:
    job = {"job_type": "cut", "job_id": "cut/one"}
    assert shared.smctl("add-job", "-", stdin=json.dumps(job)).out == "cut/one\n"
    assert json.loads(shared.smctl("details", "cut/one", "--json").out)["job_id"] == "cut/one"
    assert shared.smctl("complete-job", "cut/one").out == "cut/one: completed\n"
    for words, told in ((("send-event", "a/b", "x"), "machine 'a/b'"), (("details", "../x"), "job '../x'")):
        answer = shared.smctl(*words)
        assert (answer.code, answer.err.startswith(f"error: cannot find {told}")) == (4, True), answer


def test_a_machine_of_some_megabytes_is_added_from_stdin(shared: Daemon) -> None:
    """Any text that `validate` accepts is; its characters are escaped on the way."""
    text = "machine: wordy\nstates:\n  idle:\n    description: |\n" + '      "\\\té"\n' * 250_000
    assert 2 << 20 < len(text.encode()) < 4 << 20
    assert shared.smctl("validate", "-", stdin=text).code == 0
    answer = shared.smctl("add", "-", stdin=text)
    assert (answer.code, answer.out) == (0, "wordy: running in idle\n"), answer
    assert shared.smctl("remove", "wordy").code == 0


def test_the_line_of_a_bad_job_is_told_and_none_is_added(shared: Daemon) -> None:
    good = '{"job_type": "lines", "job_id": "lines-1"}\n'
    for bad, told in (("{", "(line 3, column "), ('{"job_type": 5}', "(line 3)"), (good, "twice (lines 1 and 3)")):
        answer = shared.smctl("add-job", "-", stdin=f"{good}\n{bad}\n")
        assert (answer.code, told in answer.err) == (2, True), answer
    assert shared.smctl("details", "lines-1").code == 4


def test_a_daemon_that_stands_still_ends_a_wait_as_timed_out(start: Callable[..., Daemon], folder: Path) -> None:
    (folder / "good.yaml").write_text("machine: good\nstates: {idle: {}}\n")
    daemon = start("good.yaml")
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        answer = daemon.smctl("send-event", "good", "go", "--timeout", "0.2")
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    assert (answer.code, answer.out) == (124, ""), answer
    assert "has not answered within 0.2 s" in answer.err


def test_every_event_that_was_consumed_has_its_times(shared: Daemon) -> None:
    """An action's event is sent at no time of its own."""
    run = "{actions: [{type: bash, command: 'true', success: ran}], on: {ran: c}}"
    shared.add(f"machine: timed\nstates: {{a: {{on: {{go: b}}}}, b: {run}, c: {{}}}}\n")
    assert shared.send("timed", "go", wait="settled")["settled"]["states"] == ["c"]
    rows = shared.get("/v1/events", machine="timed")["rows"]
    assert "ran" in {row["type"] for row in rows}
    assert all(row["at"] > 1e9 and row["now"] > 1e9 for row in rows)
