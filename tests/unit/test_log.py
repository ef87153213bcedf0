"""The daemon's log takes in what others report."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
import threading
from typing import Any

import pytest
from structlog.testing import capture_logs

from smd.log import LoopTrouble

OTHERS = """
import logging, sys, warnings
from smd import log
log.set_up({level!r}, {form!r})
theirs = logging.getLogger("theirs")
theirs.debug("small %s", "talk")
theirs.info("hello %s", "you")
theirs.log(25, "between two levels")
try:
    raise ValueError("bad\\nworse")
except ValueError:
    theirs.exception("it failed")
logging.getLogger("aiosqlite").debug("executing")
warnings.warn("old way")
"""


def others(level: str, form: str) -> str:
    """What a process whose libraries log has on standard error."""
    script = OTHERS.format(level=level, form=form)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return done.stderr


def test_the_standard_librarys_records_are_lines_of_json() -> None:
    lines = [json.loads(line) for line in others("info", "json").splitlines()]
    assert [(line["level"], line["event"], line["logger"]) for line in lines[:3]] == [
        ("info", "hello you", "theirs"), ("info", "between two levels", "theirs"), ("error", "it failed", "theirs"),
    ]  # fmt: skip
    assert "ValueError: bad" in lines[2]["exception"]
    assert (lines[3]["level"], lines[3]["logger"]) == ("warning", "py.warnings")
    assert "old way" in lines[3]["event"]
    assert len(lines) == 4
    assert all(line["timestamp"].endswith("Z") for line in lines)


def test_a_record_of_a_users_action_says_whose_it_is() -> None:
    script = "import logging\nfrom smd import log\nlog.set_up('info', 'json')\n"
    script += "logging.getLogger('theirs').info('x', extra={'machine': 'm', 'action': 'a'})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    line = json.loads(done.stderr)
    assert (line["event"], line["machine"], line["action"]) == ("x", "m", "a")


def test_their_level_is_the_daemons() -> None:
    told = others("debug", "json")
    assert "small talk" in told
    assert "executing" not in told  # what says nothing, twice a commit
    assert [json.loads(line)["event"] for line in others("error", "json").splitlines()] == ["it failed"]


def test_the_form_for_people_has_their_tracebacks() -> None:
    told = others("info", "console")
    assert "hello you" in told
    assert told.count("Traceback") == 1


class Lines:
    """Takes lines of the log; `until` waits for a number of them."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.came = asyncio.Event()

    def __call__(self, _logger: Any, _method: str, line: Any) -> Any:
        self.lines.append(dict(line))
        self.came.set()
        return line

    async def until(self, count: int) -> None:
        while len(self.lines) < count:
            self.came.clear()
            await self.came.wait()


@pytest.mark.asyncio
async def test_the_same_trouble_of_the_loop_is_told_once_and_then_counted() -> None:
    loop, lines, trouble = asyncio.get_running_loop(), Lines(), LoopTrouble(0.01)
    shortage = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    with capture_logs(processors=[lines]):
        for _ in range(3):
            trouble(loop, {"message": "Fatal read error", "exception": shortage})
        trouble(loop, {"message": "another"})
        assert [line["event"] for line in lines.lines] == ["Fatal read error", "another"]
        await lines.until(3)
        assert lines.lines[2] == lines.lines[0] | {"left_out": 2}

        forgotten = asyncio.Event()
        loop.call_later(0.02, forgotten.set)  # after the second look, at which there was nothing new
        await forgotten.wait()
        trouble(loop, {"message": "another"})
        assert "left_out" not in lines.lines[3]


@pytest.mark.asyncio
async def test_a_mistake_found_by_the_loop_keeps_its_traceback() -> None:
    loop, lines = asyncio.get_running_loop(), Lines()
    loop.set_exception_handler(LoopTrouble())
    with capture_logs(processors=[lines]):
        loop.call_soon(lambda: 1 // 0)
        await lines.until(1)
    (line,) = lines.lines
    assert isinstance(line["exc_info"], ZeroDivisionError)
    assert "handle" in line["about"]


def test_trouble_is_told_from_any_thread_and_after_the_loop_has_closed() -> None:
    trouble, lines = LoopTrouble(), Lines()
    loop = asyncio.new_event_loop()
    with capture_logs(processors=[lines]):
        finder = threading.Thread(target=trouble, args=(loop, {"message": "lost"}))
        finder.start()
        finder.join()
        loop.close()
        trouble(loop, {"message": "late"})
    assert [line["event"] for line in lines.lines] == ["lost", "late"]
