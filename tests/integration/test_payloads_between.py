"""What an event's declaration says of its payload holds for every way in, other machines included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smd.errors import RequestError
from smd.statechart.effects import IGNORED
from smd.store.base import JournalRow
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

RECEIVER = """
machine: c
initial: idle
events:
  add: {payload: {type: object, required: [k], properties: {k: {type: integer}}}, context_map: {k: payload.k}}
states: {idle: {on: {add: added, again: idle}}, added: {on: {add: added}}}
"""
SENDER = """
machine: s
initial: idle
states:
  idle:
    on:
      send: {actions: [{type: send_event, target: c, event: "{payload.what}", payload: "{payload.with}"}]}
      later: {actions: [{type: send_event, target: c, event: add, payload: {k: text}, delay: 5s}]}
      error.communication: {to: told, actions: [{type: assign, set: {told: event.payload}}]}
  told: {on: {back: idle}}
"""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where a supervisor keeps what it knows."""
    return tmp_path / "smd.db" if request.param == "sqlite" else None


async def pair(host: Host) -> None:
    """Both machines."""
    await host.add(RECEIVER)
    await host.add(SENDER)


async def last(host: Host, machine: str) -> JournalRow:
    """The last event that the machine consumed."""
    rows = await host.store.journal(machine, host.supervisor.view(machine).version - 1)
    return rows[-1]


@pytest.mark.parametrize(("payload", "told"), [
    ({"k": "text"}, "payload.k: 'text' is not of type 'integer'"),
    ({}, "'k' is a required property"),
])  # fmt: skip
async def test_a_machines_event_is_refused_as_at_the_door_and_the_machine_hears_of_it(
    store: Path | None, payload: Any, told: str
) -> None:
    async with hosting(store) as host:
        await pair(host)
        with pytest.raises(RequestError, match=told.replace(".", r"\.")) as refused:
            await host.send("c", "add", payload)
        await host.send("s", "send", {"what": "add", "with": payload})
        await host.until("s", "told")
        await host.quiet()
        assert host.states("c") == ["idle"]
        assert "k" not in host.context("c")
        row = await last(host, "c")
        assert (row.type, row.disposition, row.detail["code"], row.error) == (
            "add", IGNORED, "invalid_payload", refused.value.message
        )  # fmt: skip
        heard = host.context("s")["told"]
        assert (heard["target"], heard["type"], heard["reason"]) == ("c", "add", refused.value.message)


async def test_what_fits_is_taken(store: Path | None) -> None:
    async with hosting(store) as host:
        await pair(host)
        await host.send("s", "send", {"what": "add", "with": {"k": 3}})
        await host.until("c", "added")
        assert host.context("c")["k"] == 3
        assert host.states("s") == ["idle"]


async def test_an_event_sent_with_delay_is_refused_too() -> None:
    async with hosting() as host:
        await pair(host)
        await host.send("s", "later")
        host.advance(6)
        await host.until("s", "told")
        assert host.states("c") == ["idle"]


async def test_a_machine_that_refuses_its_own_event_hears_of_it_once() -> None:
    chart = """
machine: c
initial: idle
events:
  add: {payload: {required: [k]}}
  error.communication: {payload: {required: [nothing]}}
states:
  idle: {on: {go: {actions: [{type: send_event, target: c, event: add}]}, add: odd, error.communication: odd}}
  odd: {}
"""
    async with hosting() as host:
        await host.add(chart)
        await host.send("c", "go")
        await host.quiet()
        rows = await host.store.journal("c")
        assert [(row.type, row.disposition) for row in rows[2:]] == [("add", IGNORED), ("error.communication", IGNORED)]
        assert host.states("c") == ["idle"]
