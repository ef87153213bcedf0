"""Compatibility spec sections 2.10 and 2.11: how machines end, what a real daemon leaves behind, datagrams."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from smd.http.datagram import ControlSocket
from smd.runtime.clock import SystemClock
from tests.hosting import Host, hosting
from tests.lab import Lab

pytestmark = pytest.mark.asyncio


async def until(reached: Callable[[], bool]) -> None:
    """Wait for what tells nobody when it changes: a file of another process, a counter."""
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)


# --- 2.10 terminal states ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stopped", "shutdown", "completed"])
async def test_a_terminal_state_runs_its_actions_and_then_ends_the_machine(name: str) -> None:
    lab = Lab(
        f"transitions: [{{from: a, to: {name}, event: go}}]\ninitial_state: a\nactions: {{{name}: [{{type: log, message: '1'}}, {{type: log, message: '2'}}]}}"
    )
    lab.send("go")
    assert (lab.logs, lab.snapshot.status) == (["1", "2"], "finished")


async def test_lasting_actions_of_a_terminal_state_end_before_the_machine_does(tmp_path: Path) -> None:
    async with hosting(clock=SystemClock(), work_folder=tmp_path) as host:
        await host.add(
            "initial_state: a\ntransitions: [{from: a, to: stopped, event: go}]\nactions: {stopped: [{type: bash, command: touch last}]}",
            name="m",
        )
        await host.send("m", "go")
        await host.until("m", "finished")
        assert (tmp_path / "last").exists()


async def test_a_terminal_name_with_a_row_of_its_own_leads_on() -> None:
    lab = Lab(
        "initial_state: a\ntransitions: [{from: a, to: completed, event: go}, {from: completed, to: a, event: more}, {from: '*', to: completed, event: stop}]\nactions: {completed: [{type: log, message: x, success: more}]}"
    )
    lab.send("go")
    assert (lab.states, lab.snapshot.status) == (["a"], "running")
    lab.send("stop")
    assert (lab.states, lab.snapshot.status) == (["completed"], "finished")


async def test_other_states_can_be_named_terminal() -> None:
    lab = Lab("states: {a: {on: {go: z}}, z: {type: final, actions: [{type: log, message: last}]}}")
    lab.send("go")
    assert (lab.logs, lab.snapshot.status) == (["last"], "finished")


async def test_an_end_is_told_to_those_who_watch() -> None:
    async with hosting() as host:
        await host.add("states: {a: {on: {go: z}}, z: {type: final}}", name="m")
        with host.supervisor.bus.subscribe(["machine_terminated"]) as notices:
            await host.send("m", "go")
            assert (await asyncio.wait_for(notices.get(), 20)).machine == "m"


# --- a real daemon ----------------------------------------------------------------------------------------------------

WORKER = """
initial_state: a
metadata: {machine_name: worker}
transitions: [{from: a, to: b, event: go}, {from: b, to: stopped, event: stop}]
actions: {a: [{type: bash, command: 'echo $$ > pid; exec sleep 600'}]}
"""


class Daemon:
    """A daemon of its own process, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""
        (folder / "worker.yaml").write_text(WORKER)

    async def start(self) -> Process:
        """Start it; returns at once."""
        more = {"PYTHONPATH": str(Path(__file__).parents[2])}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from smd.main import main; main()", "run", "worker.yaml", "--log-format", "json",
            cwd=self.folder, env={**os.environ, **more}, stderr=PIPE,
        )  # fmt: skip

    async def ready(self, daemon: Process) -> Process:
        """Wait for its word that it is ready, or for its end."""
        assert daemon.stderr is not None
        while line := (await asyncio.wait_for(daemon.stderr.readline(), 30)).decode():
            self.said += line
            if '"ready"' in line:
                break
        return daemon

    async def ended(self, daemon: Process) -> int:
        assert daemon.stderr is not None
        self.said += (await asyncio.wait_for(daemon.stderr.read(), 30)).decode()
        return await daemon.wait()

    def sockets(self) -> list[str]:
        return sorted(path.name for path in (self.folder / ".smd").iterdir() if path.is_socket())

    async def action_pid(self) -> int:
        path = self.folder / "pid"
        await until(lambda: path.exists() and path.read_text().strip() != "")
        return int(path.read_text())

    def status(self) -> dict[str, Any]:
        """What its API says of the machine."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.folder / ".smd" / "control.sock"))
            sock.sendall(b"GET /v1/machines/worker HTTP/1.1\r\nHost: smd\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        found: dict[str, Any] = json.loads(answer.split(b"\r\n\r\n", 1)[1])
        return found


@pytest_asyncio.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    yield Daemon(tmp_path)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_daemon_well_and_leaves_no_socket_and_no_process(daemon: Daemon, number: int) -> None:
    process = await daemon.ready(await daemon.start())
    assert "control.sock" in daemon.sockets()
    assert "statemachine-control-worker.sock" in daemon.sockets()
    pid = await daemon.action_pid()
    process.send_signal(number)
    assert (await daemon.ended(process), daemon.sockets(), lives(pid)) == (0, [], False)
    assert "Traceback" not in daemon.said


async def test_after_a_kill_the_next_start_finds_no_obstacle_and_no_orphan(daemon: Daemon) -> None:
    first = await daemon.ready(await daemon.start())
    pid = await daemon.action_pid()
    first.kill()
    await daemon.ended(first)
    (daemon.folder / "pid").unlink()
    second = await daemon.ready(await daemon.start())
    assert '"ready"' in daemon.said
    again = await daemon.action_pid()
    assert (again != pid, lives(pid)) == (True, False), "no action begins before the former life's are gone"
    status = await asyncio.to_thread(daemon.status)
    assert (status["name"], status["status"], status["states"]) == ("worker", "running", ["a"])
    second.terminate()
    assert await daemon.ended(second) == 0


async def test_a_second_daemon_on_the_same_store_is_refused_and_the_first_hears_on(daemon: Daemon) -> None:
    first = await daemon.ready(await daemon.start())
    second = await daemon.start()
    code = await daemon.ended(second)
    assert code not in {0, None}
    assert "Traceback" not in daemon.said
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b'{"type": "go"}', str(daemon.folder / ".smd" / "statemachine-control-worker.sock"))
    while (await asyncio.to_thread(daemon.status))["states"] != ["b"]:
        assert first.returncode is None
    first.terminate()
    assert await daemon.ended(first) == 0


# --- 2.11 datagrams ---------------------------------------------------------------------------------------------------

LISTENER = """
context: {got: []}
states:
  a:
    on:
      say: {actions: [{type: add_to_list, list_key: got, value: "{payload.n}"}]}
      unknown: b
  b: {}
"""


class Wire:
    """A machine and its control socket."""

    def __init__(self, host: Host, control: ControlSocket) -> None:
        self.host = host
        self.control = control

    async def send(self, *datagrams: bytes) -> None:
        """Send as the predecessor's tools do, waiting for room; in a thread, so that the machine can read."""

        def blocking() -> None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                for datagram in datagrams:
                    sock.sendto(datagram, str(self.control.path))

        await asyncio.wait_for(asyncio.to_thread(blocking), 30)

    async def until(self, count: int) -> list[Any]:
        """Wait until the machine has heard so many."""
        await until(lambda: self.control.taken + self.control.junk + self.control.refused >= count)
        await self.host.quiet()
        got: list[Any] = self.host.context("m")["got"]
        return got


@pytest_asyncio.fixture
async def wire(tmp_path: Path) -> AsyncIterator[Wire]:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(LISTENER, name="m")
        control = ControlSocket(tmp_path / "c-m.sock", "m", host.supervisor.post)
        control.open()
        yield Wire(host, control)
        await control.close()


@pytest.mark.parametrize("size", [4097, 65_536, 200_000])
async def test_a_large_datagram_arrives_whole(wire: Wire, size: int) -> None:
    await wire.send(json.dumps({"type": "say", "payload": {"n": "x" * size}}).encode())
    assert await wire.until(1) == ["x" * size]


async def test_a_burst_far_beyond_the_kernels_queue_arrives_whole_and_in_order(wire: Wire) -> None:
    await wire.send(*(json.dumps({"type": "say", "payload": {"n": n}}).encode() for n in range(2000)))
    assert await wire.until(2000) == list(range(2000))


@pytest.mark.parametrize("junk", [b"no json", b"[1]", b'"say"', b"", b'{"type": 5}', b"\xff"])
async def test_what_is_no_event_is_refused_and_the_next_one_taken(wire: Wire, junk: bytes) -> None:
    await wire.send(junk, b'{"type": "say", "payload": {"n": 1}}')
    assert (await wire.until(2), wire.control.junk) == ([1], 1)


async def test_a_datagram_without_type_is_the_event_unknown(wire: Wire) -> None:
    await wire.send(b'{"payload": {}}')
    await wire.until(1)
    assert wire.host.states("m") == ["b"]


async def test_events_for_a_machine_that_is_stopped_wait_for_it(wire: Wire) -> None:
    await wire.host.supervisor.stop("m")
    await wire.send(b'{"type": "say", "payload": {"n": 1}}')
    await wire.until(1)
    await wire.host.supervisor.start("m")
    await wire.host.quiet()
    assert wire.host.context("m")["got"] == [1]


async def test_a_sender_never_hangs_while_the_machine_runs_a_command(tmp_path: Path) -> None:
    async with hosting(clock=SystemClock()) as host:
        await host.add(
            "initial_state: a\ntransitions: [{from: a, to: b, event: go}]\nactions: {a: [{type: bash, command: sleep 600}]}",
            name="m",
        )
        control = ControlSocket(tmp_path / "c-m.sock", "m", host.supervisor.post)
        control.open()
        await Wire(host, control).send(*[b'{"type": "noise"}'] * 100, b'{"type": "go"}')
        await host.until("m", "b")
        await control.close()


async def test_two_machines_that_send_to_each_other_never_block() -> None:
    text = "context: {n: 0}\nstates: {a: {on: {ball: {if: 'context.n < 200', actions: [{type: assign, set: {n: context.n + 1}}, {type: send_event, target: %s, event: ball}]}}}}"
    async with hosting() as host:
        await host.add(text % "right", name="left")
        await host.add(text % "left", name="right")
        await host.send("left", "ball")
        await host.quiet()
        assert (host.context("left")["n"], host.context("right")["n"]) == (200, 200)
