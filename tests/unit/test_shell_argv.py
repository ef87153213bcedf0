"""`run` without a shell: a value is an argument, never a program and never code."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from smd.actions.commands import perform_run
from smd.document.values import is_open
from smd.errors import ChartError
from smd.shell import check_argv, compile_shell
from tests.unit.acting import call_of

X = "{x}"

RUN_IT: list[tuple[list[Any], str]] = [
    (["sh", "-c", X], "touch canary"), (["bash", "-c", "echo {x}"], "$(touch canary)"), (["sh", X], "./evil"),
    (["env", X], "./evil"), (["timeout", 5, X], "./evil"), (["nice", X], "./evil"), (["xargs", X], "./evil"),
    (["env", "-S", X], "touch canary"), (["setsid", "-w", X], "./evil"), (["nice", "timeout", 5, "env", X], "./evil"),
    (["python3", "-c", X], "open('canary', 'w')"), (["sed", "s/x/{x}/e", "f"], "touch canary"),
    (["sed", "-n", X, "f"], "1e touch canary"), (["awk", X], 'BEGIN { system("touch canary") }'),
    (["find", ".", "-exec", X, ";"], "./evil"), (["find", ".", "-exec", "sh", "-c", X, ";"], "touch canary"),
    (["perl", "-e", X], "open F, '>canary'"), (["perl", "-ne", "1", X], "touch canary |"),
    (["env", "PATH={x}", "ls"], "bin"), (["env", "LD_PRELOAD={x}", "PATH={x}", "ls"], "bin"),
    (["env", "A=1", "sh", "-c", "{x}"], "touch canary"), (["sqlite3", ":memory:", X], ".shell touch canary"),
]  # fmt: skip
"""With the value beside it, each of these runs the value."""

REFUSED: list[list[Any]] = [
    ["sudo", X], ["sudo", "-u", "bob", "env", "X=1", X], ["ssh", "host", X], ["ssh", "-p", 22, "host", "rm", X],
    ["python3", X], ["python3", "-m", X], ["python3.11", "-c", X], ["/usr/bin/env", X], ["node", "-e", X],
    ["ruby", "-e", X], ["php", "-r", X], ["jq", ".{x}"], ["psql", "-c", X], ["psql", "-f", X], ["mysql", "-e", X],
    ["su", "-c", X], ["watch", X], ["parallel", X], ["flock", "f", "-c", X], ["busybox", X], ["awk", "-f", X],
    ["awk", "{print}", "f"], ["docker", "exec", "box", "sh", "-c", X], ["find", X, "-exec", "sh", "-c", "x {}", ";"],
    ["env", "{x}=1", "ls"], ["env", "BASH_FUNC_f%%={x}", "sh"], ["sudo", "-s", X], ["bash", "--rcfile", X],
    ["timeout", "{x}5", "{x}"], ["command", X], ["sh", "-{x}", "s"], ["sh", "-c", "${x}"], ["sh", "-c", "\\{x}"],
    ["sh", "-c", "{x.0}"], ["sh", "-c", "{x|int}"], ["sh", "-c", "{{x}}"],
]  # fmt: skip

FINE: list[tuple[list[Any], tuple[int, ...]]] = [
    (["convert", "{file}", "out/{id}.png"], ()), (["cp", "--", "{a}", "{b}"], ()), (["sh", "script.sh", X], ()),
    (["python3", "tool.py", X], ()), (["git", "commit", "-m", "{msg}"], ()), (["timeout", 5, "prog", X], ()),
    (["printf", "%s.", X, "end"], ()), (["sh", "-c", 'echo "$1"', "name", X], ()), (["nice", "-n", "5", "prog", X], ()),
    (["env", "X={x}", "ls", X], ()), (["awk", "-v", "a={x}", "{ print a }", X], ()), (["ls", "[a]*", X], ()),
    (["python3", "-c", "print(1)", X], ()), (["node", "s.js", "--x={x}"], ()), (["rm", "-rf", "--", X], ()),
    (["curl", "-d", "{x|json}", "http://h/{x}"], ()), (["docker", "run", "img", X], ()), (["xargs", "rm", X], ()),
    (["read", X], ()), (["./complete", X], ()), (["test", "-v", X], ()), (["rsync", "-e", "ssh", "-av", X, X], ()),
    (["timeout", X, "prog", X], (1,)), (["sudo", "-u", X, "rm", "--", X], (2,)), (["ssh", X, "uptime"], (1,)),
    (["sed", "-n", "s/a/b/p", X], (3,)), (["sed", "p", "--", X], ()), (["jq", ".", X], (2,)),
    (["find", X, "-exec", "rm", "--", "{}", X, ";"], (1, 6)), (["find", ".", "-name", "x{x}"], ()),
]  # fmt: skip
"""Lists that load, with the arguments that may not begin with a dash."""

INPUT: list[tuple[list[Any], str]] = [
    (["sh"], "touch canary"), (["bash", "-s", "a"], "touch canary"), (["sh", "/dev/stdin"], "touch canary"),
    (["python3"], "open('canary', 'w')"), (["python3", "-"], "open('canary', 'w')"), (["perl"], "open F, '>canary'"),
    (["timeout", 5, "sh"], "touch canary"), (["sqlite3", "db"], ".shell touch canary"),
    (["sqlite3", "-cmd", ".mode csv", "db"], ".shell touch canary"), (["sed", "-f-", "f"], "1e touch canary"),
    (["awk", "-f", "-", "f"], 'BEGIN { system("touch canary") }'), (["python3", "-i", "f"], "open('canary', 'w')"),
    (["find", "f", "-exec", "sh", ";"], "touch canary"), (["xargs", "sh", "-c"], '"touch canary"'),
    (["xargs", "env"], "./evil"), (["xargs", "-I", "%", "env", "%"], "./evil"), (["xargs", "find"], "f -exec ./evil ;"),
    (["xargs", "-0I%", "sh", "-c", "%"], "touch canary"), (["xargs", "sed", "p"], "--expression=1e./evil f"),
    (["xargs", "-n", 1, "timeout", 5], "./evil"), (["xargs", "--replace", "sh", "-c", "{}"], "touch canary"),
    (["xargs", "awk"], "'BEGIN{system(\"./evil\")}'"),
]  # fmt: skip
"""Programs that run their input, each with an input that shows it."""

INPUT_TOO: list[list[Any]] = [
    ["psql"], ["psql", "-U", "u", "db"], ["psql", "-f", "-"], ["mysql", "db"], ["ssh", "host"], ["sudo", "-s"],
    ["ssh", "host", "bash", "-s"], ["ssh", "host", "sudo sh"], ["su", "bob"], ["xargs", "ssh", "host"], ["parallel"],
    ["docker", "exec", "-i", "box", "sh", "-s"], ["jq", "-f", "/dev/stdin"],
    ["xargs", "-I", "%", "%"], ["chroot", "/srv"], ["script", "f"],
]  # fmt: skip
INPUT_FINE: list[list[Any]] = [
    ["cat"], ["wc", "-c"], ["sh", "s.sh"], ["sh", "-c", "cat"], ["python3", "tool.py"], ["python3", "-c", "x"],
    ["jq", "."], ["sed", "p"], ["awk", "1"], ["psql", "-c", "copy t from stdin", "db"], ["sqlite3", "db", "select 1"],
    ["ssh", "host", "cat > x"], ["sudo", "tee", "f"], ["grep", "-r", "python"], ["xargs"], ["xargs", "rm", "--"],
    ["xargs", "-I%", "cp", "--", "%", "d"], ["xargs", "sh", "s.sh"], ["xargs", "sed", "p", "--"], ["parallel", "rm"],
    ["su", "bob", "-c", "cat > x"], ["docker", "exec", "-i", "box", "cat"], ["node", "s.js"],
]  # fmt: skip


def refused(items: list[Any], **more: str) -> str:
    with pytest.raises(ChartError, match=r"^cannot use \{.*: .*; .+") as caught:
        check_argv(items, is_open, **more)
    assert caught.value.code == "shell_placeholder"
    return caught.value.message


def canary_after(argv: list[Any], folder: Path, stdin: str = "") -> bool:
    (folder / "bin").mkdir(exist_ok=True)
    for name in ("evil", "bin/ls"):
        (folder / name).write_text("#!/bin/sh\n: > canary\n")
        (folder / name).chmod(0o755)
    (folder / "f").write_text("x\n")
    done = subprocess.run(
        [str(item) for item in argv], cwd=folder, env={"PATH": os.environ["PATH"]}, input=stdin.encode(),
        capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode != 127, done.stderr
    return (folder / "canary").exists()


@pytest.mark.parametrize(("items", "value"), RUN_IT, ids=lambda part: str(part)[:40])
def test_what_is_refused_is_what_would_run_the_value(items: list[Any], value: str, tmp_path: Path) -> None:
    assert "(argument " in refused(items)
    if shutil.which(items[0]) is not None:
        assert canary_after([str(item).replace(X, value) for item in items], tmp_path)


@pytest.mark.parametrize("items", REFUSED, ids=str)
def test_a_value_that_could_choose_a_program_or_become_code_is_a_load_error(items: list[Any]) -> None:
    refused(items)


@pytest.mark.parametrize(("items", "checked"), FINE, ids=lambda part: str(part)[:60])
def test_ordinary_lists_load(items: list[Any], checked: tuple[int, ...]) -> None:
    assert check_argv(items, is_open) == checked


@pytest.mark.parametrize(("items", "text"), INPUT, ids=lambda part: str(part)[:60])
def test_input_from_data_is_refused_where_it_would_run(items: list[Any], text: str, tmp_path: Path) -> None:
    assert "{payload.text}" in refused(items, stdin="payload.text")
    assert check_argv(items, is_open) == ()
    if shutil.which(items[0]) is not None:
        assert canary_after(items, tmp_path, text)


@pytest.mark.parametrize("items", INPUT_TOO, ids=str)
def test_input_of_these_runs_elsewhere_and_is_refused_too(items: list[Any]) -> None:
    refused(items, stdin="x")


@pytest.mark.parametrize("items", INPUT_FINE, ids=str)
def test_input_that_is_read_as_data_may_come_from_data(items: list[Any]) -> None:
    assert check_argv(items, is_open, stdin="x") == ()


@pytest.mark.parametrize(
    "text",
    ["sh", "exec bash -s", "cd d && python3", "x=1\npsql db", "{ python3 -; } 2> f", "sh | cat", "echo $(sh)",
     "if true; then sh; fi", "cat f | true; sh", "true {a}; sh", "sudo timeout 5 sh 2>&1"],
)  # fmt: skip
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_shell_text_does_not_run_input_from_data_either(text: str, shell: str) -> None:
    assert compile_shell(text, shell=shell).shell == shell
    with pytest.raises(ChartError, match=r"cannot use \{x\} through stdin: .*; .*env:"):
        compile_shell(text, shell=shell, stdin="x")


@pytest.mark.parametrize(
    "text",
    ["cat", "sh s.sh", "sh -c cat", "sh < f", "{ sh; } < f", "while sh; do :; done 0< f", "sh <<E\nls\nE", "echo ls | sh",
     "cat > f; python3 t.py", "md5sum; wc -c < /dev/null", "echo 'unreadable", "coproc x", "sqlite3 db 'select 1'"],
)  # fmt: skip
def test_shell_text_may_read_data_and_run_what_is_its_own(text: str) -> None:
    assert compile_shell(text, shell="bash", stdin="x").text == text


@pytest.mark.asyncio
@pytest.mark.parametrize("command", [["sed", "p", X, "f"], ["find", X], ["timeout", "{x}{y}", "true"]])
async def test_a_value_that_could_be_an_option_with_code_fails_before_anything_starts(
    command: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("x\n")
    call = call_of("run", tmp_path, command=command, context={"x": "-e1e touch canary", "y": ""})
    outcome = await perform_run(call)
    assert outcome.event == "error"
    assert "begins with -" in str(outcome.error)
    assert not (tmp_path / "canary").exists()


@pytest.mark.asyncio
@pytest.mark.parametrize("value", ["-n", "-", "--", "$(touch canary)", "{x}", "-e1e touch canary"])
async def test_elsewhere_any_text_is_one_argument(value: str, tmp_path: Path) -> None:
    for command in (["printf", "%s", X], ["sh", "-c", 'printf %s "$1"', "name", X]):
        outcome = await perform_run(call_of("run", tmp_path, command=command, store_as="out", context={"x": value}))
        assert outcome.patch == (("set", ("out",), value),)
    assert not (tmp_path / "canary").exists()
