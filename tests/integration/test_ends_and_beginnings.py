"""Machines that end while they begin, are removed while events wait for them, or are left by their parents."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from smd.cli import exits
from smd.client import ClientError
from smd.errors import BusyError, ConflictError, NotFoundError
from smd.jobs import NewJob
from smd.runtime import control
from smd.runtime.clock import ManualClock
from smd.runtime.inbox import FAIR_TURN
from smd.runtime.units import ask_one
from smd.statechart.event import HIGH, Event
from smd.store.base import UpdateMachine
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

IDLE = "machine: m\nstates: {a: {on: {e: {actions: []}}}}"
LIST = (
    "machine: m\ncontext: {l: []}\n"
    "states: {a: {on: {e: {actions: [{type: add_to_list, list_key: l, value: '{payload.n}'}]}}}}"
)
CHILD = "machine: c\nstates: {a: {on: {end: z}}, z: {type: final}}"
STORES = pytest.mark.parametrize("file", ["s.db", None])


# --- events -------------------------------------------------------------------------------------------------------------


async def test_an_event_that_came_in_one_turn_with_a_resume_and_a_stop_is_answered(tmp_path: Path) -> None:
    """One turn in FAIR_TURN serves it among the urgent ones, and thus between the two."""
    async with hosting(tmp_path / "s.db") as host:
        await host.add(IDLE)
        await host.quiet()
        await host.supervisor.pause("m")
        with host.store.together():
            urgent = [host.post(control.RESUME)]
            urgent += [host.post("e", priority=HIGH) for _ in range(2 * FAIR_TURN)]
            urgent += [host.post(control.STOP)]
            others = [host.post("e") for _ in range(3)]
        await asyncio.gather(*urgent)
        answers = await asyncio.wait_for(asyncio.gather(*others), 20)
        assert [answer.disposition for answer in answers] == ["queued"] * 3
        await host.supervisor.start("m")
        await host.quiet()
        assert await host.store.pending_counts() == {}


@STORES
@pytest.mark.parametrize(("down", "up"), [("stop", "start"), ("pause", "resume")])
async def test_what_was_put_by_stays_in_order_though_the_machine_comes_up_twice(
    tmp_path: Path, down: str, up: str, file: str | None
) -> None:
    """It goes down again while some of the rows are in its inbox and others in the store."""
    async with hosting(tmp_path / file if file else None) as host:
        await host.add(LIST)
        await getattr(host.supervisor, down)("m")
        answers = await asyncio.gather(*(host.send("m", "e", {"n": n}) for n in range(900)))
        assert {answer.disposition for answer in answers} == {"queued"}
        await getattr(host.supervisor, up)("m")
        while host.supervisor.machines["m"].loading:  # noqa: ASYNC110 - the round of the loop after it is meant
            await asyncio.sleep(0)
        await getattr(host.supervisor, down)("m")
        assert len(host.context("m")["l"]) < 900
        await getattr(host.supervisor, up)("m")
        await host.quiet()
        assert host.context("m")["l"] == list(range(900))


async def test_a_child_that_ended_as_soon_as_it_was_resumed_takes_its_next_start(tmp_path: Path) -> None:
    """The turn in which it came up had rows of the store to be read, and the next one ended it."""
    (tmp_path / "c.yaml").write_text(CHILD)
    async with hosting(tmp_path / "s.db", work_folder=tmp_path) as host:
        await host.add("""
machine: p
states:
  i: {on: {go: s}}
  s: {actions: [{type: start_fsm, machine_name: c, yaml_path: c.yaml, success: ok}], on: {ok: w, error: bad}}
  w: {on: {done.machine.c: i}}
  bad: {}
""")
        await host.send("p", "go")
        await host.quiet()
        await host.supervisor.pause("c")
        await host.quiet()
        resumed = asyncio.ensure_future(host.supervisor.resume("c"))
        await asyncio.sleep(0)  # its turn is under way
        assert (await host.send("c", "end", priority=HIGH)).disposition == "taken"
        await resumed
        await host.until("p", "i")
        assert host.supervisor.view("c").status == "finished"
        await host.send("p", "go")
        await host.quiet()
        assert (host.supervisor.view("c").status, host.supervisor.machines["c"].life) == ("running", 2)
        assert await host.store.pending_counts() == {}


@STORES
async def test_what_waits_for_a_machine_that_is_removed_is_refused_and_not_its_namesakes(
    tmp_path: Path, file: str | None
) -> None:
    async with hosting(tmp_path / file if file else None, verify=False) as host:
        await host.add(LIST)
        await host.supervisor.stop("m")

        async def replace() -> None:
            await host.supervisor.remove("m")
            await host.add(LIST)

        replaced = asyncio.ensure_future(replace())
        await asyncio.sleep(0)  # the removal is under way
        answers: list[Any] = []
        assert host.supervisor.post_many([("m", Event("e", {"n": n}), answers.append) for n in range(1000)]) == 1000
        await replaced
        await host.quiet()
        assert len(answers) == 1000
        assert {type(answer) for answer in answers} == {NotFoundError}
        assert await host.store.pending_counts() == {}
        assert host.context("m") == {"l": []}


# --- jobs ---------------------------------------------------------------------------------------------------------------


async def test_a_machine_that_was_woken_for_one_job_and_took_another_passes_the_wake_on(tmp_path: Path) -> None:
    take = "actions: [{type: check_database_queue, job_type: %s}], on: {new_job: got}"
    either = f"""
machine: either
states:
  w:
    type: parallel
    states:
      r1: {{initial: p, states: {{p: {{{take % "x"}}}}}}}
      r2: {{initial: q, states: {{q: {{{take % "y"}}}}}}}
  got: {{}}
"""
    async with hosting(tmp_path / "s.db") as host:
        await host.add(either)
        await host.add(f"machine: only\nstates: {{w: {{{take % 'y'}}}, got: {{}}}}")
        await host.quiet()
        await host.supervisor.add_jobs([NewJob("y", "y1"), NewJob("x", "x1")])
        await host.quiet()
        assert (host.states("either"), host.states("only")) == (["got"], ["got"])


# --- families -----------------------------------------------------------------------------------------------------------


async def test_a_parent_that_is_damaged_does_not_stop_its_healthy_linked_child(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CHILD)
    clock = ManualClock()
    start = "{type: start_fsm, machine_name: c, yaml_path: c.yaml, linked: true, success: ok}"
    async with hosting(tmp_path / "s.db", work_folder=tmp_path, clock=clock) as host:
        await host.add(
            f"machine: p\nstates: {{a: {{actions: [{start}], on: {{ok: b}}}}, b: {{on: {{n: late}}}}, late: {{}}}}"
        )
        await host.until("c", "running")
        host.advance(5)
        await host.send("p", "n")  # it entered its state after its child did
        await host.quiet()
        await host.verify()
        await host.store.submit(ask_one(UpdateMachine("p", {"chart": "0" * 64})))
    async with hosting(tmp_path / "s.db", work_folder=tmp_path, clock=clock, verify=False) as host:
        await host.quiet()
        assert "does not have its chart" in str(host.supervisor.machines["p"].error)
        assert {view.name: view.status for view in host.supervisor.views()} == {"p": "failed", "c": "running"}


# --- verbs --------------------------------------------------------------------------------------------------------------


async def told_twice(host: Host, verb: str) -> ConflictError:
    """The error of the one that comes second of two that are given at once."""
    give = getattr(host.supervisor, verb)
    ends = await asyncio.gather(give("m"), give("m"), return_exceptions=True)
    (error,) = [end for end in ends if isinstance(end, BaseException)]
    assert isinstance(error, ConflictError)
    return error


@pytest.mark.parametrize(("verb", "code"), [("stop", "is_stopped"), ("pause", "is_paused")])
async def test_the_second_of_two_verbs_given_at_once_is_told_of_the_state_it_found(verb: str, code: str) -> None:
    """The exit code of smctl is 3, as it does for one that is given a second time later."""
    async with hosting() as host:
        await host.add(IDLE)
        error = await told_twice(host, verb)
        assert error.code == code
        assert exits.of_error(as_client_hears(error)) == exits.WRONG_STATE
        with pytest.raises(ConflictError) as later:
            await getattr(host.supervisor, verb)("m")
        assert exits.of_error(as_client_hears(later.value)) == exits.WRONG_STATE


@pytest.mark.parametrize("status", ["running", "paused", "stopped", "failed", "finished"])
async def test_every_state_in_which_a_verb_may_find_a_machine_has_its_exit_code(status: str) -> None:
    error = ConflictError(f"cannot do it: it is {status}", code=f"is_{status}")
    assert exits.of_error(as_client_hears(error)) == 3


async def test_each_of_many_events_is_answered_while_the_daemon_stops() -> None:
    async with hosting(verify=False) as host:
        await host.add(IDLE)
        await host.quiet()
        closed = asyncio.ensure_future(host.supervisor.close())
        await asyncio.sleep(0)  # it has begun
        answers: list[Any] = []
        assert host.supervisor.post_many([("m", Event("e", {}), answers.append) for _ in range(3)]) == 3
        await closed
        assert [type(answer) for answer in answers] == [BusyError] * 3
        assert {answer.message for answer in answers} == {"cannot take 'e': the daemon is stopping"}


def as_client_hears(error: ConflictError) -> ClientError:
    """The error as smctl has it from a reply."""
    return ClientError("reply", error.message, code=error.code, status=409)


@STORES
async def test_a_verb_for_a_machine_that_is_removed_is_answered_although_a_namesake_came(
    tmp_path: Path, file: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its turn fails, and as its row is read to see why, that is the namesake's."""
    async with hosting(tmp_path / file if file else None, verify=False) as host:
        await host.add(IDLE)
        await host.quiet()
        await host.supervisor.stop("m")
        read, there = host.store.machine, asyncio.Event()

        async def later(name: str) -> Any:
            await there.wait()
            return await read(name)

        with host.store.together():
            remove = asyncio.ensure_future(host.supervisor.remove("m"))
            await asyncio.sleep(0)
            resume = host.post(control.RESUME)
            monkeypatch.setattr(host.store, "machine", later)
        await remove
        monkeypatch.setattr(host.store, "machine", read)
        await host.add(IDLE)
        there.set()
        assert isinstance(await asyncio.wait_for(resume, 20), NotFoundError)
        await host.quiet()
        assert host.supervisor.view("m").status == "running"
