"""Stores to test: every promise of `smd.store.base` is checked on each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from smd.store.base import Store
from smd.store.memory import MemoryStore
from smd.store.sqlite import SqliteStore


@pytest_asyncio.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store in which three rows may wait for a machine that is sent something."""
    opened: Store
    if request.param == "sqlite":
        opened = SqliteStore(tmp_path / "smd.db", pending_limit=3)
    else:
        opened = MemoryStore(pending_limit=3)
    await opened.open()
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """An open SQLite store."""
    opened = SqliteStore(tmp_path / "smd.db")
    await opened.open()
    yield opened
    await opened.close()
