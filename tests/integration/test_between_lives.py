"""What is under way while a machine stops, pauses, resumes, or begins a new life."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from smd.jobs import Job, NewJob
from smd.runtime import control
from smd.runtime.clock import ManualClock
from smd.runtime.logs import MachineLogs
from smd.runtime.units import ask_one
from smd.statechart.event import HIGH, Event
from smd.store.base import Enqueue
from tests.hosting import hosting

pytestmark = pytest.mark.asyncio

TIMED = "machine: m\nstates: {a: {after: {10s: late}, on: {x: {actions: []}}}, late: {}}"
LIST = (
    "machine: m\ncontext: {l: []}\n"
    "states: {a: {on: {e: {actions: [{type: add_to_list, list_key: l, value: '{payload.n}'}]}}}}"
)
ONCE = """
machine: m
context: {n: 0}
contracts: [{always: "context.n < 1"}]
states:
  a:
    after: {10s: late}
    on: {x: {}, bad: {actions: [{type: assign, set: {n: context.n + 1}}]}}
  late: {}
"""


# --- timers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chart", "kind", "status"), [(TIMED, control.STOP, "stopped"), (ONCE, "bad", "failed")])
async def test_a_timer_that_is_due_as_the_machine_ends_fires_once_it_runs_again(
    tmp_path: Path, chart: str, kind: str, status: str
) -> None:
    """Its event waits behind the one that stops or fails the machine."""
    async with hosting(tmp_path / "s.db") as host:
        await host.add(chart)
        await host.quiet()
        under_way, end = host.post("x"), host.post(kind)
        host.advance(10)
        await asyncio.gather(under_way, end)
        await host.quiet()
        assert host.supervisor.view("m").status == status
        await host.supervisor.start("m")
        await host.until("m", "late")


async def test_a_timer_that_is_due_in_a_pause_leaves_the_next_life_alone(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(TIMED)
        await host.quiet()
        under_way = host.post("x")
        host.advance(10)
        await asyncio.gather(under_way, host.post(control.PAUSE))
        await host.supervisor.restart("m")
        await host.quiet()
        assert host.states("m") == ["a"]
        host.advance(10)
        await host.until("m", "late")


async def test_a_timer_of_the_last_life_neither_fires_in_the_next_nor_keeps_its_timer_from_firing(
    tmp_path: Path,
) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(TIMED)
        await host.quiet()
        under_way = host.post("x")
        host.advance(10)
        await asyncio.gather(under_way, host.supervisor.restart("m"))
        await host.quiet()
        assert host.states("m") == ["a"]
        host.advance(10)
        await host.until("m", "late")


@pytest.mark.parametrize("file", ["s.db", None])
async def test_a_deadline_that_passed_in_a_pause_comes_before_what_was_sent_after_it(
    tmp_path: Path, file: str | None
) -> None:
    chart = "machine: m\nstates: {a: {after: {1s: late}, on: {e: early}}, late: {}, early: {}}"
    async with hosting(tmp_path / file if file else None) as host:
        await host.add(chart)
        await host.supervisor.pause("m")
        host.advance(2)
        assert (await host.send("m", "e")).disposition == "queued"
        await host.supervisor.resume("m")
        await host.until("m", "late")


async def test_each_retry_of_an_action_that_asks_the_store_has_its_timer() -> None:
    """The timers of one action's retries have one name."""
    action = "{type: complete_job, job_id: nobody, retry: {max: 3, delay: 1s, factor: 1}}"
    async with hosting() as host:
        with host.supervisor.bus.subscribe() as notices:
            await host.add(f"machine: m\nstates: {{a: {{actions: [{action}], on: {{error: tired}}}}, tired: {{}}}}")
            while host.states("m") != ["tired"]:
                if (await asyncio.wait_for(notices.get(), 20)).kind == "error":
                    host.advance(1)
        assert len(await host.store.events("m", errors=True)) == 4


# --- order --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["s.db", None])
@pytest.mark.parametrize(("down", "up"), [("pause", "resume"), ("stop", "start")])
async def test_what_was_put_by_comes_before_what_comes_while_the_machine_comes_up(
    tmp_path: Path, down: str, up: str, file: str | None
) -> None:
    async with hosting(tmp_path / file if file else None) as host:
        await host.add(LIST)
        await getattr(host.supervisor, down)("m")
        assert (await host.send("m", "e", {"n": 1})).disposition == "queued"
        coming = asyncio.ensure_future(getattr(host.supervisor, up)("m"))
        await asyncio.sleep(0)
        assert (await host.send("m", "e", {"n": 2})).disposition == "taken"
        await coming
        await host.quiet()
        assert host.context("m") == {"l": [1, 2]}


async def test_what_comes_in_one_turn_with_the_verb_comes_after_what_was_put_by(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(LIST)
        await host.supervisor.pause("m")
        await host.send("m", "e", {"n": 1})
        with host.store.together():
            coming = host.post(control.RESUME)
            second = asyncio.ensure_future(host.send("m", "e", {"n": 2}))
            await asyncio.sleep(0)
        await asyncio.gather(coming, second)
        await host.quiet()
        assert host.context("m") == {"l": [1, 2]}


# --- jobs ---------------------------------------------------------------------------------------------------------------


async def test_a_machine_that_was_woken_and_turned_away_passes_it_on(tmp_path: Path) -> None:
    """It was woken for a job, but an event comes first and leads it to wait for jobs of another type."""
    taker = """
machine: {name}
states:
  first:
    actions: [{{type: check_database_queue, job_type: t}}]
    on: {{new_job: got, switch: second}}
  second:
    actions: [{{type: check_database_queue, job_type: u}}]
    on: {{new_job: got}}
  got: {{}}
"""
    async with hosting(tmp_path / "s.db") as host:
        for name in "ab":
            await host.add(taker.format(name=name))
        await host.add("machine: c\nstates: {a: {on: {x: {}}}}")
        await host.quiet()
        queue = host.supervisor.queue
        wake = queue.changed

        def changed(jobs: Iterable[tuple[str, Job]]) -> None:
            queue.changed = wake  # type: ignore[method-assign]
            host.post("x", "c")  # the store is busy with it as the taker is woken
            wake(jobs)
            (woken,) = [name for name in "ab" if host.supervisor.machines[name].wake]
            host.post("switch", woken)

        queue.changed = changed  # type: ignore[method-assign]
        await host.supervisor.add_jobs([NewJob("t")])
        await host.quiet()
        assert sorted(host.states("a") + host.states("b")) == ["got", "second"]


async def test_a_child_started_twice_in_one_turn_loses_no_job(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("machine: c\nstates: {a: {on: {done: {to: a}}}}")
    async with hosting(tmp_path / "s.db", work_folder=tmp_path) as host:
        await host.supervisor.add_jobs([NewJob("t", "j1"), NewJob("t", "j2")])
        await host.add("""
machine: p
states:
  a:
    actions:
      - {type: claim_job, job_id: j1, store_as: one}
      - {type: claim_job, job_id: j2, store_as: two}
      - {type: start_fsm, machine_name: c, yaml_path: c.yaml, context_vars: [one]}
      - {type: start_fsm, machine_name: c, yaml_path: c.yaml, context_vars: [two], error: refused}
    on: {refused: told}
  told: {}
""")
        await host.until("p", "told")
        await host.quiet()
        assert "about to start" in host.context("p")["last_error"]
        held = [job for name in "pc" for job in host.supervisor.view(name).held]
        assert sorted(held) == ["j1", "j2"]


async def test_a_job_handed_to_a_child_that_somebody_else_starts_first_is_failed(tmp_path: Path) -> None:
    """The child would have taken it over with the start that now comes too late."""
    (tmp_path / "c.yaml").write_text("machine: c\nstates: {a: {on: {x: {}}}}")
    async with hosting(tmp_path / "s.db", work_folder=tmp_path) as host:
        await host.supervisor.add_jobs([NewJob("t", "j1")])
        start = "{type: start_fsm, machine_name: c, yaml_path: c.yaml, success: ok, context_vars: [one]}"
        await host.add(
            f"machine: p\ncontext: {{one: 0}}\nstates: {{a: {{actions: [{start}], on: {{ok: b}}}}, b: {{on: {{go: c}}}},"
            f" c: {{actions: [{{type: claim_job, store_as: one}}, {start}], on: {{ok: d}}}}, d: {{}}}}"
        )
        await host.until("p", "b")
        await host.quiet()
        await host.supervisor.stop("c")
        await host.quiet()
        with host.store.together():
            go, resume = host.post("go", "p"), host.post(control.RESUME, "c")
        await asyncio.gather(go, resume)
        await host.until("p", "d")
        await host.quiet()
        job = await host.store.job("j1")
        assert job is not None
        assert (job.status, job.error) == ("failed", "the machine it was handed to had been started otherwise")


async def test_a_start_that_comes_too_late_leaves_the_child_what_it_holds(tmp_path: Path) -> None:
    """In the store as in a replay of its journal."""
    (tmp_path / "c.yaml").write_text("machine: c\nstates: {a: {on: {x: {}}}}")
    async with hosting(tmp_path / "s.db", work_folder=tmp_path) as host:
        await host.supervisor.add_jobs([NewJob("t", "j1")])
        await host.add(
            "machine: p\nstates: {a: {actions: [{type: claim_job, store_as: one},"
            " {type: start_fsm, machine_name: c, yaml_path: c.yaml, context_vars: [one], success: ok}], on: {ok: b}}, b: {}}"
        )
        await host.until("p", "b")
        await host.quiet()
        child = host.supervisor.machines["c"]
        start = Event(control.START, {"context": {}, "chart": child.chart.hash}, source="p", priority=HIGH)
        seq, _ = await host.store.submit(ask_one(Enqueue("c", start, 1.0)))
        child.deliver(seq, start)
        await host.quiet()
        assert host.supervisor.view("c").held == ("j1",)


# --- ends ---------------------------------------------------------------------------------------------------------------


async def test_a_log_that_cannot_be_written_keeps_no_machine_from_its_restart(tmp_path: Path) -> None:
    chart = ONCE.replace("machine: m", "machine: m\nrestart: {policy: on-failure, delay: 1s}")
    async with hosting(tmp_path / "s.db") as host:
        await host.add(chart)
        (tmp_path / "m.log").symlink_to("/dev/full")
        host.supervisor.logs = MachineLogs(tmp_path)
        await host.send("m", "bad")
        assert host.supervisor.view("m").status == "failed"
        host.advance(5)
        await host.until("m", "running")


async def test_a_finished_machine_that_is_always_restarted_is_so_after_a_restart_of_the_daemon(tmp_path: Path) -> None:
    clock = ManualClock()
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        await host.add("machine: m\nrestart: {policy: always, delay: 1s}\nstates: {a: {on: {go: z}}, z: {type: final}}")
        await host.send("m", "go")
        assert host.supervisor.view("m").status == "finished"
    async with hosting(tmp_path / "s.db", clock=clock) as host:
        host.advance(60)
        await host.until("m", "running")


@pytest.mark.parametrize("file", ["s.db", None])
async def test_a_child_made_in_the_commit_that_removed_its_namesake_is_hosted(tmp_path: Path, file: str | None) -> None:
    (tmp_path / "c.yaml").write_text("machine: c\nstates: {a: {on: {x: {}}}}")
    async with hosting(tmp_path / file if file else None, work_folder=tmp_path, verify=False) as host:
        await host.supervisor.add(path="c.yaml", start=False)
        await host.add(
            "machine: p\nstates: {a: {on: {go: b}}, b: {actions: [{type: start_fsm, machine_name: c, yaml_path: c.yaml,"
            " success: z}], on: {z: z}}, z: {}}"
        )
        with host.store.together():
            remove = asyncio.ensure_future(host.supervisor.remove("c"))
            await asyncio.sleep(0)
            told = host.post("go", "p")
        await asyncio.gather(remove, told)
        await host.until("p", "z")
        await host.until("c", "running")


async def test_waiters_that_gave_up_are_forgotten() -> None:
    async with hosting(verify=False) as host:
        await host.add(
            "machine: m\nstates: {a: {on: {go: b}}, b: {actions: [{type: run, command: [sleep, '30']}], on: {}}}"
        )
        await host.send("m", "go")
        for _ in range(9):
            with pytest.raises(TimeoutError):
                await host.supervisor.settled("m", 0)
        assert host.supervisor.machines["m"].settled_waiters == []
