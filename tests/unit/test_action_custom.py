"""A user's Python action is contained: it can fail, block and return rubbish, and nothing else is hurt."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from smd.actions.base import Call
from smd.actions.custom import abandoned_threads, perform_custom
from smd.actions.loader import CustomActions, class_name
from smd.errors import SettingsError
from smd.statechart.event import Event, Outcome
from tests.unit.acting import Told, after, call_of

pytestmark = pytest.mark.asyncio

HEAD = """\
import asyncio, sys, threading, time
from smd.actions.custom import BaseAction

class TryAction(BaseAction):
    {define} execute(self, context):
        {body}
"""
BOTH = pytest.mark.parametrize("define", ["async def", "def"])
GATES: dict[str, Any] = {}
"""Where actions of these tests find what they wait for."""


def actions_in(folder: Path, body: str, define: str = "async def", name: str = "try") -> CustomActions:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}_action.py").write_text(HEAD.format(define=define, body=body.replace("\n", "\n        ")))
    return CustomActions([folder])


async def perform(folder: Path, body: str, define: str = "async def", **more: Any) -> tuple[Call, Outcome]:
    call = call_of("try", folder, **more)
    return call, await perform_custom(call, actions_in(folder / "actions", body, define))


@BOTH
async def test_the_returned_text_is_the_event_and_the_changes_are_the_patch(tmp_path: Path, define: str) -> None:
    body = "context['a']['b'] += 1\ndel context['old']\ncontext['t'] = (1, 'x')\nreturn 'went'"
    before = {"a": {"b": 1, "c": 2}, "old": 0}
    call, outcome = await perform(tmp_path, body, define, context=before)
    assert (outcome.ok, outcome.event) == (True, "went")
    assert sorted(outcome.patch) == [("set", ("a", "b"), 2), ("set", ("t",), [1, "x"]), ("unset", ("old",))]
    assert before == {"a": {"b": 1, "c": 2}, "old": 0}
    assert after(call, outcome) == {"a": {"b": 2, "c": 2}, "t": [1, "x"]}


async def test_an_action_that_does_not_call_its_base_class_has_its_logger(tmp_path: Path) -> None:
    (tmp_path / "quiet_action.py").write_text(
        "from smd.actions.custom import BaseAction\n"
        "class QuietAction(BaseAction):\n"
        "    def __init__(self, config):\n"
        "        self.mine = config\n"
        "    def execute(self, context):\n"
        "        context['name'] = self.logger.name.rpartition('.')[2]\n"
    )
    outcome = await perform_custom(call_of("quiet", tmp_path), CustomActions([tmp_path]))
    assert outcome.patch == (("set", ("name",), "QuietAction"),)


@BOTH
@pytest.mark.parametrize("returned", ["None", "''", "False", "0", "{}"])
async def test_nothing_returned_is_no_event(tmp_path: Path, define: str, returned: str) -> None:
    _, outcome = await perform(tmp_path, f"return {returned}", define, success="unused")
    assert (outcome.ok, outcome.event, outcome.patch) == (True, None, ())


FAILURES = {
    "context['kept'] = 1; raise KeyError('who')": "try: KeyError: 'who'",
    "context['kept'] = 1; return 42": "try: it returned 42, a int",
    "context['kept'] = 1; return ['a']": "try: it returned ['a'], a list",
    "context['kept'] = 1; context['x'] = {'y': object()}": "try: cannot keep context key 'x.y': a value of type object",
    "context['kept'] = 1; context['x'] = float('nan')": "try: cannot keep context key 'x': nan is not JSON",
    "context['kept'] = 1; context['x'] = {1, 2}": "try: cannot keep context key 'x': a value of type set",
    "context['kept'] = 1; context['x'] = {1: 2}": "try: cannot keep context key 'x': a map key is 1",
    "context['kept'] = 1; context['x'] = 2**64": "try: cannot keep context key 'x': the integer is beyond",
    "context['kept'] = 1; context['x'] = '\\ud800'": "try: cannot keep context key 'x': the text holds half",
    "context['kept'] = 1; context['x'] = context": "try: cannot keep context key 'x.x",
    "context['kept'] = 1; sys.exit(3)": "try: SystemExit: 3",
    "context['kept'] = 1; raise asyncio.CancelledError": "try: CancelledError",
    "context['kept'] = 1; raise TimeoutError('theirs')": "try: TimeoutError: theirs",
    "context['kept'] = 1; raise StopIteration": "try: ",
}


@BOTH
@pytest.mark.parametrize(("body", "why"), FAILURES.items())
async def test_a_failure_names_action_and_reason_and_keeps_nothing(
    tmp_path: Path, define: str, body: str, why: str
) -> None:
    call, outcome = await perform(tmp_path, body, define, error="sorry")
    assert (outcome.ok, outcome.event) == (False, "sorry")
    assert str(outcome.error).startswith(why)
    assert after(call, outcome) == {"last_error": outcome.error, "last_error_action": "try"}


async def test_the_traceback_of_a_failure_is_in_the_machines_log(tmp_path: Path) -> None:
    told = Told()
    await perform(tmp_path, "raise KeyError('who')", told=told)
    assert any(level == "error" and "in execute" in text and "KeyError" in text for level, text in told.lines)


@BOTH
async def test_an_action_sees_its_machine_its_event_and_both_layouts_of_its_parameters(
    tmp_path: Path, define: str
) -> None:
    body = """\
self.log('hello', 'warning')
context['seen'] = [context['machine_name'], context['current_state'], context['event_data']['payload'],
    self.config['mode'], self.config['params']['mode'], self.get_config_value('deep'), self.config['params']['deep'],
    self.get_config_value('none', 'default'), self.get_machine_name(context), self.get_description()]
self.config['deep'].append('x'); context['event_data']['payload']['n'] = 2"""
    told, event, context = Told(), Event("go", {"n": 1}), {"items": [1]}
    more = {"mode": "fast", "params": {"mode": "slow", "deep": "{items}"}, "description": "Tries"}
    call, outcome = await perform(tmp_path, body, define, event=event, context=context, told=told, **more)
    deep = [1, "x"]
    assert after(call, outcome)["seen"] == ["m", "a", {"n": 2}, "fast", "fast", deep, deep, "default", "m", "Tries"]
    assert (event.payload, context) == ({"n": 1}, {"items": [1]})
    assert ("warning", "hello") in told.lines


@BOTH
async def test_a_time_out_is_a_failure(tmp_path: Path, define: str) -> None:
    GATES["time out"] = gate = threading.Event()
    wait = (
        "await asyncio.sleep(1000)"
        if define == "async def"
        else f"from {__name__} import GATES; GATES['time out'].wait()"
    )
    _, outcome = await perform(tmp_path, wait, define, timeout=0.05)
    gate.set()
    assert outcome.error == "try: timed out after 0.05 s"


async def test_a_coroutine_is_cancelled_where_it_waits(tmp_path: Path) -> None:
    ended: list[bool] = []
    GATES["coroutine"] = (entered := threading.Event(), ended)
    body = """\
entered, ended = GATES['coroutine']
entered.set()
try:
    await asyncio.sleep(1000)
finally:
    ended.append(True)"""
    task = asyncio.ensure_future(perform(tmp_path, f"from {__name__} import GATES\n{body}"))
    await asyncio.to_thread(entered.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_blocking_work_leaves_the_loop_alone_and_is_abandoned_and_counted_when_cancelled(tmp_path: Path) -> None:
    GATES["blocked"] = (entered, gate) = (threading.Event(), threading.Event())
    body = f"from {__name__} import GATES\nGATES['blocked'][0].set(); GATES['blocked'][1].wait()\nreturn 'late'"
    task = asyncio.ensure_future(perform(tmp_path, body, "def"))
    await _until(entered.is_set)
    assert abandoned_threads("m") == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert abandoned_threads("m") == 1
    gate.set()
    await _until(lambda: abandoned_threads("m") == 0)


async def _until(holds: Any) -> None:
    """Let the loop turn until something holds; the test's time limit bounds it."""
    while not holds():  # noqa: ASYNC110 - another thread cannot set an event of this loop
        await asyncio.sleep(0)


# --- loading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"), [("greet", "GreetAction"), ("http_api", "HttpApiAction"), ("a1_b", "A1BAction")]
)
async def test_the_class_is_the_type_in_camel_case(name: str, expected: str) -> None:
    assert class_name(name) == expected


async def test_files_are_found_at_any_depth_and_later_folders_win(tmp_path: Path) -> None:
    for path in ("one/x_action.py", "one/deep/er/y_action_action.py", "two/x_action.py", "one/other.py"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"class XAction: where = {path!r}\nclass YAction: where = {path!r}")
    actions = CustomActions([tmp_path / "one", tmp_path / "two"])
    assert actions.types() == {"x", "y"}
    assert actions.get("x").make.where == "two/x_action.py"
    assert actions.get("y").make.where == "one/deep/er/y_action_action.py"


async def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such folder"):
        CustomActions([tmp_path / "gone"])


async def test_a_file_is_executed_once_and_its_neighbours_can_be_imported(tmp_path: Path) -> None:
    folder = tmp_path / "neighbourly"
    folder.mkdir()
    (folder / "helper.py").write_text("count = []")
    (folder / "try_action.py").write_text(
        "from neighbourly.helper import count\ncount.append(1)\n"
        "class TryAction:\n  def __init__(self, config): pass\n  def execute(self, context): context['n'] = len(count)"
    )
    actions = CustomActions([folder])
    for _ in range(2):
        call = call_of("try", tmp_path)
        assert after(call, await perform_custom(call, actions)) == {"n": 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [("def (", "SyntaxError"), ("import nothing_of_that_name", "ModuleNotFoundError"), ("raise SystemExit", "SystemExit"),
     ("class Try: pass", "it has no class TryAction")],
)  # fmt: skip
async def test_a_file_that_cannot_be_loaded_is_named_and_read_again_when_corrected(
    tmp_path: Path, text: str, why: str
) -> None:
    actions = actions_in(tmp_path / "broken", "return 'fine'")
    file = tmp_path / "broken" / "try_action.py"
    good = file.read_text()
    file.write_text(text)
    told = Told()
    outcome = await perform_custom(call_of("try", tmp_path, told=told), actions)
    assert str(file) in str(outcome.error)
    assert why in str(outcome.error)
    assert told.lines
    file.write_text(good + "# corrected")
    assert (await perform_custom(call_of("try", tmp_path), actions)).event == "fine"


async def test_an_unknown_type_is_a_failure(tmp_path: Path) -> None:
    outcome = await perform_custom(call_of("try", tmp_path), CustomActions())
    assert "no file try_action.py" in str(outcome.error)
