"""The predecessor's datagram sockets, with senders as the predecessor had them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from smd import codec
from smd.errors import BusyError, ConflictError, OutcomeUnknownError, SettingsError, SmdError, StoreError
from smd.http.datagram import ControlSocket, datagram_sockets
from smd.runtime.answers import Answer
from smd.statechart.event import Event


class Machine:
    """Takes what is posted, at most `room` at a time; `until` waits for it."""

    def __init__(self, room: int = 10_000) -> None:
        self.room = room
        self.inbox: list[tuple[Event, Any]] = []
        self.taken: list[Event] = []
        self.offers = 0
        self.outcomes: list[SmdError] = []
        self.moved = asyncio.Event()

    def post(self, machine: str, event: Event, reply: Any, *, client: bool) -> None:
        self.offers += 1
        self.moved.set()
        if self.outcomes and not isinstance(self.outcomes[0], OutcomeUnknownError):
            raise self.outcomes.pop(0)
        if len(self.inbox) >= self.room:
            raise BusyError("cannot take more: the inbox is full")
        self.inbox.append((event, reply))
        asyncio.get_running_loop().call_soon(self.work)

    def work(self) -> None:
        event, reply = self.inbox.pop(0)
        if self.outcomes:
            reply(self.outcomes.pop(0))
            return
        self.taken.append(event)
        self.moved.set()
        reply(Answer("worker", event.type, len(self.taken), "taken"))

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self.moved.clear()
            await self.moved.wait()


class Control:
    """An open control socket and its machine."""

    def __init__(self, path: Path) -> None:
        self.machine = Machine()
        self.socket = ControlSocket(path, "worker", lambda *call, **more: self.machine.post(*call, **more))
        self.path = path

    async def took(self, count: int) -> list[Event]:
        await self.machine.until(lambda: len(self.machine.taken) >= count)
        return self.machine.taken


@pytest_asyncio.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    control = Control(tmp_path / "control-worker.sock")
    control.socket.open()
    yield control
    await control.socket.close(0.01)


def send(path: Path, *datagrams: bytes, buffer: int = 1 << 20) -> None:
    """Send without waiting."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        sock.setblocking(False)
        sock.connect(str(path))
        for datagram in datagrams:
            sock.send(datagram)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("datagram", "event"),
    [
        ({"type": "go", "payload": {"a": 1}, "job_id": "j"}, ("go", {"a": 1}, "j")),
        ({"type": "go"}, ("go", {}, None)),
        ({}, ("unknown", {}, None)), ({"type": None}, ("unknown", {}, None)),
        ({"type": "go", "payload": '{"a": [1]}'}, ("go", {"a": [1]}, None)),
        ({"type": "go", "payload": "{oops"}, ("go", {}, None)),
        ({"type": "go", "payload": None}, ("go", None, None)),
        ({"type": "go", "job_id": 7, "source": "x"}, ("go", {}, "7")),
        ({"type": "wake_up"}, ("wake_up", {}, None)),
    ],
)  # fmt: skip
async def test_a_datagram_is_an_event(control: Control, datagram: Any, event: Any) -> None:
    send(control.path, codec.dumps(datagram))
    taken = (await control.took(1))[0]
    assert (taken.type, taken.payload, taken.job_id) == event


JUNK = [
    b"", b"hello", b"{", b"[]", b'"go"', b"5", b"null", b"\xff\xfe", b'{"type":5}', b'{"type":""}',
    b'{"type":"smd.stop"}', b'{"type":"a\\nb"}', b'{"type":"' + b"a" * 300 + b'"}',
    b'{"type":"go","job_id":[]}', b'{"type":"go","job_id":true}', b'{"type":"go","job_id":false}',
    b'{"type":"go","job_id":1.5}',
    b"[" * 3000, b'{"type":"go","payload":' + b"[" * 100 + b"]" * 100 + b"}", b'{"type":"x","payload":NaN}',
]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: junk[:24])
async def test_junk_is_counted_and_what_follows_is_taken(control: Control, junk: bytes) -> None:
    send(control.path, junk, b'{"type":"good"}')
    assert [event.type for event in await control.took(1)] == ["good"]
    assert control.socket.junk == 1


BURST = """
import json, socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.connect(sys.argv[1])
for number in range(10000):
    sock.send(json.dumps({"type": "go", "payload": {"n": number}}).encode())
"""


@pytest.mark.asyncio
@pytest.mark.parametrize("room", [3, 10_000])
async def test_a_burst_of_a_blocking_sender_arrives_whole_and_in_order(control: Control, room: int) -> None:
    """Also through an inbox that has room for three."""
    control.machine.room = room
    sender = await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", "-c", BURST, str(control.path))
    taken = await control.took(10_000)
    assert await sender.wait() == 0
    assert [event.payload["n"] for event in taken] == list(range(10_000))
    assert len({event.id for event in taken}) == 10_000


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [65_536, 150_000, 250_000])
async def test_a_large_payload_arrives_whole(control: Control, size: int) -> None:
    send(control.path, codec.dumps({"type": "go", "payload": {"text": "x" * size}}))
    assert len((await control.took(1))[0].payload["text"]) == size


@pytest.mark.asyncio
async def test_a_datagram_beyond_the_limit_is_junk_not_a_torn_event(control: Control) -> None:
    send(control.path, codec.dumps({"type": "go", "payload": "x" * 270_000}), b'{"type":"good"}')
    assert [event.type for event in await control.took(1)] == ["good"]
    assert control.socket.junk == 1


@pytest.mark.asyncio
async def test_while_the_machine_has_no_room_the_kernel_pushes_back(control: Control) -> None:
    """One event is kept, the kernel's queue fills, a sender is told; with room again all arrive."""
    control.machine.room = 0
    send(control.path, b'{"type":"e0"}')
    await control.machine.until(lambda: control.machine.offers > 0)
    sent = 1
    with pytest.raises(BlockingIOError):
        while sent < 100_000:
            send(control.path, b'{"type":"e%d"}' % sent)
            sent += 1
    assert control.socket.waiting == 1
    control.machine.room = 5
    assert [event.type for event in await control.took(sent)] == [f"e{n}" for n in range(sent)]


@pytest.mark.asyncio
async def test_an_unclear_commit_is_offered_again_under_the_same_id(control: Control) -> None:
    control.machine.outcomes = [OutcomeUnknownError("cannot tell")]
    send(control.path, b'{"type":"go"}')
    taken = await control.took(1)
    assert (control.machine.offers, len(taken), taken[0].id != "") == (2, 1, True)


@pytest.mark.asyncio
@pytest.mark.parametrize("rounds", [1, 2])
async def test_events_that_come_back_are_offered_again_in_order(control: Control, rounds: int) -> None:
    """All six are under way when each of them fails, once or twice."""
    control.machine.outcomes = [OutcomeUnknownError("cannot tell") for _ in range(6 * rounds)]
    send(control.path, *(b'{"type":"e%d"}' % number for number in range(6)))
    assert [event.type for event in await control.took(6)] == [f"e{number}" for number in range(6)]
    assert control.machine.offers == 6 * (rounds + 1)


@pytest.mark.asyncio
async def test_later_events_do_not_overtake_one_whose_failure_comes_late(control: Control) -> None:
    """`e1` is under way for longer than the pause after which `e0` would be offered again."""
    worker, loop = control.machine, asyncio.get_running_loop()
    fates: list[tuple[float, SmdError | None]] = [(0, StoreError("disk")), (0.15, StoreError("disk"))]

    def post(machine: str, event: Event, reply: Any, *, client: bool) -> None:
        seconds, fate = fates.pop(0) if fates else (0, None)
        loop.call_later(seconds, answer, event, reply, fate)

    def answer(event: Event, reply: Any, fate: SmdError | None) -> None:
        if fate is None:
            worker.taken.append(event)
            worker.moved.set()
        reply(fate or Answer("worker", event.type, 1, "taken"))
        if fate is not None and event.type == "e0":
            send(control.path, b'{"type":"e2"}')

    worker.post = post  # type: ignore[method-assign]
    send(control.path, b'{"type":"e0"}', b'{"type":"e1"}')
    assert [event.type for event in await control.took(3)] == ["e0", "e1", "e2"]


@pytest.mark.asyncio
async def test_a_machine_that_refuses_at_once_is_not_offered_again_at_once(control: Control) -> None:
    """The answer may come while the event is being posted."""
    worker = control.machine
    answers: list[Any] = [StoreError("disk"), Answer("worker", "go", 1, "taken"), Answer("worker", "go", 2, "taken")]

    def post(machine: str, event: Event, reply: Any, *, client: bool) -> None:
        answer = answers.pop(0)
        if isinstance(answer, Answer):
            worker.taken.append(event)
            worker.moved.set()
        reply(answer)

    worker.post = post  # type: ignore[method-assign]
    send(control.path, b'{"type":"e0"}', b'{"type":"e1"}')
    assert [event.type for event in await control.took(2)] == ["e0", "e1"]
    assert control.socket.waiting == 0


@pytest.mark.asyncio
async def test_what_a_machine_can_never_take_is_counted_and_left(control: Control) -> None:
    control.machine.outcomes = [ConflictError("cannot send: finished", code="finished")]
    send(control.path, b'{"type":"one"}', b'{"type":"two"}')
    assert [event.type for event in await control.took(1)] == ["two"]
    assert control.socket.refused == 1


@pytest.mark.asyncio
async def test_a_close_lets_what_was_read_be_answered(tmp_path: Path) -> None:
    control = Control(tmp_path / "s")
    control.socket.open()
    send(control.path, b'{"type":"go"}')
    await control.machine.until(lambda: control.machine.offers == 1)
    await control.socket.close(30)
    assert (control.socket.taken, control.path.exists()) == (1, False)


# --- binding --


@pytest.mark.asyncio
async def test_the_file_has_its_mode(control: Control) -> None:
    assert stat.S_IMODE(control.path.stat().st_mode) == 0o660


@pytest.mark.asyncio
async def test_a_socket_somebody_reads_is_not_taken_over(control: Control) -> None:
    with pytest.raises(SettingsError, match="another daemon listens"):
        ControlSocket(control.path, "other", control.machine.post).open()
    send(control.path, b'{"type":"go"}')
    assert len(await control.took(1)) == 1


@pytest.mark.asyncio
async def test_a_dead_programs_socket_is_replaced(tmp_path: Path) -> None:
    control = Control(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(control.path))
    control.socket.open()
    send(control.path, b'{"type":"go"}')
    assert len(await control.took(1)) == 1
    await control.socket.close()


@pytest.mark.asyncio
async def test_two_that_start_at_once_cannot_replace_each_other(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(SettingsError, match="another daemon is starting"):
        Control(tmp_path / "s").socket.open()
    os.close(folder)


@pytest.mark.asyncio
async def test_a_child_that_is_being_started_meanwhile_does_not_keep_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it executes its program it has a copy of every descriptor."""
    copies: list[int] = []
    flock = fcntl.flock

    def copied(folder: int, operation: int) -> None:
        copies.append(os.dup(folder))
        flock(folder, operation)

    monkeypatch.setattr(fcntl, "flock", copied)
    for name in ("one", "other"):
        control = Control(tmp_path / name)
        control.socket.open()
        await control.socket.close()
    for copy in copies:
        os.close(copy)


@pytest.mark.asyncio
async def test_a_path_too_long_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="a socket's may have"):
        Control(tmp_path / ("x" * 120)).socket.open()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("my-worker_1", "p-my-worker_1.sock"), ("order@a:1.b", "p-order@a:1.b.sock"), ("a/b", "p-a\\x2fb.sock"),
        ("../etc", "p-\\x2e.\\x2fetc.sock"), ("a b\n", "p-a\\x20b\\x0a.sock"), ("ü", "p-\\xc3\\xbc.sock"),
        ("\\x20", "p-\\x5cx20.sock"),
    ],
)  # fmt: skip
def test_a_machines_socket_is_named_after_it_and_stays_in_its_folder(name: str, file: str) -> None:
    assert datagram_sockets("/run/p", [name]) == {name: Path("/run") / file}
