"""Running smctl inside the test: against a listener that stands for the daemon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from smd.cli import main
from tests.unit.listening import Asked, Listener, listening

VIEW: dict[str, Any] = {
    "name": "worker",
    "label": "Image worker",
    "status": "running",
    "states": ["waiting"],
    "since": 1_700_000_000.0,
    "life": 1,
    "version": 7,
    "last_event": "new_job",
    "lifecycle": "Active",
    "operational": "Idle",
    "health": "Healthy",
    "error": None,
    "restarts": 0,
    "parent": None,
    "origin": "worker.yaml",
    "pending": 0,
    "stuck": False,
    "action": None,
    "waiting_for": "a job of type image",
    "enabled": ["new_job", "stop"],
    "timers": [],
    "held": [],
}
DAEMON: dict[str, Any] = {
    "status": "ok",
    "version": "0.1.0",
    "pid": 42,
    "uptime": 7384.2,
    "store_id": "s",
    "machines": {"running": 1, "stopped": 0},
    "jobs": {"available": 3},
}


class Result(NamedTuple):
    """What one call of smctl gave."""

    code: int
    out: str
    err: str


class Smctl:
    """Calls smctl as a user does, in this process."""

    def __init__(self, server: Listener, capture: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.capture = capture

    def __call__(self, *args: str) -> Result:
        code = main(list(args))
        return Result(code, *self.capture.readouterr())

    def one(self, *args: str) -> tuple[Result, Asked]:
        """A call that makes exactly one request."""
        self.server.asked.clear()
        result = self(*args)
        assert len(self.server.asked) == 1, result
        return result, self.server.asked[0]


@pytest.fixture(name="smctl")
def smctl_fixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Smctl]:
    """Smctl with a daemon behind SMD_HOST, in UTC, without colours or completion."""
    for name in ("NO_COLOR", "XDG_RUNTIME_DIR", "_SMCTL_COMPLETE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with listening(tmp_path / "control.sock") as server:
        monkeypatch.setenv("SMD_HOST", server.host)
        yield Smctl(server, capsys)
    monkeypatch.undo()
    time.tzset()
