"""Files and folders that cannot be read, or are none: told at once, by every command in the same way."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.daemon import SMCTL, SMD, Daemon, Spoken, environment, smctl, smd

GOOD = "machine: good\nstates: {idle: {on: {go: idle}}}\n"
PARENT = """\
machine: parent
states:
  idle: {on: {go: start}}
  start: {actions: [{type: start_fsm, yaml_path: pipe, machine_name: kid, success: fine, error: bad}], on: {bad: no}}
  no: {}
"""
POWERLESS = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
"""Before a command: root without the power to read everything."""


@pytest.fixture
def closed(folder: Path) -> Iterator[Path]:
    """A file, two folders of machines and one of actions, of which a part cannot be read."""
    for path in ("machines/one.yaml", "machines/sub/two.yaml", "shut/three.yaml", "closed.yaml", "good.yaml"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(GOOD.replace("good", Path(path).stem))
    (folder / "actions/sub").mkdir(parents=True)
    paths = [folder / path for path in ("machines/sub", "shut", "closed.yaml", "actions/sub")]
    for one in paths:
        one.chmod(0)
    yield folder
    for one in paths:
        one.chmod(0o755)


def powerless(folder: Path, *words: str | Path) -> Spoken:
    """A command that has no more rights than the files give."""
    run = [*POWERLESS, *map(str, words)]
    return Spoken(
        subprocess.run(run, cwd=folder, env=environment(), text=True, capture_output=True, timeout=60, check=False)
    )


def at_once(ask: Callable[[Any], Spoken], commands: list[Any]) -> list[Spoken]:
    with ThreadPoolExecutor() as asking:
        return list(asking.map(ask, commands))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["closed.yaml"], "closed.yaml': Permission denied"),
        (["shut"], "cannot read the folder 'shut': Permission denied"),
        (["shut/three.yaml"], "cannot read 'shut/three.yaml': Permission denied"),
        (["good.yaml", "--actions-dir", "actions"], "actions/sub': Permission denied"),
        (["good.yaml", "--actions-dir", "shut/none"], "shut/none': Permission denied"),
        (["none.yaml"], "cannot read 'none.yaml': no such file"),
    ],
)
def test_what_cannot_be_read_is_told_by_all_in_the_same_way(closed: Path, words: list[str], told: str) -> None:
    asked = [(SMCTL, "validate"), (SMD, "check"), (SMD, "run")]
    answers = at_once(lambda command: powerless(closed, *command, *words), asked)
    assert [answer.code for answer in answers] == [4, 8, 8]
    for answer in answers:
        assert (told in answer.err, "Traceback" in answer.err) == (True, False), answer


def test_a_folder_in_a_folder_that_cannot_be_read_is_told(closed: Path) -> None:
    told = "cannot read the folder 'machines/sub': Permission denied"
    for command, code in ((("validate",), 4), (("check",), 8)):
        answer = powerless(closed, SMCTL if code == 4 else SMD, *command, "machines")
        assert (answer.code, told in answer.err) == (code, True), answer
    run = [*POWERLESS, str(SMD), "run", "machines", "--ephemeral"]
    with subprocess.Popen(run, cwd=closed, env=environment(), text=True, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if " ready " in line:
                process.terminate()
    assert "machines=1" in "".join(lines)
    assert any("[error" in line and told in line for line in lines), lines


def test_a_folder_without_machines_is_told_by_all(start: Callable[..., Daemon], folder: Path) -> None:
    (folder / "empty").mkdir()
    told = "cannot find a machine in 'empty': no *.yaml or *.yml there"
    for command, verb, code in ((smctl, "validate", 4), (smd, "check", 8)):
        answer = command(verb, "empty", cwd=folder)
        assert (answer.code, told in answer.err) == (code, True), answer
    daemon = start("empty")
    assert "[warning" in daemon.output
    assert told in daemon.output


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "big.yaml"])
def test_no_command_begins_to_read_what_is_no_file_or_huge(folder: Path, name: str) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "big.yaml").touch()
    os.truncate(folder / "big.yaml", 1 << 40)
    told = {"pipe": "it is a pipe, not a file", "/dev/zero": "it is a device"}.get(name, "bytes, more than 4194304")
    asked = [(smctl, "validate"), (smd, "check"), (smd, "run")]
    answers = at_once(lambda command: command[0](command[1], name, cwd=folder), asked)
    assert [answer.code for answer in answers] == [8 if name == "big.yaml" else 4, 8, 8]
    for answer in answers:
        assert told in answer.out + answer.err


def test_a_daemon_goes_on_whatever_file_it_is_asked_to_read(start: Callable[..., Daemon], folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "big.yaml").touch()
    os.truncate(folder / "big.yaml", 1 << 40)
    (folder / "parent.yaml").write_text(PARENT)
    daemon = start("parent.yaml")
    for name, told in (("pipe", "it is a pipe, not a file"), ("big.yaml", "more than 4194304")):
        answer = daemon.smctl("add", name)
        assert (answer.code, told in answer.err) == (8, True), answer
    assert daemon.send("parent", "go", wait="settled")["settled"]["states"] == ["no"]
    assert "it is a pipe" in daemon.get("/v1/errors")["rows"][0]["error"]
    assert daemon.stop() == 0


def test_a_document_may_come_through_a_pipe_of_the_shell(folder: Path) -> None:
    run = ["bash", "-c", f"{SMCTL} validate <(printf '%s' '{GOOD}')"]
    done = subprocess.run(run, cwd=folder, env=environment(), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"1 file: 0 errors, 0 warnings\n")


def test_a_text_without_a_name_is_not_added(shared: Daemon) -> None:
    text = "states: {idle: {}}\n"
    answer = shared.smctl("add", "-", stdin=text)
    assert (answer.code, answer.out) == (8, ""), answer
    assert "write machine: NAME into it, or give --name" in answer.err
    assert shared.smctl("add", "-", "--name", "nameless", stdin=text).out == "nameless: running in idle\n"
    assert shared.smctl("remove", "nameless").code == 0


def test_a_context_that_no_machine_may_have_is_a_mistake_of_the_file(shared: Daemon) -> None:
    text = f"machine: heavy\ncontext: {{text: {'x' * (1 << 20)}}}\nstates: {{idle: {{}}}}\n"
    assert shared.smctl("validate", "-", stdin=text).code == 8
    answer = shared.smctl("add", "-", stdin=text)
    assert (answer.code, "2:1: error[smd-E006]: context:" in answer.err) == (8, True), answer
    lighter = text.replace("x" * 1000, "x" * 980)
    assert shared.smctl("add", "-", stdin=lighter).code == 0
    assert shared.smctl("remove", "heavy").code == 0


def test_an_action_s_file_that_cannot_be_loaded_is_a_warning_where_it_is_used(
    start: Callable[..., Daemon], folder: Path
) -> None:
    (folder / "acts").mkdir()
    (folder / "acts/foo_action.py").write_text("def (")
    (folder / "acts/bar_action.py").write_text("import nothing_of_that_name\nclass BarAction: ...\n")
    for name in ("foo", "bar"):
        (folder / f"{name}.yaml").write_text(
            f"machine: {name}\nstates: {{idle: {{on: {{go: a}}}}, a: {{actions: [{{type: {name}}}]}}}}\n"
        )
    told = "warning[smd-W103]: states.a.actions[0].type: the file of this action cannot be loaded: "
    for command, verb in ((smctl, "validate"), (smd, "check")):
        answer = command(verb, "foo.yaml", "bar.yaml", "--actions-dir", "acts", cwd=folder)
        assert (answer.code, (answer.out + answer.err).count("W103")) == (0, 1), answer
        assert told in answer.out + answer.err
    daemon = start("foo.yaml", "bar.yaml", "--actions-dir", "acts")
    assert daemon.output.count("W103") == 1
    assert "foo_action.py:1:5: invalid syntax" in daemon.output


@pytest.mark.parametrize("option", ["--machine-name", "--initial-context"])
def test_options_for_one_file_need_one(folder: Path, option: str) -> None:
    answer = smd("serve", option, "{}", cwd=folder)
    assert (answer.code, "No such option" in answer.err) == (2, True), answer
    answer = smd("run", option, "{}", cwd=folder)
    assert (answer.code, f"cannot use {option}: it needs exactly one file" in answer.err) == (8, True), answer
