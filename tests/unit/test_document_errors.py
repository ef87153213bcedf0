"""`smd.document`: every mistake with its code, its place and its hint."""

from __future__ import annotations

from typing import Any

import pytest

from smd.document import CODES, DocumentError, Problem, chart_from_plain, check_document, load_document, render_problems
from smd.yaml_source import MAX_PROBLEMS
from tests.unit.document_mistakes import CASES, Case
from tests.unit.document_warnings import FILES, WARNINGS


def place_of(marked: str) -> tuple[str, int, int]:
    before, _, after = marked.partition("^")
    lines = before.split("\n")
    return before + after, len(lines), len(lines[-1]) + 1


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.code}-{c.path or c.message}")
def test_each_mistake_is_told_once_with_code_place_path_message_and_hint(case: Case) -> None:
    text, line, column = place_of(case.text)
    found = check_document(text, "f.yaml", custom=("mine",))
    assert [(p.code, p.line, p.column, p.path) for p in found] == [(f"smd-{case.code}", line, column, case.path)]
    assert case.message in found[0].message
    assert case.hint in found[0].hint
    with pytest.raises(DocumentError) as caught:
        load_document(text, "f.yaml", custom=("mine",))
    assert caught.value.problems == found


def test_every_code_has_a_case() -> None:
    assert {f"smd-{case.code}" for case in (*CASES, *WARNINGS)} == set(CODES)


@pytest.mark.parametrize("case", WARNINGS, ids=lambda c: f"{c.code}-{c.path}")
def test_each_warning_is_told_once_and_keeps_nothing_from_loading(case: Case) -> None:
    text, line, column = place_of(case.text)
    (found,) = check_document(text, "f.yaml", custom=FILES)
    assert (found.code, found.severity, found.line, found.column, found.path) == (
        f"smd-{case.code}", "warning", line, column, case.path,
    )  # fmt: skip
    assert case.message in found.message
    assert case.hint in found.hint
    told: list[Problem] = []
    load_document(text, "f.yaml", custom=FILES, warned=told.append)
    assert told == [found]


def test_a_mistake_is_told_beside_any_number_of_warnings() -> None:
    start = "{type: start_fsm, yaml_path: p, machine_name: n, additional_args: [x]}, "
    found = check_document(f"states: {{a: {{actions: [{start * (MAX_PROBLEMS + 5)}{{type: lok}}]}}}}", "f.yaml")
    assert [p.code for p in found if p.severity == "error"] == ["smd-E301"]


WRONG = {
    "log": [
        ("level", "5"),
        ("repeatable", "maybe"),
        ("run_policy", "often"),
        ("params", "x"),
        ("if", "true"),
        ("success", "5"),
    ],
    "bash": [
        ("command", "''"),
        ("command", "[ls]"),
        ("shell", "zsh"),
        ("allow_dash", "2"),
        ("roots", "x"),
        ("roots", "['{x}']"),
        ("error_mappings", "{x: e}"),
        ("error_mappings", "{'1': null}"),
        ("env", "5"),
        ("store_as", "'{x}'"),
        ("kill_after", "soon"),
        ("success", "'{x}'"),
        ("timeout", "never"),
    ],
    "run": [("command", "ls"), ("command", "[]"), ("command", "[ls, null]"), ("command", "[5]")],
    "add_job": [("priority", "high"), ("priority", "1.5"), ("priority", "true")],
    "assign": [("set", "{}"), ("set", "{a: [1]}"), ("set", "{a..b: '1'}")],
    "send_event": [("target", "[]"), ("target", "[5]")],
    "check_machine_state": [("timeout_seconds", "'5'"), ("expected_states", "a")],
}
REQUIRED = {
    "bash": "command: ls",
    "run": "command: [ls]",
    "add_job": "job_type: t",
    "assign": "set: {a: '1'}",
    "send_event": "target: t",
    "check_machine_state": "target_machine: m",
    "log": "message: m",
}


@pytest.mark.parametrize(("type_", "key", "value"), [(t, k, v) for t, pairs in WRONG.items() for k, v in pairs])
def test_parameters_of_the_wrong_type_are_refused(type_: str, key: str, value: str) -> None:
    required = REQUIRED[type_] if not REQUIRED[type_].startswith(f"{key}:") else "description: d"
    found = check_document(f"states: {{a: {{actions: [{{type: {type_}, {required}, {key}: {value}}}]}}}}", "f")
    assert [(p.code, p.path) for p in found] == [("smd-E304", f"states.a.actions[0].{key}")]


@pytest.mark.parametrize(
    "action",
    [
        "{type: sleep, duration: '{d}'}",
        "{type: add_job, job_type: '{t}', priority: '{p|int}'}",
        "{type: send_event, target: '{t}', delay: '{d}'}",
        "{type: check_machine_state, target_machine: '{m}', expected_states: '{list}', timeout_seconds: '{t}'}",
        "{type: set_context, key: k, value: null}",
        "{type: log, message: [1, {a: b}]}",
        "{type: log, level: null}",
        "{type: run, command: [ls], env: {PATH: /bin, A: '{x}', GIT_AUTHOR_NAME: '{u}', N: null, L: [1, {a: b}]}}",
        "{type: run, command: [ls], cwd: '{dir}', roots: [/srv]}",
        "{type: bash, command: ls, limits: {cpu: 1m, memory: 64M, nofile: '{n}', fsize: 10, nproc: null}}",
        "{type: bash, shell: bash, command: 'echo $((N))', env: {N: '{n|int}'}}",
        "{type: bash, command: 'echo $((N)) \"$A\"', env: {N: '{n|int}', A: '{a}'}}",
    ],
)
def test_values_known_only_later_and_any_values_pass(action: str) -> None:
    assert check_document(f"states: {{a: {{actions: [{action}]}}}}", "f") == []


def test_mistakes_of_all_kinds_are_told_at_once_in_the_order_of_their_places() -> None:
    text = """\
initail: x
states:
  a:
    busy: quue
    on: {e: nowhere, f: 5}
    entry: [{type: sleep}, {typ: log}, {type: nothing}]
  a.b: {always: {to: a, if: "1 +"}}
transitions:
  - 5
  - {from: a, to: there, event: e}
a: &a {<<: 5}
"""
    found = check_document(text, "f.yaml")
    assert [(p.code, p.line) for p in found] == [
        ("smd-E101", 1),
        ("smd-E102", 4),
        ("smd-E202", 5),
        ("smd-E103", 5),
        ("smd-E305", 6),
        ("smd-E104", 6),
        ("smd-E301", 6),
        ("smd-E401", 7),
        ("smd-E103", 9),
        ("smd-E202", 10),
        ("smd-E101", 11),
        ("smd-E005", 11),
    ]
    assert found[5].path == "states.a.entry[1]"
    assert found[6].path == "states.a.entry[2].type"
    assert found[9].path == "transitions[1].to"


def test_a_mistake_in_a_row_for_many_states_is_told_once() -> None:
    text = 'states: {a: , b: , c: }\ntransitions: [{from: "*", event: e, actions: [{type: sleep}]}]'
    assert len(check_document(text, "f")) == 1


def test_rows_for_any_state_cannot_multiply_without_bound() -> None:
    rows = ",".join(f"{{from: '*', to: a{n}, event: e}}" for n in range(400))
    found = check_document(f"transitions: [{rows}]", "f")
    assert [(p.code, p.path) for p in found] == [("smd-E006", "transitions")]


def test_of_very_many_mistakes_the_first_thousand_are_told() -> None:
    text = "states: {a: }\n" + "".join(f"k{n}: 1\n" for n in range(20_000))
    assert len(check_document(text, "f")) == MAX_PROBLEMS == 1000


def test_a_wrong_state_does_not_make_its_name_unknown() -> None:
    found = check_document("states: {a: 5, b: {on: {e: a}}}", "f")
    assert [p.code for p in found] == ["smd-E103"]


def test_problems_are_rendered_like_a_compilers() -> None:
    text = "states:\n  busy:\n    after: {5s: busy}\n    busy: quue\n"
    with pytest.raises(DocumentError) as caught:
        load_document(text, "w.yaml")
    assert caught.value.render() == (
        "w.yaml:4:11: error[smd-E102]: states.busy.busy: must be 'restart', 'queue' or 'ignore' (got 'quue')\n"
        "        busy: quue\n"
        "              ^\n"
        "hint: did you mean 'queue'?"
    )
    assert str(caught.value).startswith("cannot load w.yaml: 1 problem\nw.yaml:4:11: error[smd-E102]")
    assert (caught.value.code, caught.value.hint) == ("invalid_document", "did you mean 'queue'?")


def test_the_caret_stands_under_its_place_in_tabs_and_long_lines() -> None:
    text = "states: {a: }\nname: " + "x" * 300 + "\nmachine: \t5"
    (problem,) = check_document(text, "f")
    assert render_problems([problem], text).splitlines()[1:] == ["    machine: \t5", "             \t^"]
    long = "states: {a: }\nmetadata: {x: " + "y" * 300 + ", machine_name: 5}"
    (problem,) = check_document(long, "f")
    _, line, caret = render_problems([problem], long).splitlines()
    assert line[caret.index("^")] == "5"
    assert len(line) <= 124


def test_stored_documents_have_problems_without_lines() -> None:
    with pytest.raises(DocumentError) as caught:
        chart_from_plain({"states": {"a": {"on": {"e": "b"}}}})
    (problem,) = caught.value.problems
    assert str(problem) == "the stored chart: error[smd-E202]: states.a.on.e: unknown state 'b'"
    assert caught.value.render().splitlines()[0] == str(problem)


@pytest.mark.parametrize(
    ("plain", "code"),
    [
        ([], "E100"),
        ({"states": {1: {}}}, "E004"),
        ({"states": {"a": {}}, "context": {"x": float("nan")}}, "E007"),
        ({"states": {"a": {}}, "context": {"x": object()}}, "E007"),
        ({"states": {"a": {}}, "context": {"x": 2**63}}, "E007"),
        ({"states": {"a": {}}, "context": {"x": "\0"}}, "E007"),
        ({"states": {"a": {}}, "context": {"x": [0] * 100_001}}, "E006"),
    ],
)
def test_stored_documents_must_be_json(plain: Any, code: str) -> None:
    with pytest.raises(DocumentError) as caught:
        chart_from_plain(plain)
    assert [p.code for p in caught.value.problems] == [f"smd-{code}"]


def test_stored_documents_take_any_action_type_unless_told_which_exist() -> None:
    plain = {"states": {"a": {"actions": [{"type": "mine"}]}}}
    assert chart_from_plain(plain).states["a"].sequence[0].custom
    with pytest.raises(DocumentError, match="unknown action type 'mine'"):
        chart_from_plain(plain, custom=("other",))


@pytest.mark.parametrize("text", ["- error_mappings: {5: x}", "- after: {5: x}", "error_mappings: {5: x}", "{5: x}"])
def test_bare_numbers_are_no_keys_outside_of_actions_and_states(text: str) -> None:
    assert "smd-E004" in [p.code for p in check_document(text, "f")]


@pytest.mark.parametrize(
    "schema",
    [
        "{}",
        "{properties: {a: {$ref: '#/$defs/b'}, c: {$ref: '#here'}, d: {$ref: '#'}}, $defs: {b: {}, h: {$anchor: here}}}",
        "{properties: {$ref: {type: string}}, const: {$ref: nowhere}, enum: [{$ref: nowhere}]}",
        "{$id: 'http://x/y', $defs: {b: {}}, $ref: 'y#/$defs/b'}",
    ],
)
def test_schemas_of_payloads_may_refer_to_themselves(schema: str) -> None:
    assert check_document(f"states: {{a: }}\nevents: {{e: {{payload: {schema}}}}}", "f") == []


@pytest.mark.parametrize(
    "text",
    [
        "states: {a: {entry: [{type: log, success: null, repeatable: false, run_policy: once}]}}",
        "states: {a: {on: {e: {to: a, actions: [{type: sleep}, {type: log, success: x, repeatable: true}]}}}}",
        "states: {a: {actions: [{type: log, success: x, repeatable: true}]}}",
        "states: {a: {actions: [{type: send_event, target: x, fire_and_forget: true, success: null}]}}",
        "states: [waiting, completed]\ntransitions: [{from: '*', to: completed, event: e}]",
        "states: [waiting, completed]\ntransitions: [{from: completed, to: waiting, event: e}]",
        "metadata: {machine_name: a, machine_nam: b}\nstates: {a: }",
        "metadata: {machine_type: a, name: b, version: 1}\nstates: {a: }",
    ],
)
def test_what_has_an_effect_or_asks_for_none_is_not_warned_of(text: str) -> None:
    assert check_document(text, "f") == []


def test_actions_are_not_blamed_for_rows_that_cannot_be_read() -> None:
    found = check_document("transitions: [{from: waiting, to: busy, event: 5}]\nactions: {busy: [{type: log}]}", "f")
    assert [p.path for p in found] == ["transitions[0].event"]
