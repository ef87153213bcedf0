"""Values close under the limit of 1 MiB go everywhere whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from uuid import uuid4

import pytest

from smd.client import path
from tests.acceptance.daemon import Daemon

SIZE = 900_000
"""Bytes; as JSON it is a little more, and with the rest of a request still less than 1 MiB."""
TEXT = (("0123456789" * 20 + '\n"quoted" \\ $(id) {x} äöü ') * 5_000).encode()[:SIZE].decode(errors="ignore")
CHART = """
machine: {name}
states:
  idle:
    on:
      shell: piping
      program: running
      argument: arguing
      log: {{to: done, actions: [{{type: log, message: "{{payload.text}}"}}]}}
      keep: {{to: done, actions: [{{type: set_context, key: kept, value: "{{payload.text}}"}}]}}
      pass: {{to: done, actions: [{{type: send_event, target: "{name}-other", event: keep, payload: {{text: "{{payload.text}}"}}}}]}}
      whole: {{to: done, actions: [{{type: send_event, target: "{name}-other", event: keep, payload: "{{payload}}"}}]}}
  piping:
    actions: [{{type: bash, command: "md5sum; wc -c < /dev/null", stdin: "{{payload.text}}", store_as: seen}}]
    on: {{job_done: done, error: failed}}
  running:
    actions: [{{type: run, command: [wc, -c], stdin: "{{payload.text}}", store_as: seen}}]
    on: {{job_done: done, error: failed}}
  arguing:
    actions: [{{type: bash, command: "echo {{payload.text}} > {name}", store_as: seen}}]
    on: {{job_done: done, error: failed}}
  done: {{on: {{keep: {{}}, look: {{}}}}}}
  failed: {{}}
"""


@pytest.fixture
def name(shared: Daemon) -> str:
    """A machine, and another that it can send to."""
    name = f"big-{uuid4().hex[:8]}"
    shared.add(CHART.format(name=name))
    shared.add(CHART.format(name=name), f"{name}-other")
    return name


def test_a_big_value_goes_through_standard_input(shared: Daemon, name: str) -> None:
    answer = shared.send(name, "shell", {"text": TEXT}, wait="settled")
    assert answer["settled"]["states"] == ["done"]
    assert shared.context(name)["seen"].split()[0] == hashlib.md5(TEXT.encode()).hexdigest()


def test_a_big_value_goes_into_a_program(shared: Daemon, name: str) -> None:
    shared.send(name, "program", {"text": TEXT}, wait="settled")
    assert shared.context(name)["seen"].strip() == str(len(TEXT.encode()))


def test_a_big_value_as_an_argument_fails_before_anything_runs(shared: Daemon, name: str) -> None:
    shared.send(name, "argument", {"text": TEXT}, wait="settled")
    assert shared.states(name) == ["failed"]
    assert "stdin" in shared.context(name)["last_error"]
    assert not (shared.cwd / name).exists()


def test_a_big_value_is_logged_whole(shared: Daemon, name: str) -> None:
    assert shared.send(name, "log", {"text": TEXT})["disposition"] == "taken"
    text = (shared.state / "logs" / f"{name}.log").read_text()
    assert TEXT.replace("\n", "\n    ") in text


def test_smctl_shows_the_whole_of_a_big_line(shared: Daemon, name: str) -> None:
    text = "x" * SIZE
    shared.send(name, "log", {"text": text})
    assert f" {text}\n" in shared.smctl("logs", name).out


def test_a_big_value_goes_into_the_context_and_survives(shared: Daemon, name: str) -> None:
    shared.send(name, "keep", {"text": TEXT})
    assert shared.context(name)["kept"] == TEXT


@pytest.mark.parametrize("event", ["pass", "whole"])
def test_a_big_value_goes_to_another_machine(shared: Daemon, name: str, event: str) -> None:
    assert shared.send(name, event, {"text": TEXT})["states"] == ["done"]
    shared.send(f"{name}-other", "look", wait="settled")
    assert shared.context(f"{name}-other")["kept"] == TEXT


@pytest.mark.parametrize("text", [TEXT, "€" * (SIZE // 3)], ids=["mostly ASCII", "no ASCII"])
def test_smctl_sends_a_big_file(shared: Daemon, name: str, folder: Path, text: str) -> None:
    (folder / "big.json").write_text(json.dumps({"text": text}, ensure_ascii=False))
    answer = shared.smctl("send-event", name, "keep", "-d", f"@{folder}/big.json")
    assert answer.code == 0
    assert answer.out == f"{name}: keep taken: idle -> done\n"
    assert shared.context(name)["kept"] == text


def test_what_the_context_cannot_hold_fails_its_action_and_keeps_what_was(shared: Daemon, name: str) -> None:
    """The machine goes on; `error-history` says why."""
    chart = "machine: {0}\nstates: {{idle: {{on: {{add: {{actions: [{{type: add_to_list, list_key: all, value: '{{payload.text}}'}}]}}}}}}}}\n"
    full = shared.add(chart.format(f"{name}-full"))
    assert shared.send(full, "add", {"text": TEXT})["disposition"] == "taken"
    assert shared.send(full, "add", {"text": TEXT})["disposition"] == "taken"
    assert shared.context(full)["all"] == [TEXT]
    assert shared.get(path("machines", full))["status"] == "running"
    assert "1048576" in shared.smctl("error-history", "--machine", full, "--json").out.replace(",", "")
    assert shared.send(name, "log", {"text": "fine"})["disposition"] == "taken"
