"""`kill -9` at any moment: what was acknowledged stays, nothing happens twice, everything goes on."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.load import COUNTER, Sender, query, replays, sizes
from tests.acceptance.trees import Whisper, marked

INSTANT = """
machine: worker
context: {done: []}
states:
  waiting:
    actions: [{type: check_database_queue, job_type: task}]
    on:
      new_job:
        to: waiting
        actions: [{type: add_to_list, list_key: done, value: "{job_id}"}, {type: log, message: "did {job_id}"}]
"""
SHELL = """
machine: worker
context: {done: []}
states:
  waiting:
    actions: [{type: check_database_queue, job_type: task}]
    on: {new_job: working}
  working:
    actions: [{type: bash, command: "echo {job_id} >> worked"}]
    on:
      job_done:
        to: waiting
        actions: [{type: add_to_list, list_key: done, value: "{job_id}"}, {type: log, message: "did {job_id}"}]
"""
PATIENT = """
machine: patient
states:
  busy:
    actions:
      - type: bash
        kill_after: 0.2s
        command: |
          touch left
          for pid in $(cat left); do
            if tr '\\0' '\\n' < /proc/$pid/environ 2>/dev/null | grep -q BEACON=; then echo "still there: $pid" >> ghosts; fi
          done
          trap '' TERM
          BEACON=%s setsid sh -c 'echo $$ > whisper; sleep 600' & echo $! > left
          BEACON=%s nohup sh -c 'echo $$ > whisper; sleep 600' >/dev/null 2>&1 & echo $! >> left
          wait
"""


@pytest.mark.parametrize(("kills", "events"), sizes((20, 6_000), (100, 100_000)))
def test_no_acknowledged_event_is_lost_and_none_is_applied_twice(
    start: Callable[..., Daemon], kills: int, events: int
) -> None:
    daemon = start()
    daemon.add(COUNTER)
    chance, acknowledged = random.Random(20), dict[int, dict[str, Any]]()
    unsure: set[int] = set()
    again: Counter[str] = Counter()
    for round_ in range(kills + 1):
        left = [number for number in range(events) if number not in acknowledged]
        goal = chance.randrange(1, max(2, 2 * len(left) // (kills + 1 - round_))) if round_ < kills else 0
        sender = Sender(daemon.socket, lambda heard, goal=goal: daemon.process.kill() if heard == goal else None)
        sender.send("counter", left)
        acknowledged |= sender.answers
        again.update(a["disposition"] for n, a in sender.answers.items() if n in unsure)
        unsure = {number for number in left if number not in acknowledged}
        if goal:
            daemon.again()
            _is_as_stored(daemon, acknowledged)

    assert sorted(acknowledged) == list(range(events))
    assert set(again) <= {"taken", "duplicate"}
    assert daemon.context("counter") == {"count": events, "sum": sum(range(events))}
    daemon.kill()
    ids = query(daemon.store, "SELECT id FROM journal WHERE type = 'tick' AND consumed_no IS NOT NULL")
    assert sorted(ids) == sorted((f"tick-{number}",) for number in range(events))
    assert replays(daemon.store) == 1


def _is_as_stored(daemon: Daemon, acknowledged: dict[int, Any]) -> None:
    """Ready means: every machine is in its state; nothing acknowledged is missing."""
    view = daemon.get("/v1/machines/counter")
    context = daemon.context("counter")
    assert view["status"] == "running"
    assert view["states"] == [["even", "odd"][context["count"] % 2]]
    assert len(acknowledged) <= context["count"]


@pytest.mark.parametrize("chart", [INSTANT, SHELL], ids=["instant", "shell"])
@pytest.mark.parametrize(("kills", "jobs"), sizes((5, 40), (50, 100)))
def test_every_job_is_completed_exactly_once_however_often_the_daemon_is_killed(
    start: Callable[..., Daemon], folder: Path, chart: str, kills: int, jobs: int
) -> None:
    daemon = start()
    daemon.add(chart)
    chance, added = random.Random(5), list[str]()
    for round_ in range(kills + 1):
        ids = [f"job-{round_:02}-{number:03}" for number in range(jobs)]
        daemon.post("/v1/jobs", [{"job_type": "task", "job_id": each} for each in ids])
        added += ids
        if round_ < kills:
            daemon.lines("worker", f"did {chance.choice(ids)}")
            daemon.again()

    daemon.lines("worker", f"did {added[-1]}")
    daemon.send("worker", "nothing", wait="settled")
    assert daemon.context("worker")["done"] == added
    assert daemon.get("/v1/queues")["queues"]["task"] == {"completed": len(added)} | _none_of("completed", daemon)
    if chart is SHELL:
        assert set((folder / "worked").read_text().split()) == set(added)
    daemon.kill()
    ends = query(daemon.store, "SELECT number, count(*) FROM job_attempts WHERE outcome = 'completed' GROUP BY number")
    assert [count for _, count in ends] == [1] * len(added)
    assert replays(daemon.store) == 1


def _none_of(but: str, daemon: Daemon) -> dict[str, int]:
    counts: dict[str, int] = daemon.get("/v1/queues")["queues"]["task"]
    return {status: 0 for status in counts if status != but}


def test_children_of_a_killed_daemon_are_gone_before_their_action_begins_again(
    start: Callable[..., Daemon], folder: Path, whisper: Whisper
) -> None:
    beacon = uuid4().hex
    daemon = start()
    daemon.add(PATIENT % (beacon, beacon))
    left = set(map(int, whisper.hear(2)))
    daemon.kill()
    assert left <= set(marked(beacon)), "the kill took the children along: nothing is tested"

    daemon.start()
    whisper.hear(2)

    assert not (folder / "ghosts").exists()
    assert not set(marked(beacon)) & left
    daemon.stop()
    assert not marked(beacon), "a daemon that goes down leaves nothing behind"


def test_a_stubborn_child_of_the_former_life_does_not_keep_other_machines_from_coming_back(
    start: Callable[..., Daemon], whisper: Whisper
) -> None:
    """A start beside a process that ignores TERM is about as quick as one without it."""
    beacon = uuid4().hex
    daemon = start()
    daemon.add(COUNTER)
    clean = _seconds_of(daemon.again)
    daemon.add(PATIENT % (beacon, beacon))
    whisper.hear(2)

    beside = _seconds_of(daemon.again)

    assert daemon.states("counter") == ["even"]
    assert beside < 3 * clean


def _seconds_of(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started
