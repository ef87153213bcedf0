"""A thin synchronous HTTP/1.1 client for the daemon: one Unix (or plain TCP) socket, one request at a time.

Written on `socket` and `json` alone because a command line tool pays for every module at each start. It knows
how to frame requests and replies, nothing about machines or jobs. Promises: a request is written at most once
(nothing is repeated behind the caller's back), and every failure is a `ClientError` that says which of three
things went wrong: the request, the connection, or what the server replied.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any, NamedTuple, NoReturn

from smd import __version__
from smd.errors import SmdError

MAX_SOCKET_PATH = 107
"""Bytes in `sockaddr_un.sun_path` on Linux, without the closing NUL."""
CONNECT_TIMEOUT = 5.0
REPLY_TIMEOUT = 30.0
MAX_LINE = 65536
MAX_HEADERS = 100
NO_BODY = frozenset({204, 304})
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
Query = Mapping[str, object] | None
Raw = tuple[str, bytes] | None
START_HINT = "start a daemon with `smd run`, or name one with --host or SMD_HOST"


class ClientError(SmdError):
    """The daemon could not be asked, or answered with an error.

    Attributes:
        kind: `request` (it cannot be sent), `connection` (no daemon, or it went away) or `reply`.
        status: HTTP status of a reply, else 0.
        body: the parsed body of a reply, else None.
    """

    def __init__(
        self, kind: str, message: str, *, code: str, hint: str = "", status: int = 0, body: Any = None
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.kind = kind
        self.status = status
        self.body = body


class Address(NamedTuple):
    """Where a daemon listens: a Unix socket's `path`, or `host` and `port` when the path is empty."""

    path: str
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class Client:
    """One kept-alive connection to a daemon, opened at the first request. A context manager.

    Args:
        host: `unix:///path`, `unix:relative/path`, a path, or `http://host:port`.
        timeout: seconds without a byte after which a request is given up; None waits for ever.
            An attribute, so that a caller may wait longer for one request.

    Raises:
        ClientError: kind `request`, the host cannot be understood.
    """

    def __init__(self, host: str, *, timeout: float | None = REPLY_TIMEOUT) -> None:
        self.address = parse_host(host)
        self.timeout = timeout
        self._socket: socket.socket | None = None
        self._bytes: BufferedReader | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._bytes is not None:
            self._bytes.close()
        if self._socket is not None:
            self._socket.close()
        self._socket = self._bytes = None

    def request(self, method: str, path: str, *, query: Query = None, body: Any = None, raw: Raw = None) -> Any:
        """Send one request, read its whole reply and parse it as JSON; None for a reply that has no body.

        Args:
            method: HTTP method.
            path: absolute path, its parts quoted (see `path`).
            query: parameters; those that are None are left out, True is written `1`.
            body: a JSON value to send, or None for no body.
            raw: content type and bytes to send instead of `body`.

        Raises:
            ClientError: of any kind; a status of 400 or more is kind `reply` with the server's code and hint.
        """
        content_type, data = raw or ("application/json", b"" if body is None else _dump(body))
        stream = self._send(self._head(method, path + _query(query), content_type, len(data)) + data)
        try:
            status, headers = _read_head(stream, method)
            content = b"".join(_read_body(stream, headers))
        except OSError as error:
            self._lost(error)
        except ClientError:
            self.close()
            raise
        if headers.get("connection", "").lower() == "close":
            self.close()
        if status >= 400:
            raise _reply_error(status, content)
        return None if method == "HEAD" or status in NO_BODY else _load(content)

    def get(self, path: str, **query: object) -> Any:
        """GET. Raises as `request`."""
        return self.request("GET", path, query=query)

    def post(self, path: str, body: Any = None, **query: object) -> Any:
        """POST a JSON value. Raises as `request`."""
        return self.request("POST", path, query=query, body=body)

    def stream_lines(self, path: str, **query: object) -> Iterator[str]:
        """Lines of a reply as they arrive, without their ends, until the server ends it.

        The connection is closed afterwards, also when the caller stops early. Raises as `request`.
        """
        stream = self._send(self._head("GET", path + _query(query), "", 0))
        try:
            status, headers = _read_head(stream)
            if status >= 400:
                raise _reply_error(status, b"".join(_read_body(stream, headers)))
            yield from _lines(_read_body(stream, headers))
        except OSError as error:
            self._lost(error)
        finally:
            self.close()

    def _send(self, data: bytes) -> BufferedReader:
        connected, stream = self._connection()
        try:
            connected.settimeout(self.timeout)
            connected.sendall(data)
        except OSError as error:
            # A server that refuses a body answers and closes before it has read it all: that answer is read.
            if not isinstance(error, BrokenPipeError | ConnectionResetError):
                self._lost(error)
        return stream

    def _head(self, method: str, target: str, content_type: str, size: int) -> bytes:
        host = self.address.host or "localhost"
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"User-Agent: smctl/{__version__}"]
        if size:
            lines.append(f"Content-Type: {content_type}")
        if method != "GET":
            lines.append(f"Content-Length: {size}")
        return "\r\n".join([*lines, "", ""]).encode()

    def _connection(self) -> tuple[socket.socket, BufferedReader]:
        if self._socket is None or self._bytes is None or _has_ended(self._socket, self._bytes):
            self.close()
            self._socket = _connect(self.address)
            self._bytes = self._socket.makefile("rb")
        return self._socket, self._bytes

    def _lost(self, error: OSError) -> NoReturn:
        self.close()
        late = isinstance(error, TimeoutError)
        why = "no answer in time" if late else f"the connection broke ({error.strerror or error})"
        message = f"cannot finish the request to {self.address}: {why}"
        hint = "it may have been done all the same; look before you repeat it"
        raise ClientError("connection", message, code="timeout" if late else "connection_lost", hint=hint) from error


def path(*parts: str) -> str:
    """`/v1/` and the parts, each percent-encoded whole.

    Raises:
        ClientError: kind `request`, a part is empty or a dot segment and would name something else.
    """
    for part in parts:
        if part in {"", ".", ".."}:
            raise ClientError("request", f"cannot use '{part}' as a name", code="invalid_name")
    return "/v1/" + "/".join(map(_quote, parts))


def find_host(explicit: str | None, environ: Mapping[str, str]) -> str:
    """The address to talk to: the explicit one, `SMD_HOST`, or the first control socket that exists.

    Looks at `./.smd/control.sock`, `$XDG_RUNTIME_DIR/smd/control.sock`, `/run/smd/control.sock`
    (interfaces.md §3).

    Raises:
        ClientError: kind `connection`, none of them exists; the text names where it looked.
    """
    named = explicit or environ.get("SMD_HOST")
    if named:
        return named
    runtime = environ.get("XDG_RUNTIME_DIR")
    places = [f"{folder}/control.sock" for folder in (".smd", runtime and f"{runtime}/smd", "/run/smd") if folder]
    for place in places:
        if _is_socket(place):
            return f"unix:{place}"
    message = f"cannot find a running smd: no socket at {', '.join(places)}"
    raise ClientError("connection", message, code="unreachable", hint=START_HINT)


def parse_host(host: str) -> Address:
    """Read `unix:///path`, `unix:path`, a bare path or `http://host[:port][/]`.

    Raises:
        ClientError: kind `request`, not one of these, or a socket path longer than the system allows.
    """
    if host.startswith("http://"):
        return _parse_authority(host)
    if "://" in host and not host.startswith("unix://"):
        raise _bad_host(host, "only unix:// and http:// are spoken")
    place = host.removeprefix("unix://") if host.startswith("unix://") else host.removeprefix("unix:")
    if not place or "\0" in place or (place == host and "/" not in host):
        raise _bad_host(host, "it names no socket")
    length = len(os.fsencode(place))
    if length > MAX_SOCKET_PATH:
        why = f"a socket path may have {MAX_SOCKET_PATH} bytes at most, this one has {length}"
        raise _bad_host(host, why, "use a shorter folder, or a relative path from a folder nearer to it")
    return Address(place)


def _parse_authority(host: str) -> Address:
    name, colon, port = host.removeprefix("http://").removesuffix("/").rpartition(":")
    if not colon or port.endswith("]"):
        name, port = f"{name}{colon}{port}", "80"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise _bad_host(host, f"'{port}' is not a port")
    if not name or not name.isascii() or not name.isprintable() or set(name) & set("/@?# "):
        raise _bad_host(host, "expected http://host:port")
    return Address("", name, int(port))


def _bad_host(host: str, why: str, hint: str = "write unix:///path/control.sock or http://host:port") -> ClientError:
    return ClientError("request", f"cannot use host '{host}': {why}", code="invalid_host", hint=hint)


def _is_socket(place: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(place).st_mode)  # noqa: PTH116  pathlib costs 3 ms at every start
    except (OSError, ValueError):
        return False


def _connect(address: Address) -> socket.socket:
    try:
        if not address.path:
            return socket.create_connection((address.host.strip("[]"), address.port), CONNECT_TIMEOUT)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_TIMEOUT)
            connection.connect(address.path)
        except BaseException:
            connection.close()
            raise
    except PermissionError as error:
        message = f"cannot open {address}: permission denied"
        hint = "operators belong to the socket's group"
        raise ClientError("connection", message, code="forbidden", hint=hint) from error
    except (OSError, UnicodeError) as error:
        message = f"cannot reach smd at {address}: {getattr(error, 'strerror', None) or error}"
        raise ClientError("connection", message, code="unreachable", hint=START_HINT) from error
    return connection


def _has_ended(connection: socket.socket, stream: BufferedReader) -> bool:
    """True when an idle connection was closed by the server, or holds bytes nobody asked for."""
    connection.setblocking(False)  # undone by the time-out of the next request
    try:
        if not stream.peek(1):
            connection.recv(1, socket.MSG_PEEK)
    except OSError as error:
        return not isinstance(error, BlockingIOError)
    return True


def _quote(text: str) -> str:
    return "".join(chr(b) if b in UNRESERVED else f"%{b:02X}" for b in text.encode("utf-8", "surrogateescape"))


def _query(query: Query) -> str:
    given = {key: "1" if value is True else str(value) for key, value in (query or {}).items() if value is not None}
    return "?" + "&".join(f"{_quote(key)}={_quote(value)}" for key, value in given.items()) if given else ""


def _dump(body: Any) -> bytes:
    try:
        return json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ClientError("request", f"cannot write the request as JSON: {error}", code="invalid_json") from error


def _load(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _bad_reply(f"its body is not JSON ({error})") from error


def _read_head(stream: BufferedReader, method: str = "GET") -> tuple[int, dict[str, str]]:
    """Status and headers of the answer itself: what precedes it (1xx) is skipped. Without a body its length is 0."""
    for _ in range(MAX_HEADERS):
        status, headers = _read_one_head(stream)
        if status >= 200:
            none = method == "HEAD" or status in NO_BODY
            return status, {**headers, "transfer-encoding": "", "content-length": "0"} if none else headers
    raise _bad_reply("it does not come to an answer")


def _read_one_head(stream: BufferedReader) -> tuple[int, dict[str, str]]:
    version, _, rest = _line(stream).partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
        raise _bad_reply("it does not speak HTTP/1.1")
    headers: dict[str, str] = {}
    for _ in range(MAX_HEADERS):
        line = _line(stream)
        if not line:
            return int(rest[:3]), headers
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    raise _bad_reply("it sent too many headers")


def _line(stream: BufferedReader) -> str:
    line = stream.readline(MAX_LINE)
    if len(line) == MAX_LINE:
        raise _bad_reply("it sent a line without end")
    if not line.endswith(b"\n"):
        raise ConnectionResetError("closed by the daemon")
    return line.rstrip(b"\r\n").decode("latin-1")


def _read_body(stream: BufferedReader, headers: Mapping[str, str]) -> Iterator[bytes]:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := _number(_line(stream).partition(";")[0], 16):
            yield from _exactly(stream, size)
            _line(stream)
        while _line(stream):
            continue
    elif "content-length" in headers:
        yield from _exactly(stream, _number(headers["content-length"], 10))
    else:
        yield from iter(lambda: stream.read(MAX_LINE), b"")


def _number(text: str, base: int) -> int:
    try:
        return int(f"+{text}", base)  # the sign makes a second one, as in "-5", an error
    except ValueError as error:
        raise _bad_reply(f"'{text}' is not a length") from error


def _exactly(stream: BufferedReader, size: int) -> Iterator[bytes]:
    while size:
        data = stream.read(min(size, MAX_LINE))  # whatever it claims, no more is asked of memory than came
        if not data:
            raise ConnectionResetError("closed by the daemon")
        yield data
        size -= len(data)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def _bad_reply(why: str) -> ClientError:
    message = f"cannot understand the daemon: {why}"
    return ClientError("connection", message, code="bad_reply", hint="is this smd's address?")


def _reply_error(status: int, content: bytes) -> ClientError:
    try:
        body = json.loads(content)
        told = body["error"]
        message, code, hint = str(told["message"]), str(told["code"]), str(told.get("hint") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ClientError("reply", f"cannot do it: HTTP status {status}", code="http_error", status=status)
    return ClientError("reply", message, code=code, hint=hint, status=status, body=body)
