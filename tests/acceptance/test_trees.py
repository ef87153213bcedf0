"""Leaving a state ends the whole process tree of its action, and what the tree still says changes nothing."""

from __future__ import annotations

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


def _nothing_came_late(daemon: Daemon, name: str) -> None:
    """Nothing of the tree is left, what it answered changed nothing, and no error is told."""
    daemon.send(name, "look", wait="settled")
    assert not marked(f"BEACON={name}")
    assert daemon.states(name) == ["left"]
    context = daemon.context(name)
    assert context["late"] == 0
    assert "result" not in context
    assert "last_error" not in context
