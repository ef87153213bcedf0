"""A disk that fails for a while: everyone hears why at once, no machine is blamed, and all goes on by itself."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from smd.client import ClientError
from tests.acceptance.daemon import READY_WITHIN, Daemon

COUNTER = """
machine: counter
context: {count: 0}
states:
  on: {on: {tick: {actions: [{type: assign, set: {count: context.count + 1}}]}}}
"""
LATER = """
machine: later
states:
  idle: {on: {go: waiting}}
  waiting: {after: {1s: there}}
  there: {actions: [{type: log, message: arrived}]}
"""
EVENTS = "/v1/machines/counter/events"


@contextmanager
def failing_disk(daemon: Daemon) -> Iterator[None]:
    """The daemon's files cannot grow: every commit ends in an I/O error."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE) == unlimited
    size = daemon.store.with_name("smd.db-wal").stat().st_size
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, unlimited)


def refusal(daemon: Daemon, route: str, body: Any = None) -> ClientError:
    with pytest.raises(ClientError) as caught:
        daemon.post(route, body)
    return caught.value


def until(daemon: Daemon, *, writable: bool) -> None:
    """Ask until the daemon says so."""
    give_up = time.monotonic() + READY_WITHIN
    with daemon.client() as client:
        while client.get("/v1/status")["store"]["writable"] is not writable:
            assert time.monotonic() < give_up, daemon.output


def test_senders_hear_why_and_are_taken_again_as_soon_as_the_disk_works(start: Callable[..., Daemon]) -> None:
    daemon = start()
    daemon.add(COUNTER)
    daemon.send("counter", "tick")
    tick = {"type": "tick", "payload": {"pad": "x" * 3000}}
    with failing_disk(daemon):
        with ThreadPoolExecutor(16) as pool:
            refusals = list(pool.map(lambda _: refusal(daemon, EVENTS, tick), range(160)))
        refusals.append(refusal(daemon, EVENTS, {"type": "nosuch"}))
        refusals.append(refusal(daemon, "/v1/machines/counter/stop"))
        refusals.append(refusal(daemon, "/v1/jobs", {"job_type": "x"}))
        view = daemon.get("/v1/machines/counter")
        assert (view["status"], view["health"]) == ("running", "Critical")
        store = daemon.get("/v1/status")["store"]
        shown = daemon.smctl("status")
    for refused in refusals:
        assert (refused.status, refused.code in {"store_unavailable", "outcome_unknown"}) == (503, True)
        assert "the disk reports an I/O error (SQLITE_IOERR" in refused.message
        assert "work goes on by itself" in refused.hint
    assert (store["writable"], "the disk reports an I/O error" in store["reason"]) == (False, True)
    assert f"store: {store['reason']}" in shown.out
    assert daemon.send("counter", "tick")["disposition"] == "taken"
    assert daemon.context("counter") == {"count": 2}
    until(daemon, writable=True)
    assert daemon.get("/v1/machines/counter")["health"] == "Healthy"


def test_the_log_says_once_that_the_store_cannot_write_and_once_that_it_can(start: Callable[..., Daemon]) -> None:
    daemon = start()
    daemon.add(COUNTER)
    with failing_disk(daemon):
        for _ in range(10):
            refusal(daemon, EVENTS, {"type": "tick"})
        until(daemon, writable=False)
    until(daemon, writable=True)
    assert daemon.stop() == 0
    assert daemon.output.count("the store cannot write") == daemon.output.count("SQLITE_IOERR") == 1
    assert daemon.output.count("the store writes again") == 1
    assert "crashed" not in daemon.output


def test_a_timer_that_could_not_be_written_is_taken_by_itself_later(start: Callable[..., Daemon]) -> None:
    daemon = start()
    daemon.add(LATER)
    daemon.send("later", "go")
    with failing_disk(daemon):
        until(daemon, writable=False)
        assert daemon.states("later") == ["waiting"]
        assert daemon.get("/v1/machines/later")["status"] == "running"
    daemon.lines("later", "arrived")
    assert daemon.states("later") == ["there"]
