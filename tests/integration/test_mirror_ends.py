"""The mirror tells of every start and stop of the daemon: the predecessor's UI makes and removes its cards by that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from smd.http.mirror import EventMirror
from smd.runtime.bus import Bus
from tests.integration.running import Listener, running

pytestmark = pytest.mark.asyncio

ENDS = {"machine_registered", "machine_terminated"}


async def ends(listener: Listener, count: int) -> list[tuple[str, str]]:
    """The next starts and ends of machines, in order."""
    heard: list[tuple[str, str]] = []
    while len(heard) < count:
        event = await listener.read()
        if event["type"] in ENDS:
            assert event["payload"]["machine_name"] == event["machine_name"]
            assert event["payload"]["config_type"]
            assert event["payload"]["timestamp"] > 0
            heard.append((event["type"], event["machine_name"]))
    return heard


async def test_each_start_and_stop_of_the_daemon_is_told_in_order(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(f"machine: {name}\nstates: {{a: {{on: {{go: b}}}}, b: {{}}}}")
    listener = Listener(tmp_path / "e.sock")
    for _ in range(3):
        async with running(tmp_path, "one.yaml", "two.yaml", "--event-socket-path", "e.sock"):
            begun = await ends(listener, 2)
        assert sorted(begun) == [("machine_registered", "one"), ("machine_registered", "two")]
        ended = await ends(listener, 2)
        assert sorted(ended) == [("machine_terminated", "one"), ("machine_terminated", "two")]
    with pytest.raises(BlockingIOError):
        listener.sock.recv(65536)  # nothing comes twice
    listener.sock.close()


async def test_a_stopped_machine_is_told_of_no_more(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("machine: m\ninitial: a\nstates: {a: {always: b}, b: {type: final}}")
    (tmp_path / "n.yaml").write_text("machine: n\nstates: {a: {}}")
    listener = Listener(tmp_path / "e.sock")
    async with running(tmp_path, "m.yaml", "n.yaml", "--event-socket-path", "e.sock"):
        begun = await ends(listener, 2)
    assert set(begun) >= {("machine_registered", "n")}
    assert ("machine_terminated", "m") in begun
    assert await ends(listener, 1) == [("machine_terminated", "n")]
    with pytest.raises(BlockingIOError):
        listener.sock.recv(65536)
    listener.sock.close()


async def test_a_program_that_reads_misses_nothing_of_a_burst_and_nothing_before_the_end(tmp_path: Path) -> None:
    """The kernel's queue holds about ten, and the mirror is closed as soon as all was published."""
    bus, listener = Bus(), Listener(tmp_path / "e")
    mirror = EventMirror(tmp_path / "e", bus)
    mirror.open()
    for number in range(300):
        bus.publish("log", "w", 0.0, {"n": number})
    closed = asyncio.ensure_future(mirror.close())
    heard = [(await listener.read())["payload"]["n"] for _ in range(300)]
    await closed
    listener.sock.close()
    assert heard == list(range(300))
    assert (mirror.sent, mirror.dropped) == (300, 0)
