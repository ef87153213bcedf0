"""Leaving a state ends the whole process tree of its action, and what the tree still says changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.trees import Whisper, gone, marked

CHART = r"""
machine: {name}
context: {{late: 0}}
states:
  idle: {{on: {{go: busy}}}}
  busy:
    actions:
      - type: bash
        kill_after: 0.2s
        store_as: result
        command: |
          export BEACON={name}
          trap '' TERM
          setsid sh -c 'trap "" TERM; echo $$ > {whisper}; sleep 600' &
          nohup sh -c 'echo $$ > {whisper}; sleep 600 & sleep 600' >/dev/null 2>&1 &
          setsid sh -c 'sh -c "echo \$\$ > {whisper}; sleep 600; echo late" & exit' &
          echo $$ > {whisper}
          sleep 600
    on:
      stop: left
      job_done: {{to: wrong, actions: [&count {{type: assign, set: {{late: context.late + 1}}}}]}}
      error: {{to: wrong, actions: [*count]}}
    after: {{{after}: left}}
  left: {{on: {{job_done: {{to: wrong, actions: [*count]}}, error: {{to: wrong, actions: [*count]}}, look: {{}}}}}}
  wrong: {{}}
"""

DEAF = r"""
machine: {name}
states:
  busy:
    actions:
      - type: bash
        kill_after: 1h
        command: |
          trap '' TERM
          deaf='trap "" TERM; echo $$ > {whisper}; while :; do sleep 600; done'
          setsid sh -c "$deaf" &
          sh -c "$deaf" &
          {last}
"""
STARTER = """
import subprocess, time
from pathlib import Path
from smd.actions.custom import BaseAction


class StarterAction(BaseAction):
    def execute(self, context):
        mine = subprocess.Popen(["sh", "-c", "exit 3"], start_new_session=True)
        shell = subprocess.run(["sh", "-c", "true >&2 & echo $!"], stdout=subprocess.PIPE)
        until = time.monotonic() + 20
        while Path("/proc", shell.stdout.decode().strip()).exists() and time.monotonic() < until:
            time.sleep(0.02)
        context["reaped"], context["code"] = time.monotonic() < until, mine.wait()
        return "started"
"""
STARTS = """
machine: starts
states:
  idle: {on: {go: busy}}
  busy: {actions: [{type: starter}], on: {started: idle}}
"""


@pytest.fixture
def busy(shared: Daemon, whisper: Whisper, request: pytest.FixtureRequest) -> tuple[str, set[int]]:
    """A machine whose command runs with its grandchildren: its name, and their pids. It leaves after `param`."""
    name = f"tree-{uuid4().hex}"
    shared.add(CHART.format(name=name, whisper=whisper.path, after=getattr(request, "param", "10m")))
    shared.send(name, "go")
    return name, set(map(int, whisper.hear(4)))


def test_an_event_leaves_the_state_at_once_and_ends_the_whole_tree(shared: Daemon, busy: tuple[str, set[int]]) -> None:
    name, pids = busy
    assert pids <= set(marked(f"SMD_ACTION={shared.store_id()}/{name}/"))

    answer = shared.send(name, "stop")

    assert (answer["disposition"], answer["states"]) == ("taken", ["left"])
    assert gone(pids, 10.0)
    _nothing_came_late(shared, name)


@pytest.mark.parametrize("busy", ["1s"], indirect=True)
def test_a_timer_leaves_the_state_and_ends_the_whole_tree(shared: Daemon, busy: tuple[str, set[int]]) -> None:
    name, pids = busy
    assert gone(pids, 10.0)
    assert shared.states(name) == ["left"]
    _nothing_came_late(shared, name)


def test_a_machine_that_is_stopped_by_its_operator_leaves_no_process(
    shared: Daemon, busy: tuple[str, set[int]]
) -> None:
    name, pids = busy
    assert shared.smctl("stop", name).code == 0
    assert gone(pids, 10.0)


def test_a_daemon_that_stops_kills_what_still_has_time_to_end(
    start: Callable[..., Daemon], folder: Path, whisper: Whisper
) -> None:
    charts = folder / "charts"
    charts.mkdir()
    for name, last in {"waits": "wait", "ended": "exit"}.items():
        (charts / f"{name}.yaml").write_text(DEAF.format(name=name, whisper=whisper.path, last=last))
    daemon = start(charts)
    pids = set(map(int, whisper.hear(4)))

    assert daemon.stop() == 0

    assert gone(pids, 0.0)
    assert not marked(f"SMD_ACTION={daemon._store_id}/")
    assert "took too long" not in daemon.output


def test_a_python_actions_orphans_are_reaped_and_its_children_left_to_it(
    start: Callable[..., Daemon], folder: Path
) -> None:
    (folder / "starter_action.py").write_text(STARTER)
    daemon = start("--actions-dir", folder)
    daemon.add(STARTS)
    daemon.send("starts", "go", wait="settled")
    context = daemon.context("starts")
    assert (context["reaped"], context["code"]) == (True, 3)


def _nothing_came_late(daemon: Daemon, name: str) -> None:
    """Nothing of the tree is left, what it answered changed nothing, and no error is told."""
    daemon.send(name, "look", wait="settled")
    assert not marked(f"BEACON={name}")
    assert daemon.states(name) == ["left"]
    context = daemon.context(name)
    assert context["late"] == 0
    assert "result" not in context
    assert "last_error" not in context
