"""A tiny real HTTP server on a Unix socket, in a thread: it records requests and gives prepared answers."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """One request as it came in."""

    method: str
    target: str
    body: Any
    content_type: str | None


class Listener(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The server. `answers` maps `METHOD target` (no query) to (status, body); a str body goes in chunks.

    With `hold` a chunked answer does not end until `released` is set.
    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Responder)
        self.host = f"unix://{path}"
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[Asked] = []
        self.connections = 0
        self.hold = False
        self.released = threading.Event()

    def reply(self, route: str, body: Any, status: int = 200) -> None:
        """Prepare an answer."""
        self.answers[route] = (status, body)

    def fail(self, route: str, status: int, code: str, message: str, hint: str = "") -> None:
        """Prepare an error."""
        self.reply(route, {"error": {"code": code, "message": message, "hint": hint}}, status)


class Responder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listener

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the base class's
        """Quiet."""

    def answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.headers.get("Content-Type")
        body = json.loads(raw) if raw and kind == "application/json" else raw.decode() or None
        self.server.asked.append(Asked(self.command, self.path, body, kind))
        unknown = (404, {"error": {"code": "unknown_route", "message": f"cannot find {self.path}"}})
        status, reply = self.server.answers.get(f"{self.command} {self.path.partition('?')[0]}", unknown)
        self.send_response(status)
        if isinstance(reply, str):
            self.in_chunks(reply.encode())
        else:
            content = json.dumps(reply).encode()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def in_chunks(self, content: bytes) -> None:
        """Seven bytes a chunk, so that lines and characters are cut anywhere."""
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(content), 7):
            piece = content[start : start + 7]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if self.server.hold:
            self.server.released.wait()
            return
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_DELETE = answer  # noqa: N815


@contextmanager
def listening(path: Path) -> Iterator[Listener]:
    """A server on this socket path for as long as the block runs."""
    with Listener(path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
