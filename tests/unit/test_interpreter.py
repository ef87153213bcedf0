"""SCXML's algorithm: selection, sets, done events, history. Each test is one rule."""

from __future__ import annotations

import pytest

from smd.document import chart_from_plain
from smd.errors import MachineError
from smd.statechart.effects import Warn
from tests.lab import Lab, chart_of

PARALLEL = """
machine: m
initial: work
states:
  work:
    type: parallel
    states:
      left: {initial: l1, states: {l1: {on: {next: l2}}, l2: {on: {next: l3}}, l3: {type: final}}}
      right: {initial: r1, states: {r1: {on: {next: r2, only: r2}}, r2: {type: final}}}
    on: {done.state.work: over, leave: over}
  over: {}
"""


def test_the_initial_configuration_enters_initial_children() -> None:
    assert Lab("states: {a: {initial: b, states: {c: {}, b: {states: {d: {}}}}}}").states == ["d"]


def test_an_event_moves_every_region_of_a_parallel_state() -> None:
    lab = Lab(PARALLEL)
    assert lab.send("next") == "taken"
    assert lab.states == ["l2", "r2"]


def test_a_region_without_transition_stays() -> None:
    lab = Lab(PARALLEL)
    lab.send("only")
    assert lab.states == ["l1", "r2"]


def test_done_event_of_a_parallel_state_comes_when_all_regions_are_final() -> None:
    lab = Lab(PARALLEL)
    lab.send("next")
    lab.send("next")
    assert lab.states == ["over"]


def test_done_event_of_a_compound_state_carries_output() -> None:
    lab = Lab("""
        context: {n: 7}
        states:
          a:
            states: {b: {on: {go: c}}, c: {type: final, output: {n: "{n}"}}}
            on: {done.state.a: {to: end, actions: [{type: set_context, key: got, value: "{payload.n}"}]}}
          end: {}
        """)
    lab.send("go")
    assert (lab.states, lab.context["got"]) == (["end"], 7)


def test_a_top_level_final_state_finishes_the_machine() -> None:
    lab = Lab("states: {a: {on: {go: z}}, z: {type: final}}")
    lab.send("go")
    assert lab.snapshot.status == "finished"
    assert lab.send("go") == "ignored"
    assert lab.step.code == "finished"


def test_the_inner_transition_wins_over_the_outer() -> None:
    lab = Lab("states: {a: {states: {b: {on: {go: x}}}, on: {go: y}}, x: {}, y: {}}")
    lab.send("go")
    assert lab.states == ["x"]


def test_a_failing_inner_guard_lets_the_outer_transition_act() -> None:
    lab = Lab('states: {a: {states: {b: {on: {go: {to: x, if: "false"}}}}, on: {go: y}}, x: {}, y: {}}')
    lab.send("go")
    assert lab.states == ["y"]


@pytest.mark.parametrize(
    ("descriptor", "event", "matches"),
    [("a.b", "a.b", True), ("a.b", "a.b.c", False), ("a", "a.b", False), ("a.*", "a", True), ("a.*", "a.b.c", True),
     ("a.*", "ab", False), ("'*'", "anything", True)],
)  # fmt: skip
def test_event_descriptors(descriptor: str, event: str, matches: bool) -> None:
    lab = Lab(f"states: {{s: {{on: {{{descriptor}: t}}}}, t: {{}}}}")
    assert lab.send(event) == ("taken" if matches else "ignored")


@pytest.mark.parametrize(
    ("message", "line"),
    [("[1, a, {b: null}]", '[1,"a",{"b":null}]'), ("{a: true}", '{"a":true}'), ("'{l}'", '[1,"é"]'), ("'l={l}'", 'l=[1,"é"]'),
     ("5", "5"), ("true", "True"), ("text", "text")],
)  # fmt: skip
def test_lists_and_maps_are_logged_as_they_read_within_a_text(message: str, line: str) -> None:
    lab = Lab(f"context: {{l: [1, é]}}\nstates: {{a: {{entry: [{{type: log, message: {message}}}]}}}}")
    assert lab.logs == [line]


def test_exit_runs_inner_first_then_content_then_entry_outer_first() -> None:
    log = "[{type: log, message: '%s'}]"
    lab = Lab(f"""
        states:
          a:
            exit: {log % "-a"}
            states: {{b: {{exit: {log % "-b"}, on: {{go: {{to: d, actions: {log % "!"}}}}}}}}}
          c:
            entry: {log % "+c"}
            states: {{d: {{entry: {log % "+d"}}}}}
        """)
    lab.send("go")
    assert lab.logs == ["-b", "-a", "!", "+c", "+d"]


def test_an_internal_transition_does_not_leave_its_source() -> None:
    text = """
        context: {left: 0}
        states:
          a:
            exit: [{type: assign, set: {left: context.left + 1}}]
            states: {b: {}, c: {}}
            on: {in: {to: c, internal: true}, out: {to: c}}
        """
    lab = Lab(text)
    lab.send("in")
    assert (lab.states, lab.context["left"]) == (["c"], 0)
    lab.send("out")
    assert (lab.states, lab.context["left"]) == (["c"], 1)


def test_a_targetless_transition_runs_its_content_and_stays() -> None:
    lab = Lab(
        "context: {n: 0}\nstates: {a: {entry: [{type: log, message: in}], on: {go: {actions: [{type: assign, set: {n: context.n + 1}}]}}}}"
    )
    lab.send("go")
    assert (lab.context["n"], lab.logs) == (1, ["in"])


def test_eventless_transitions_run_until_none_is_enabled() -> None:
    lab = Lab("""
        context: {n: 0}
        states:
          count:
            always:
              - {if: "context.n < 5", actions: [{type: assign, set: {n: context.n + 1}}]}
              - {to: done}
          done: {}
        """)
    assert (lab.states, lab.context["n"]) == (["done"], 5)


def test_raised_events_come_before_the_next_external_event() -> None:
    lab = Lab("""
        states:
          a: {on: {go: {to: b, actions: [{type: raise, event: inner}]}}}
          b: {on: {inner: c}}
          c: {}
        """)
    lab.send("go")
    assert lab.states == ["c"]


@pytest.mark.parametrize(("deep", "expected"), [("true", ["i2"]), ("false", ["i1"])])
def test_history_restores_the_last_configuration(deep: str, expected: list[str]) -> None:
    lab = Lab(f"""
        states:
          out: {{on: {{go: o, back: h}}}}
          o:
            states:
              first: {{}}
              i: {{states: {{i1: {{on: {{next: i2}}}}, i2: {{}}}}}}
              h: {{type: history, deep: {deep}, default: i}}
            on: {{leave: out}}
        """)
    lab.send("back")
    assert lab.states == ["i1"], "the default, as nothing was remembered"
    lab.send("next")
    lab.send("leave")
    lab.send("back")
    assert lab.states == expected


def test_a_chart_that_never_settles_fails_with_its_name() -> None:
    lab = Lab("states: {a: {on: {go: b}}, b: {always: c}, c: {always: b}}")
    before = lab.snapshot
    with pytest.raises(MachineError, match="1000 microsteps") as caught:
        lab.send("go")
    assert caught.value.code == "endless_loop"
    assert lab.snapshot is before


def test_a_failing_guard_is_false_and_raises_error_execution() -> None:
    lab = Lab("""
        states:
          a: {on: {go: {to: b, if: "context.missing > 1"}, error.execution: {to: bad, if: "event.payload.kind == 'guard'"}}}
          b: {}
          bad: {}
        """)
    lab.send("go")
    assert lab.states == ["bad"]


def test_a_failing_guard_is_told_once_with_its_place() -> None:
    text = "states:\n  a:\n    on: {go: {to: b, if: context.missing > 1}}\n  b: {}\n"
    why = "cannot evaluate 'context.missing > 1': "
    for chart, place in (
        (chart_of(text), "test.yaml:3:10"),
        (chart_from_plain(chart_of(text).source), "the stored chart"),
    ):
        lab = Lab(chart)
        lab.send("go")
        (warning,) = [effect.message for effect in lab.effects if isinstance(effect, Warn) and effect.code == "guard"]
        assert warning.startswith(f"guard ({place}): {why}")
        assert warning.count("context.missing > 1") == 1


def test_a_failing_action_ends_its_block_and_raises_error_execution() -> None:
    lab = Lab("""
        states:
          a: {on: {go: {to: b, actions: [{type: assign, set: {x: context.missing}}, {type: log, message: never}]}}}
          b: {on: {error.execution: c}}
          c: {}
        """)
    lab.send("go")
    assert (lab.states, lab.logs) == (["c"], [])


def test_why_an_event_was_ignored_is_told() -> None:
    lab = Lab('states: {a: {on: {x: {to: b, if: "false"}}}, b: {on: {y: a}}}')
    codes = []
    for event in ("x", "y", "z"):
        assert lab.send(event) == "ignored"
        codes.append(lab.step.code)
    assert codes == ["guard_false", "no_transition", "unknown_event"]


def test_context_map_promotes_even_without_a_transition() -> None:
    lab = Lab("events: {heard: {context_map: {text: payload.said, deep: payload.no.such}}}\nstates: {a: {}}")
    assert lab.send("heard", {"said": "hi"}) == "ignored"
    assert lab.context == {"text": "hi"}


def test_start_moves_the_machine_before_its_first_sequence() -> None:
    lab = Lab("states: {a: {actions: [{type: log, message: never}], on: {start: b}}, b: {}}")
    assert (lab.states, lab.logs) == (["b"], [])


def test_a_snapshot_stays_valid_when_later_steps_change_the_context() -> None:
    lab = Lab("context: {m: {n: 1}}\nstates: {a: {on: {go: {actions: [{type: set_context, key: m.n, value: 2}]}}}}")
    before = lab.snapshot
    lab.send("go")
    assert (before.context["m"]["n"], lab.context["m"]["n"]) == (1, 2)


def test_every_event_raises_the_version_by_one() -> None:
    lab = Lab("states: {a: {on: {go: a}}}")
    versions = [lab.snapshot.version]
    for event in ("go", "unknown", "go"):
        lab.send(event)
        versions.append(lab.snapshot.version)
    assert versions == [1, 2, 3, 4]
