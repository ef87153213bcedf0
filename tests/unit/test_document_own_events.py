"""Events that smd itself causes, and levels of logs: what is mistyped is told, what may come is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from smd.document import check_document

ROOT = Path(__file__).parent.parent.parent
FLAT = "states: [waiting, b]\ntransitions: [{from: waiting, to: b, event: %s}]"
NESTED = "states: {a: {on: {%s: b}}, b: }"
NEAR = """
states:
  a: {initial: x, states: {x: {on: {e: y}}, y: {type: final}, h: {type: history}}, on: {%s: b}}
  b:
    type: parallel
    states:
      r: {states: {u: {on: {e: v}}, v: {type: final}}}
      s: {type: parallel, states: {t: {states: {w: , z: {type: final}}}}}
  c: {states: {n: , m: }}
  d: {type: parallel, states: {o: {states: {k: {type: final}}}, q: }}
"""
PARENT = """
states:
  a: {actions: [{type: start_fsm, yaml_path: c.yaml, %s}], on: {%s: b}}
  b:
"""


def told(text: str) -> list[tuple[str, str, int, int]]:
    return [(p.code, p.path, p.line, p.column) for p in check_document(text, "f.yaml", custom=())]


TIMERS = [
    "timeout(x)",
    "timeout(5",
    "timeout()",
    "timeout(0)",
    "timeout(5) ",
    "timeout(5).*",
    "Timeout(5)",
    "timeout (5)",
]


@pytest.mark.parametrize("event", TIMERS)
def test_a_timer_that_is_none_is_a_mistake_at_its_place(event: str) -> None:
    for event_part, path in ((f"'{event}'", ""), (f"[go, '{event}']", "[1]")):
        text = FLAT % event_part
        column = text.splitlines()[1].index("'") + 1
        assert told(text) == [("smd-E105", f"transitions[0].event{path}", 2, column)]
    text = NESTED % f"'{event}'"
    ((code, path, *place),) = told(text)
    assert (code, path.startswith("states.a.on."), place) == ("smd-E105", True, [1, text.index("'") + 1])


@pytest.mark.parametrize(
    "event", ["timeout(5)", "timeout(2.5)", "timeout(1h30m)", "timeout", "timeouts(5)", "my_timeout(x)"]
)
def test_timers_and_other_names_are_left_alone(event: str) -> None:
    assert told(FLAT % f"'{event}'") == told(NESTED % f"'{event}'") == []


@pytest.mark.parametrize("event", ["done.state.nope", "done.state.b", "done.state.*", "done.state.", "done.machine.x"])
def test_a_done_event_of_nothing_is_warned_of(event: str) -> None:
    (warning,) = check_document(FLAT % event, "f.yaml")
    assert (warning.code, warning.severity, warning.path) == ("smd-W104", "warning", "transitions[0].event")
    assert "never comes" in warning.message
    text = NESTED % f"'{event}'"
    ((code, _, *place),) = told(text)
    assert (code, place) == ("smd-W104", [1, text.index("'") + 1])


@pytest.mark.parametrize("name", ["a", "b", "r", "s", "t", "*", "a.*"])
def test_states_that_can_be_done_are_left_alone(name: str) -> None:
    assert told(NEAR % f"'done.state.{name}'") == []


@pytest.mark.parametrize("name", ["x", "c", "d", "n", "h", "aa"])
def test_states_that_cannot_be_done_are_told(name: str) -> None:
    assert [code for code, *_ in told(NEAR % f"done.state.{name}")] == ["smd-W104"]


def test_the_nearest_state_that_can_be_done_is_named() -> None:
    text = "states: {work: {states: {x: {type: final}}, on: {done.state.wrk: b}}, b: }"
    (warning,) = check_document(text, "f.yaml")
    assert warning.hint == "did you mean 'done.state.work'?"


@pytest.mark.parametrize(
    ("child", "event", "codes"),
    [
        ("machine_name: c", "done.machine.c", []),
        ("machine_name: c", "error.machine.c", []),
        ("machine_name: c", "done.machine.*", []),
        ("machine_name: c", "done.machine.d", ["smd-W104"]),
        ("machine_name: c", "error.machine.d", ["smd-W104"]),
        ("machine_name: '{n}'", "done.machine.d", []),
        ("params: {machine_name: c}", "done.machine.c", []),
        ("params: {machine_name: c}", "done.machine.cc", ["smd-W104"]),
    ],
)
def test_only_children_that_are_started_here_are_awaited(child: str, event: str, codes: list[str]) -> None:
    assert [code for code, *_ in told(PARENT % (child, f"'{event}'"))] == codes


LOG = "states: {a: {actions: [{type: %s, message: m, level: %s}]}}"


@pytest.mark.parametrize("type_", ["log", "activity_log"])
@pytest.mark.parametrize("level", ["loud", "''", "infos"])
def test_a_level_that_is_none_is_a_mistake(type_: str, level: str) -> None:
    (problem,) = check_document(LOG % (type_, level), "f.yaml")
    assert (problem.code, problem.path) == ("smd-E304", "states.a.actions[0].level")
    assert "must be one of debug, info, warning" in problem.message


@pytest.mark.parametrize(
    "level", ["debug", "INFO", "warning", "warn", "error", "critical", "null", "'{context.l}'", "fatal"]
)
def test_levels_the_predecessor_s_too_and_templates_are_left_alone(level: str) -> None:
    assert told(LOG % ("log", level)) == []


def test_a_level_that_the_predecessor_took_for_info_is_warned_of() -> None:
    assert [code for code, *_ in told(LOG % ("log", "success"))] == ["smd-W101"]


@pytest.mark.parametrize(
    "file", sorted([*ROOT.glob("examples/**/*.yaml"), *ROOT.glob("tests/data/**/*.yaml")]), ids=str
)
def test_real_files_are_left_alone(file: Path) -> None:
    found = check_document(file.read_bytes(), str(file), custom=("greet", "mine"))
    assert [p for p in found if p.code in {"smd-E105", "smd-W104"} or "level" in p.path] == []
