"""An action's environment, folder and mask are its own: other machines' commands have those of the daemon's start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from smd.actions.apart import set_apart
from smd.actions.processes import run_tree
from smd.actions.threads import OwnThread
from tests.hosting import hosting
from tests.integration.programs import ENV, MARK
from tests.unit.test_action_leftovers import result_of

pytestmark = pytest.mark.asyncio

SPOILS = """\
import os
class SpoilAction:
    def __init__(self, config): pass
    def execute(self, context):
        os.environ.update(PATH='/nowhere', HOME='/evil', LC_ALL='evil')
        os.umask(0o777)
        os.chdir('/')
        return 'done'
"""
CHART = """
machine: {name}
initial: idle
states:
  idle: {{on: {{go: acting}}}}
  acting:
    actions: [{action}]
    on: {{done: idle, error: failed}}
  failed: {{}}
"""
COMMAND = """{type: bash, command: "echo $PATH; echo $HOME; echo $LC_ALL; umask; pwd -P; ls > made", store_as: out,
  parse: lines, success: done}"""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    environment, mask, folder = dict(os.environ), os.umask(0o022), os.open(".", os.O_PATH)
    os.umask(mask)
    yield
    os.environ.clear()
    os.environ.update(environment)
    os.umask(mask)
    os.fchdir(folder)
    os.close(folder)


async def test_commands_have_what_the_daemon_was_started_with_whatever_an_action_changes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/spoil_action.py").write_text(SPOILS)
    async with hosting(actions_dir=tmp_path / "a", work_folder=tmp_path, verify=False) as host:
        spoiler = await host.add(CHART.format(name="spoiler", action="{type: spoil}"))
        other = await host.add(CHART.format(name="other", action=COMMAND))
        seen = []
        for name in (other, spoiler, other):
            await host.send(name, "go")
            await host.quiet()
            seen.append(host.context(name))
            assert host.states(name) == ["idle"], seen
        assert os.environ["HOME"] == "/evil"
        assert seen[0] == seen[2]
        assert seen[2]["out"][-1].endswith(tmp_path.name)
        assert (tmp_path / "made").stat().st_mode & 0o400


async def test_a_command_has_the_mask_of_the_start_where_threads_cannot_have_their_own(tmp_path: Path) -> None:
    async with hosting():
        before = os.umask(0o777)
        finished = await run_tree(["sh", "-c", "umask"], env=ENV, cwd=tmp_path, mark=MARK)
    assert int(finished.stdout, 8) == before


def changes(_: OwnThread[tuple[str, int]]) -> tuple[str, int]:
    """Folder and mask as found; they are others afterwards."""
    found = str(Path.cwd()), os.umask(0o777)
    os.chdir("/")
    return found


async def test_folder_and_mask_that_an_action_changes_are_nobody_elses() -> None:
    if not await result_of(lambda _: set_apart()):
        pytest.skip("threads may not have a folder of their own here")
    async with hosting():
        mask = os.umask(0o022)
        os.umask(mask)
        for _ in range(3):  # in the same thread, too
            assert await result_of(changes) == (str(Path.cwd()), mask)
