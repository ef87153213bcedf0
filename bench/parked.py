"""Many machines that wait: memory and CPU of the whole daemon after a restart with all of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.daemon import Daemon, daemon, folder
from bench.events import host
from bench.rows import BenchError, Group, Measured, Row, Size

MEMORY = "10,000 parked machines: memory"
CPU = "10,000 parked machines: CPU"
START = "10,000 parked machines: start of the daemon"


def _idle_share(running: Daemon, seconds: float) -> float:
    """Per cent of a core used while nothing happens."""
    before, began = running.cpu_seconds(), time.perf_counter()
    time.sleep(seconds)
    return 100 * (running.cpu_seconds() - before) / (time.perf_counter() - began)


def _measure(size: Size) -> Sequence[Measured]:
    runs = []
    with folder() as state:
        host(state, "parked", size.parked)
        for _ in range(size.runs):
            began = time.perf_counter()
            with daemon(state) as running:
                started = time.perf_counter() - began
                known = sum(running.request("GET", "/v1/status")["machines"].values())
                if known != size.parked:
                    raise BenchError(f"cannot use the figures: {known} of {size.parked} machines are there")
                time.sleep(0.5)
                share = _idle_share(running, size.watched_seconds)
                runs.append({MEMORY: running.resident_megabytes(), CPU: share, START: started})
    return runs


GROUP = Group("parked", (Row(MEMORY, "MB", 120, 70), Row(CPU, "% of a core", 0.2), Row(START, "s")), _measure)
