"""The server on a real Unix socket, with clients that write bytes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from smd.errors import SettingsError
from smd.http.app import Application
from smd.http.server import serve_unix
from smd.http.sockets import PATH_LIMIT
from tests.integration.http_running import ONE, Running, answer_later
from tests.unit.http_double import SmallSupervisor


@pytest_asyncio.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path / "control.sock")
    await running.start()
    yield running
    await running.close()


@pytest.mark.asyncio
async def test_a_connection_serves_request_after_request(running: Running) -> None:
    client = await running.client()
    for number in range(1, 4):
        status, answer = await client.ask("POST", ONE, b'{"type":"go"}')
        assert (status, answer["seq"]) == (200, number)


@pytest.mark.asyncio
async def test_requests_sent_ahead_are_answered_in_order_on_32_connections(running: Running) -> None:
    clients = [await running.client() for _ in range(32)]
    for client in clients:
        for number in range(20):
            client.write("POST", ONE, b'{"type":"e%d"}' % number)
    for client in clients:
        types = [(await client.read())[1]["type"] for _ in range(20)]
        assert types == [f"e{number}" for number in range(20)]
    assert len(running.supervisor.posted) == 640


@pytest.mark.asyncio
@pytest.mark.parametrize("target", ["/v1/machines/wor%6Ber/events", "/v1/machines/%77orker/events"])
async def test_machine_names_are_percent_decoded(running: Running, target: str) -> None:
    status, _ = await (await running.client()).ask("POST", target, b'{"type":"go"}')
    assert status == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["%00", "%ff%fe", "%2e%2e%2fworker", "a%2Fb", "%", "%zz", "%0d%0aworker"])
async def test_hostile_names_are_404_and_the_connection_lives(running: Running, name: str) -> None:
    client = await running.client()
    status, _ = await client.ask("POST", f"/v1/machines/{name}/events", b'{"type":"go"}')
    assert (status, running.supervisor.posted) == (404, [])
    assert (await client.ask("GET", "/health"))[0] == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "bad",
    [
        b"\x00\x01\x02\r\n\r\n", b"hello\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST " + ONE.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST " + ONE.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhi",
        b"POST " + ONE.encode() + b" HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)  # fmt: skip
async def test_what_is_not_http_is_400_and_ends_the_connection(running: Running, bad: bytes) -> None:
    client = await running.client()
    client.writer.write(bad)
    status, body = await client.read()
    assert (status, body["error"]["code"], await client.reader.read()) == (400, "invalid_http", b"")
    assert (await (await running.client()).ask("GET", "/health"))[0] == 200
    assert running.supervisor.posted == []


async def pour(path: Path, begin: bytes, piece: bytes) -> tuple[int, bytes]:
    """Send a beginning and then pieces until the server has enough: bytes taken, and its answer."""
    loop, taken, answer = asyncio.get_running_loop(), 0, b""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        sock.connect(str(path))
        with contextlib.suppress(ConnectionError):
            await loop.sock_sendall(sock, begin)
            while taken < 64 << 20:
                await loop.sock_sendall(sock, piece)
                taken += len(piece)
        with contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(sock, 65536):
                answer += data
    return taken, answer


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET / HTTP/1.1\r\n", b"x: " + b"y" * 1000 + b"\r\n"), (b"GET /", b"y" * 1000),
        (b"GET / HTTP/1.1\r\nx: ", b"y" * 1000),
        (b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n" * 100),
    ],
)  # fmt: skip
async def test_an_endless_head_or_trailer_is_cut_off(running: Running, begin: bytes, piece: bytes) -> None:
    taken, answer = await pour(running.path, begin, piece)
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
    assert taken < 4 << 20
    assert (await (await running.client()).ask("GET", "/health"))[0] == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_too_large_is_refused_while_it_is_sent(running: Running, *, chunked: bool) -> None:
    length = b"transfer-encoding: chunked" if chunked else b"content-length: 99999999"
    begin = b"POST " + ONE.encode() + b" HTTP/1.1\r\nhost: x\r\n" + length + b"\r\n\r\n"
    taken, answer = await pour(running.path, begin, b"10000\r\n" + b"x" * 65536 + b"\r\n" if chunked else b"x" * 65536)
    assert (answer.split(b" ")[1], b'"too_large"' in answer, running.supervisor.posted) == (b"413", True, [])
    assert taken < 8 << 20


@pytest.mark.asyncio
async def test_clients_that_dawdle_do_not_hold_up_others(running: Running) -> None:
    """One stops within its head, one within its body, one does not read its answers."""
    head, body, deaf = [await running.client() for _ in range(3)]
    head.writer.write(b"POST " + ONE.encode() + b" HT")
    body.writer.write(b"POST " + ONE.encode() + b' HTTP/1.1\r\nhost: x\r\ncontent-length: 13\r\n\r\n{"type"')
    for _ in range(2000):
        deaf.write("GET", "/v1/machines")
    for _ in range(50):
        assert (await (await running.client()).ask("POST", ONE, b'{"type":"go"}'))[0] == 200
    body.writer.write(b':"go"}')
    assert (await body.read())[0] == 200


@pytest.mark.asyncio
async def test_a_client_that_only_stopped_sending_gets_its_answer(running: Running) -> None:
    arrived, release = answer_later(running)
    client = await running.client()
    client.write("POST", ONE, b'{"type":"go"}')
    client.writer.write_eof()
    await arrived.wait()
    release()
    assert ((await client.read())[0], await client.reader.read()) == (200, b"")


@pytest.mark.asyncio
async def test_an_upgrade_is_declined_with_an_ordinary_answer(running: Running) -> None:
    client = await running.client()
    answer = await client.ask("GET", "/health", b"", "connection: upgrade", "upgrade: websocket")
    assert (answer[0], await client.reader.read()) == (200, b"")


@pytest.mark.asyncio
async def test_the_peers_user_decides(running: Running, tmp_path: Path) -> None:
    """A process of another user is refused where only a group may enter; ours is not."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    guarded = Running(Path(f"/tmp/smd-test-{os.getpid()}.sock"))  # others cannot enter tmp_path
    await guarded.start(operate=["root"])
    guarded.path.chmod(0o666)
    code = (
        "import os,socket,sys\nos.setgroups([]);os.setgid(65534);os.setuid(65534)\n"
        "s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1])\n"
        "s.sendall(b'GET /v1/machines HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n')\n"
        "print(s.makefile('rb').read().decode())"
    )
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", code, str(guarded.path), stdout=subprocess.PIPE
    )
    answer, _ = await program.communicate()
    ours = await (await guarded.client()).ask("GET", "/v1/machines")
    await guarded.close()
    assert b" 403 " in answer.splitlines()[0]
    assert b'"forbidden"' in answer
    assert ours[0] == 200


@pytest.mark.asyncio
async def test_the_socket_file_has_its_mode_and_goes_at_the_end(tmp_path: Path) -> None:
    running = Running(tmp_path / "s")
    await running.start()
    assert stat.S_IMODE(running.path.stat().st_mode) == 0o660
    await running.close()
    assert not running.path.exists()


@pytest.mark.asyncio
async def test_a_second_daemon_is_refused_and_the_first_goes_on(running: Running) -> None:
    with pytest.raises(SettingsError, match="another daemon listens"):
        await serve_unix(Application(running.supervisor), running.path)
    assert (await (await running.client()).ask("GET", "/health"))[0] == 200


@pytest.mark.asyncio
async def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    running = Running(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(running.path))
    await running.start()
    assert (await (await running.client()).ask("GET", "/health"))[0] == 200
    await running.close()


@pytest.mark.asyncio
async def test_another_kind_of_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(SettingsError, match="something else"):
        await serve_unix(Application(SmallSupervisor()), path)
    assert path.read_text() == "mine"


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "why"), [("x" * 120, f"may have {PATH_LIMIT}"), ("none/s", "No such file")])
async def test_a_path_that_cannot_be_is_explained(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        await serve_unix(Application(SmallSupervisor()), tmp_path / name)


@pytest.mark.asyncio
async def test_a_socket_already_open_is_served_and_its_file_left(tmp_path: Path) -> None:
    path = tmp_path / "s"
    given = socket.socket(socket.AF_UNIX)
    given.bind(str(path))
    given.listen()
    running = Running(path)
    running.server = await serve_unix(Application(running.supervisor), given)
    assert (await (await running.client()).ask("GET", "/health"))[0] == 200
    await running.close()
    assert path.exists()


@pytest.mark.asyncio
async def test_a_stop_gives_running_requests_their_answers(running: Running) -> None:
    arrived, release = answer_later(running)
    client, idle = await running.client(), await running.client()
    client.write("POST", ONE, b'{"type":"go"}')
    await arrived.wait()
    stopping = asyncio.create_task(running.server.stop(30))
    assert await idle.reader.read() == b""
    assert not running.path.exists()
    release()
    assert (await client.read())[0] == 200
    await stopping
    assert running.server.connections == 0


@pytest.mark.asyncio
async def test_a_stop_tells_who_waited_too_long(running: Running) -> None:
    arrived, _ = answer_later(running)
    client = await running.client()
    client.write("POST", ONE, b'{"type":"go"}')
    await arrived.wait()
    await running.server.stop(0.01)
    status, body = await client.read()
    assert (status, body["error"]["code"]) == (503, "outcome_unknown")


@pytest.mark.asyncio
async def test_a_stop_does_not_wait_for_a_client_that_does_not_read(running: Running) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(running.path))
        deaf.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                deaf.send(b"GET /v1/machines HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
                await asyncio.sleep(0)
        await running.server.stop(0.01)
        assert running.server.connections == 0


@pytest.mark.asyncio
async def test_a_followed_log_is_pushed_line_by_line(running: Running) -> None:
    client = await running.client()
    client.write("GET", "/v1/machines/worker/log?lines=1&follow=1")
    status, headers = await client.head()
    assert (status, headers["transfer-encoding"], await client.chunk()) == (200, "chunked", b"two\n")
    running.supervisor.bus.publish("line", "other", 1.0, {"text": "not this\n"})
    running.supervisor.bus.publish("line", "worker", 1.5, {"text": "this\n"})
    assert await client.chunk() == b"this\n"


@pytest.mark.asyncio
async def test_a_follower_that_leaves_is_forgotten(running: Running) -> None:
    client = await running.client()
    client.write("GET", "/v1/machines/worker/log?follow=1")
    await client.head()
    await client.chunk()
    assert running.supervisor.bus.wants("line")
    left = asyncio.Event()
    leave = running.supervisor.bus.leave

    def left_by(subscription: Any) -> None:
        leave(subscription)
        left.set()

    running.supervisor.bus.leave = left_by  # type: ignore[method-assign]
    client.writer.close()
    await left.wait()
    assert not running.supervisor.bus.wants("line")


@pytest.mark.asyncio
async def test_a_stop_ends_followers_at_once_and_cleanly(running: Running) -> None:
    client = await running.client()
    client.write("GET", "/v1/machines/worker/log?follow=1")
    await client.head()
    await client.chunk()
    await running.server.stop(30)
    assert await client.reader.read() == b"0\r\n\r\n"


@pytest.mark.asyncio
async def test_a_stop_waits_not_long_for_a_follower_that_does_not_read(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(running.path))
        deaf.sendall(b"GET /v1/machines/worker/log?follow=1 HTTP/1.1\r\nhost: x\r\n\r\n")
        while not running.supervisor.bus.wants("line"):  # noqa: ASYNC110 - the bus tells of no subscriber
            await asyncio.sleep(0)
        for _ in range(200):
            running.supervisor.bus.publish("line", "worker", 1.0, {"text": "x" * 9_999 + "\n"})
            await asyncio.sleep(0)
        await asyncio.wait_for(running.server.stop(3_600), 60)
        assert running.server.connections == 0
    assert not caplog.records
