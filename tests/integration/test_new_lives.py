"""How lives begin: with a changed file, after what could not be restored, under a name that was used before."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from smd.errors import ConflictError, StoreError
from smd.runtime.machine import Machine
from smd.runtime.turn import Turn
from smd.store.base import Ended, MachineRow, Unit
from smd.store.memory import MemoryStore
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

OLD = "machine: m\nstates: {old: {on: {x: old, end: z}}, z: {type: final}}"
NEW = "machine: m\nstates: {new: {on: {x: new}}}"
BREACH = "machine: m\ncontracts: [{always: 'false'}]\nstates: {new: {}}"
COUNTER = (
    "machine: m\ncontext: {n: 0}\n"
    "states: {a: {on: {x: {actions: [{type: assign, set: {n: context.n + 1}}]}}}}"
)  # fmt: skip
STORES = pytest.mark.parametrize("file", ["s.db", None])


async def place(host: Host, text: str) -> Machine:
    return await host.supervisor.hosting.place(host.supervisor.charts.parse(text, "m.yaml"), "m.yaml")


def change(file: Path, sql: str, *values: Any) -> None:
    """Do to the store what a daemon does not."""
    database = sqlite3.connect(file)
    database.execute(sql, values)
    database.commit()
    database.close()


async def row_of(host: Host) -> MachineRow:
    row = await host.store.machine("m")
    assert row is not None
    return row


def recall(host: Host, *texts: str) -> None:
    """Let the replay at the end know charts of earlier lives."""
    for text in texts:
        host.supervisor.charts.parse(text, "m.yaml")


async def refused(doing: Any) -> ConflictError:
    with pytest.raises(ConflictError) as caught:
        await doing
    return caught.value


# --- changed files ------------------------------------------------------------------------------------------------------


@STORES
async def test_a_restart_begins_with_the_file_as_it_was_last_read(tmp_path: Path, file: str | None) -> None:
    async with hosting(tmp_path / file if file else None) as host:
        await place(host, OLD)
        await place(host, NEW)
        assert host.states("m") == ["old"]
        await host.supervisor.restart("m")
        assert (host.states("m"), host.supervisor.machines["m"].life) == (["new"], 2)


@STORES
async def test_the_file_as_last_read_is_that_of_the_present_also_if_it_was_changed_back(
    tmp_path: Path, file: str | None
) -> None:
    async with hosting(tmp_path / file if file else None) as host:
        for text in (OLD, NEW, OLD):
            await place(host, text)
        await host.supervisor.restart("m")
        assert host.states("m") == ["old"]


async def test_a_stopped_machine_restarts_with_the_file_of_the_next_daemon(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await place(host, OLD)
        await host.supervisor.stop("m")
    async with hosting(tmp_path / "s.db") as host:
        await place(host, NEW)
        assert (host.states("m"), host.supervisor.view("m").status) == (["old"], "stopped")
        await host.supervisor.restart("m")
        assert host.states("m") == ["new"]
    async with hosting(tmp_path / "s.db") as host:
        assert host.states("m") == ["new"]
        recall(host, OLD)


@STORES
async def test_the_next_life_of_a_machine_that_finished_is_that_of_the_file(tmp_path: Path, file: str | None) -> None:
    async with hosting(tmp_path / file if file else None) as host:
        await place(host, OLD)
        await place(host, NEW)
        await host.send("m", "end")
        await host.supervisor.start("m")
        assert host.states("m") == ["new"]


# --- what cannot be restored ----------------------------------------------------------------------------------------------


async def left(file: Path) -> None:
    async with hosting(file) as host:
        await host.add(COUNTER)
        await host.send("m", "x")


async def test_the_start_of_a_machine_that_could_not_be_restored_does_not_discard_its_state(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    await left(file)
    damaged = """CAST(replace(CAST(snapshot AS TEXT), '["a"]', '["zz"]') AS BLOB)"""
    change(file, f"UPDATE machines SET snapshot = {damaged}")
    async with hosting(file) as host:
        before = await row_of(host)
        for verb in ("start", "reset_failed"):
            error = await refused(getattr(host.supervisor, verb)("m"))
            assert error.code == "not_restored"
            assert "cannot restore state 'zz'" in error.message
            assert "smctl restart m" in error.hint
        assert await row_of(host) == before
        assert (await host.send("m", "x")).disposition == "queued"
        await host.supervisor.restart("m")
        await host.quiet()
        assert (host.context("m"), host.supervisor.machines["m"].life) == ({"n": 1}, 2)
        given_up = await host.store.events("m", types=("smd.discard",))
        assert ["cannot restore state 'zz'" in str(row.error) for row in given_up] == [True]


async def test_no_verb_leaves_a_row_at_a_machine_whose_chart_does_not_load(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    await left(file)
    source = sqlite3.connect(file).execute("SELECT source FROM charts").fetchone()[0]
    change(file, "UPDATE charts SET source = ?", b"{}")
    async with hosting(file, verify=False) as host:
        before = await row_of(host)
        for verb in ("start", "restart", "reset_failed"):
            assert (await refused(getattr(host.supervisor, verb)("m"))).code == "not_restored"
        assert await row_of(host) == before
    change(file, "UPDATE charts SET source = ?", source)
    async with hosting(file) as host:
        assert (host.context("m"), host.supervisor.view("m").status) == ({"n": 1}, "running")


@pytest.mark.parametrize("text", [NEW, BREACH], ids=["begins", "fails"])
async def test_a_machine_whose_chart_does_not_load_begins_anew_with_its_file(tmp_path: Path, text: str) -> None:
    """Replay agrees whether it begins or fails as it does."""
    file = tmp_path / "s.db"
    await left(file)
    change(file, "UPDATE charts SET source = ?", b"{}")
    async with hosting(file) as host:
        await place(host, text)
        assert host.supervisor.view("m").status == "failed"
        await host.supervisor.restart("m")
        assert host.supervisor.view("m").status == ("running" if text is NEW else "failed")
        recall(host, COUNTER)


async def test_a_machine_that_could_not_be_restored_can_be_removed(tmp_path: Path) -> None:
    """Its row says that it runs."""
    file = tmp_path / "s.db"
    await left(file)
    change(file, "UPDATE charts SET source = ?", b"{}")
    async with hosting(file) as host:
        await host.supervisor.remove("m")
        await host.add(NEW)
        assert host.states("m") == ["new"]
        recall(host, COUNTER)


# --- names that were used before --------------------------------------------------------------------------------------------


@STORES
async def test_a_machine_that_was_removed_and_added_again_is_explained_by_its_history(
    tmp_path: Path, file: str | None
) -> None:
    async with hosting(tmp_path / file if file else None) as host:
        await host.add(COUNTER)
        await host.send("m", "x")
        await host.supervisor.remove("m")
        await host.supervisor.add(text=NEW, start=False)
        await host.verify()
        assert (await row_of(host)).snapshot is None
        await host.supervisor.start("m")
        await host.verify()
        assert [row.type for row in await host.store.journal("m")] == [
            "smd.start", "x", "smd.stop", "smd.remove", "smd.start",
        ]  # fmt: skip


async def test_a_crash_while_a_machine_is_added_leaves_none_that_was_to_start_and_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(tmp_path / "s.db") as host:

        async def crash(_: str) -> Any:
            raise SystemError

        monkeypatch.setattr(host.store, "machine", crash)
        with pytest.raises(SystemError):
            await place(host, NEW)
        monkeypatch.undo()
        assert (await row_of(host)).status == "stopped"
    async with hosting(tmp_path / "s.db") as host:
        await place(host, NEW)
        await host.quiet()
        assert (host.states("m"), host.supervisor.machines["m"].life) == (["new"], 1)


class Failing(MemoryStore):
    """A store whose turns fail while `broken`."""

    broken = False

    def run(self, unit: Unit, ended: Ended) -> None:
        if self.broken and isinstance(unit, Turn):
            unit.begin(1)
            asyncio.get_running_loop().call_soon(ended, None, StoreError("cannot write: broken"))
        else:
            super().run(unit, ended)


async def test_a_first_start_that_the_store_could_not_take_is_taken_later() -> None:
    store = Failing()
    async with hosting(store) as host:
        store.broken = True
        with pytest.raises(StoreError):
            await asyncio.wait_for(host.add(NEW), 10)
        store.broken = False
        host.advance(0.5)
        await host.quiet()
        assert host.states("m") == ["new"]


# --- verbs at once ----------------------------------------------------------------------------------------------------------


async def test_a_restart_does_what_it_says_whatever_verbs_come_between(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await host.add(COUNTER)
        verbs = host.supervisor
        for n in range(10):
            life = verbs.machines["m"].life
            given = (verbs.restart, verbs.restart, verbs.start, (verbs.stop, verbs.pause)[n % 2], verbs.restart)
            ends = await asyncio.gather(*(give("m") for give in given), return_exceptions=True)
            told = [end for end, give in zip(ends, given, strict=True) if give == verbs.restart]
            assert [end for end in told if isinstance(end, BaseException)] == []
            assert verbs.machines["m"].life >= life + 3


async def test_two_restarts_at_once_of_what_could_not_be_restored_are_both_answered(tmp_path: Path) -> None:
    """However long its new action lasts."""
    text = "machine: m\nstates: {a: {actions: [{type: sleep, duration: 3600}]}}"
    async with hosting(tmp_path / "s.db", verify=False) as host:
        await host.add(text)
    damaged = """CAST(replace(CAST(snapshot AS TEXT), '["a"]', '["zz"]') AS BLOB)"""
    change(tmp_path / "s.db", f"UPDATE machines SET snapshot = {damaged}")
    async with hosting(tmp_path / "s.db", verify=False) as host:
        assert host.supervisor.machines["m"].lost
        await asyncio.wait_for(asyncio.gather(*(host.supervisor.restart("m") for _ in range(2))), 30)
        assert host.supervisor.view("m").status == "running"
