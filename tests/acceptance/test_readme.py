"""What README.md tells its reader to type works, as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.daemon import ROOT, SMD, Daemon, environment, running

README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(title: str, kind: str = "") -> list[str]:
    """The blocks of this kind in a section."""
    section = README.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [text for found, text in BLOCK.findall(section) if found == kind]


def run_line() -> list[str]:
    """What `make run` runs, after `smd run`."""
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^run:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    words = shlex.split(recipe.strip())
    assert words[:2] == ["$(BIN)/smd", "run"]
    return words[2:]


@pytest.fixture
def daemon(folder: Path) -> Iterator[Daemon]:
    """A daemon as `make run` starts it, in a copy of what the README's reader has."""
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(SMD.parent)
    words = run_line()
    assert "--state-dir" not in words
    with running(folder / ".smd", *words, cwd=folder) as daemon:
        yield daemon


def shell(folder: Path, text: str) -> str:
    """Type a block into a shell that has typed the first one before; what it prints. Every line must succeed."""
    env = environment() | {"PATH": f"{folder}/.venv/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-e", "-c", text], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{text}{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def test_make_targets_of_the_readme_exist() -> None:
    (two,) = blocks("Two commands")
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", two, re.MULTILINE)
    assert targets == ["run", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_the_first_machine_in_five_minutes(daemon: Daemon) -> None:
    """Every block of the section, in order, with the kill between them that the text asks for."""
    folder = daemon.cwd
    (chart,) = blocks("The first machine in five minutes", "yaml")
    (folder / "hello.yaml").write_text(chart)
    status, first, stopped, job = blocks("The first machine in five minutes")

    assert f"(pid {daemon.process.pid})" in shell(folder, status)
    told = shell(folder, first)
    assert "hello: greet taken: idle -> greeting; settled in idle" in told
    before = daemon.snapshot("hello")
    assert (before["context"]["visits"], before["context"]["said"]) == (1, "hello Ada")

    daemon.again()
    assert daemon.snapshot("hello") == before

    told = shell(folder, stopped)
    assert "hello: greet queued" in told
    assert "greeting" in told
    daemon.send("hello", "nothing", wait="settled")
    assert daemon.context("hello")["visits"] == 2

    shell(folder, job)
    daemon.lines("worker", "working on ")
    assert "for Grace" in shell(folder, "smctl logs worker")
    assert len(shell(folder, "smctl list -o name").split()) == 1


def test_the_two_commands_at_the_top_work(daemon: Daemon) -> None:
    top = next(text for _, text in BLOCK.findall(README))
    assert "worker: new_job taken: waiting -> processing" in shell(daemon.cwd, top)
    first, second = daemon.lines("worker", "working on ", 2)
    assert "working on no job for nobody" in first
    assert "{" not in second


def test_every_example_the_readme_lists_is_there_and_runs(daemon: Daemon) -> None:
    listed = re.findall(r"`(examples/\w+)`", README)
    assert sorted(listed) == sorted(f"examples/{each.name}" for each in (ROOT / "examples").iterdir() if each.is_dir())
    views = daemon.get("/v1/machines")["machines"]
    assert {Path(view["origin"]).parent.name for view in views} == {Path(each).name for each in listed}
    assert {view["status"] for view in views} == {"running"}


def test_every_command_of_the_examples_comments_works(daemon: Daemon) -> None:
    """Their comments hold commands to type, indented by three."""
    for file in sorted((daemon.cwd / "examples").rglob("*.yaml")):
        for command in re.findall(r"^#   (smctl .*)$", file.read_text(), re.MULTILINE):
            shell(daemon.cwd, command)


def test_help_works_where_the_readme_says_so(daemon: Daemon) -> None:
    for command in ("smd --help", "smctl --help", "smctl schema"):
        assert f"`{command}`" in README
        assert shell(daemon.cwd, command)
