"""A row that cannot be written ends the unit it belongs to, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from smd.errors import RequestError
from smd.statechart.event import Event
from smd.store.base import FindPending, Store
from tests.store.units import Steps, add_machines, asking, saving, took

pytestmark = pytest.mark.asyncio
HALF = Event("go", {}, "", "half \ud800")
"""Its source fits no column."""


async def test_another_unit_of_the_group_hears_nothing_of_it(store: Store) -> None:
    """What looks for waiting events has the rows before it written, whosever they are."""
    await add_machines(store, "a", "b")
    heard: list[RequestError] = []

    def look() -> Generator[Any, Any, str]:
        try:
            yield FindPending("b", ("go",))
        except RequestError as error:
            heard.append(error)
        return "fine"

    with store.together():
        bad, good = store.submit(asking(saving([took(event=HALF)], "a"))), store.submit(Steps(look))
    told = await asyncio.gather(bad, good, return_exceptions=True)
    assert isinstance(told[0], RequestError)
    assert (told[1], heard) == ("fine", [])
    machine = await store.machine("a")
    assert machine is not None
    assert (machine.version, await store.journal("a")) == (0, [])


async def test_its_own_unit_cannot_go_on_as_if_it_had_not_been(store: Store) -> None:
    await add_machines(store, "a")

    def look() -> Generator[Any, Any, str]:
        yield saving([took(event=HALF)], "a")
        try:
            yield FindPending("a", ("go",))
        except RequestError:
            return "forgiven"
        return "fine"

    with pytest.raises(RequestError):
        await store.submit(Steps(look))
    machine = await store.machine("a")
    assert machine is not None
    assert (machine.version, await store.journal("a")) == (0, [])
