"""A program for `test_downtime.py`: the daemon for some seconds of a clock moved by hand, then an end of some kind.

It prints how many seconds the timer of its one machine has left when all is up.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from smd.daemon import Daemon
from smd.runtime.clock import ManualClock
from smd.settings import load_settings

MACHINE = "machine: m\nstates: {a: {after: {60s: {to: b, on_restart: remaining}}}, b: {}}"


async def live(state: Path, now: float, end: str, *seconds: float) -> None:
    """Up at `now`, on for `seconds` in turn, down by `end`: kill or stop."""
    clock = ManualClock(now)
    daemon = Daemon(load_settings(environ={}, flags={"state_dir": state, "datagrams": False}), clock=clock)
    await daemon.up()
    if not daemon.supervisor.machines:
        await daemon.supervisor.add(text=MACHINE)
    (timer,) = (await daemon.supervisor.settled("m", 20.0)).timers
    print(timer["due"] - now, flush=True)  # noqa: T201 - the answer
    for each in seconds:
        clock.advance(each)
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    await daemon.down()


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3], *map(float, sys.argv[4:])))
