"""A machine that failed at its first start: it has no state yet, and every verb tells or does the right thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from smd.errors import ConflictError, NotFoundError
from smd.runtime.units import ask_one
from smd.store.base import UpdateMachine
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

BREACH = """
machine: nf
context: {n: 5}
states: {a: {on: {go: b}}, b: {}}
contracts: [{always: "context.n < 2"}]
"""
ENDLESS = "machine: nf\ncontext: {n: 5}\nstates: {a: {always: {to: b, if: 'context.n > 2'}}, b: {always: a}}"
CHARTS = pytest.mark.parametrize(
    ("text", "why"), [(BREACH, "contract 'context.n < 2' does not hold"), (ENDLESS, "more than 1000 microsteps")]
)
IDLE = "machine: m\nstates: {a: {}}"


async def shown(host: Host) -> tuple[str, str, list[str]]:
    """Status, health and what the error history says."""
    view = host.supervisor.view("nf")
    rows = await host.store.events("nf", errors=True)
    return view.status, view.health, [row.error or "" for row in rows]


@CHARTS
async def test_it_is_reset_and_begins_at_its_next_start(tmp_path: Path, text: str, why: str) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(text)
        status, health, errors = await shown(host)
        assert (status, health, len(errors), why in errors[0]) == ("failed", "Critical", 1, True)
        view = await host.supervisor.reset_failed("nf")
        assert (view.status, view.health, view.error, view.states) == ("stopped", "Healthy", None, ())
        assert await shown(host) == ("stopped", "Healthy", errors)
        with pytest.raises(ConflictError, match="cannot reset 'nf': it is stopped"):
            await host.supervisor.reset_failed("nf")
    async with hosting(tmp_path / "s.db") as host:
        assert await shown(host) == ("stopped", "Healthy", errors)
        await host.supervisor.start("nf")
        status, _, again = await shown(host)
        assert (status, len(again), why in again[0]) == ("failed", 2, True)


async def test_with_another_context_it_begins(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(BREACH)
        await host.supervisor.reset_failed("nf")
        assert (await host.send("nf", "go")).disposition == "queued"
        await host.store.submit(ask_one(UpdateMachine("nf", {"initial_context": b'{"n": 1}'})))
        view = await host.supervisor.start("nf")
        assert (view.status, view.life, view.error) == ("running", 1, None)
        await host.quiet()
        assert host.states("nf") == ["b"]


@CHARTS
@pytest.mark.parametrize("verb", ["stop", "pause", "resume"])
@pytest.mark.parametrize("reset", [False, True])
async def test_what_only_a_running_machine_can_do_is_refused_by_its_status(
    tmp_path: Path, text: str, why: str, verb: str, *, reset: bool
) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(text)
        if reset:
            await host.supervisor.reset_failed("nf")
        before = await shown(host)
        with pytest.raises(ConflictError, match=f"cannot {verb} 'nf': it is {before[0]}"):
            await getattr(host.supervisor, verb)("nf")
        assert await shown(host) == before


@CHARTS
@pytest.mark.parametrize("verb", ["start", "restart"])
@pytest.mark.parametrize("reset", [False, True])
async def test_what_begins_it_tells_the_true_cause_again(
    tmp_path: Path, text: str, why: str, verb: str, *, reset: bool
) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(text)
        if reset:
            await host.supervisor.reset_failed("nf")
        view = await getattr(host.supervisor, verb)("nf")
        assert (view.status, why in (view.error or "")) == ("failed", True)


@CHARTS
@pytest.mark.parametrize("reset", [False, True])
async def test_it_can_be_removed(tmp_path: Path, text: str, why: str, *, reset: bool) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(text)
        if reset:
            await host.supervisor.reset_failed("nf")
        await host.supervisor.remove("nf")
        with pytest.raises(NotFoundError):
            host.supervisor.view("nf")


async def test_a_machine_that_could_not_be_restored_is_not_taken_for_one_that_never_began(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(IDLE)
        before = await host.store.machine("m")
        await host.store.submit(ask_one(UpdateMachine("m", {"chart": "0" * 64})))
    async with hosting(tmp_path / "s.db", verify=False) as host:
        with pytest.raises(ConflictError, match=r"cannot reset .m.: .* does not have its chart") as told:
            await host.supervisor.reset_failed("m")
        assert told.value.code == "not_restored"
        after = await host.store.machine("m")
        assert before is not None
        assert after == before._replace(chart="0" * 64)
