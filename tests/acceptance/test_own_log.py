"""What the daemon says of itself: every line in the form asked for, and no more of them than an operator can read."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.daemon import READY_WITHIN, SMD, environment

SHORT = ["ready", "cannot accept connections", "accepts connections again", "stopping"]
LOOK = "cannot look for the processes"
"""The look for processes of an earlier life goes on after "ready", and may meet the shortage, too."""
TRY = "a try failed"
TELLS_TRIES = f"""
import os, socket
from smd.main import main

accept = socket.socket.accept

def told(self):
    try:
        return accept(self)
    except BlockingIOError:
        raise
    except OSError:
        os.write(2, b'{{"event": "{TRY}"}}\\n')
        raise

socket.socket.accept = told
main()
"""
"""The daemon, which also tells of each client it could not accept."""


class Speaker:
    """A daemon with `--log-format json`; its log is read line by line."""

    def __init__(self, folder: Path, *words: str, command: tuple[str | Path, ...] = (SMD,)) -> None:
        self.socket = folder / "state/control.sock"
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [*command, "run", "--state-dir", folder / "state", "--log-format", "json", *words],
            env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.until("ready")

    def until(self, event: str) -> dict[str, Any]:
        """Read until the log tells this."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event:
                return told
        raise AssertionError(self.said)

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(READY_WITHIN)
        client.connect(str(self.socket))
        return client

    def ends(self) -> list[dict[str, Any]]:
        """Stop it; all lines from the start."""
        self.process.terminate()
        assert self.process.stderr is not None
        self.said += self.process.stderr
        assert self.process.wait(READY_WITHIN) == 0
        return [json.loads(line) for line in self.said]


def events(speaker: Speaker) -> list[str]:
    """Stop it; what each of its lines is about."""
    return [line["event"] for line in speaker.ends()]


@pytest.fixture
def speaking(folder: Path) -> Iterator[Callable[..., Speaker]]:
    speakers: list[Speaker] = []

    def start(*words: str, **more: Any) -> Speaker:
        speakers.append(Speaker(folder, *words, **more))
        return speakers[-1]

    yield start
    for speaker in speakers:
        speaker.process.kill()
        speaker.process.communicate()


def test_no_file_descriptors_left_is_one_line(speaking: Callable[..., Speaker]) -> None:
    """Whoever waits is served when there is room again, and the log tells that, too."""
    speaker = speaking()
    pid = speaker.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))  # those it has stay
    with speaker.connect() as client:
        client.sendall(b"GET /v1/status HTTP/1.1\r\nhost: smd\r\nconnection: close\r\n\r\n")
        trouble = speaker.until("cannot accept connections")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")

    assert (trouble["level"], trouble["why"]) == ("error", "Too many open files")
    assert "LimitNOFILE" in trouble["hint"]
    assert [event for event in events(speaker) if not event.startswith(LOOK)] == SHORT


def test_clients_that_take_all_file_descriptors_do_not_make_the_daemon_busy(speaking: Callable[..., Speaker]) -> None:
    """It tries once a second: were each try to make several, it would soon do nothing else."""
    speaker = speaking(command=("bash", "-c", 'ulimit -n 40; exec "$0" -c "$@"', sys.executable, TELLS_TRIES))
    with ExitStack() as stack:
        clients = [stack.enter_context(speaker.connect()) for _ in range(35)]
        for client in clients:
            client.sendall(b"GET /hea")
        for _ in range(3):
            speaker.until(TRY)
        for client in clients:
            client.sendall(b"lth HTTP/1.1\r\nhost: smd\r\nconnection: close\r\n\r\n")
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    told = events(speaker)
    assert 3 <= told.count(TRY) < 30
    assert [event for event in told if event != TRY and not event.startswith(LOOK)] == SHORT


@pytest.mark.parametrize("words", [(), ("--debug",)], ids=["usual", "debug"])
def test_junk_of_clients_is_no_trouble_of_the_operator(
    speaking: Callable[..., Speaker], words: tuple[str, ...]
) -> None:
    speaker = speaking(*words)
    for _ in range(3):
        with speaker.connect() as client:
            client.sendall(b"\x16\x03\x01 what\r\n\r\n")
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
    lines = speaker.ends()
    assert [line["event"] for line in lines if line["level"] != "debug"] == ["ready", "stopping"]
    junk = [line for line in lines if line["event"] == "request is not HTTP"]
    assert [line["pid"] for line in junk] == [os.getpid()] * (3 if words else 0)


def test_a_start_that_fails_on_the_disk_does_not_promise_to_go_on(folder: Path) -> None:
    """No file may grow: as on a full disk, the store cannot be made."""
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 4; exec "$0" run --state-dir state', SMD],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=READY_WITHIN, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert f"{folder}/state/smd.db: the disk " in done.stderr
    assert "by itself" not in done.stderr
