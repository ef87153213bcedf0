"""Programs that run as an action's process tree, and can be heard."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest

from smd.actions.processes import Finished, run_tree
from smd.actions.trees import read_process

ENV = {"PATH": os.environ["PATH"]}
MARK = f"test-{os.getpid()}/m/1/1/0"
DAEMON = "import os\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
DAEMON += "os.close(0)\nprint(os.getpid(), flush=True)\n"
DETACHED = "exec 3>&1; setsid_pid=$(setsid sh -c 'sleep 1000 >&3 2>&3 & echo $!'); echo $setsid_pid; "
"""Shell text that returns once a sleep in a session of its own holds the pipes, and prints its pid."""


class Run:
    """A run of shell text whose printed lines can be waited for."""

    def __init__(self, text: str, **more: Any) -> None:
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        options: dict[str, Any] = {"env": ENV, "cwd": "/", "mark": MARK, "kill_after": 5.0, **more}
        argv = ["sh", "-c", text, "sh", sys.executable, DAEMON]
        self.task: asyncio.Task[Finished] = asyncio.create_task(run_tree(argv, on_output=self._take, **options))

    def _take(self, stream: str, data: bytes) -> None:
        for line in data.decode().splitlines() if stream == "stdout" else ():
            self.lines.put_nowait(line)

    async def pids(self, count: int = 1) -> list[int]:
        """Pids the program printed."""
        return [int(await self.lines.get()) for _ in range(count)]

    async def cancel(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


def lives(pid: int) -> bool:
    found = read_process(pid)
    return found is not None and found.state not in "ZX"


def run(text: str, **more: Any) -> asyncio.Task[Finished]:
    return Run(text, **more).task
