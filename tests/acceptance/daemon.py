"""The real daemon: a process of its own, seen only through its sockets, its files and its output."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smd.client import Client, path
from tests.acceptance.trees import gone, marked

SMD = Path(sys.executable).with_name("smd")
SMCTL = Path(sys.executable).with_name("smctl")
ROOT = Path(__file__).parents[2]
READY_WITHIN = 60.0
"""Seconds; a bound for a test that hangs, not a promise."""


def environment() -> dict[str, str]:
    """This process's, without settings of smd."""
    return {key: value for key, value in os.environ.items() if not key.startswith("SMD_")}


class Daemon:
    """`smd run … --state-dir <state>`, started again as often as a test likes on the same state.

    Args:
        state: the state folder.
        arguments: further words of the command line.
        cwd: where it runs, and so the work folder of its machines.
    """

    def __init__(self, state: Path, *arguments: str | Path, cwd: Path | None = None) -> None:
        self.state = state
        self.arguments = arguments
        self.cwd = cwd or state.parent
        self.socket = state / "control.sock"
        self.output = ""
        self.process: subprocess.Popen[str]
        self._told = threading.Event()
        self._is_ready = False
        self._store_id = ""
        self._reader: threading.Thread

    @property
    def store(self) -> Path:
        return self.state / "smd.db"

    def start(self) -> Daemon:
        """Start it and wait until it says it is ready and takes connections."""
        self._told.clear()
        self._is_ready = False
        self.process = subprocess.Popen(
            [str(SMD), "run", *map(str, self.arguments), "--state-dir", str(self.state)],
            cwd=self.cwd, env=environment(), text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._told.wait(READY_WITHIN), self.output
        assert self._is_ready, self.output
        self._store_id = self.store_id()
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if " ready " in line:
                self._is_ready = True
                self._told.set()
        self._told.set()  # it has ended; whoever waits looks at how

    def kill(self) -> None:
        """`kill -9`: nothing is tidied up."""
        self.process.kill()
        self.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended, and been read to its end; the exit code."""
        code = self.process.wait(READY_WITHIN)
        self._reader.join(READY_WITHIN)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def sweep(self) -> None:
        """End what a killed daemon's actions have left; the next start would have done it."""
        while self._store_id and (left := marked(f"SMD_ACTION={self._store_id}/")):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            gone(left, 10.0)

    def again(self) -> Daemon:
        """`kill -9` and start."""
        self.kill()
        return self.start()

    # --- talking ------------------------------------------------------------------------------------------------

    def client(self) -> Client:
        """A new connection."""
        return Client(str(self.socket), timeout=60.0)

    def get(self, route: str, **query: object) -> Any:
        with self.client() as client:
            return client.get(route, **query)

    def post(self, route: str, body: Any = None, **query: object) -> Any:
        with self.client() as client:
            return client.post(route, body, **query)

    def add(self, text: str, name: str | None = None) -> str:
        """Add and start a machine from YAML text; its name."""
        view = self.post("/v1/machines", {"yaml": text} | ({"name": name} if name else {}))
        return str(view["name"])

    def send(self, machine: str, kind: str, payload: Any = None, **more: Any) -> dict[str, Any]:
        """Send one event; `wait` and `timeout` are the query's, the rest the event's."""
        query = {key: more.pop(key) for key in ("wait", "timeout") if key in more}
        answer: dict[str, Any] = self.post(
            path("machines", machine, "events"), {"type": kind, "payload": payload or {}, **more}, **query
        )
        return answer

    def snapshot(self, machine: str) -> dict[str, Any]:
        """The machine's snapshot as JSON."""
        snapshot: dict[str, Any] = self.get(path("machines", machine, "snapshot"))["snapshot"]
        return snapshot

    def context(self, machine: str) -> dict[str, Any]:
        context: dict[str, Any] = self.snapshot(machine)["context"]
        return context

    def store_id(self) -> str:
        return str(self.get("/v1/status")["store_id"])

    def states(self, machine: str) -> list[str]:
        """The active states."""
        states: list[str] = self.get(path("machines", machine))["states"]
        return states

    def lines(self, machine: str, word: str, count: int = 1) -> list[str]:
        """Wait until the machine's log has `count` lines that hold `word`; these lines."""
        found: list[str] = []
        with self.client() as client:
            lines = client.stream_lines(path("machines", machine, "log"), lines=10_000, follow=True)
            while len(found) < count:
                line = next(lines)
                if word in line:
                    found.append(line)
            lines.close()  # type: ignore[attr-defined]
        return found

    def smctl(self, *words: str | Path, stdin: str | None = None, cwd: Path | None = None) -> Spoken:
        """What smctl answers."""
        return smctl("--host", f"unix://{self.socket}", *words, stdin=stdin, cwd=cwd or self.cwd)


class Spoken:
    """What a command answered."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


def smctl(*words: str | Path, stdin: str | None = None, cwd: Path | None = None) -> Spoken:
    """Run smctl."""
    return _spoken([SMCTL, *words], stdin, cwd)


def smd(*words: str | Path, cwd: Path | None = None) -> Spoken:
    """Run smd to its end."""
    return _spoken([SMD, *words], None, cwd)


def _spoken(words: list[str | Path], stdin: str | None, cwd: Path | None) -> Spoken:
    return Spoken(
        subprocess.run(
            list(map(str, words)),
            cwd=cwd,
            env=environment(),
            input=stdin or "",
            text=True,
            errors="replace",
            capture_output=True,
            timeout=READY_WITHIN,
            check=False,
        )
    )


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A new folder whose path is short enough for sockets, however deep pytest's own lies."""
    with tempfile.TemporaryDirectory(prefix="smd-") as name:
        yield Path(name)


@contextlib.contextmanager
def running(state: Path, *arguments: str | Path, cwd: Path | None = None) -> Iterator[Daemon]:
    """A daemon that is ready, and ended at the end whatever happens. It must never have shown a traceback."""
    daemon = Daemon(state, *arguments, cwd=cwd)
    try:
        yield daemon.start()
        assert "Traceback" not in daemon.output, daemon.output
    finally:
        daemon.kill()
        daemon.sweep()
