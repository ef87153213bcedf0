"""Exit codes become events, output becomes context, and data stays data."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smd.actions.base import Call
from smd.actions.capture import Capture
from smd.actions.commands import perform_bash, perform_run
from smd.actions.environment import remember as at_start
from smd.actions.environment import resolve_program
from smd.errors import ActionError
from smd.statechart.event import Event, Outcome
from tests.unit.acting import Told, after, call_of

HOSTILE = ["$(touch canary)", "; touch canary", "-n", "a b\tc", "'\"\\", "\n", "*", "${HOME}", "é😀", "", "{id}"]


async def bash(folder: Path, command: str, **more: Any) -> tuple[Outcome, dict[str, Any]]:
    call = call_of("bash", folder, command=command, **more)
    outcome = await perform_bash(call)
    return outcome, after(call, outcome)


async def run(folder: Path, command: list[Any], **more: Any) -> tuple[Outcome, dict[str, Any]]:
    call = call_of("run", folder, command=command, **more)
    outcome = await perform_run(call)
    return outcome, after(call, outcome)


@given(st.lists(st.binary(max_size=60)), st.integers(2, 40))
def test_a_capture_keeps_head_and_tail_however_the_stream_is_cut(chunks: list[bytes], cap: int) -> None:
    capture = Capture(cap)
    for chunk in chunks:
        capture.feed(chunk)
    whole, half = b"".join(chunks), cap // 2
    if len(whole) <= 2 * half:
        assert (capture.value(), capture.dropped) == (whole, 0)
    else:
        assert capture.dropped == len(whole) - 2 * half
        assert capture.value() == b"%s\n... %d bytes dropped ...\n%s" % (
            whole[:half], capture.dropped, whole[-half:],
        )  # fmt: skip


# --- exit codes -------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("command", "event", "ok"),
    [
        ("true", "job_done", True),
        ("exit 3", "three", False),
        ("exit 4", "broken", False),
        ("kill -9 $$", "killed", False),
    ],
)
async def test_the_exit_code_chooses_the_event(tmp_path: Path, command: str, event: str, ok: bool) -> None:
    outcome, _ = await bash(tmp_path, command, error="broken", error_mappings={3: "three", 137: "killed"})
    assert (outcome.event, outcome.ok) == (event, ok)


@pytest.mark.asyncio
async def test_a_failure_tells_the_context_what_failed_and_why(tmp_path: Path) -> None:
    outcome, context = await bash(tmp_path, "echo no such thing >&2; exit 7")
    assert outcome.error == "exit code 7: no such thing"
    assert context == {
        "last_error": "exit code 7: no such thing", "last_error_action": "bash", "last_error_exit_code": 7,
        "last_error_command": "echo no such thing >&2; exit 7",
    }  # fmt: skip


@pytest.mark.asyncio
async def test_a_time_out_is_a_failure_without_the_exit_code_of_an_earlier_command(tmp_path: Path) -> None:
    outcome, context = await bash(tmp_path, "sleep 1000", timeout="200ms", context={"last_error_exit_code": 9})
    assert (outcome.event, outcome.error) == ("error", "timed out after 0.2 s")
    assert "last_error_exit_code" not in context


@pytest.mark.asyncio
async def test_a_cancelled_command_is_cancelled_not_failed(tmp_path: Path) -> None:
    started = asyncio.Event()
    call = call_of("bash", tmp_path, command="echo up; sleep 1000")
    call.output = lambda stream, data: started.set()
    task = asyncio.ensure_future(perform_bash(call))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- output -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("printed", "parse", "kept"),
    [
        ("one\ntwo\n\n", "text", "one\ntwo\n"),
        ("one\ntwo\n", "lines", ["one", "two"]),
        ("one\ntwo", "lines", ["one", "two"]),
        ("one\r\n\r\r\ntwo\rthree\r\n", "lines", ["one", "\r", "two\rthree"]),
        ("", "lines", []),
        ("\n\nlast\n\n", "lines", ["", "", "last", ""]),
        ('{"a":"x\u2028y"}\nform\ffeed\nA\u0085B\v\x1c\u2029\n', "lines",
         ['{"a":"x\u2028y"}', "form\ffeed", "A\u0085B\v\x1c\u2029"]),
        ('{"a": [1, null]}', "json", {"a": [1, None]}),
        ("\\377", None, "\ufffd"),
    ],
)  # fmt: skip
async def test_output_is_kept_where_store_as_says(tmp_path: Path, printed: str, parse: str | None, kept: Any) -> None:
    more = {} if parse is None else {"parse": parse}
    _, context = await run(tmp_path, ["printf", printed], store_as="found.here", **more)
    assert context == {"found": {"here": kept}}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "command", ["echo '{'", "echo NaN", "echo 99999999999999999999999", "head -c 1100000 /dev/zero"]
)
async def test_output_that_is_no_json_fails_the_action(tmp_path: Path, command: str) -> None:
    outcome, context = await bash(tmp_path, command, store_as="x", parse="json")
    assert (outcome.event, outcome.ok, "x" in context) == ("error", False, False)
    assert str(outcome.error).startswith(("cannot parse the output", "cannot keep context key 'x'"))


@pytest.mark.asyncio
async def test_output_of_a_failed_command_is_kept_too(tmp_path: Path) -> None:
    outcome, context = await bash(tmp_path, "echo partly; exit 1", store_as="x")
    assert (outcome.ok, context["x"], context["last_error_exit_code"]) == (False, "partly", 1)


@pytest.mark.asyncio
async def test_all_output_goes_to_the_log(tmp_path: Path) -> None:
    told = Told()
    await perform_bash(call_of("bash", tmp_path, command="echo out; echo err >&2", told=told))
    assert sorted(told.output) == [("stderr", b"err\n"), ("stdout", b"out\n")]


# --- data stays data --------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("value", HOSTILE)
async def test_run_gives_any_text_as_exactly_one_argument(tmp_path: Path, value: str) -> None:
    _, context = await run(tmp_path, ["printf", "%s.", "{v}", "end"], store_as="x", context={"v": value})
    assert context["x"] == f"{value}.end."
    assert not (tmp_path / "canary").exists()


@pytest.mark.asyncio
async def test_bash_gives_values_as_variables(tmp_path: Path) -> None:
    event = Event("go", {"name": "$(touch canary)'\""})
    _, context = await bash(tmp_path, "printf %s {payload.name}", store_as="x", event=event)
    assert context["x"] == "$(touch canary)'\""
    assert not (tmp_path / "canary").exists()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("context", "why"), [({"v": "a\0b"}, "NUL"), ({"v": "x" * 131_072}, "stdin:"), ({"v": "-rf"}, "--")]
)
async def test_a_value_that_cannot_be_an_argument_fails_before_anything_starts(
    tmp_path: Path, context: dict[str, Any], why: str
) -> None:
    outcome, _ = await bash(tmp_path, "touch canary; echo {v}", context=context)
    assert outcome.event == "error"
    assert why in str(outcome.error)
    assert not (tmp_path / "canary").exists()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("value", "read"), [("{v}", "text é"), ({"a": "{v}"}, '{"a": "text é"}'), ("{big}", "x" * (1 << 20))]
)
async def test_stdin_carries_text_as_it_is_and_the_rest_as_json(tmp_path: Path, value: Any, read: str) -> None:
    context = {"v": "text é", "big": "x" * (1 << 20)}
    outcome, _ = await bash(tmp_path, "cat > copy", stdin=value, context=context)
    assert outcome.ok
    assert (tmp_path / "copy").read_text() == read


# --- environment and folder -------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_child_sees_the_allowed_the_given_and_its_action_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("LC_TIME", "C")
    at_start()
    monkeypatch.setenv("LC_TIME", "changed since")
    _, context = await run(
        tmp_path, ["env"], env={"GIVEN": "{v}", "GONE": None}, store_as="x", parse="lines", context={"v": "a b"}
    )
    seen = dict(line.split("=", 1) for line in context["x"])
    assert "SECRET_TOKEN" not in seen
    assert "GONE" not in seen
    told = {"GIVEN": "a b", "LC_TIME": "C", "SMD_ACTION": "store/m/1/1/0", "SMD_MACHINE": "m", "SMD_STATE": "a",
            "SMD_KEY": "m/1/1/0", "PATH": os.environ["PATH"]}  # fmt: skip
    monkeypatch.undo()
    at_start()
    assert told.items() <= seen.items()


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["SMD_ACTION", "1A", "A-B", "A=B", ""])
async def test_a_variable_that_is_no_name_or_smds_own_is_refused(tmp_path: Path, name: str) -> None:
    call = call_of("run", tmp_path, command=["true"])
    call.params["env"] = {name: "x"}
    assert "environment variable" in str((await perform_run(call)).error)


def _in(folder: Path, cwd: str, context: dict[str, Any] | None = None, **more: Any) -> Call:
    return call_of("run", folder, command=["pwd", "-P"], cwd=cwd, store_as="x", context=context, **more)


@pytest.mark.asyncio
async def test_a_command_runs_in_its_folder_below_the_work_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for call in (_in(tmp_path, "sub"), _in(tmp_path, str(tmp_path / "sub")), _in(tmp_path, "{d}", {"d": "sub"})):
        outcome = await perform_run(call)
        assert after(call, outcome)["x"] == str((tmp_path / "sub").resolve())
    assert "no folder" in str((await perform_run(_in(tmp_path, "gone"))).error)


@pytest.mark.asyncio
@pytest.mark.parametrize("value", ["/etc", "../..", "link"])
async def test_data_chooses_no_folder_outside_the_work_folder(tmp_path: Path, value: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    outcome = await perform_run(_in(tmp_path, "{d}", {"d": value}))
    assert "outside the work folder" in str(outcome.error)
    assert "declare it under roots:" in str(outcome.error)
    assert (await perform_run(_in(tmp_path, "{d}", {"d": value}, roots=["/etc", "../.."]))).ok
    literal = await perform_run(_in(tmp_path, "/etc"))
    assert literal.ok


# --- the program ------------------------------------------------------------------------------------------------------


def program_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "prog").write_text("#!/bin/sh\npwd\n")
    (folder / "prog").chmod(0o755)
    return folder / "prog"


@pytest.mark.parametrize(
    ("path", "found"), [("bin:/usr/bin", "bin"), ("./bin", "bin"), ("/nowhere::bin", "."), ("/nowhere:", ".")]
)
def test_relative_entries_of_path_begin_at_the_action_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, found: str
) -> None:
    """An empty entry is that folder itself."""
    for folder in ("action", "action/bin"):
        program_in(tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    expected = tmp_path / "action" / found / "prog"
    assert Path(resolve_program("prog", {"PATH": path}, str(tmp_path / "action"))) == expected


def test_the_daemon_s_folder_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program_in(tmp_path / "daemon/bin")
    (tmp_path / "action").mkdir()
    monkeypatch.chdir(tmp_path / "daemon")
    for path in ("bin", ""):
        with pytest.raises(ActionError, match="no such program in PATH"):
            resolve_program("prog", {"PATH": path}, str(tmp_path / "action"))


@pytest.mark.asyncio
async def test_a_run_finds_its_program_by_a_relative_path(tmp_path: Path) -> None:
    program_in(tmp_path / "sub/bin")
    outcome, context = await run(tmp_path, ["prog"], cwd="sub", env={"PATH": "bin:/usr/bin:/bin"}, store_as="x")
    assert (outcome.error, context["x"]) == (None, str((tmp_path / "sub").resolve()))
