"""The state folder: what the daemon makes there is not for others, in whatever order it makes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smd.daemon import Daemon as Service
from smd.settings import Settings, load_settings
from tests.acceptance.daemon import Daemon

TALKER = """
machine: talker
states:
  on: {on: {say: {actions: [{type: log, message: hello}]}}}
"""


@pytest.fixture(autouse=True)
def _usual_mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def settings(state: Path) -> Settings:
    return load_settings((), {}, {"state_dir": state, "ephemeral": True, "datagrams": False})


def modes(*paths: Path) -> list[str]:
    return [f"{path.stat().st_mode & 0o777:o}" for path in paths]


@pytest.mark.asyncio
async def test_folders_have_the_same_mode_every_time(tmp_path: Path) -> None:
    """Those above the state folder are no business of the daemon's."""
    for n in range(20):
        state = tmp_path / f"above{n}" / "state"
        service = Service(settings(state))
        await service.up()
        await service.down()
        assert modes(state.parent, state, state / "logs") == ["755", "750", "750"]


@pytest.mark.asyncio
async def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    service = Service(settings(state))
    await service.up()
    await service.down()
    assert modes(state, state / "logs") == ["755", "750"]


def test_nothing_in_the_state_folder_is_for_others_to_read(start: Callable[..., Daemon]) -> None:
    daemon = start()
    name = daemon.add(TALKER)
    daemon.send(name, "say", wait="settled")
    found = {str(file.relative_to(daemon.state)): file for file in daemon.state.rglob("*") if file.is_file()}
    assert {"smd.db", "smd.db-wal", "smd.db-shm", "smd.db.lock", "logs/talker.log"} <= found.keys()
    assert {name: file.stat().st_mode & 0o007 for name, file in found.items()} == dict.fromkeys(found, 0)
    assert modes(daemon.state, daemon.socket) == ["750", "660"]
    daemon.smctl("stop", name)
    daemon.send(name, "say")
    assert "pending:     1" in daemon.smctl("status", name).out
    assert [view["pending"] for view in daemon.again().get("/v1/machines")["machines"]] == [1]
