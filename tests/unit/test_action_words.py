"""What a Python action says: its log, and the words of its failures, whatever they are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smd.actions.custom import begin_custom, perform_custom
from smd.actions.loader import CustomActions
from tests.unit.acting import Told, after, call_of

pytestmark = pytest.mark.asyncio


async def test_what_an_action_logs_is_told_in_order_before_its_outcome(tmp_path: Path) -> None:
    (tmp_path / "say_action.py").write_text(
        "from smd.actions.custom import BaseAction\nclass SayAction(BaseAction):\n"
        "  async def execute(self, context):\n    for n in range(50): self.log(str(n))\n    raise KeyError('end')"
    )
    told = Told()
    heard = asyncio.get_running_loop().create_future()
    call = call_of("say", tmp_path, told=told)
    begin_custom(call, lambda outcome: heard.set_result((outcome, len(told.lines))), CustomActions([tmp_path]))
    outcome, lines = await heard
    assert [text for _, text in told.lines[:50]] == [str(n) for n in range(50)]
    assert lines == len(told.lines) == 51
    assert after(call, outcome)["last_error"] == "say: KeyError: 'end'"


async def test_whatever_an_action_logs_is_told_as_text(tmp_path: Path) -> None:
    (tmp_path / "say_action.py").write_text(
        "from smd.actions.custom import BaseAction\nclass SayAction(BaseAction):\n"
        "  def execute(self, context): self.log(KeyError('x')); self.log(3, level=None)"
    )
    told = Told()
    assert (await perform_custom(call_of("say", tmp_path, told=told), CustomActions([tmp_path]))).ok
    assert told.lines == [("info", "'x'"), ("None", "3")]


async def broken(folder: Path, words: str, log: Callable[[str, str], None] | None = None) -> Any:
    """What is told of an action that raises an exception with such words."""
    (folder / "mute_action.py").write_text(
        f"import sys\nclass MuteError(Exception):\n  def __str__(self): return {words}\n"
        "class MuteAction:\n  def __init__(self, config): pass\n  def execute(self, context): raise MuteError"
    )
    call = call_of("mute", folder)
    call.log = log or call.log
    heard = asyncio.get_running_loop().create_future()
    begin_custom(call, heard.set_result, CustomActions([folder]))
    return (await heard).error


@pytest.mark.parametrize(("words", "kind"), [("1 / 0", "ZeroDivisionError"), ("sys.exit(3)", "SystemExit")])
async def test_a_failure_that_cannot_be_put_in_words_is_told_all_the_same(
    tmp_path: Path, words: str, kind: str
) -> None:
    assert await broken(tmp_path, words) == f"mute: MuteError, of which no more could be told: {kind}"


async def test_a_failure_that_cannot_be_logged_is_told_all_the_same(tmp_path: Path) -> None:
    why = "mute: MuteError: x (and the log cannot be written: OSError)"
    assert await broken(tmp_path, "'x'", full_disk) == why


def full_disk(_level: str, _message: str) -> None:
    raise OSError(28, "No space left on device")
