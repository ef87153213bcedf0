"""Events over HTTP on the Unix socket: one at a time, from many connections, in bulk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.daemon import CHARTS, Daemon, daemon, folder
from bench.load import Seen, Stream, drive, percentile
from bench.rows import BenchError, Group, Measured, Row, Size

P50 = "one client, one event at a time: p50"
P99 = "one client, one event at a time: p99"
MANY = "32 connections, a fresh server"
BULK_ONE = "bulk, arrays of 1,000 to one machine"
OTHER = "another machine's p99 meanwhile"
BULK_MANY = "bulk, arrays of 1,000 to 1,000 machines"

ARRAY = 1_000
IN_FLIGHT = 2
"""Connections that send arrays to many machines. To one machine there is one: its inbox is full with one array."""
_BODY = '{"type":"go","payload":{"file":"a.png","size":1234}}'


def _single(machine: str, times: int, *, beside: bool = False) -> Stream:
    return Stream(f"/v1/machines/{machine}/events", [_BODY], times, beside)


def _array(machines: Sequence[str]) -> str:
    count = len(machines)
    return json.dumps([{"machine": machines[i % count], **json.loads(_BODY)} for i in range(ARRAY)])


def _check(seen: Seen, wanted: int) -> None:
    if seen.taken != wanted:
        raise BenchError(f"cannot use the figures: {seen.taken} of {wanted} events were taken")


def _counted(running: Daemon, machine: str, wanted: int) -> None:
    """The machine must have counted what was acknowledged, or the figure is not about what it says."""
    counted = running.request("GET", f"/v1/machines/{machine}/snapshot")["snapshot"]["context"]["n"]
    if counted != wanted:
        raise BenchError(f"cannot use the figures: {machine} counted {counted} of {wanted} events")


def one_client(size: Size) -> Sequence[Measured]:
    """Latencies of one client that waits for each acknowledgement."""
    runs = []
    for _ in range(size.runs):
        with folder() as state, daemon(state, [CHARTS / "flat.yaml"]) as running:
            drive(running.control, [_single("flat", 200)])
            seen = drive(running.control, [_single("flat", size.singles)])
            _check(seen, size.singles)
            _counted(running, "flat", size.singles + 200)
        runs.append({P50: percentile(seen.latencies, 0.5), P99: percentile(seen.latencies, 0.99)})
    return runs


def many_connections(size: Size) -> Sequence[Measured]:
    """Events a second of many clients on a server that has done nothing before."""
    runs = []
    each = size.events // size.connections
    for _ in range(size.runs):
        with folder() as state, daemon(state, [CHARTS / "flat.yaml"]) as running:
            seen = drive(running.control, [_single("flat", each)] * size.connections)
            _check(seen, each * size.connections)
            _counted(running, "flat", each * size.connections)
        runs.append({MANY: seen.replies / seen.seconds})
    return runs


def bulk_to_one(size: Size) -> Sequence[Measured]:
    """Arrays to one machine; then again while a second client sends single events to another machine."""
    runs = []
    arrays = [Stream("/v1/events", [_array(["flat"])], size.arrays)]
    total = size.arrays * ARRAY
    for _ in range(size.runs):
        with folder() as state, daemon(state, [CHARTS / "flat.yaml", CHARTS / "nested.yaml"]) as running:
            seen = drive(running.control, arrays)
            watched = drive(running.control, [*arrays, _single("nested", 0, beside=True)])
            _check(seen, total)
            _check(watched, total)
            _counted(running, "flat", 2 * total)
        runs.append({BULK_ONE: total / seen.seconds, OTHER: percentile(watched.beside, 0.99)})
    return runs


def host(state: Path, chart: str, count: int) -> list[str]:
    """Prepare a store that hosts `count` machines of a chart; their names."""
    text = (CHARTS / f"{chart}.yaml").read_text()
    names = [f"m{number}" for number in range(count)]
    bodies = [json.dumps({"yaml": text, "name": name}) for name in names]
    shares = [bodies[start::8] for start in range(8)]
    with daemon(state) as running:
        drive(running.control, [Stream("/v1/machines", share, len(share)) for share in shares if share])
    return names


def bulk_to_many(size: Size) -> Sequence[Measured]:
    """Arrays with one event for each of many machines."""
    runs = []
    each = size.arrays // IN_FLIGHT
    with folder() as prepared:
        body = _array(host(prepared, "flat", size.machines))
        for _ in range(size.runs):
            with folder() as state:
                shutil.copytree(prepared, state, dirs_exist_ok=True)
                with daemon(state) as running:
                    seen = drive(running.control, [Stream("/v1/events", [body], each)] * IN_FLIGHT)
                    _check(seen, each * IN_FLIGHT * ARRAY)
                    _counted(running, "m0", each * IN_FLIGHT * ARRAY // size.machines)
            runs.append({BULK_MANY: each * IN_FLIGHT * ARRAY / seen.seconds})
    return runs


_COMMIT = "SQLite FULL, 1 row a commit"
_COMMITS = "SQLite FULL, 100 rows a commit"

GROUPS = (
    Group(
        "single",
        (Row(P50, "ms", 0.5, 0.3, peers=("predecessor: event to state change, p50",)), Row(P99, "ms")),
        one_client,
    ),
    Group("connections", (Row(MANY, "/s", 9_000, 14_000, more=True, peers=(_COMMIT,)),), many_connections),
    Group(
        "bulk",
        (Row(BULK_ONE, "/s", 60_000, 100_000, more=True, peers=(_COMMITS,)), Row(OTHER, "ms", 15, 6)),
        bulk_to_one,
    ),
    Group("bulk-many", (Row(BULK_MANY, "/s", 35_000, 60_000, more=True, peers=(_COMMITS,)),), bulk_to_many),
)
