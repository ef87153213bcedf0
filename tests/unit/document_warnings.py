"""Documents with one warning each, for `test_document_errors`."""

from __future__ import annotations

from tests.unit.document_mistakes import FLAT_MINE, MAPPED, Case

INSTANT = (
    ("states: {a: {entry: [%s]}}", "states.a.entry"),
    ("states: {a: {exit: [%s]}}", "states.a.exit"),
    ("states: {a: {on: {e: {to: a, actions: [%s, {type: sleep, success: x}]}}}}", "states.a.on.e.actions"),
    ("states: [waiting]\ntransitions: [{from: waiting, event: e, actions: [%s]}]", "transitions[0].actions"),
)
FILES = {"mine": "", "torn": "torn_action.py:1:5: invalid syntax"}
"""The custom actions there are, with what is wrong with their files."""
WARNINGS = [
    Case(
        "W101",
        "states: {a: {actions: [{type: start_fsm, yaml_path: p, machine_name: n, ^additional_args: [--debug]}]}}",
        "states.a.actions[0].additional_args",
        "without effect",
        "context_vars:",
    ),
    *(
        Case("W101", where % f"{{type: pop_from_list, ^{key}: {value}}}", f"{path}[0].{key}", "without effect: entry,")
        for where, path in INSTANT
        for key, value in (
            ("success", "x"),
            ("empty", "x"),
            ("repeatable", "true"),
            ("repeatable", "'Yes'"),
            ("run_policy", "repeat"),
        )
    ),
    Case(
        "W101", INSTANT[0][0] % "{type: log, params: {^success: x}}", "states.a.entry[0].params.success", "entry, exit"
    ),
    Case(
        "W101",
        "states: {a: {actions: [{type: send_event, target: x, fire_and_forget: true, ^success: y}]}}",
        "states.a.actions[0].success",
        "without effect beside fire_and_forget",
    ),
    Case(
        "W101",
        "states: {a: {actions: [{type: wait_for_jobs, ^poll_interval: 2}]}}",
        "states.a.actions[0].poll_interval",
        "without effect",
    ),
    Case("W101", MAPPED % "^0: x, 3: y, -9: z, 255: x", "states.a.actions[0].error_mappings.0", "0 is success"),
    Case(
        "W101",
        "initial_state: w\ntransitions: [{from: w, to: busy, event: e}]\nactions: {^other: [{type: log}]}",
        "actions.other",
        "no row leads to this state",
    ),
    Case("W101", MAPPED % "^256: x", "states.a.actions[0].error_mappings.256", "at most 255"),
    Case(
        "W101",
        "states: [waiting, completed]\ntransitions: [{^from: completed, to: completed, event: e}]",
        "transitions[0].from",
        "'completed' the machine has ended",
    ),
    Case(
        "W101",
        "metadata: {^machine_nmae: a, machine_type: b}\nstates: {a: }",
        "metadata.machine_nmae",
        "unknown key",
        "'machine_name'",
    ),
    Case(
        "W103", "states: {a: {actions: [{^type: torn}]}}", "states.a.actions[0].type", "loaded: torn_action.py:1:5: inv"
    ),
    Case("W102", FLAT_MINE % "^retry: 3", "actions.waiting[0].retry", "own parameter: must be a mapping (got 3)"),
    Case("W102", FLAT_MINE % "^retry: {max: 3, backoff: 2}", "actions.waiting[0].retry", "(got a mapping)"),
    Case("W102", FLAT_MINE % "^timeout: soon", "actions.waiting[0].timeout", "must be a duration (got 'soon')"),
    Case("W102", FLAT_MINE % "^if: {a: 1}", "actions.waiting[0].if", "must be an expression", "params:"),
    Case(
        "W104",
        "states: [waiting, b]\ntransitions: [{from: waiting, to: b, ^event: done.state.b}]",
        "transitions[0].event",
        "'done.state.b' never comes",
        "a final state in it",
    ),
]
