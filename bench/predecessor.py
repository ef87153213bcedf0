"""The predecessor, `statemachine-engine` 1.0.91, in the peers' virtual environment."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.commands import median_milliseconds
from bench.daemon import end, folder
from bench.peers import BIN, install
from bench.rows import BenchError, Group, Measured, Row, Size

LATENCY = "predecessor: event to state change, p50"
JOBS = "predecessor: jobs"
COMMAND = "predecessor: send-event command"

_PACKAGE = "statemachine-engine==1.0.91"
_EVENTS = 60
_JOBS = 20
_SECONDS = 30.0

_TOGGLE = """
initial_state: a
metadata: {machine_name: unnamed}
states: [a, b]
events: [go]
transitions:
  - {from: a, to: b, event: go}
  - {from: b, to: a, event: go}
"""
_WORKER = """
initial_state: waiting
metadata: {machine_name: unnamed}
states: [waiting, working]
events: [new_job, job_done]
transitions:
  - {from: waiting, to: working, event: new_job}
  - {from: working, to: waiting, event: job_done}
actions:
  waiting: [{type: check_database_queue, job_type: task}]
  working: [{type: set_context, key: last, value: "{id}", success: job_done}]
"""
_ADD_JOBS = """
import sys
from statemachine_engine.database.models import get_job_model
jobs = get_job_model()
for number in range(int(sys.argv[1])):
    jobs.create_job(f"job{number}", "task", data={"file": f"{number}.png"})
"""


class _Machine:
    """A running machine of the predecessor, and the socket it reports to."""

    def __init__(self, name: str, monitor: socket.socket) -> None:
        self.name = name
        self.control = f"/tmp/statemachine-control-{name}.sock"
        self._monitor = monitor

    def send(self) -> None:
        """Send `go` by datagram."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(b'{"type": "go", "payload": {"file": "a.png"}}', self.control)

    def next_change(self) -> str:
        """Wait for a change of state; the new state."""
        while True:
            told = json.loads(self._monitor.recv(65_536))
            if told["type"] == "state_change":
                return str(told["payload"]["to_state"])


@contextlib.contextmanager
def _machine(place: Path, config: str) -> Iterator[_Machine]:
    name = f"smdbench{os.getpid()}"
    place.mkdir(exist_ok=True)
    file, events = place / "config.yaml", place / "events.sock"
    file.write_text(config)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as monitor:
        monitor.bind(str(events))
        monitor.settimeout(_SECONDS)
        command = [str(BIN / "statemachine"), str(file), "--machine-name", name, "--event-socket-path", str(events)]
        process = subprocess.Popen(
            command, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        machine = _Machine(name, monitor)
        try:
            yield machine
        except TimeoutError:
            raise BenchError(f"cannot measure the predecessor: nothing heard for {_SECONDS:.0f} s") from None
        finally:
            end(process)
            Path(machine.control).unlink(missing_ok=True)


def _wait_for_socket(machine: _Machine) -> None:
    deadline = time.monotonic() + _SECONDS
    while not Path(machine.control).is_socket():
        if time.monotonic() > deadline:
            raise BenchError("cannot measure the predecessor: it opened no control socket")
        time.sleep(0.02)


def _latency(place: Path) -> float:
    """Median milliseconds from an event to the report of the change, one event after the other."""
    taken = []
    with _machine(place, _TOGGLE) as machine:
        _wait_for_socket(machine)
        for _ in range(_EVENTS):
            began = time.perf_counter()
            machine.send()
            machine.next_change()
            taken.append(1_000 * (time.perf_counter() - began))
    return statistics.median(taken)


def _jobs_per_second(place: Path) -> float:
    """Jobs a second of one worker, from the first claim to the last return."""
    adding = [str(BIN / "python"), "-c", _ADD_JOBS, str(_JOBS)]
    (place / "data").mkdir(parents=True)
    subprocess.run(adding, cwd=place, check=True, capture_output=True)
    with _machine(place, _WORKER) as machine:
        machine.next_change()
        began = time.perf_counter()
        done = 0
        while done < _JOBS:
            done += machine.next_change() == "waiting"
        return _JOBS / (time.perf_counter() - began)


def _command(place: Path, times: int) -> float:
    with _machine(place, _TOGGLE) as machine:
        _wait_for_socket(machine)
        command = [str(BIN / "statemachine-db"), "send-event", "--target", machine.name, "--type", "go"]
        return median_milliseconds(command, times, cwd=place)


def _measure(size: Size) -> Sequence[Measured]:
    install(_PACKAGE)
    runs = []
    for _ in range(size.runs):
        with folder() as place:
            try:
                runs.append({
                    LATENCY: _latency(place / "latency"), JOBS: _jobs_per_second(place / "jobs"),
                    COMMAND: _command(place / "command", size.starts),
                })  # fmt: skip
            except (OSError, subprocess.SubprocessError) as error:
                raise BenchError(f"cannot measure the predecessor: {error}") from error
    return runs


GROUP = Group("predecessor", (Row(LATENCY, "ms"), Row(JOBS, "jobs/s", more=True), Row(COMMAND, "ms")), _measure)
