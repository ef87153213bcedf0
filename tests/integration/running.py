"""The daemon as a program of its own, whose words and datagrams tests can hear."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from smd import codec


class Listener:
    """A program that listens for events."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(os.fspath(path))
        self.sock.setblocking(False)

    async def read(self) -> Any:
        return codec.loads(await asyncio.get_running_loop().sock_recv(self.sock, 65536))

    async def named(self, kind: str) -> Any:
        """The next event of this type."""
        while (event := await self.read())["type"] != kind:
            pass
        return event


@asynccontextmanager
async def running(folder: Path, *words: str) -> AsyncIterator[list[str]]:
    """`smd run` in a folder, ready; its lines until then. It is stopped at the end."""
    daemon = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("smd"), "run", *words, "--log-format", "json", cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert daemon.stderr is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(60):
            while not lines or '"ready"' not in lines[-1]:
                lines.append((await daemon.stderr.readline()).decode())
                assert lines[-1], lines
            yield lines
            daemon.send_signal(signal.SIGTERM)
            await daemon.communicate()
        assert daemon.returncode == 0
    finally:
        if daemon.returncode is None:
            daemon.kill()
            await daemon.wait()
