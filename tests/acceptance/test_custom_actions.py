"""A custom action that misbehaves is told by its name; its machine goes on, and others keep their pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.acceptance.daemon import Daemon, running, short_folder
from tests.acceptance.trees import Whisper

ACTIONS = {
    "explode": "raise KeyError('no such thing')",
    "babble": "return {'not': 'an event'}",
    "spoil": "context['thing'] = object(); return 'done'",
    "swallow": "context['set'] = {1, 2}; return 'done'",
    "leave": "raise SystemExit(3)",
    "recurse": "return self.execute(context)",
    "ask": "import asyncio; raise asyncio.CancelledError",
    "halve": "import os; raise RuntimeError('cannot read ' + os.fsdecode(bytes([255])))",
    "shout": "raise ValueError('x' * (5 << 20))",
    "hang": "import threading; open('whisper', 'w').write('hangs\\n'); threading.Event().wait()",
    "block": "import time; time.sleep(2); return 'done'",
}
TOLD = {
    "explode": "KeyError: 'no such thing'",
    "babble": "it returned {'not': 'an event'}, a dict",
    "spoil": "thing",
    "swallow": "set",
    "leave": "SystemExit",
    "recurse": "RecursionError",
    "ask": "CancelledError",
    "halve": "RuntimeError: cannot read \\\\udcff",
    "shout": " bytes dropped ... ",
}
FILE = """
from smd.actions.custom import BaseAction


class {name}Action(BaseAction):
    {keyword}def execute(self, context):
        {body}
"""
CHART = """
machine: {name}
states:
  idle: {{on: {{go: trying}}}}
  trying:
    actions: [{{type: {action}}}]
    on:
      done: fine
      error: {{to: failed, actions: [{{type: log, level: error, message: "seen: {{last_error}}"}}]}}
  fine: {{}}
  failed: {{on: {{go: trying}}}}
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One with each of the actions, as a plain function and as a coroutine."""
    with short_folder() as folder:
        for name, body in ACTIONS.items():
            (folder / f"{name}_action.py").write_text(FILE.format(name=name.title(), keyword="", body=body))
            text = FILE.format(name=f"Async{name.title()}", keyword="async ", body=body.replace("self.", "await self."))
            (folder / f"async_{name}_action.py").write_text(text)
        (folder / "broken_action.py").write_text("def nothing(:\n")
        (folder / "missing_action.py").write_text("import a_module_that_is_not_there\n")
        with running(folder / "state", "--actions-dir", folder) as daemon:
            yield daemon


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        *((prefix + action, told) for prefix in ("", "async_") for action, told in TOLD.items()),
        ("broken", "SyntaxError"),
        ("missing", "a_module_that_is_not_there"),
    ],
)
def test_a_misbehaving_action_is_reported_with_its_name(daemon: Daemon, kind: str, told: str) -> None:
    """In `error-history` and in the log; nothing of it is kept, and the machine takes the next event."""
    name = daemon.add(CHART.format(name=f"m-{kind}", action=kind))

    for _ in range(2):
        answer = daemon.send(name, "go", wait="settled")
        assert answer["settled"]["states"] == ["failed"]

    listed = daemon.smctl("error-history", "--machine", name, "--json")
    assert listed.out.count(f"{kind}: ") >= 2
    assert told in listed.out
    assert f"seen: {kind}: " in daemon.smctl("logs", name).out
    assert not {"thing", "set"} & daemon.context(name).keys()


def test_the_daemon_survives_them_all(daemon: Daemon) -> None:
    assert daemon.smctl("status").code == 0
    assert daemon.process.poll() is None


@pytest.mark.parametrize("kind", ["block", "async_block"])
def test_other_machines_keep_their_pace_while_an_action_blocks(daemon: Daemon, kind: str) -> None:
    """100 events are answered meanwhile, each in much less time than the action takes."""
    calm = daemon.add(f"machine: calm-{kind}\nstates: {{a: {{on: {{tick: b}}}}, b: {{on: {{tick: a}}}}}}\n")
    before = _durations(lambda: daemon.send(calm, "tick"))
    name = daemon.add(CHART.format(name=f"blocker-{kind}", action=kind))
    started = time.monotonic()
    daemon.send(name, "go")

    meanwhile = _durations(lambda: daemon.send(calm, "tick"))

    view = daemon.get(f"/v1/machines/{name}")
    daemon.send(name, "look", wait="settled")
    block = time.monotonic() - started
    assert daemon.states(name) == ["fine"]
    assert sorted(meanwhile)[98] < block / 10
    assert view["action"] == kind, "it did not run meanwhile"
    assert median(meanwhile) < 5 * median(before)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["hang", "async_hang"])
def test_an_action_that_never_returns_does_not_keep_the_daemon_from_stopping(
    daemon: Daemon, folder: Path, whisper: Whisper, kind: str
) -> None:
    with running(folder / "state", "--actions-dir", daemon.cwd) as other:
        other.add(CHART.format(name="hanging", action=kind))
        other.send("hanging", "go")
        assert whisper.hear(1) == ["hangs"]
        assert other.stop() == 0


def _durations(call: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(100):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return found
