"""A store whose file is deleted, moved or replaced while it is in use: what would be lost is refused."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest

from smd.errors import StoreError
from smd.statechart.event import Event
from smd.store.base import Enqueue
from smd.store.sqlite import SqliteStore
from tests.store.units import add_machines, ask

pytestmark = pytest.mark.asyncio


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    await add_machines(store, "m")
    return store


def empty(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.unlink()


async def refused(store: SqliteStore) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await ask(store, Enqueue("m", Event("go"), 1.0))
    return caught.value


async def test_what_is_written_to_a_deleted_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    store = await opened(folder / "s.db")
    told: asyncio.Queue[StoreError | None] = asyncio.Queue()
    store.trouble.listener = told.put_nowait
    store.note_up(1.0)
    await ask(store, Enqueue("m", Event("go"), 1.0))
    shutil.rmtree(folder)
    store.note_up(2.0)
    error = await refused(store)
    assert "was deleted, moved or replaced" in error.message
    assert (await asyncio.wait_for(told.get(), 20)) is store.trouble.error is not None
    await store.close()


async def test_work_goes_on_once_the_file_is_back(tmp_path: Path) -> None:
    folder, away = tmp_path / "state", tmp_path / "away"
    folder.mkdir()
    store = await opened(folder / "s.db")
    turned: asyncio.Queue[StoreError | None] = asyncio.Queue()
    store.trouble.listener = turned.put_nowait
    folder.rename(away)
    store.note_up(1.0)
    assert await asyncio.wait_for(turned.get(), 20) is not None
    await refused(store)
    away.rename(folder)
    assert await asyncio.wait_for(turned.get(), 20) is None
    assert await ask(store, Enqueue("m", Event("go"), 1.0)) == (1, None)
    await store.close()


async def test_the_end_of_a_daemon_whose_file_was_replaced_harms_the_new_one_in_nothing(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    old = await opened(file)
    empty(tmp_path)
    new = await opened(file)
    old.note_up(1.0)
    await refused(old)
    assert await ask(new, Enqueue("m", Event("go"), 1.0)) == (1, None)
    await old.close()
    reader = sqlite3.connect(file)
    assert reader.execute("SELECT count(*) FROM journal").fetchone() == (1,)
    reader.close()
    new.note_up(2.0)
    assert await ask(new, Enqueue("m", Event("go"), 1.0)) == (2, None)
    await new.close()


async def test_a_file_that_cannot_be_looked_at_is_not_held_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(tmp_path / "s.db")

    def forbid(_: Path) -> None:
        raise PermissionError

    with monkeypatch.context() as shut:
        shut.setattr(Path, "stat", forbid)
        store.note_up(1.0)
        assert await ask(store, Enqueue("m", Event("go"), 1.0)) == (1, None)
    await store.close()
