"""What a Python action prints and logs reaches its machine's log, in bounded portions; others' words go their way."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from smd.actions import acting
from smd.actions.acting import MOST_WAITING
from smd.actions.custom import perform_custom
from smd.actions.saying import Hearing
from smd.statechart.event import Outcome
from tests.unit.acting import Told, call_of
from tests.unit.test_action_custom import actions_in

pytestmark = pytest.mark.asyncio


async def said(folder: Path, body: str, **more: Any) -> tuple[Outcome, Told]:
    told = Told()
    body = f"import logging\n{body}\nreturn 'done'"
    with Hearing():
        outcome = await perform_custom(call_of("try", folder, told=told), actions_in(folder / "a", body, **more))
    assert outcome.event == "done", outcome.error
    return outcome, told


def printed(told: Told, stream: str) -> bytes:
    return b"".join(data for name, data in told.output if name == stream)


@pytest.mark.parametrize("define", ["async def", "def"])
async def test_what_an_action_prints_is_its_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], define: str
) -> None:
    body = "print('one', 2)\nprint('bad \\udcff', file=sys.stderr)\nsys.stdout.writelines(['a', 'b'])"
    _, told = await said(tmp_path, body, define=define)
    assert printed(told, "stdout") == b"one 2\nab"
    assert printed(told, "stderr") == b"bad \\udcff\n"
    assert capsys.readouterr() == ("", "")


async def test_a_thread_that_the_loop_lends_speaks_for_the_action_and_any_other_for_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = (
        "await asyncio.to_thread(print, 'lent')\nt = threading.Thread(target=print, args=('own',))\nt.start(); t.join()"
    )
    _, told = await said(tmp_path, body)
    assert printed(told, "stdout") == b"lent\n"
    assert capsys.readouterr().out == "own\n"


async def test_an_action_closes_nobodys_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await said(tmp_path, "sys.stdout.close(); sys.stderr.close()")
    sys.stdout.write("mine\n")
    assert capsys.readouterr().out == "mine\n"


class Kept(logging.Handler):
    """Keeps the records that reach the process's log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


async def test_records_of_an_action_are_lines_with_their_level_and_say_whose_they_are(tmp_path: Path) -> None:
    kept = Kept()
    logging.getLogger().addHandler(kept)
    body = (
        "self.logger.error('no %s', 'way')\nself.logger.warning('well')\n"
        "try: int('x')\nexcept ValueError: logging.getLogger('lib').exception('why')"
    )
    try:
        _, told = await said(tmp_path, body)
        logging.getLogger("mine").error("mine")
    finally:
        logging.getLogger().removeHandler(kept)
    assert told.lines[:2] == [("error", "no way"), ("warning", "well")]
    level, text = told.lines[2]
    assert (level, text.splitlines()[0], text.splitlines()[-1][:10]) == ("error", "why", "ValueError")
    assert len(told.lines) == 3
    whose = [(getattr(each, "machine", None), getattr(each, "action", None)) for each in kept.records]
    assert whose == [("m", "try")] * 3 + [(None, None)]


async def test_the_order_of_what_is_said_and_the_answer_is_kept(tmp_path: Path) -> None:
    _, told = await said(tmp_path, "self.log('1')\nself.logger.error('2')\nself.log('3', 'debug')")
    assert told.lines == [("info", "1"), ("error", "2"), ("debug", "3")]


class Signalling(threading.Condition):
    """Tells that somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.set()
        return super().wait(timeout)


@pytest.mark.parametrize("say", ["print('x' * 99)", "self.log('x' * 99)", "self.logger.error('x' * 99)"])
async def test_a_flood_waits_for_the_loop_and_is_written_in_portions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: str
) -> None:
    room = Signalling()
    monkeypatch.setattr(acting, "_room", room)
    loop = asyncio.get_running_loop()
    held: list[bool] = []
    loop.call_later(0, lambda: held.append(room.waits.wait(20)))  # the loop writes nothing before somebody waits
    _, told = await said(tmp_path, f"for _ in range(5000): {say}")
    assert held == [True]
    assert len(printed(told, "stdout")) + sum(len(text) + 1 for _, text in told.lines) == 500_000
    assert all(len(data) <= 2 * MOST_WAITING for _, data in told.output)


async def test_a_stream_that_somebody_else_put_in_place_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sys.stdout
    with Hearing():
        assert sys.stdout is not before
    assert sys.stdout is before
    other = threading.Lock()
    with Hearing():
        monkeypatch.setattr(sys, "stdout", other)
    assert sys.stdout is other
