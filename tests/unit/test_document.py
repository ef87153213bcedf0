"""`smd.document`: what a correct document becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from smd.document import chart_from_plain, load_document
from smd.statechart.model import (
    ATOMIC,
    COMPOUND,
    FINAL,
    HISTORY_DEEP,
    HISTORY_SHALLOW,
    PARALLEL,
    Restart,
    State,
    Statechart,
)

COMPAT = Path(__file__).parent.parent / "data" / "compat"
CONFIGS = sorted(COMPAT.rglob("*.yaml"))
SHARED = Path(__file__).parents[3] / "shared" / "compat" / "configs"


def load(text: str, custom: tuple[str, ...] = ()) -> Statechart:
    return load_document(text, "some/place/demo.yaml", custom=custom)


def rows_of(state: State) -> list[tuple[tuple[str, ...], list[str]]]:
    return [(t.events, [target.id for target in t.targets]) for t in state.transitions]


NESTED = """
name: Image worker
machine: worker
initial: waiting
context: {retries: 0}
events:
  new_job: {payload: {type: object}, priority: high, context_map: {file: payload.file}}
  stop:
state_groups: {Main loop: [waiting, processing]}
states:
  waiting:
    actions: [{type: claim_job, job_type: image}]
    on: {new_job: processing}
  processing:
    initial: convert
    states:
      fetch: {on: {fetched: convert}}
      convert: {on: {converted: saved}}
      saved: {type: final, output: {file: "{context.file}"}}
      last: {type: history, deep: true, default: fetch}
    on:
      done.state.processing: waiting
      cancel: {to: waiting, if: "context.retries < 3", internal: true, actions: [{type: log, message: off}]}
      again: [{to: last, if: "in_state('fetch')"}, processing.fetch, {actions: [{type: log}]}]
    always: {to: failed, if: context.retries > 9}
    after: {10m: failed, 1h: {to: waiting, on_restart: remaining}}
    entry: [{type: log, message: started}]
    exit: [{type: set_context, key: retries, value: 0}]
    busy: queue
  watching:
    type: parallel
    states:
      a: {initial: {to: a2, actions: [{type: assign, set: {x.y: 1 + 1, z: 5}}]}, states: {a1: , a2: }}
      b: {states: {mark: {type: history}, b1: , b2: }}
  failed: {type: final, actions: [{type: bash, command: "true"}]}
restart: {policy: on-failure, delay: 2s, max_delay: 5m, limit: 3 in 1m}
contracts: [{always: context.retries <= 3}, {invariant: "context.retries >= 0"}]
"""


@pytest.fixture(scope="module")
def nested() -> Statechart:
    return load(NESTED)


def test_each_state_has_its_kind_and_place_in_the_tree(nested: Statechart) -> None:
    kinds = {name: (s.kind, s.parent.id if s.parent else None) for name, s in nested.states.items()}
    assert kinds == {
        "": (COMPOUND, None),
        "waiting": (ATOMIC, ""),
        "processing": (COMPOUND, ""),
        "fetch": (ATOMIC, "processing"),
        "convert": (ATOMIC, "processing"),
        "saved": (FINAL, "processing"),
        "last": (HISTORY_DEEP, "processing"),
        "watching": (PARALLEL, ""),
        "a": (COMPOUND, "watching"),
        "a1": (ATOMIC, "a"),
        "a2": (ATOMIC, "a"),
        "b": (COMPOUND, "watching"),
        "mark": (HISTORY_SHALLOW, "b"),
        "b1": (ATOMIC, "b"),
        "b2": (ATOMIC, "b"),
        "failed": (FINAL, ""),
    }


@pytest.mark.parametrize(
    ("state", "initial"),
    [
        ("", ["waiting"]),
        ("processing", ["convert"]),
        ("last", ["fetch"]),
        ("a", ["a2"]),
        ("b", ["b1"]),
        ("mark", ["b1"]),
    ],
)
def test_initial_states_are_those_named_or_the_first_child(nested: Statechart, state: str, initial: list[str]) -> None:
    assert [s.id for s in nested.states[state].initial] == initial


def test_transitions_stand_in_document_order(nested: Statechart) -> None:
    processing = nested.states["processing"]
    assert rows_of(processing) == [
        (("done.state.processing",), ["waiting"]),
        (("cancel",), ["waiting"]),
        (("again",), ["last"]),
        (("again",), ["fetch"]),
        (("again",), []),
        ((), ["failed"]),
        (("timeout(10m)",), ["failed"]),
        (("timeout(1h)",), ["waiting"]),
    ]
    assert [t.order for t in processing.transitions] == list(range(8))
    assert [(t.cond.text if t.cond else None, t.internal) for t in processing.transitions][1:3] == [
        ("context.retries < 3", True),
        ("in_state('fetch')", False),
    ]


def test_after_arms_timers(nested: Statechart) -> None:
    assert nested.states["processing"].timers == (
        ("timeout(10m)", 600.0, "deadline"),
        ("timeout(1h)", 3600.0, "remaining"),
    )


def test_blocks_busy_and_output_are_kept(nested: Statechart) -> None:
    state = nested.states["processing"]
    assert [a.type for a in (*state.entry, *state.exit)] == ["log", "set_context"]
    assert state.busy == "queue"
    assert nested.states["waiting"].busy == ""
    donedata = nested.states["saved"].donedata
    assert donedata is not None
    assert donedata.render(lambda path: ".".join(path)) == {"file": "context.file"}
    ((one, first), (two, second)) = nested.states["a"].initial_content[0].program
    assert (one, first.text, two, second.text) == (("x", "y"), "1 + 1", ("z",), "5")


def test_what_is_said_once_per_chart_is_kept(nested: Statechart) -> None:
    assert (nested.machine, nested.label, nested.flat, nested.context) == (
        "worker",
        "Image worker",
        False,
        {"retries": 0},
    )
    assert nested.events == {
        "new_job": (0, (("file", ("payload", "file")),), {"type": "object"}),
        "stop": (1, (), None),
    }
    assert nested.restart == Restart("on-failure", 2.0, 300.0, 3, 60.0)
    assert [c.text for c in nested.contracts] == ["context.retries <= 3", "context.retries >= 0"]
    assert nested.state_groups == {"Main loop": ("waiting", "processing")}
    assert nested.states["fetch"].at == "some/place/demo.yaml:17:7"


@pytest.mark.parametrize(
    ("text", "machine"),
    [
        ("machine: m", "m"),
        ("metadata: {machine_name: n}", "n"),
        ("machine: m\nmetadata: {machine_name: n}", "m"),
        ("", "demo"),
    ],
)
def test_the_machine_is_named_by_the_document_or_its_file(text: str, machine: str) -> None:
    chart = load(f"{text}\nstates: {{a: }}")
    assert chart.machine == machine
    assert chart_from_plain(chart.source).machine == machine


# --- the flat form ---------------------------------------------------------------------------------------------------


def test_rows_for_any_state_keep_their_place_in_each_top_level_state() -> None:
    chart = load("""
        initial: a
        states: {a: {on: {x: b}, states: {inner: }}, b: {type: final}, c: }
        transitions:
          - {from: a, to: c, event: one}
          - {from: "*", to: b, event: [stop, "timeout(5)"]}
          - {from: [a, c], to: b, event: two}
    """)
    assert rows_of(chart.states["a"]) == [
        (("x",), ["b"]),
        (("one",), ["c"]),
        (("stop", "timeout(5)"), ["b"]),
        (("two",), ["b"]),
    ]
    assert rows_of(chart.states["c"]) == [(("stop", "timeout(5)"), ["b"]), (("two",), ["b"])]
    assert rows_of(chart.states["b"]) == rows_of(chart.states["inner"]) == []
    assert chart.states["c"].timers == (("timeout(5)", 5.0, "deadline"),)


def test_rows_written_before_the_states_come_first() -> None:
    chart = load("transitions: [{from: a, to: a, event: x}]\nstates: {a: {on: {x: b}}, b: }")
    assert rows_of(chart.states["a"]) == [(("x",), ["a"]), (("x",), ["b"])]


def flat(rows: str, states: str = "[waiting, stopped, completed, done]") -> Statechart:
    return load(f"states: {states}\ntransitions: [{rows}]\nactions: {{stopped: [{{type: log}}], done: }}")


@pytest.mark.parametrize(
    ("rows", "kind", "on_stop"),
    [
        ("", FINAL, False),
        ("{from: '*', to: waiting, event: x}", FINAL, False),
        ("{from: stopped, to: stopped, event: x}", FINAL, False),
        ("{from: stopped, event: x, actions: [{type: log}]}", FINAL, False),
        ("{from: stopped, to: waiting, event: x}", ATOMIC, True),
        ("{from: [done, stopped], to: waiting, event: x}", ATOMIC, True),
    ],
)
def test_a_terminal_name_is_final_unless_a_row_from_that_very_state_leads_elsewhere(
    rows: str, kind: str, on_stop: bool
) -> None:
    state = flat(rows).states["stopped"]
    assert (state.kind, state.terminal_on_stop) == (kind, on_stop)
    assert bool(state.transitions) is on_stop
    assert [a.type for a in state.sequence] == ["log"]


def test_terminal_names_mean_nothing_in_the_nested_form() -> None:
    state = load("states: {waiting: , stopped: }").states["stopped"]
    assert (state.kind, state.terminal_on_stop) == (ATOMIC, False)


def test_flat_files_queue_events_for_busy_states_and_begin_in_waiting() -> None:
    chart = flat("")
    assert chart.flat
    assert {s.busy for s in chart.states.values() if s.parent} == {""}
    assert [s.id for s in chart.root.initial] == ["waiting"]


def test_rows_with_the_same_timeout_arm_one_timer() -> None:
    state = flat(
        "{from: waiting, to: done, event: timeout(5)}, {from: '*', to: waiting, event: timeout(5)}, "
        "{from: waiting, to: done, event: timeout(2.5)}"
    ).states["waiting"]
    assert state.timers == (("timeout(5)", 5.0, "deadline"), ("timeout(2.5)", 2.5, "deadline"))


def test_without_a_list_the_states_are_those_that_rows_and_actions_name() -> None:
    chart = load("initial_state: c\ntransitions: [{from: a, to: b, event: x}]\nactions: {b: , c: [{type: log}]}")
    assert list(chart.states) == ["", "a", "b", "c"]
    assert list(load("actions: {waiting: [{type: log}]}").states) == ["", "waiting"]
    alone = load("initial_state: a\ntransitions: [{from: a, to: b, event: x}]\nactions: {a: , other: [{type: log}]}")
    assert list(alone.states) == ["", "a", "b", "other"]
    wild = load('transitions: [{from: "*", to: b, event: x}]')
    assert list(wild.states) == ["", "waiting", "b"]


def test_comment_groups_become_state_groups_and_are_kept_in_the_source() -> None:
    chart = load("""\
states:
  - lonely
  # === INTAKE STATES ===
  - waiting   # the first
  - fetching
  # === DONE ===
  - stopped
transitions: []
""")
    groups = {"INTAKE": ("waiting", "fetching"), "DONE": ("stopped",)}
    assert chart.state_groups == groups
    assert chart_from_plain(chart.source).state_groups == groups


@pytest.mark.parametrize(("comment", "name"), [
    ("MAIN\tLOOP", "MAIN LOOP"), ("A\u00a0 B", "A B"), ("\U0001f468\u200d\U0001f469", "\U0001f468 \U0001f469"),
    ("DATA  IN", "DATA  IN"), ("x" * 256, None), ("\u00e9" * 128, None), ("\u200b", None),
])  # fmt: skip
def test_a_comment_becomes_a_group_whose_name_the_store_gives_back_or_none(comment: str, name: str | None) -> None:
    chart = load(f"states:\n  # === {comment} ===\n  - waiting\n")
    assert chart.state_groups == ({} if name is None else {name: ("waiting",)})
    assert chart_from_plain(chart.source).state_groups == chart.state_groups


def test_groups_of_comments_are_left_out_where_the_store_could_not_give_the_chart_back() -> None:
    text = "initial_state: s0\nstates:\n" + "".join(f"  # === G{n} ===\n  - s{n}\n" for n in range(40_000))
    chart = load(text)
    assert chart.state_groups == {}
    assert len(chart_from_plain(chart.source).states) == 40_001


def test_a_chart_as_large_as_may_be_comes_back_from_the_store() -> None:
    chart = load_document(f"{{states: [waiting], context: {{k: [{'0,' * 99_990}]}}}}", "demo.yaml")
    assert chart_from_plain(chart.source).machine == "demo"


def test_every_key_of_the_predecessor_is_accepted() -> None:
    chart = load("""
        {name: n, description: d, initial_state: a, metadata: {machine_name: m, name: x, version: 1.0, job_type: t},
         template: true, states: [a], state_groups: {g: [a]}, events: {e: {context_map: {k: payload.a.b}}, f: },
         transitions: [], actions: {a: }, actions_root: actions, known_context: [k]}
    """)
    assert (chart.template, chart.machine, chart.label) == (True, "m", "n")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: "-".join(p.relative_to(COMPAT).parts[::2]))
def test_the_predecessors_examples_load_and_load_again_from_the_store(path: Path) -> None:
    chart = load_document(path.read_bytes(), str(path), custom=("greet", "calculate"))
    again = chart_from_plain(chart.source)
    assert chart.flat
    assert (again.hash, again.machine) == (chart.hash, chart.machine)
    assert [s.digest for s in again.states.values()] == [s.digest for s in chart.states.values()]


def test_there_are_five_of_these_examples() -> None:
    assert len(CONFIGS) == 5


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder they were copied from is not beside this checkout")
def test_the_examples_are_unchanged_copies() -> None:
    copies = {path.relative_to(COMPAT): path.read_bytes() for path in CONFIGS}
    assert copies == {path.relative_to(SHARED): path.read_bytes() for path in sorted(SHARED.rglob("*.yaml"))}


# --- identity ----------------------------------------------------------------------------------------------------------


def test_the_hash_is_of_the_content_not_of_the_file_or_its_comments() -> None:
    text = "machine: m\nstates: {a: , b: }"
    same = [load_document(t, f).hash for t, f in ((text, "x.yaml"), (text + " # note", "y/z.yaml"))]
    assert same[0] == same[1] == chart_from_plain(load_document(text, "q.yaml").source).hash
    assert len(same[0]) == 64


def test_files_that_name_no_machine_differ_by_the_name_they_give() -> None:
    text = "states: {a: }"
    one, two = load_document(text, "x/one.yaml"), load_document(text, "y/two.yaml")
    assert one.hash != two.hash
    assert one.hash == load_document(text, "z/one.yaml").hash == chart_from_plain(one.source).hash


def test_the_order_of_states_is_part_of_the_content() -> None:
    assert load("states: {a: , b: }").hash != load("states: {b: , a: }").hash


BASE = {"on": "{go: b}", "actions": "[{type: log}]", "after": "{5s: b}", "rows": "", "inner": ""}


def digests(**changed: str) -> dict[str, str]:
    parts = {**BASE, **changed}
    chart = load(f"""
        states:
          a: {{on: {parts["on"]}, after: {parts["after"]}, actions: {parts["actions"]}, states: {{c: {parts["inner"]}}}}}
          b:
        transitions: [{parts["rows"]}]
    """)
    return {name: s.digest for name, s in chart.states.items() if name}


@pytest.mark.parametrize(
    ("changed", "states"),
    [
        ({}, set()),
        ({"on": "{went: b}"}, {"a"}),
        ({"actions": "[{type: log, level: debug}]"}, {"a"}),
        ({"after": "{6s: b}"}, {"a"}),
        ({"inner": "{busy: queue}"}, {"c"}),
        ({"rows": "{from: a, to: b, event: x}"}, {"a"}),
        ({"rows": "{from: '*', to: b, event: x}"}, {"a", "b"}),
    ],
)
def test_a_state_has_another_digest_iff_its_own_definition_changed(changed: dict[str, str], states: set[str]) -> None:
    before, after = digests(), digests(**changed)
    assert {name for name in before if before[name] != after[name]} == states
