"""When the daemon was last up: noted without a commit, known to the next opening."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from smd.errors import StoreError
from smd.store.base import Store
from smd.store.memory import MemoryStore
from smd.store.sqlite import SqliteStore

pytestmark = pytest.mark.asyncio


def again(store: Store, path: Path) -> Store:
    """What opens the closed store once more."""
    return store if isinstance(store, MemoryStore) else SqliteStore(path)


async def test_the_last_note_is_known_at_once_and_after_an_opening(store: Store, tmp_path: Path) -> None:
    """Exactly, also when it is earlier than the one before (the clock was set back) or shorter in digits."""
    assert store.up_until == 0.0
    for now in (1_700_000_000.1234567, 1_600_000_000.5, 7.0):
        store.note_up(now)
        assert store.up_until == now
        await store.close()
        store = again(store, tmp_path / "smd.db")
        await store.open()
        assert store.up_until == now
    await store.close()


async def test_a_note_needs_an_open_store(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreError, match="the store is not open"):
        store.note_up(1.0)
    assert store.up_until == 0.0


async def test_an_opening_without_a_note_keeps_the_last_one(tmp_path: Path) -> None:
    for now in (5.0, None, None):
        store = SqliteStore(tmp_path / "smd.db")
        await store.open()
        if now:
            store.note_up(now)
        await store.close()
    assert store.up_until == 5.0


@pytest.mark.parametrize("text", [b"", b"123\n", b"123\nnan\n", b"123\ninf\n", b"x\xff\nlate\n", b"\n" * 200])
async def test_a_lock_file_that_tells_no_time_is_no_obstacle(tmp_path: Path, text: bytes) -> None:
    """Such as a former version's, which held only the process id."""
    (tmp_path / "smd.db.lock").write_bytes(text)
    store = SqliteStore(tmp_path / "smd.db")
    await store.open()
    assert store.up_until == 0.0
    store.note_up(3.0)
    await store.close()
    assert (tmp_path / "smd.db.lock").read_text() == f"{os.getpid()}\n3.0\n"


async def test_the_holder_is_told_after_a_note(sqlite: SqliteStore, tmp_path: Path) -> None:
    sqlite.note_up(3.0)
    with pytest.raises(StoreError, match=rf"another daemon \(pid {os.getpid()}\) uses it"):
        await SqliteStore(tmp_path / "smd.db").open()
    assert (tmp_path / "smd.db.lock").read_text() == f"{os.getpid()}\n3.0\n"


async def test_a_lock_file_that_is_a_link_is_refused_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "smd.db.lock").symlink_to(tmp_path / "mine")
    with pytest.raises(StoreError, match=r"smd\.db\.lock"):
        await SqliteStore(tmp_path / "smd.db").open()
    assert (tmp_path / "mine").read_text() == "precious"


async def test_a_note_that_fails_says_why_and_leaves_the_last_one(
    sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.note_up(3.0)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("smd.store.lock.os.pwrite", full)
        with pytest.raises(StoreError, match="No space left on device"):
            sqlite.note_up(4.0)
    assert sqlite.up_until == 3.0
    sqlite.note_up(5.0)
    assert sqlite.up_until == 5.0
