"""The daemon under test: the real one, as a process, on a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.rows import BenchError

HERE = Path(__file__).parent
CHARTS = HERE / "charts"
ACTIONS = HERE / "actions"
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0


def program(name: str, module: str) -> list[str]:
    """How to start an installed command; from the source when it is not installed."""
    script = Path(sys.executable).with_name(name)
    return [str(script)] if script.is_file() else [sys.executable, "-c", f"from {module} import main; main()"]


def environment() -> dict[str, str]:
    """This environment without settings that would change the daemon; smd is found from any folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SMD_")}
    return {**kept, "PYTHONPATH": str(HERE.parent)}


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder that lives as long as the row, on a disk rather than in memory."""
    made = Path(tempfile.mkdtemp(prefix="smd-bench-", dir=os.environ.get("TMPDIR") or "/var/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to stop; after a while make it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    if process.poll() is None:
        process.kill()
    process.wait()


class Daemon:
    """A running daemon. Made by `daemon`."""

    def __init__(self, process: subprocess.Popen[bytes], state: Path) -> None:
        self.process = process
        self.control = state / "control.sock"
        self._output = state / "output"

    def wait_until_ready(self) -> None:
        """Wait until the control socket takes connections.

        Raises:
            BenchError: it ended, or never listened.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise BenchError(f"cannot start the daemon: {self._tail()}")
            with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                probe.connect(str(self.control))
                return
            time.sleep(0.005)
        raise BenchError(f"cannot start the daemon: no socket after {_START_SECONDS:.0f} s: {self._tail()}")

    def _tail(self) -> str:
        return self._output.read_text(errors="replace").strip()[-400:] or "it said nothing"

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """One request on a connection of its own; the parsed reply.

        Raises:
            BenchError: the reply is an error.
        """
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: smd\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.control))
            connection.sendall(head.encode() + data)
            reply = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        answered, _, content = reply.partition(b"\r\n\r\n")
        if not answered.startswith(b"HTTP/1.1 2"):
            raise BenchError(f"cannot {method} {path}: {content[:300].decode(errors='replace')}")
        return json.loads(content)

    def resident_megabytes(self) -> float:
        """Resident memory of the daemon and its children."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids())
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu_seconds(self) -> float:
        """CPU time used so far by all threads of the daemon and its children."""
        threads = (task for pid in self._pids() for task in Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in threads) / 1e9

    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, children.split())]


@contextlib.contextmanager
def daemon(state: Path, files: Sequence[Path] = (), *, actions: Path | None = None) -> Iterator[Daemon]:
    """A daemon on `state` hosting these files, ready for requests; stopped at the end.

    Raises:
        BenchError: it cannot be started.
    """
    state.mkdir(exist_ok=True)
    flags = ["--actions-dir", str(actions)] if actions else []
    command = [*program("smd", "smd.main"), "run", *map(str, files), "--state-dir", str(state), *flags]
    with (state / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=state, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        running = Daemon(process, state)
        running.wait_until_ready()
        yield running
    finally:
        end(process)
