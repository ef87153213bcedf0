"""What makes a context larger than a machine may keep is refused where it is made; the machine goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smd.errors import TooLargeError
from smd.jobs import NewJob
from smd.jobs.job import DATA_LIMIT
from smd.runtime.sizes import CONTEXT_LIMIT
from smd.statechart.effects import FAILED, IGNORED, TAKEN
from smd.store.base import JournalRow
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

LARGE = "x" * 600_000
"""Fits in a context once."""
MOST = "x" * (DATA_LIMIT - len('{"blob":""}'))
LIMIT = f"over {CONTEXT_LIMIT} bytes"
WORKER = """
machine: w
initial: waiting
context: {full: ""}
events: {fill: {context_map: {full: payload.text}}}
states:
  waiting:
    actions: [{type: CLAIM, job_type: t, success: job}]
    on: {fill: waiting, job: at_work, error: odd}
  at_work: {on: {back: waiting}}
  odd: {on: {back: waiting}}
"""
CHANGES = """
machine: m
initial: idle
context: {kept: "", all: []}
events:
  twice: {context_map: {one: payload.text, two: payload.text}}
  inside: {context_map: {one: payload.text, two: payload.text}}
states:
  idle:
    on:
      twice: done
      add: {actions: [{type: add_to_list, list_key: all, value: "{payload.text}"}]}
      set: set
      raise: raise
      small: {actions: [{type: set_context, key: n, value: 1}]}
  set: {actions: [{type: set_context, key: all, value: ["{payload.text}", "{payload.text}"], success: on}], on: {on: done, error: odd}}
  raise: {actions: [{type: raise, event: inside, payload: {text: "{payload.text}"}, success: on}], on: {on: done}}
  odd: {on: {back: idle}}
  done: {on: {back: idle}}
"""  # fmt: skip
WORK = """
machine: m
initial: idle
states:
  idle: {on: {work: work}}
  work: {actions: [{type: grow, success: on}], on: {on: idle, error: odd}}
  odd: {}
"""
GROW = """\
from smd.actions.custom import BaseAction

class GrowAction(BaseAction):
    def execute(self, context):
        context["seen"] = "small"
        context["grown"] = "x" * 3_000_000
"""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where a supervisor keeps what it knows."""
    return tmp_path / "smd.db" if request.param == "sqlite" else None


async def last(host: Host, machine: str) -> JournalRow:
    """The last event that the machine consumed."""
    rows = await host.store.journal(machine, host.supervisor.view(machine).version - 1)
    return rows[-1]


async def job_of(host: Host, job_id: str) -> Any:
    """Status and error of a job."""
    job = await host.store.job(job_id)
    assert job is not None
    return job.status, job.error or ""


# --- jobs -----------------------------------------------------------------------------------------------------------


async def test_a_job_that_no_machine_could_claim_is_refused_and_the_largest_is_claimed(store: Path | None) -> None:
    async with hosting(store) as host:
        await host.add(WORKER.replace("CLAIM", "check_database_queue"))
        with pytest.raises(TooLargeError, match=f"its data are over {DATA_LIMIT} bytes"):
            await host.supervisor.add_jobs([NewJob("t", "good"), NewJob("t", "poison", data={"blob": f"{MOST}x"})])
        assert await host.store.jobs() == []
        await host.supervisor.add_jobs([NewJob("t", "large", data={"blob": MOST})])
        await host.until("w", "at_work")
        assert host.context("w")["blob"] == MOST


@pytest.mark.parametrize("text", ["x", "\n", "\x01", "é"])
async def test_the_limit_means_as_much_text_of_any_kind(store: Path | None, text: str) -> None:
    async with hosting(store) as host:
        fits = {"b": text * ((DATA_LIMIT - 8) // len(text.encode()))}
        await host.supervisor.add_jobs([NewJob("t", "a", data=fits)])
        with pytest.raises(TooLargeError):
            await host.supervisor.add_jobs([NewJob("t", "b", data={"b": fits["b"] + text})])


async def test_an_action_that_adds_a_job_too_large_fails(store: Path | None) -> None:
    chart = """
machine: m
initial: idle
states:
  idle: {on: {add: adding}}
  adding:
    actions: [{type: add_job, job_type: t, job_id: poison, payload: {blob: "{payload.text}"}, success: added}]
    on: {added: idle, error: odd}
  odd: {}
"""
    async with hosting(store) as host:
        await host.add(chart)
        await host.send("m", "add", {"text": LARGE})
        assert host.states("m") == ["odd"]
        assert "its data are over" in host.context("m")["last_error"]
        assert await host.store.job("poison") is None


@pytest.mark.parametrize("claim", ["check_database_queue", "claim_job"])
async def test_a_job_for_which_there_is_no_room_fails_and_its_claim_with_it(store: Path | None, claim: str) -> None:
    async with hosting(store) as host:
        await host.add(WORKER.replace("CLAIM", claim))
        await host.send("w", "fill", {"text": LARGE})
        await host.supervisor.add_jobs([NewJob("t", "large", data={"blob": MOST})])
        await host.until("w", "odd")
        status, error = await job_of(host, "large")
        assert status == "failed"
        assert LIMIT in error
        assert claim in host.context("w")["last_error"]
        assert host.supervisor.snapshot("w")["held"] == []
        await host.supervisor.add_jobs([NewJob("t", "small", data={"n": 1})])
        await host.send("w", "back")
        await host.until("w", "at_work")
        assert host.context("w")["job_id"] == "small"


async def test_a_job_that_cannot_be_kept_where_the_chart_wants_it_fails() -> None:
    chart = WORKER.replace("CLAIM, job_type: t", "claim_job, job_type: t, store_as: full.job")
    async with hosting() as host:
        await host.add(chart)
        await host.supervisor.add_jobs([NewJob("t", "a")])
        await host.until("w", "odd")
        assert (await job_of(host, "a"))[0] == "failed"
        assert host.supervisor.snapshot("w")["held"] == []


# --- events and actions ---------------------------------------------------------------------------------------------


async def test_an_event_that_brings_too_much_is_ignored_and_says_why(store: Path | None) -> None:
    async with hosting(store) as host:
        await host.add(CHANGES)
        answer = await host.send("m", "twice", {"text": LARGE})
        assert (answer.disposition, answer.code) == (IGNORED, "context_too_large")
        assert LIMIT in answer.reason
        assert host.states("m") == ["idle"]
        assert "one" not in host.context("m")
        assert (await host.send("m", "twice", {"text": "small"})).disposition == TAKEN
        assert host.states("m") == ["done"]


async def test_an_instant_action_whose_change_is_too_large_fails_and_changes_nothing(store: Path | None) -> None:
    async with hosting(store) as host:
        await host.add(CHANGES)
        assert (await host.send("m", "set", {"text": LARGE})).disposition == TAKEN
        assert host.states("m") == ["odd"]
        assert host.context("m")["all"] == []
        assert host.context("m")["last_error"].startswith("set_context: ")
        assert LIMIT in host.context("m")["last_error"]


async def test_a_block_ends_with_the_action_whose_change_is_too_large(store: Path | None) -> None:
    async with hosting(store) as host:
        await host.add(CHANGES)
        for _ in range(2):
            assert (await host.send("m", "add", {"text": LARGE})).disposition == TAKEN
        assert host.context("m")["all"] == [LARGE]
        error = (await last(host, "m")).error or ""
        assert "add_to_list" in error
        assert LIMIT in error
        view = host.supervisor.view("m")
        assert (view.status, view.health) == ("running", "Warning")


async def test_an_event_raised_inside_that_brings_too_much_promotes_nothing() -> None:
    async with hosting() as host:
        await host.add(CHANGES)
        await host.send("m", "raise", {"text": LARGE})
        assert host.states("m") == ["done"]
        assert "one" not in host.context("m")
        assert LIMIT in ((await last(host, "m")).error or "")


async def test_the_result_of_an_action_that_is_too_large_is_its_failure(store: Path | None, tmp_path: Path) -> None:
    actions = tmp_path / "actions"
    actions.mkdir()
    (actions / "grow_action.py").write_text(GROW)
    async with hosting(store, actions_dir=actions) as host:
        await host.add(WORK)
        await host.send("m", "work")
        await host.until("m", "odd")
        context = host.context("m")
        assert not context.keys() & {"seen", "grown"}
        assert context["last_error"] == f"grow: cannot keep its result: the context would be {LIMIT}"
        row = await last(host, "m")
        assert len(str(row.detail)) < 10_000, "what is not kept is not written either"


async def test_a_context_that_is_full_to_the_last_byte_is_told_of_failures_and_may_shrink(store: Path | None) -> None:
    async with hosting(store) as host:
        await host.add(CHANGES)
        await host.send("m", "add", {"text": "x" * 1_000_000})
        added = 0
        while added < 60 and len(host.context("m")["all"]) == added + 1:
            await host.send("m", "add", {"text": "y" * 1_000})
            added += 1
        assert len(host.context("m")["all"]) == added
        for _ in range(3):
            await host.send("m", "set", {"text": LARGE})
            assert host.states("m") == ["odd"]
            await host.send("m", "back")
        assert (await host.send("m", "small")).disposition == TAKEN
        assert host.supervisor.view("m").status == "running"


async def test_only_what_no_action_did_fails_the_machine() -> None:
    async with hosting() as host:
        view = await host.supervisor.add(text=CHANGES, context={"a": LARGE, "b": LARGE}, start=False)
        answer = await host.supervisor.start(view.name)
        assert answer.status == "failed"
        rows = await host.store.journal("m")
        assert [row.disposition for row in rows] == [FAILED]
