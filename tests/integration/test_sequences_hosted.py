"""Sequences in the daemon: what a failing argument is called, which event templates see, and that replay agrees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hosting import hosting

pytestmark = pytest.mark.asyncio

FAULTY = """
machine: m
initial: idle
context: {{s: abc}}
states:
  idle: {{on: {{go: a}}}}
  a: {{actions: [{action}], on: {{error.execution: argument, error: failed}}}}
  argument:
  failed:
"""


@pytest.mark.parametrize(
    ("action", "state"),
    [
        ('{type: bash, command: "echo {s|int}"}', "argument"),
        ('{type: run, command: [echo, "{s|int}"]}', "argument"),
        ('{type: bash, command: "true", env: {X: "{s|int}"}}', "argument"),
        ('{type: complete_job, job_id: "{nope}"}', "argument"),
        ('{type: complete_job, job_id: other}', "failed"),
        ('{type: sleep, duration: "{s}"}', "argument"),
        ('{type: bash, command: "false"}', "failed"),
        ('{type: bash, command: "echo {s|int}", error: error}', "failed"),
    ],
)  # fmt: skip
async def test_an_argument_that_fails_is_no_failure_of_the_action(tmp_path: Path, action: str, state: str) -> None:
    async with hosting(tmp_path / "s.db") as host:
        name = await host.add(FAULTY.format(action=action))
        await host.send(name, "go")
        await host.until(name, state)


TIMED = """
machine: t
initial: idle
states:
  idle: {on: {go: a}}
  a: {after: {5s: b}}
  b: {actions: [{type: log, message: once}], after: {5s: c}}
  c:
    actions:
      - {type: set_context, key: one, value: "{event.type} {payload.file}"}
      - {type: bash, command: "echo {event.type} {payload.file}", store_as: two, success: null}
      - {type: set_context, key: three, value: "{event.type} {payload.file}", success: told}
    on: {told: idle}
"""


async def test_the_event_that_led_here_outlives_timers_and_a_restart(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        name = await host.add(TIMED)
        await host.send(name, "go", {"file": "f1"})
        host.advance(5)
        await host.until(name, "b")
        await host.quiet()
        clock = host.clock.now()
    async with hosting(tmp_path / "s.db") as host:
        host.advance(max(0.0, clock + 6 - host.clock.now()))
        await host.until(name, "idle")
        context = host.context(name)
        assert [context[key] for key in ("one", "three")] == ["go f1"] * 2
        assert context["two"].strip() == "go f1"


RAISING = """
machine: r
initial: idle
context: {k: 0}
states:
  idle: {on: {go: b, set: p}}
  b: {actions: [{type: raise, event: next}, {type: bash, command: "sleep 60"}], on: {next: idle}}
  p:
    always: {to: idle, if: "context.k == 1"}
    actions: [{type: assign, set: {k: "1"}}, {type: bash, command: "sleep 60"}]
"""


async def test_what_an_instant_action_sets_off_comes_before_the_next(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        name = await host.add(RAISING)
        for event in ("go", "set"):
            assert (await host.send(name, event)).states == ("idle",)
