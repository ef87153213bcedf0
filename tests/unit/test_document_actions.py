"""`smd.document.actions`: what the actions of a document become."""

from __future__ import annotations

from typing import Any

import pytest

from smd.catalogue import Kind
from smd.document import chart_from_plain, check_document, load_document
from smd.statechart.model import Action, Retry, Statechart


def chart_of(action: str, *, flat: bool = False, custom: tuple[str, ...] = ()) -> Statechart:
    if flat:
        text = f"initial_state: a\nstates: [a]\nactions:\n  a:\n    - {action}"
    else:
        text = f"states:\n  a:\n    actions:\n      - {action}"
    return load_document(text, "f.yaml", custom=custom)


def read(action: str, *, flat: bool = False, custom: tuple[str, ...] = ()) -> Action:
    return chart_of(action, flat=flat, custom=custom).states["a"].sequence[0]


def params(action: Action, **known: Any) -> Any:
    return action.params.render(lambda path: known[path[0]])


def test_parameters_stand_flat_or_under_params_and_the_flat_ones_win() -> None:
    action = read("{type: log, level: debug, params: {message: 'at {x}', level: info}}")
    assert params(action, x=3) == {"message": "at 3", "level": "debug"}


def test_defaults_and_aliases_come_from_the_catalogue() -> None:
    action = read("{type: send_event, target: other, event: hello}")
    assert params(action) == {
        "target_machine": "other",
        "event_type": "hello",
        "payload": {},
        "delay": None,
        "id": None,
        "priority": None,
        "fire_and_forget": False,
    }
    assert (action.kind, action.events) == (Kind.INSTANT, {"success": "event_sent"})


@pytest.mark.parametrize(
    ("action", "events"),
    [
        ("{type: log}", {"success": None}),
        ("{type: bash, command: ls}", {"success": "job_done"}),
        ("{type: bash, command: ls, success: null, error: bad}", {"success": None, "error": "bad"}),
        ("{type: pop_from_list, empty: none}", {"success": "item_popped", "empty": "none"}),
        (
            "{type: wait_for_jobs, pending: p, timeout_event: t}",
            {"success": "all_jobs_complete", "empty": "no_jobs_tracked", "pending": "p", "timeout_event": "t"},
        ),
        ("{type: claim_job}", {"success": "new_job", "already_claimed": "already_claimed"}),
        ("{type: claim_job, job_id: '{x}'}", {"success": "claimed", "already_claimed": "already_claimed"}),
        ("{type: check_database_queue}", {"success": "new_job", "empty": "no_jobs"}),
        ("{type: start_fsm, yaml_path: a, machine_name: b}", {"success": "started"}),
    ],
)
def test_events_are_those_given_or_the_defaults_and_null_says_none(action: str, events: dict[str, Any]) -> None:
    assert read(action).events == events


def test_start_fsm_answers_success_in_flat_files() -> None:
    assert read("{type: start_fsm, yaml_path: a, machine_name: b}", flat=True).events["success"] == "success"


@pytest.mark.parametrize(
    ("action", "timeout"),
    [
        ("{type: bash, command: ls}", 30.0),
        ("{type: bash, command: ls, timeout: 1m}", 60.0),
        ("{type: bash, command: ls, timeout: null}", None),
        ("{type: bash, command: ls, timeout: '{t}'}", "soon"),
        ("{type: run, command: [ls]}", None),
        ("{type: wait_for_jobs}", 300.0),
        ("{type: claim_job}", None),
    ],
)
def test_time_outs_stay_among_the_parameters(action: str, timeout: Any) -> None:
    assert params(read(action), t="soon")["timeout"] == timeout


def test_a_shell_command_becomes_a_program_and_its_placeholders() -> None:
    action = read("{type: bash, command: \"echo {a|b} '{c.d}'\", shell: bash}")
    program, placeholders = action.program
    assert program.shell == "bash"
    assert program.text == """echo "${_smd1}" ''"${_smd2}"''"""
    assert [p.text for p in placeholders] == ["a|b", "c.d"]
    assert "command" not in params(action)


def test_the_arguments_of_run_stay_templates_behind_a_literal_program() -> None:
    assert params(read("{type: run, command: [convert, '{x}', 3]}"), x=[1])["command"] == ["convert", [1], 3]


@pytest.mark.parametrize(
    ("action", "placeholder"),
    [
        ("{type: run, command: [sh, -c, 'echo {x}']}", "{x}"),
        ("{type: run, argv: [env, '{x}']}", "{x}"),
        ("{type: run, command: [sh], stdin: '{x}'}", "{x}"),
        ("{type: run, command: [python3, '-'], stdin: {a: [1, 'b {x}']}}", "{x}"),
        ("{type: bash, command: sh, stdin: '{x}'}", "{x}"),
        ("{type: bash, command: 'n={x}; echo $((n))'}", "{x}"),
        ("{type: bash, command: 'echo $((N))', env: {N: '{x}'}}", "{x}"),
    ],
)
def test_a_value_that_would_be_code_is_an_error_of_the_command(action: str, placeholder: str) -> None:
    found = check_document(f"states: {{a: {{actions: [{action}]}}}}", "f.yaml")
    key = "argv" if "argv" in action else "command"
    assert [(p.code, p.path) for p in found] == [("smd-E306", f"states.a.actions[0].{key}")]
    assert placeholder in found[0].message


@pytest.mark.parametrize(
    "action",
    [
        "{type: run, command: [sh], stdin: 'echo hi'}",
        "{type: run, command: [jq, .], stdin: '{x}'}",
        "{type: run, command: [git, commit, -m, '{x}']}",
        "{type: run, command: [seq, 1, '{n|int}']}",
        "{type: bash, command: 'cat > f', stdin: '{x}'}",
    ],
)
def test_values_that_stay_data_load(action: str) -> None:
    assert check_document(f"states: {{a: {{actions: [{action}]}}}}", "f.yaml") == []


@pytest.mark.parametrize("mappings", ["{'2': none_found, '13': denied}", "{2: none_found, 13: denied}"])
@pytest.mark.parametrize("layout", ["error_mappings: %s", "params: {error_mappings: %s}"])
@pytest.mark.parametrize("flat", [False, True])
def test_exit_codes_map_to_events(mappings: str, layout: str, flat: bool) -> None:
    action = read(f"{{type: bash, command: ls, {layout % mappings}}}", flat=flat)
    assert action.error_events == {"2": "none_found", "13": "denied"}


@pytest.mark.parametrize(
    ("flags", "repeatable"),
    [
        ("repeatable: true", True),
        ("repeatable: 'YES'", True),
        ("repeatable: 'on'", True),
        ("repeatable: 1", True),
        ("repeatable: 'false'", False),
        ("repeatable: ''", False),
        ("repeatable: off", False),
        ("repeatable: 0", False),
        ("run_policy: Repeat_Per_Tick", True),
        ("run_policy: repeat", True),
        ("run_policy: once", False),
        ("description: d", False),
    ],
)
@pytest.mark.parametrize("kind", ["log", "mine"])
def test_repeatable_takes_the_predecessors_words(flags: str, repeatable: bool, kind: str) -> None:
    assert read(f"{{type: {kind}, {flags}}}", custom=("mine",)).repeatable is repeatable


def test_condition_retry_description_and_place_are_kept() -> None:
    action = read("{type: bash, command: ls, if: context.a == 1, retry: {max: 3, delay: 2s}, description: d}")
    assert action.cond is not None
    assert action.cond.text == "context.a == 1"
    assert (action.retry, action.description, action.at) == (Retry(3, 2.0, 2.0, 60.0), "d", "f.yaml:4:9")


@pytest.mark.parametrize(("type_", "watch"), [("claim_job", "jobs"), ("wait_for_jobs", "tracked"), ("log", None)])
def test_an_action_says_what_its_empty_answer_waits_for(type_: str, watch: str | None) -> None:
    assert read(f"{{type: {type_}}}").watch == watch


def test_a_custom_action_gets_every_key_unchanged() -> None:
    action = read("{type: mine, params: {success: won, n: '{x}', retry: 7}, other: [1], timeout: 3}", custom=("mine",))
    assert (action.kind, action.custom, action.events, action.retry) == (Kind.WORKING, True, {"success": "won"}, None)
    given = {"type": "mine", "params": {"success": "won", "n": 2, "retry": 7}, "other": [1], "timeout": 3}
    assert params(action, x=2) == given


@pytest.mark.parametrize("flat", [False, True])
def test_the_common_keys_act_for_custom_actions_too(flat: bool) -> None:
    keys = "if: context.a == 1, retry: {max: 3, delay: 2s}, timeout: 5s, repeatable: true, description: d"
    action = read(f"{{type: mine, {keys}}}", flat=flat, custom=("mine",))
    assert action.cond is not None
    assert (action.retry, action.limited, action.repeatable) == (Retry(3, 2.0, 2.0, 60.0), True, True)
    assert params(action)["timeout"] == "5s"


@pytest.mark.parametrize(
    "own", ["retry: 3", "retry: {max: 3, backoff: 2}", "timeout: {read: 5}", "if: [a]", "isolate: 1"]
)
def test_in_flat_files_the_parameters_of_a_custom_action_may_have_any_name(own: str) -> None:
    action = read(f"{{type: mine, {own}}}", flat=True, custom=("mine",))
    assert (action.cond, action.retry, action.limited) == (None, None, False)
    assert len(params(action)) == 2


@pytest.mark.parametrize("own", ["retry: 3", "timeout: 5", "if: false", "isolate: process"])
def test_under_params_they_may_have_any_name_everywhere(own: str) -> None:
    action = read(f"{{type: mine, params: {{{own}}}}}", custom=("mine",))
    assert (action.cond, action.retry, action.limited) == (None, None, False)
    assert params(action)["params"].keys() == {own.split(":", maxsplit=1)[0]}


def test_a_custom_action_names_its_events_only_when_given() -> None:
    assert read("{type: mine}", custom=("mine",)).events == {}
    assert read("{type: mine, success: null, error: e}", custom=("mine",)).events == {"success": None, "error": "e"}


def test_a_custom_action_replaces_a_built_in_one_but_for_log_and_sleep() -> None:
    custom = ("bash", "log", "sleep")
    assert [read(f"{{type: {name}, command: ls}}", custom=custom).custom for name in ("bash",)] == [True]
    assert not read("{type: log}", custom=custom).custom
    assert not read("{type: sleep}", custom=custom).custom


def test_what_a_custom_action_replaced_stays_replaced_when_the_chart_comes_from_the_store() -> None:
    chart = chart_of("{type: bash, order: 5}", custom=("bash",))
    again = chart_from_plain(chart.source)
    assert again.states["a"].sequence[0].custom
    assert again.hash == chart.hash != chart_of("{type: mine, order: 5}", custom=("bash", "mine")).hash


def test_lasting_actions_of_a_transition_head_the_sequence_of_its_atomic_target() -> None:
    chart = load_document(
        """
        states:
          a: {on: {go: {to: c, actions: [{type: log}, {type: sleep}, {type: log}]}}}
          b: {states: {c: {actions: [{type: log}]}}}
          d: {type: final}
        transitions: [{from: "*", to: d, event: end, actions: [{type: sleep}]}]
    """,
        "f",
    )
    (go, end), target = chart.states["a"].transitions, chart.states["c"]
    assert [a.type for a in go.content] == ["log"]
    assert {t: [a.type for a in head] for t, head in target.heads.items()} == {go: ["sleep", "log"]}
    assert end.content == ()
    assert list(chart.states["d"].heads) == [end, *chart.states["b"].transitions]


@pytest.mark.parametrize(("given", "flat", "nested"), [
    ("", ("events_cleared", "no_events_to_clear"), ("events_cleared", "no_events_to_clear")),
    ("success: ok", ("ok", "ok"), ("ok", "no_events_to_clear")),
    ("success: null", (None, None), (None, "no_events_to_clear")),
    ("success: ok, empty: none", ("ok", "none"), ("ok", "none")),
    ("params: {success: ok}", ("ok", "ok"), ("ok", "no_events_to_clear")),
])  # fmt: skip
def test_in_the_flat_form_the_success_of_clear_events_stands_for_both_its_events(
    given: str, flat: tuple[str | None, ...], nested: tuple[str | None, ...]
) -> None:
    action = f"actions: [{{type: clear_events, event_types: e, {given}}}]"
    charts = [f"states: [a]\ninitial_state: a\n{action.replace('[', '{a: [').replace(']', ']}')}"]
    charts.append(f"states: {{a: {{{action}}}}}")
    found = [load_document(text, "f").states["a"].sequence[0].events for text in charts]
    assert [(events["success"], events["empty"]) for events in found] == [flat, nested]
