"""`kill -9` at any moment: what was acknowledged stays, nothing happens twice, everything goes on."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.load import COUNTER, Sender, at, query, replays, seconds_of, sizes
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
CHAIN = """
machine: first
context: {count: 0}
states:
  on:
    on:
      tick:
        actions:
          - {type: assign, set: {count: context.count + 1}}
          - {type: send_event, target: second, event: passed, payload: {n: "{payload.n}"}}
"""
SECOND = """
machine: second
context: {count: 0, sum: 0}
states:
  on: {on: {passed: {actions: [{type: assign, set: {count: context.count + 1, sum: context.sum + event.payload.n}}]}}}
"""
DUE = """
machine: due
context: {late: 0}
states:
  a: {after: {2s: {to: b, actions: [{type: assign, set: {late: context.late + 1}}, {type: log, message: fired}]}}}
  b: {}
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

    again = _under_fire(daemon, "counter", kills, events, _is_as_stored)

    assert set(again) == {"taken", "duplicate"}, "both happen among so many kills"
    assert daemon.context("counter") == {"count": events, "sum": sum(range(events))}
    daemon.kill()
    ids = query(daemon.store, "SELECT id FROM journal WHERE type = 'tick' AND consumed_no IS NOT NULL")
    assert sorted(ids) == sorted((f"tick-{number}",) for number in range(events))
    assert replays(daemon.store) == 1


@pytest.mark.parametrize(("kills", "events"), sizes((5, 1_000), (50, 50_000)))
def test_what_a_machine_sends_to_another_arrives_exactly_once(
    start: Callable[..., Daemon], kills: int, events: int
) -> None:
    daemon = start()
    daemon.add(SECOND)
    daemon.add(CHAIN)

    _under_fire(daemon, "first", kills, events)

    assert daemon.context("first") == {"count": events}
    daemon.send("second", "nothing", wait="settled")
    assert daemon.context("second") == {"count": events, "sum": sum(range(events))}
    daemon.kill()
    assert replays(daemon.store) == 2


def _under_fire(
    daemon: Daemon, machine: str, kills: int, events: int, check: Callable[[Daemon, int], None] | None = None
) -> Counter[str]:
    """Send all events, kill the daemon at random acknowledgements and random times in turn, send again what has none.

    Returns:
        What those sent again were told.
    """
    chance, acknowledged, again = random.Random(20), set[int](), Counter[str]()
    for left_kills in range(kills, -1, -1):
        left = [number for number in range(events) if number not in acknowledged]
        goal = chance.randrange(1, max(2, 2 * len(left) // (left_kills + 1))) if left_kills else 0
        alarm = threading.Timer(chance.uniform(0.0, 0.2), daemon.process.kill) if left_kills % 2 else None
        sender = Sender(daemon.socket, at(0 if alarm else goal, daemon.process.kill))
        if alarm:
            alarm.start()
        sender.send(machine, left)
        if alarm:
            alarm.join()
        again.update(a["disposition"] for n, a in sender.answers.items() if left_kills < kills)
        acknowledged |= sender.answers.keys()
        if left_kills:
            daemon.again()
            if check:
                check(daemon, len(acknowledged))
    assert acknowledged == set(range(events))
    return again


def _is_as_stored(daemon: Daemon, acknowledged: int) -> None:
    """Ready means: every machine is in its state; nothing acknowledged is missing."""
    view = daemon.get("/v1/machines/counter")
    context = daemon.context("counter")
    assert view["status"] == "running"
    assert view["states"] == [["even", "odd"][context["count"] % 2]]
    assert acknowledged <= context["count"]


@pytest.mark.parametrize("events", sizes(2_000, 50_000))
def test_a_stop_in_the_middle_of_a_load_answers_what_it_has_taken(start: Callable[..., Daemon], events: int) -> None:
    """SIGTERM: exit code 0, no traceback, and every event in the store was acknowledged or is sent again unharmed."""
    daemon = start()
    daemon.add(COUNTER)
    sender = Sender(daemon.socket, at(events // 2, daemon.process.terminate))
    sender.send("counter", range(events))
    assert daemon.wait() == 0
    assert "Traceback" not in daemon.output
    assert events // 2 <= len(sender.answers) <= query(daemon.store, "SELECT count(*) FROM dedup")[0][0]

    daemon.start()
    left = [number for number in range(events) if number not in sender.answers]
    sender.send("counter", left)
    assert daemon.context("counter") == {"count": events, "sum": sum(range(events))}


def test_a_closed_terminal_stops_it_with_its_actions(start: Callable[..., Daemon], whisper: Whisper) -> None:
    beacon = uuid4().hex
    daemon = start()
    daemon.add(PATIENT % (beacon, beacon))
    whisper.hear(2)
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.wait() == 0
    assert not daemon.socket.exists()
    assert not marked(beacon)


def test_a_deadline_survives_kills_and_fires_once(start: Callable[..., Daemon]) -> None:
    daemon = start()
    daemon.add(DUE)
    for _ in range(3):
        daemon.again()
    daemon.lines("due", "fired")
    daemon.again()
    assert daemon.states("due") == ["b"]
    assert daemon.context("due") == {"late": 1}
    daemon.kill()
    ((waited,),) = query(
        daemon.store, "SELECT max(now) - min(now) FROM journal WHERE machine = 'due' AND to_state IN ('a', 'b')"
    )
    assert waited >= 2
    assert replays(daemon.store) == 1


@pytest.mark.parametrize("chart", [INSTANT, SHELL], ids=["instant", "shell"])
@pytest.mark.parametrize(("kills", "jobs"), sizes((3, 40), (50, 100)))
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
    attempts = query(daemon.store, "SELECT epoch, attempt, outcome, count(*) FROM job_attempts GROUP BY 1, 2, 3")
    assert attempts == [(1, 1, "completed", len(added))]
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
    clean = seconds_of(daemon.again)
    daemon.add(PATIENT % (beacon, beacon))
    whisper.hear(2)

    beside = seconds_of(daemon.again)

    assert daemon.states("counter") == ["even"]
    assert beside < 3 * clean
