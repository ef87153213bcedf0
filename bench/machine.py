"""The machine the figures come from, in one line; and how busy it was."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from pathlib import Path

from bench.daemon import folder


def summary() -> str:
    """CPUs, system, versions, file system, load, and the time of a fixed loop (noise shows as its change)."""
    parts = (
        f"{os.cpu_count()} cpus ({_processor()})", f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}", f"stores on {_file_system()}",
        f"load {os.getloadavg()[0]:.1f}", f"calibration loop {calibration():.3f} s",
    )  # fmt: skip
    return "machine: " + ", ".join(parts) + "; the daemon runs with synchronous=FULL"


def calibration() -> float:
    """Seconds a fixed loop of pure Python takes; the best of three."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        total = 0
        for number in range(1_000_000):
            total += number & 7
        times.append(time.perf_counter() - began)
    return min(times)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system() -> str:
    with folder() as place:
        at = str(place)
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    under = [(where, kind) for where, kind in mounts if at.startswith(where.rstrip("/") + "/")]
    return max(under, key=lambda mount: len(mount[0]))[1] if under else "an unknown file system"
