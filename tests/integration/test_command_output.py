"""What commands print, in the machine's log."""

from __future__ import annotations

import asyncio

import pytest

from smd.runtime.clock import SystemClock
from tests.hosting import hosting

pytestmark = pytest.mark.asyncio

LEFT = """\
machine: m
initial: half
states:
  half:
    actions: [{type: bash, command: "printf 'half of a line'; printf 'warned' >&2; exec sleep 1000"}]
    on: {leave: fresh}
  fresh:
    actions: [{type: bash, command: "echo fresh; echo wrong >&2", success: ok}]
    on: {ok: idle}
  idle: {}
"""


async def test_the_unfinished_line_of_a_command_that_is_ended_is_written_and_is_not_the_next_ones() -> None:
    async with hosting(clock=SystemClock()) as host:
        name = await host.add(LEFT)
        logs = host.supervisor.logs
        while len(logs._rests) < 2:  # noqa: ASYNC110 - output tells nobody that it has arrived
            await asyncio.sleep(0)
        await host.send(name, "leave")
        await host.until(name, "idle")
        lines = [line for line in logs.tail(name, 99) if line.startswith(("    | ", "    ! "))]
        assert sorted(lines[:2]) == ["    ! warned", "    | half of a line"]
        assert sorted(lines[2:]) == ["    ! wrong", "    | fresh"]
        assert not logs._rests
