"""Start-up of the command line client, as a user feels it."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench.daemon import CHARTS, daemon, environment, folder, program
from bench.rows import BenchError, Group, Measured, Row, Size

HELP = "smctl --help"
SEND = "smctl send-event"


def median_milliseconds(command: Sequence[str], times: int, *, cwd: Path, env: dict[str, str] | None = None) -> float:
    """The median run time of a command.

    Raises:
        BenchError: it failed.
    """
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=False)
        taken.append(1_000 * (time.perf_counter() - began))
        if done.returncode:
            raise BenchError(f"cannot run {command[-2:]}: {done.stderr.decode(errors='replace')[-300:]}")
    return statistics.median(taken)


def _measure(size: Size) -> Sequence[Measured]:
    smctl = program("smctl", "smd.cli")
    with folder() as state, daemon(state, [CHARTS / "flat.yaml"]) as running:
        env = {**environment(), "SMD_HOST": f"unix://{running.control}"}
        return [
            {
                HELP: median_milliseconds([*smctl, "--help"], size.starts, cwd=state, env=env),
                SEND: median_milliseconds([*smctl, "send-event", "flat", "go"], size.starts, cwd=state, env=env),
            }
            for _ in range(size.runs)
        ]


GROUP = Group(
    "smctl", (Row(HELP, "ms", 60, 45), Row(SEND, "ms", 90, 60, peers=("predecessor: send-event command",))), _measure
)
