"""Nothing is polled: a job is taken when it comes, and idle machines cost nothing."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.acceptance.daemon import ROOT, Daemon

JOBS = 30


def test_a_waiting_worker_takes_a_job_at_once(shared: Daemon) -> None:
    """From `smctl add-job` to its first action, by the store's own clock: far less than any polling would take."""
    shared.add((ROOT / "examples/simple_worker/worker.yaml").read_text())
    waits = []
    for number in range(JOBS):
        added = shared.smctl("add-job", f"push-{number}", "--type", "task", "-p", "name=Ada")
        assert added.out == f"push-{number}\n"
        shared.lines("worker", f"working on push-{number} for Ada")
        job = shared.get(f"/v1/jobs/push-{number}")
        waits.append(job["started_at"] - job["created_at"])
    assert len(waits) == JOBS
    assert min(waits) >= 0
    assert median(waits) < 0.1


def test_a_daemon_with_nothing_to_do_uses_no_processor_time(start: Callable[..., Daemon]) -> None:
    """Every example but the one with a clock of its own waits; within two seconds that is two ticks at most."""
    examples = ROOT / "examples"
    quiet = [examples / each for each in ("simple_worker", "controller_worker", "custom_actions", "door")]
    daemon = start(*quiet, "--actions-dir", examples / "custom_actions/actions")
    for view in daemon.get("/v1/machines")["machines"]:
        daemon.send(view["name"], "nothing", wait="settled")
    _window(daemon, 0.5)  # what starting left to do

    assert _window(daemon, 2.0) <= 2


def _window(daemon: Daemon, seconds: float) -> int:
    """Clock ticks the daemon uses within so many seconds of nothing."""
    before = _ticks(daemon.process.pid)
    descriptor = os.pidfd_open(daemon.process.pid)
    try:
        assert not select.select([descriptor], [], [], seconds)[0], "it has ended"
    finally:
        os.close(descriptor)
    return _ticks(daemon.process.pid) - before


def _ticks(pid: int) -> int:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])
