"""Machines in the daemon's inside: actors, store, timers, queue, recovery. Real stores, time moved by hand."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from smd.errors import ConflictError, NotFoundError, RequestError
from smd.jobs import NewJob
from smd.runtime.clock import ManualClock, SystemClock
from tests.hosting import hosting

pytestmark = pytest.mark.asyncio

COUNTER = """
machine: counter
context: {n: 0}
states:
  a: {on: {tick: {to: b, actions: [{type: assign, set: {n: context.n + 1}}]}}}
  b: {on: {tick: {to: a, actions: [{type: assign, set: {n: context.n + 1}}]}}}
"""
WORKER = """
machine: worker
context: {seen: []}
states:
  waiting:
    actions: [{type: check_database_queue, job_type: t}]
    on: {no_jobs: waiting, new_job: working}
  working:
    actions: [{type: add_to_list, list_key: seen, value: "{job_id}", success: done}]
    on: {done: waiting}
"""


async def test_an_event_is_taken_and_told_with_the_new_state() -> None:
    async with hosting() as host:
        await host.add(COUNTER)
        answer = await host.send("counter", "tick")
        assert (answer.disposition, answer.before, answer.states) == ("taken", ("a",), ("b",))
        assert host.context("counter") == {"n": 1}


async def test_an_unknown_event_is_ignored_with_the_nearest_name() -> None:
    async with hosting() as host:
        await host.add(COUNTER)
        answer = await host.send("counter", "tikc")
        assert (answer.disposition, answer.code, answer.hint) == ("ignored", "unknown_event", "did you mean 'tick'?")


async def test_an_unknown_machine_is_refused_with_the_nearest_name() -> None:
    async with hosting() as host:
        await host.add(COUNTER)
        with pytest.raises(NotFoundError) as caught:
            await host.send("countre", "tick")
        assert "counter" in caught.value.hint


async def test_events_of_the_daemon_cannot_be_sent_from_outside() -> None:
    async with hosting() as host:
        await host.add(COUNTER)
        with pytest.raises(RequestError):
            await host.send("counter", "smd.stop")
        assert host.supervisor.view("counter").status == "running"


async def test_events_for_a_stopped_machine_wait_and_are_consumed_in_order() -> None:
    async with hosting() as host:
        await host.add(
            "machine: m\ncontext: {l: []}\nstates: {a: {on: {e: {actions: [{type: add_to_list, list_key: l, value: '{payload.n}'}]}}}}"
        )
        await host.supervisor.stop("m")
        answers = [await host.send("m", "e", {"n": n}) for n in range(5)]
        assert {(a.disposition, a.code) for a in answers} == {("queued", "not_running")}
        await host.supervisor.start("m")
        await host.quiet()
        assert host.context("m") == {"l": [0, 1, 2, 3, 4]}


async def test_an_event_put_by_that_the_chart_does_not_know_says_so() -> None:
    """It may be meant for the chart that the machine starts with next, so it is kept; a slip is seen at once."""
    async with hosting() as host:
        await host.add(COUNTER)
        await host.supervisor.stop("counter")
        slip, right = await host.send("counter", "tikc"), await host.send("counter", "tick")
        assert (slip.disposition, slip.hint) == ("queued", "its chart knows no 'tikc', did you mean 'tick'?")
        assert (right.disposition, right.hint) == ("queued", "")


async def test_high_priority_overtakes_what_waits() -> None:
    async with hosting() as host:
        await host.add(
            "machine: m\ncontext: {l: []}\nstates: {a: {on: {e: {actions: [{type: add_to_list, list_key: l, value: '{payload.n}'}]}}}}"
        )
        await host.supervisor.pause("m")
        for n, priority in enumerate((1, 2, 1, 0)):
            await host.send("m", "e", {"n": n}, priority=priority)
        await host.supervisor.resume("m")
        await host.quiet()
        assert host.context("m") == {"l": [3, 0, 2, 1]}


async def test_the_same_id_is_answered_as_duplicate_and_changes_nothing() -> None:
    async with hosting() as host:
        await host.add(COUNTER)
        first = await host.send("counter", "tick", id="x")
        second = await host.send("counter", "tick", id="x")
        assert (second.disposition, second.seq, second.states) == ("duplicate", first.seq, first.states)
        assert host.context("counter") == {"n": 1}


async def test_duplicates_within_one_batch_are_found() -> None:
    async with hosting() as host:
        await host.add(COUNTER)
        answers = await asyncio.gather(*(host.send("counter", "tick", id="x") for _ in range(5)))
        assert sorted(a.disposition for a in answers) == ["duplicate"] * 4 + ["taken"]
        assert host.context("counter") == {"n": 1}


async def test_events_to_a_finished_machine_conflict_until_it_starts_anew() -> None:
    async with hosting() as host:
        await host.add("machine: m\nstates: {a: {on: {go: z}}, z: {type: final}}")
        await host.send("m", "go")
        with pytest.raises(ConflictError) as caught:
            await host.send("m", "go")
        assert caught.value.code == "finished"
        view = await host.supervisor.start("m")
        assert (view.status, view.states, view.life) == ("running", ("a",), 2)


async def test_a_timer_fires_when_its_time_has_come() -> None:
    async with hosting() as host:
        await host.add("machine: m\nstates: {a: {after: {5s: b}}, b: {}}")
        host.advance(4.9)
        await host.quiet()
        assert host.states("m") == ["a"]
        host.advance(0.1)
        await host.until("m", "b")


async def test_timers_state_and_context_survive_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        await host.add(
            "machine: m\ncontext: {n: 1}\nstates: {a: {on: {go: {to: b, actions: [{type: assign, set: {n: '2'}}]}}}, b: {after: {60s: c}}, c: {}}"
        )
        await host.send("m", "go")
    clock.advance(59)
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        assert (host.states("m"), host.context("m")) == (["b"], {"n": 2})
        host.advance(1)
        await host.until("m", "c")


@pytest.mark.parametrize(("policy", "left"), [("deadline", 0.0), ("restart", 60.0), ("remaining", 50.0)])
async def test_timers_after_a_restart_follow_on_restart(tmp_path: Path, policy: str, left: float) -> None:
    clock = ManualClock()
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        await host.add(f"machine: m\nstates: {{a: {{after: {{60s: {{to: b, on_restart: {policy}}}}}}}, b: {{}}}}")
        clock.advance(10)
    clock.advance(100)
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        if policy == "deadline":
            await host.until("m", "b")
            return
        await host.quiet()
        assert [t["due"] for t in host.supervisor.view("m").timers] == [clock.now() + left]


async def test_the_running_sequence_goes_on_after_a_restart(tmp_path: Path) -> None:
    mark, running = tmp_path / "mark", tmp_path / "running"
    os.mkfifo(running)
    text = f"""
        machine: m
        states:
          a:
            actions:
              - {{type: log, message: first}}
              - {{type: bash, command: 'echo run >> {mark}; test -e {tmp_path}/go && exit 0; echo > {running}; sleep 60', success: ready}}
            on: {{ready: b}}
          b: {{}}
        """
    clock = SystemClock()
    async with hosting(tmp_path / "s.db", clock=clock, verify=False) as host:
        await host.add(text)
        await asyncio.to_thread(running.read_text)
    (tmp_path / "go").touch()
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        await host.until("m", "b")
    assert mark.read_text() == "run\nrun\n"


async def test_machines_talk_and_the_target_hears_once() -> None:
    async with hosting() as host:
        await host.add(COUNTER)
        await host.add(
            "machine: s\nstates: {a: {on: {go: {actions: [{type: send_event, target: counter, event: tick}]}}}}"
        )
        for _ in range(3):
            await host.send("s", "go")
        await host.quiet()
        assert host.context("counter") == {"n": 3}


async def test_a_send_to_nobody_comes_back_as_error_communication() -> None:
    async with hosting() as host:
        await host.add(
            "machine: s\nstates: {a: {on: {go: {actions: [{type: send_event, target: nobody, event: tick}]}, error.communication: b}}, b: {}}"
        )
        await host.send("s", "go")
        await host.until("s", "b")


async def test_a_waiting_worker_takes_a_job_as_soon_as_it_is_added() -> None:
    async with hosting() as host:
        await host.add(WORKER)
        await host.quiet()
        assert host.supervisor.view("worker").waiting_for == "a job (t)"
        await host.supervisor.add_jobs([NewJob("t", "one"), NewJob("other", "not-mine")])
        await host.quiet()
        assert host.context("worker")["seen"] == ["one"]
        assert await host.store.job_counts() == {"t": {"completed": 1}, "other": {"available": 1}}


async def test_two_hundred_jobs_are_drained_in_order_and_completed() -> None:
    async with hosting() as host:
        await host.supervisor.add_jobs([NewJob("t", f"j{n:03}") for n in range(200)])
        await host.add(WORKER)
        while len(host.context("worker")["seen"]) < 200:
            await host.quiet()
        assert host.context("worker")["seen"] == [f"j{n:03}" for n in range(200)]
        await host.supervisor.stop("worker")
        assert await host.store.job_counts() == {"t": {"completed": 200}}


async def test_sixteen_workers_share_jobs_without_taking_one_twice() -> None:
    async with hosting() as host:
        for n in range(16):
            await host.add(WORKER, name=f"w{n}")
        await host.supervisor.add_jobs([NewJob("t", f"j{n}") for n in range(400)])
        seen: list[str] = []
        while len(seen) < 400:
            await host.quiet()
            seen = [job for n in range(16) for job in host.context(f"w{n}")["seen"]]
        assert len(seen) == len(set(seen)) == 400


async def test_a_job_in_hand_survives_a_restart_with_its_machine(tmp_path: Path) -> None:
    text = "machine: m\nstates: {w: {actions: [{type: claim_job, job_type: t}], on: {new_job: p}}, p: {on: {go: d}}, d: {actions: [{type: complete_job}]}}"
    async with hosting(tmp_path / "s.db") as host:
        await host.add(text)
        await host.supervisor.add_jobs([NewJob("t", "one")])
        await host.quiet()
    async with hosting(tmp_path / "s.db") as host:
        job = await host.store.job("one")
        assert job is not None
        assert (job.status, job.epoch, host.supervisor.view("m").held) == ("running", 1, ("one",))
        await host.send("m", "go")
        await host.quiet()
        job = await host.store.job("one")
        assert job is not None
        assert (job.status, host.supervisor.view("m").held) == ("completed", ())


async def test_a_paused_machine_holds_still_and_events_answer_queued() -> None:
    async with hosting() as host:
        await host.add("machine: m\nstates: {a: {after: {1s: b}, on: {go: c}}, b: {}, c: {}}")
        await host.supervisor.pause("m")
        host.advance(2)
        answer = await host.send("m", "go")
        assert (answer.disposition, answer.code, host.states("m")) == ("queued", "paused", ["a"])
        await host.supervisor.resume("m")
        await host.until("m", "b")


async def test_a_machine_that_never_settles_fails_alone() -> None:
    async with hosting() as host:
        await host.add(COUNTER)
        await host.add("machine: bad\nstates: {a: {on: {go: b}}, b: {always: c}, c: {always: b}}")
        answer = await host.send("bad", "go")
        assert (answer.disposition, answer.code, answer.states) == ("failed", "endless_loop", ("a",))
        assert host.supervisor.view("bad").status == "failed"
        assert (await host.send("counter", "tick")).disposition == "taken"
        assert (await host.supervisor.start("bad")).status == "running"


async def test_a_context_over_one_mebibyte_fails_the_guilty_action_alone() -> None:
    async with hosting() as host:
        await host.add(
            "machine: m\nstates: {a: {on: {keep: {actions: [{type: set_context, key: '{payload.k}', value: '{payload.v}'}]}}}}"
        )
        answers = await asyncio.gather(
            host.send("m", "keep", {"k": "a", "v": "x"}),
            host.send("m", "keep", {"k": "b", "v": "x" * 1_100_000}),
            host.send("m", "keep", {"k": "c", "v": "y"}),
        )
        assert [a.disposition for a in answers] == ["taken", "taken", "taken"]
        assert host.context("m") == {"a": "x", "c": "y"}
        errors = [row.error for row in await host.store.journal("m")]
        assert [error is None for error in errors] == [True, True, False, True]
        assert "set_context: the context would be over 1048576 bytes" in str(errors[2])


async def test_ten_thousand_events_leave_ten_thousand_rows_and_the_right_count() -> None:
    async with hosting() as host:
        await host.add(COUNTER)
        for _ in range(20):
            answers = await asyncio.gather(*(host.send("counter", "tick") for _ in range(500)))
            assert {a.disposition for a in answers} == {"taken"}
        assert host.context("counter") == {"n": 10_000}
        row = await host.store.machine("counter")
        assert row is not None
        assert row.version == 10_001


async def test_a_removed_machine_leaves_its_journal_and_its_name_continues_it() -> None:
    async with hosting() as host:
        await host.add(COUNTER)
        await host.send("counter", "tick")
        await host.supervisor.remove("counter")
        with pytest.raises(NotFoundError):
            await host.send("counter", "tick")
        await host.add(COUNTER)
        assert host.supervisor.view("counter").life == 2


async def test_a_broken_contract_fails_the_machine_and_keeps_its_old_state() -> None:
    async with hosting() as host:
        await host.add(COUNTER + 'contracts: [{always: "context.n <= 2"}]')
        answers = [await host.send("counter", "tick") for _ in range(3)]
        assert [a.disposition for a in answers] == ["taken", "taken", "failed"]
        assert answers[2].code == "contract_broken"
        assert host.context("counter") == {"n": 2}


async def test_a_retry_happens_when_its_pause_is_over() -> None:
    async with hosting() as host:
        with host.supervisor.bus.subscribe(["error"]) as failed:
            await host.add(
                "machine: m\nstates: {a: {actions: [{type: run, command: ['false'], retry: {max: 1, delay: 5s}}], on: {error: b}}, b: {}}"
            )
            await failed.get()
            assert [t["due"] for t in host.supervisor.view("m").timers] == [host.clock.now() + 5]
            host.advance(5)
            await failed.get()
        await host.until("m", "b")


async def test_a_failed_machine_is_restarted_by_its_policy_until_the_start_limit() -> None:
    text = """
        machine: m
        restart: {policy: on-failure, delay: 1s, limit: 2 in 1m}
        contracts: [{always: "context.n < 1"}]
        context: {n: 0}
        states: {a: {on: {go: {actions: [{type: assign, set: {n: context.n + 1}}]}}}}
        """
    async with hosting() as host:
        await host.add(text)
        for delay in (1, 2):
            assert (await host.send("m", "go")).disposition == "failed"
            host.advance(delay)
            await host.until("m", "running")
        assert (await host.send("m", "go")).disposition == "failed"
        host.advance(3600)
        await host.quiet()
        assert (host.supervisor.view("m").status, host.supervisor.view("m").restarts) == ("failed", 2)


async def test_a_payload_that_breaks_its_declaration_is_refused_at_the_door() -> None:
    async with hosting() as host:
        await host.add(
            "machine: m\nevents: {e: {payload: {type: object, required: [file]}}}\nstates: {a: {on: {e: b}}, b: {}}"
        )
        with pytest.raises(RequestError, match="'file' is a required property"):
            await host.send("m", "e", {"other": 1})
        assert host.states("m") == ["a"]
        assert (await host.send("m", "e", {"file": "x"})).disposition == "taken"
