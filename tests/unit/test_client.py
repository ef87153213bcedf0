"""The HTTP client of smctl against real sockets."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from smd.client import Address, Client, ClientError, find_host, parse_host, path
from tests.unit.listening import Listener, listening


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Listener]:
    with listening(tmp_path / "s") as running:
        yield running


@contextmanager
def raw(tmp_path: Path, *replies: bytes, reads: bool = True) -> Iterator[str]:
    """A server that writes these bytes to its n-th connection and closes it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "raw"))
        listener.listen()

        def serve() -> None:
            for reply in replies:
                with listener.accept()[0] as connection:
                    if reads:
                        connection.recv(65536)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"unix://{tmp_path}/raw"
        thread.join()


def refused(call: Callable[[], object]) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value


def test_a_request_carries_method_quoted_path_query_and_json(server: Listener) -> None:
    """What is asked arrives exactly: parts quoted whole, None left out, True written 1."""
    server.reply("POST /v1/machines/a%2Fb%20%C3%A9/events", {"ok": [1]})
    with Client(server.host) as client:
        route = path("machines", "a/b é", "events")
        answer = client.post(route, {"type": "x"}, wait="taken", key=None, now=True)
    assert answer == {"ok": [1]}
    target = "/v1/machines/a%2Fb%20%C3%A9/events?wait=taken&now=1"
    assert server.asked == [("POST", target, {"type": "x"}, "application/json")]


def test_one_connection_serves_many_requests(server: Listener) -> None:
    """Replies with a length and in chunks leave the connection usable."""
    server.reply("GET /v1/status", {"n": 1})
    server.reply("GET /v1/machines", '{"machines": []}')
    with Client(server.host) as client:
        assert [client.get("/v1/status"), client.get("/v1/machines"), client.get("/v1/status")] == [
            {"n": 1}, {"machines": []}, {"n": 1},
        ]  # fmt: skip
    assert server.connections == 1


def test_a_connection_the_server_closed_is_opened_again(tmp_path: Path) -> None:
    """An idle close by the server is noticed before the next request is written."""
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7"
    with raw(tmp_path, reply, reply) as host, Client(host) as client:
        assert client.get("/a") == 7
        assert client._socket is not None
        client._socket.recv(1, socket.MSG_PEEK)  # returns when the server's close has arrived
        assert client.get("/b") == 7


def test_a_body_without_length_ends_with_the_connection(tmp_path: Path) -> None:
    with raw(tmp_path, b"HTTP/1.0 200 OK\r\n\r\n[1, 2]") as host, Client(host) as client:
        assert client.get("/") == [1, 2]


def test_lines_are_streamed_whole_however_the_chunks_cut_them(server: Listener) -> None:
    server.reply("GET /v1/machines/w/log", "first line, é\n\nlast without end")
    with Client(server.host) as client:
        lines = list(client.stream_lines("/v1/machines/w/log", lines=3))
    assert lines == ["first line, é", "", "last without end"]


def test_an_error_reply_keeps_status_code_message_and_hint(server: Listener) -> None:
    server.fail("GET /v1/machines/w", 404, "unknown_machine", "cannot find machine 'w'", "did you mean 'v'?")
    with Client(server.host) as client:
        error = refused(lambda: client.get("/v1/machines/w"))
        lines = refused(lambda: list(client.stream_lines("/v1/machines/w")))
    found = (error.kind, error.status, error.code, error.message, error.hint)
    assert found == ("reply", 404, "unknown_machine", "cannot find machine 'w'", "did you mean 'v'?")
    assert lines.code == "unknown_machine"


def test_an_error_reply_that_is_not_ours_still_tells_its_status(tmp_path: Path) -> None:
    with raw(tmp_path, b"HTTP/1.1 502 Bad\r\nContent-Length: 4\r\n\r\noops") as host, Client(host) as client:
        error = refused(lambda: client.get("/"))
    assert (error.kind, error.status, error.code) == ("reply", 502, "http_error")


def test_an_early_refusal_is_read_although_the_body_was_not(tmp_path: Path) -> None:
    """A 413 that is sent before the body was read reaches the caller as that 413."""
    content = b'{"error": {"code": "too_large", "message": "cannot take it"}}'
    head = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(content)
    started = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(head + content)
                connection.shutdown(socket.SHUT_RDWR)
                started.wait()

        thread = threading.Thread(target=serve)
        thread.start()
        with Client(f"unix://{tmp_path}/s") as client:
            error = refused(lambda: client.post("/v1/jobs", "x" * 9_000_000))
        started.set()
        thread.join()
    assert (error.status, error.code) == (413, "too_large")


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "connection_lost"),
        (b"SSH-2.0-OpenSSH_9\r\n", "bad_reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "bad_reply"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "bad_reply"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101, "bad_reply"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000, "bad_reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html", "bad_reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "bad_reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\n{}", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}", "bad_reply"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}", "connection_lost"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "connection_lost"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 101, "bad_reply"),
    ],
)
def test_a_broken_reply_is_a_connection_error(tmp_path: Path, reply: bytes, code: str) -> None:
    """Whatever stands at the other end, the caller gets one kind of error."""
    with raw(tmp_path, reply) as host, Client(host) as client:
        error = refused(lambda: client.get("/"))
    assert (error.kind, error.code) == ("connection", code)


@contextmanager
def keeping(tmp_path: Path, *replies: bytes) -> Iterator[str]:
    """A server that writes the n-th bytes upon the n-th request; the client closes."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "kept"))
        listener.listen()

        def serve() -> None:
            rest = list(replies)
            while rest:
                with listener.accept()[0] as connection:
                    while rest and connection.recv(65536):
                        connection.sendall(rest.pop(0))
                    connection.recv(1)  # until the client closes

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"unix://{tmp_path}/kept"
        thread.join()


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7"


@pytest.mark.parametrize("more", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize(("method", "status"), [("GET", 204), ("GET", 304), ("HEAD", 200), ("HEAD", 204)])
def test_a_reply_without_body_is_whole_and_the_connection_stays(
    tmp_path: Path, method: str, more: bytes, status: int
) -> None:
    """No body is waited for: the server says nothing more and keeps the connection."""
    reply = b"HTTP/1.1 %d Told\r\n%s\r\n" % (status, more)
    with keeping(tmp_path, reply, GOOD) as host, Client(host, timeout=10) as client:
        assert client.request(method, "/a") is None
        assert client.get("/b") == 7


def test_what_precedes_the_answer_is_skipped(tmp_path: Path) -> None:
    before = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n"
    with keeping(tmp_path, before + GOOD, GOOD) as host, Client(host, timeout=10) as client:
        assert [client.get("/a"), client.get("/b")] == [7, 7]


def test_a_reply_nobody_asked_for_answers_no_later_request(tmp_path: Path) -> None:
    """The connection it came over is dropped, whether or not it was read along with the reply before."""
    unasked = GOOD + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n8"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def serve() -> None:
            for reply in (unasked, GOOD.replace(b"7", b"9")):
                connection = listener.accept()[0]
                served.append(connection)
                connection.recv(65536)
                connection.sendall(reply)

        served: list[socket.socket] = []
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with Client(f"unix://{tmp_path}/s") as client:
            assert [client.get("/a"), client.get("/b")] == [7, 9]
        thread.join()
        for connection in served:
            connection.close()


def test_a_silent_server_is_given_up_after_the_timeout(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with Client(f"unix://{tmp_path}/s", timeout=0.02) as client:
            error = refused(lambda: client.get("/"))
    assert (error.kind, error.code) == ("connection", "timeout")


def test_nobody_listening_is_a_connection_error_that_names_the_daemon(tmp_path: Path) -> None:
    error = refused(lambda: Client(f"unix://{tmp_path}/none").get("/"))
    assert (error.kind, error.code) == ("connection", "unreachable")
    assert "smd run" in error.hint


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_is_not_json_is_never_sent(server: Listener, value: object) -> None:
    with Client(server.host) as client:
        assert refused(lambda: client.post("/v1/jobs", value)).kind == "request"
    assert server.asked == []


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("unix:///run/s", Address("/run/s")),
        ("unix:rel/s", Address("rel/s")),
        ("./s", Address("./s")),
        ("http://localhost:8080/", Address("", "localhost", 8080)),
        ("http://[::1]:1", Address("", "[::1]", 1)),
        ("http://[::1]", Address("", "[::1]", 80)),
        ("http://box", Address("", "box", 80)),
    ],
)
def test_hosts_are_unix_paths_or_plain_http(host: str, address: Address) -> None:
    assert parse_host(host) == address


@pytest.mark.parametrize(
    "host",
    ["https://x", "ftp://x", "unix://", "box", "", "http://", "http://a/b:1", "http://u@h:1", "http://h:0",
     "http://h\r\nX:1", "http://h:99999", "unix:///a\0b", "unix:///" + "a" * 107],
)  # fmt: skip
def test_any_other_host_is_refused(host: str) -> None:
    assert refused(lambda: parse_host(host)).kind == "request"


def test_a_socket_path_of_107_bytes_is_the_longest() -> None:
    """The limit counts bytes, and the error names both numbers."""
    assert parse_host("unix:/" + "a" * 106).path == "/" + "a" * 106
    error = refused(lambda: parse_host("unix:/" + "é" * 60))
    assert "107" in error.message
    assert "121" in error.message


@pytest.mark.parametrize("part", ["", ".", ".."])
def test_a_name_that_would_change_the_path_is_refused(part: str) -> None:
    assert refused(lambda: path("machines", part)).kind == "request"


def test_a_plain_tcp_daemon_is_reached(server: Listener) -> None:
    """`http://` speaks the same protocol over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=serve)
        thread.start()
        with Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            assert client.get("/") == {}
        thread.join()


def test_the_daemon_is_looked_for_in_the_documented_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--host, SMD_HOST, ./.smd, the runtime folder; a plain file is no socket."""
    monkeypatch.chdir(tmp_path)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "xdg")}
    for folder in (".smd", "xdg/smd"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / ".smd/control.sock").write_text("no socket")
    with listening(tmp_path / "xdg/smd/control.sock"):
        assert find_host(None, environ) == f"unix:{tmp_path}/xdg/smd/control.sock"
        (tmp_path / ".smd/control.sock").unlink()
        with listening(tmp_path / ".smd/control.sock"):
            assert find_host(None, environ) == "unix:.smd/control.sock"
    assert find_host(None, {**environ, "SMD_HOST": "http://h:1"}) == "http://h:1"
    assert find_host("unix:/x", {**environ, "SMD_HOST": "http://h:1"}) == "unix:/x"


@pytest.mark.skipif(os.path.exists("/run/smd/control.sock"), reason="a daemon runs on this machine")  # noqa: PTH110
def test_without_a_daemon_the_error_names_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = refused(lambda: find_host(None, {"XDG_RUNTIME_DIR": "/xdg"}))
    for place in (".smd/control.sock", "/xdg/smd/control.sock", "/run/smd/control.sock"):
        assert place in error.message
    assert (error.kind, error.code) == ("connection", "unreachable")
