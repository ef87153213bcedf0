"""Events for everybody: the socket that takes them, and the mirror to another program's."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from smd import codec
from smd.errors import SettingsError
from smd.http.datagram import EventSocket
from smd.http.mirror import EventMirror, check_mirror, identity
from smd.runtime.bus import Bus
from tests.integration.running import Listener
from tests.integration.test_datagram import send

# --- events for everybody --


@pytest.mark.asyncio
async def test_an_emitters_event_is_published(tmp_path: Path) -> None:
    bus = Bus()
    events = EventSocket(tmp_path / "e", bus.publish, clock=lambda: 5.0)
    events.open()
    with bus.subscribe() as heard:
        event = {"machine_name": "old", "type": "state_change", "payload": {"to_state": "b"}}
        send(tmp_path / "e", b"junk", b'{"type":"x"}', codec.dumps(event))
        notice = await heard.get()
    events.close()
    assert notice[1:] == ("state_change", "old", 5.0, {"to_state": "b"})
    assert events.junk == 2


@pytest.mark.asyncio
async def test_an_emitter_cannot_tell_what_only_the_daemon_tells(tmp_path: Path) -> None:
    bus = Bus()
    events = EventSocket(tmp_path / "e", bus.publish)
    events.open()
    with bus.subscribe() as heard:
        forged = [{"machine_name": "m", "type": kind, "payload": {"text": "forged\n"}} for kind in ("line", "reset")]
        send(tmp_path / "e", *map(codec.dumps, [*forged, {"machine_name": "m", "type": "x"}]))
        assert (await heard.get()).kind == "x"
    events.close()
    assert events.junk == 2


async def counted(mirror: EventMirror, number: int) -> None:
    """Until the mirror has dealt with so many notices: it needs turns of the loop, nothing else."""
    while mirror.sent + mirror.dropped < number:  # noqa: ASYNC110 - it has no event to wait for
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_the_mirror_writes_the_predecessors_words(tmp_path: Path) -> None:
    bus, listener = Bus(), Listener(tmp_path / "e")
    mirror = EventMirror(tmp_path / "e", bus)
    mirror.open()
    bus.publish("state_change", "w", 7.5, {"from_state": "a", "to_state": "b", "event_trigger": "go"})
    bus.publish("machine_registered", "w", 8.0, {"config_type": "c", "current_state": "a"})
    first, second = await listener.read(), await listener.read()
    await mirror.close()
    listener.sock.close()
    assert first == {
        "machine_name": "w", "type": "state_change",
        "payload": {"from_state": "a", "to_state": "b", "event_trigger": "go", "timestamp": 7.5},
    }  # fmt: skip
    assert second["payload"] == {
        "config_type": "c", "current_state": "a", "timestamp": 8.0, "machine_name": "w",
    }  # fmt: skip


@pytest.mark.asyncio
async def test_the_mirror_counts_the_unheard_and_finds_a_program_that_comes_back(tmp_path: Path) -> None:
    bus, path = Bus(), tmp_path / "e"
    mirror = EventMirror(path, bus)
    mirror.open()
    for number in range(3):
        bus.publish("log", "w", 0.0, {"n": number})
    await counted(mirror, 3)
    for number in (3, 4):
        listener = Listener(path)
        bus.publish("log", "w", 0.0, {"n": number})
        heard = await listener.read()
        listener.sock.close()
        assert heard["payload"]["n"] == number
    await mirror.close()
    assert (mirror.sent, mirror.dropped) == (2, 3)


@pytest.mark.asyncio
async def test_a_program_that_does_not_read_never_holds_the_mirror_up(tmp_path: Path) -> None:
    bus, deaf = Bus(), Listener(tmp_path / "e")
    mirror = EventMirror(tmp_path / "e", bus)
    mirror.open()
    for _ in range(900):
        bus.publish("log", "w", 0.0, {})
    await counted(mirror, 900)
    await mirror.close()
    deaf.sock.close()
    assert mirror.dropped > 0
    assert mirror.sent + mirror.dropped == 900


# --- a mirror onto oneself --


@pytest.mark.parametrize("named", ["real/e.sock", "real/../real/e.sock", "link/e.sock", "e-link.sock"])
def test_a_mirror_to_a_socket_of_our_own_is_refused_however_it_is_named(tmp_path: Path, named: str) -> None:
    """Also before the socket is there."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "e-link.sock").symlink_to("link/e.sock")
    for own in (tmp_path / "real/e.sock", tmp_path / "link/e.sock"):
        with pytest.raises(SettingsError, match="the daemon itself listens on"):
            check_mirror(tmp_path / named, [tmp_path / "other/e.sock", own])
    check_mirror(tmp_path / named, [tmp_path / "e.sock", tmp_path / "real/f.sock"])


@pytest.mark.asyncio
async def test_the_mirror_sends_nothing_to_a_file_of_our_own_but_to_what_replaces_it(tmp_path: Path) -> None:
    """A second name of the same socket is no other socket."""
    bus = Bus()
    events = EventSocket(tmp_path / "e", bus.publish)
    events.open()
    os.link(tmp_path / "e", tmp_path / "second")
    found = identity(tmp_path / "e")
    assert found is not None
    mirror = EventMirror(tmp_path / "second", bus, {found})
    mirror.open()
    bus.publish("log", "w", 0.0, {})
    bus.publish("log", "w", 0.0, {})
    await counted(mirror, 2)
    assert (mirror.sent, mirror.dropped) == (0, 2)
    listener = Listener(tmp_path / "second")
    bus.publish("log", "w", 0.0, {"n": 3})
    assert (await listener.read())["payload"] == {"n": 3}
    await mirror.close()
    listener.sock.close()
    events.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("own", ["statemachine-events.sock", "statemachine-control-m.sock"])
async def test_a_daemon_does_not_start_with_its_own_socket_as_the_mirror(tmp_path: Path, own: str) -> None:
    (tmp_path / "m.yaml").write_text("machine: m\nstates: {a: {on: {go: b}}, b: {}}")
    words = ["run", "m.yaml", "--event-socket-path", f".smd/{own}"]
    daemon = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("smd"), *words, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            _, told = await daemon.communicate()
    finally:
        if daemon.returncode is None:
            daemon.kill()
            await daemon.wait()
    assert daemon.returncode == 8
    assert "cannot send all events to .smd/" in told.decode()
    assert "the daemon itself listens on" in told.decode()
