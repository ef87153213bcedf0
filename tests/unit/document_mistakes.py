"""Documents with one mistake each, for `test_document_errors`."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A document; `^` stands before the place of its one mistake and is taken out."""

    code: str
    text: str
    path: str
    message: str
    hint: str = ""


TWO = "states:\n  a: \n  b: \n"
PAYLOAD = "states: {a: }\nevents: {e: {payload: %s}}"
MINE = "states: {a: {actions: [{type: mine, %s}]}}"
FLAT_MINE = "states: [waiting]\nactions: {waiting: [{type: mine, %s}]}"
MAPPED = "states: {a: {actions: [{type: run, argv: [x], error_mappings: {%s}}]}}"
CASES = [
    Case("E001", "states: {a: ^]", "", "did not find expected"),
    Case("E002", "name: ^\x07", "", "U+0007"),
    Case("E003", TWO + "^states: {}", "", "'states' stands twice", "line 1"),
    Case("E004", "^true: 1\n" + TWO, "", "not true", "'true'"),
    Case("E005", TWO + "name: ^!x y", "", "unknown tag '!x'"),
    Case("E006", "a: " + "[" * 99 + "^[", "", "deeper than 100"),
    Case("E007", TWO + "context: {x: ^.inf}", "", "JSON has no number"),
    Case("E100", "^- a", "", "a document is a mapping"),
    Case("E101", TWO + "^initail: a", "initail", "unknown key", "did you mean 'initial'?"),
    Case("E101", "states: {a: {^ons: {}}}", "states.a.ons", "unknown key", "did you mean 'on'?"),
    Case(
        "E101", "states: {a: {on: {e: {^zzz: a}}}}", "states.a.on.e.zzz", "unknown key", "known here: to, if, actions"
    ),
    Case("E101", TWO + "transitions: [{from: a, to: b, event: e, ^iff: x}]", "transitions[0].iff", "unknown", "'if'"),
    Case("E102", "states: {a: {busy: ^quue}}", "states.a.busy", "(got 'quue')", "did you mean 'queue'?"),
    Case("E102", "states: {a: {type: ^parralel}}", "states.a.type", "(got 'parralel')", "'parallel'"),
    Case("E102", TWO + "restart: {policy: ^sometimes}", "restart.policy", "'on-failure'"),
    Case("E102", TWO + "restart: {limit: ^often}", "restart.limit", "number of starts", "5 in 1m"),
    Case("E102", TWO + "restart: {delay: 1m, max_delay: ^1s}", "restart.max_delay", "at least delay"),
    Case("E102", "states: {a: {on: {^a*: a}}}", "states.a.on.a*", "is not an event", "a.b.*"),
    Case("E102", "states: {a: {on: {^'*.b': a}}}", "states.a.on.'*.b'", "is not an event", "a.b.*"),
    Case("E102", TWO + "machine: ^a/b", "machine", "not a machine name"),
    Case("E102", TWO + "transitions: [{from: a, to: b, event: ^[]}]", "transitions[0].event", "must not be empty"),
    Case("E102", TWO + "transitions: [{from: a, to: ^[], event: e}]", "transitions[0].to", "must not be empty"),
    Case("E102", TWO + "transitions: [{from: ^[], to: b, event: e}]", "transitions[0].from", "must not be empty"),
    Case("E102", "states: {a: {on: {e: ^[]}}}", "states.a.on.e", "must not be empty"),
    Case("E102", "states: {a: {on: {e: {to: ^[]}}}}", "states.a.on.e.to", "must not be empty"),
    Case("E102", "states: {a: {on: {e: [{to: ^[]}]}}}", "states.a.on.e[0].to", "must not be empty"),
    Case("E102", "states: {a: {always: ^[]}}", "states.a.always", "must not be empty"),
    Case("E102", "states: {a: {after: {5s: ^[]}}}", "states.a.after.5s", "must not be empty"),
    Case("E102", "initial: ^[]\nstates: {a: }", "initial", "must not be empty"),
    Case("E102", PAYLOAD % "{pattern: ^(a+)+$}", "events.e.payload.pattern", "must not repeat a group", "simpler"),
    Case(
        "E102",
        PAYLOAD % "{items: {patternProperties: {^(a+)+$: {}}}}",
        "events.e.payload.items.patternProperties.'(a+)+$'",
        "must not repeat a group",
    ),
    Case("E102", PAYLOAD % "{$ref: ^'#'}", "events.e.payload.'$ref'", "leads back to itself", "properties:"),
    Case(
        "E102",
        PAYLOAD % "{$ref: '#/$defs/a', $defs: {a: {anyOf: [{type: 'null'}, {$ref: ^'#/$defs/a'}]}}}",
        "events.e.payload.'$defs'.a.anyOf[1].'$ref'",
        "leads back to itself",
    ),
    Case("E102", PAYLOAD % "{$ref: ^'#/const', const: {}}", "events.e.payload.'$ref'", "is no schema", "$defs:"),
    Case("E102", "states: {^'*': }", "states.*", "cannot be named", "from:"),
    Case("E102", "states: {^'': {}, a: }", "states.''", "one line of 1 to 255 bytes"),
    Case(
        "E102", TWO + "events: {e: {context_map: {k: ^paylod.x}}}", "events.e.context_map.k", "dotted path", "'payload'"
    ),
    Case(
        "E102",
        "states: {a: {actions: [{type: bash, command: ls, retry: {max: ^0}}]}}",
        "states.a.actions[0].retry.max",
        "must be at least 1 (got 0)",
    ),
    Case("E103", TWO + "template: ^yes", "template", "must be true or false (got 'yes')", "write true"),
    Case("E103", "states: ^5", "states", "must be a list or a mapping (got 5)"),
    Case("E103", "states: {a: {on: {e: ^7}}}", "states.a.on.e", "must be a text, a mapping or a list (got 7)"),
    Case("E103", "states: {a: {on: {e: ^true}}}", "states.a.on.e", "must be a text, a mapping or a list (got true)"),
    Case("E103", "initial_state: ^1\nstates: [a, b]", "initial_state", "must be a text (got 1)"),
    Case("E101", "states: {a: {on: {e: {^condition: x}}}}", "states.a.on.e.condition", "unknown key", "'if'?"),
    Case("E100", "^", "", "a document is a mapping"),
    Case("E100", "# nothing\n^~", "", "a document is a mapping"),
    Case(
        "E202",
        "initial_state: w\ntransitions: [{from: w, to: busy, event: e}]\nactions: {bussy: ^[{type: log}]}",
        "actions.bussy",
        "unknown state 'bussy'",
        "'busy'",
    ),
    Case(
        "E302",
        "states: {a: {actions: [{type: bash, params: {command: ls, ^retry: {max: 1}}}]}}",
        "states.a.actions[0].params.retry",
        "'retry' is no parameter of bash",
        "beside params:",
    ),
    Case(
        "E302",
        "states: {a: {actions: [{type: bash, params: {command: ls, ^if: x}}]}}",
        "states.a.actions[0].params.if",
        "'if' is no parameter of bash",
        "beside params:",
    ),
    Case("E302", "states: {a: {actions: [{type: log, ^condition: x}]}}", "states.a.actions[0].condition", "no", "'if'"),
    Case("E302", "states: {a: {actions: [{type: log, ^failure: x}]}}", "states.a.actions[0].failure", "no", "'error'"),
    Case("E103", "states: {a: ^3}", "states.a", "must be a mapping (got 3)"),
    Case("E103", "states: {a: {on: {e: {if: ^true}}}}", "states.a.on.e.if", "must be a text (got true)"),
    Case("E103", TWO + "machine: ^5", "machine", "must be a text (got 5)"),
    Case("E104", TWO + "transitions: [^{from: a, to: b}]", "transitions[0]", "the key 'event' is missing"),
    Case("E104", TWO + "transitions: [^{from: a, event: e}]", "transitions[0]", "the key 'to' is missing", "actions:"),
    Case("E104", "states: {a: {actions: [^{message: x}]}}", "states.a.actions[0]", "the key 'type' is missing"),
    Case("E104", TWO + "contracts: [^{}]", "contracts[0]", "'always' and 'invariant'"),
    Case("E105", "states: {a: {after: {^5 minutes: a}}}", "states.a.after.'5 minutes'", "(got '5 minutes')", "5m"),
    Case("E105", "states: {a: {after: {^'0': a}}}", "states.a.after.0", "must be > 0 (got '0')"),
    Case("E105", TWO + "restart: {delay: ^-5}", "restart.delay", "must be > 0 (got -5)", "write 500ms"),
    Case("E105", TWO + "transitions: [{from: a, to: b, event: ^timeout(0)}]", "transitions[0].event", "must be > 0"),
    Case("E106", TWO + "machine: ^order@{key}", "machine", "not supported by this version", "without @"),
    Case("E107", TWO + "initial: a\n^initial_state: a", "initial_state", "same as 'initial'"),
    Case(
        "E107",
        "states: {a: {actions: [{type: send_event, target: x, ^target_machine: y}]}}",
        "states.a.actions[0].target_machine",
        "says the same as 'target'",
    ),
    Case("E107", "states: {a: {actions: [{type: log}]}}\nactions: {^a: [{type: log}]}", "actions.a", "already has"),
    Case(
        "E107",
        "states: {a: {after: {5s: [{to: a, on_restart: restart}, {to: a, on_restart: ^remaining}]}}}",
        "states.a.after.5s[1].on_restart",
        "already has on_restart: restart",
    ),
    Case("E201", "states: [waiting, b, ^b]", "states[2]", "'b' stands twice", "first in line 1"),
    Case("E201", "states:\n  a: {states: {b: }}\n  ^b: ", "states.b", "'b' stands twice", "first in line 2"),
    Case("E202", "states: {waiting: {on: {e: ^waitng}}}", "states.waiting.on.e", "unknown state 'waitng'", "'waiting'"),
    Case("E202", "states: {a: {on: {e: {to: ^c}}}}", "states.a.on.e.to", "unknown state 'c'"),
    Case("E202", "states: {a: {states: {b: }}, c: {on: {e: ^c.b}}}", "states.c.on.e", "unknown state 'c.b'"),
    Case("E202", "initial: ^c\n" + TWO, "initial", "unknown state 'c'"),
    Case(
        "E202", TWO + "transitions: [{from: [a, ^c], to: b, event: e}]", "transitions[0].from[1]", "unknown state 'c'"
    ),
    Case("E202", TWO + "state_groups: {g: [a, ^x]}", "state_groups.g[1]", "unknown state 'x'"),
    Case("E202", TWO + "actions: {c: ^[{type: log}]}", "actions.c", "unknown state 'c'"),
    Case("E202", "^states: [idle]", "states", "there is no state 'waiting'", "initial_state: idle"),
    Case(
        "E202",
        "states: {idle: {always: {if: ^in_state('idel'), to: idle}}}",
        "states.idle.always.if",
        "'idel'",
        "'idle'",
    ),
    Case("E203", "states: ^{}", "states", "at least one state"),
    Case("E203", "states: {a: , ^b: {type: compound}}", "states.b", "a compound state needs at least one state"),
    Case(
        "E203",
        "states: {a: , ^b: {type: parallel, states: {h: {type: history}}}}",
        "states.b",
        "a parallel state needs",
    ),
    Case("E203", "states: {a: , b: {type: final, ^on: {e: a}}}", "states.b.on", "a final state cannot have on:"),
    Case(
        "E203", "states: {a: {type: atomic, ^states: {b: }}}", "states.a.states", "an atomic state cannot have states:"
    ),
    Case("E203", "states: {a: {^default: a}}", "states.a.default", "an atomic state cannot have default:"),
    Case(
        "E203", "states: {a: {type: parallel, ^initial: b, states: {b: }}}", "states.a.initial", "cannot have initial:"
    ),
    Case(
        "E203",
        "states: {a: {states: {b: {type: final, ^actions: [{type: log}]}}}}",
        "states.a.states.b.actions",
        "top level",
    ),
    Case("E203", "states: {a: {type: parallel, states: {b: , ^c: {type: final}}}}", "states.a.states.c", "a region"),
    Case(
        "E203",
        "states: {a: , b: {type: final}}\ntransitions: [{from: ^b, to: a, event: e}]",
        "transitions[0].from",
        "nothing can lead out",
    ),
    Case(
        "E203",
        "states: {a: {states: {b: {type: final}}}}\nactions: {^b: [{type: log}]}",
        "actions.b",
        "cannot have actions",
    ),
    Case("E204", "states: {a: , ^h: {type: history}}", "states.h", "inside another state"),
    Case(
        "E204",
        "states: {a: {states: {b: , h: {type: history, default: ^c}}}, c: }",
        "states.a.states.h.default",
        "'c' does not lie in 'a'",
    ),
    Case(
        "E204",
        "states: {a: {states: {b: {states: {c: }}, h: {type: history, default: ^c}}}}",
        "states.a.states.h.default",
        "'c' is not a child of 'a'",
        "deep: true",
    ),
    Case(
        "E204",
        "states: {a: {states: {b: , g: {type: history}, h: {type: history, default: ^g}}}}",
        "states.a.states.h.default",
        "cannot be a history state",
    ),
    Case(
        "E204",
        "states: {a: {states: {b: , h: {type: history}}}}\ntransitions: [{from: ^h, to: b, event: e}]",
        "transitions[0].from",
        "nothing can lead out",
    ),
    Case(
        "E203",
        "states: {a: {states: {b: , h: {type: history, ^on: {e: b}}}}}",
        "states.a.states.h.on",
        "a history state",
    ),
    Case("E205", "states: {a: {initial: ^c, states: {b: }}, c: }", "states.a.initial", "'c' does not lie in 'a'"),
    Case("E206", "states: {a: {on: {e: {to: ^[a, b]}}}, b: }", "states.a.on.e.to", "cannot be active together"),
    Case(
        "E301", "states: {a: {actions: [{type: ^claim_jb}]}}", "states.a.actions[0].type", "'claim_jb'", "'claim_job'"
    ),
    Case(
        "E302",
        "states: {a: {actions: [{type: log, ^mesage: x}]}}",
        "states.a.actions[0].mesage",
        "no parameter",
        "did you mean 'message'?",
    ),
    Case(
        "E302",
        "states: {a: {actions: [{type: log, params: {^zz: x}}]}}",
        "states.a.actions[0].params.zz",
        "no parameter",
        "log takes message, level",
    ),
    Case("E303", "states: {a: {actions: [^{type: bash}]}}", "states.a.actions[0]", "'command' is missing"),
    Case(
        "E304",
        "states: {a: {actions: [{type: sleep, duration: ^-5}]}}",
        "states.a.actions[0].duration",
        "must be > 0 (got -5)",
    ),
    Case("E305", "states: {a: {entry: [^{type: sleep}]}}", "states.a.entry[0]", "instant actions only", "actions:"),
    Case("E305", "states: {a: {exit: [^{type: mine}]}}", "states.a.exit[0]", "mine takes time"),
    Case("E305", "states: {a: {on: {e: {actions: ^[{type: sleep}]}}}}", "states.a.on.e.actions", "one target"),
    Case(
        "E305",
        "states: {a: {on: {e: {to: b, actions: ^[{type: sleep}]}}}, b: {states: {c: }}}",
        "states.a.on.e.actions",
        "without inner states",
    ),
    Case("E305", "initial: {to: a, actions: [^{type: sleep}]}\n" + TWO, "initial.actions[0]", "instant actions only"),
    Case(
        "E306",
        "states: {a: {actions: [{type: bash, command: ^'{x} y'}]}}",
        "states.a.actions[0].command",
        "command position",
    ),
    Case(
        "E307",
        "states: {a: {actions: [{type: run, command: ^['{x}', y]}]}}",
        "states.a.actions[0].command",
        "the program must be literal",
        "as an argument",
    ),
    Case("E401", "states: {a: {always: {to: a, if: ^contxt.a}}}", "states.a.always.if", "column 1", "context"),
    Case("E401", "states: {a: {actions: [{type: assign, set: {k: ^1 +}}]}}", "states.a.actions[0].set.k", "column 4"),
    *(
        Case(
            "E302",
            f"states: {{a: {{actions: [{{type: {action}, ^timeout: 1s}}]}}}}",
            "states.a.actions[0].timeout",
            "never waits",
            "after:",
        )
        for action in (
            "log",
            "complete_job",
            "clear_events, event_types: e",
            "start_fsm, yaml_path: p, machine_name: n",
        )
    ),
    Case(
        "E302",
        "states: {a: {actions: [{type: claim_job, job_id: '{x}', params: {^timeout: 1s}}]}}",
        "states.a.actions[0].params.timeout",
        "claim_job with a job_id never waits",
        "after:",
    ),
    Case(
        "E302",
        "states: {a: {actions: [{type: log, ^retry: {max: 2}}]}}",
        "states.a.actions[0].retry",
        "log is done at once",
        "error:",
    ),
    Case("E106", MINE % "^isolate: process", "states.a.actions[0].isolate", "not supported by this version", "params:"),
    Case(
        "E106",
        FLAT_MINE % "^isolate: process",
        "actions.waiting[0].isolate",
        "not supported by this version",
        "leave it away",
    ),
    Case("E304", MINE % "if: ^false", "states.a.actions[0].if", "must be an expression (got false)", "'false'"),
    Case("E304", FLAT_MINE % "if: ^false", "actions.waiting[0].if", "must be an expression (got false)", "'false'"),
    Case("E304", MINE % "if: ^[1]", "states.a.actions[0].if", "must be an expression (got a list)", "params:"),
    Case("E401", MINE % "if: ^1 +", "states.a.actions[0].if", "column 4"),
    Case("E103", MINE % "retry: ^7", "states.a.actions[0].retry", "must be a mapping (got 7)", "params:"),
    Case("E102", MINE % "retry: {max: ^0}", "states.a.actions[0].retry.max", "must be at least 1 (got 0)"),
    Case("E101", MINE % "retry: {max: 1, ^delai: 1s}", "states.a.actions[0].retry.delai", "unknown key", "'delay'"),
    Case("E304", MINE % "timeout: ^soon", "states.a.actions[0].timeout", "must be a duration (got 'soon')", "params:"),
    Case("E304", MINE % "timeout: ^-1", "states.a.actions[0].timeout", "must be > 0 (got -1)", "params:"),
    Case("E304", MINE % "repeatable: ^maybe", "states.a.actions[0].repeatable", "must be true or false"),
    Case("E304", MINE % "run_policy: ^often", "states.a.actions[0].run_policy", "one of once, repeat"),
    Case("E003", "states: {a: {after: {5: a, ^'5': a}}}", "", "the key '5' stands twice", "line 1"),
    Case("E105", "states: {a: {after: {^0: a}}}", "states.a.after.0", "must be > 0"),
    Case("E004", "states: {a: {on: {^5: a}}}", "", "not 5", "'5'"),
    Case("E004", "states: {a: {actions: [{type: set_context, key: k, value: {after: {^5: x}}}]}}", "", "not 5", "'5'"),
    Case(
        "E004",
        "states: {a: {actions: [{type: set_context, key: k, value: {actions: [{error_mappings: {^5: x}}]}}]}}",
        "",
        "not 5",
        "'5'",
    ),
    Case("E004", MAPPED % "^true: x", "", "not true", "'true'"),
    Case("E003", MAPPED % "4: x, ^'4': y", "", "the key '4' stands twice", "line 1"),
    Case(
        "E304",
        "states: {a: {actions: [{type: run, argv: [x], error_mappings: ^{4.0: x}}]}}",
        "states.a.actions[0].error_mappings",
        "'4.0' is not an exit code",
    ),
    Case(
        "E304",
        "states: {a: {actions: [{type: run, argv: [x], error_mappings: ^{04: x}}]}}",
        "states.a.actions[0].error_mappings",
        "'04' never matches an exit code",
        "write 4",
    ),
    *(
        Case(
            code, f"states: {{a: {{actions: [{{type: {kind}, {given}}}]}}}}", f"states.a.actions[0].{path}", told, hint
        )
        for kind in ("run, command: [ls]", "bash, command: ls")
        for code, given, path, told, hint in (
            ("E307", "env: {PATH: ^'{payload.p}'}", "env.PATH", "cannot use {payload.p} in PATH", "as an argument"),
            ("E307", "env: {GIT_SSH: ^'ssh {p}'}", "env.GIT_SSH", "the value chooses what runs", "constant"),
            ("E307", "env: {PS4: ^['{p}']}", "env.PS4", "the value chooses what runs", "variable of your own"),
            ("E304", "env: ^'{payload.env}'", "env", "never chooses names", "write each name"),
            ("E304", "env: {^'{name}': x}", "env.'{name}'", "the name must be literal", "as its value"),
            ("E304", "env: {^A-B: x}", "env.A-B", "no variable name", "letters, digits and _"),
            ("E304", "env: {^SMD_KEY: x}", "env.SMD_KEY", "smd's own", "another name"),
            ("E304", "limits: {^cpuu: 1}", "limits.cpuu", "unknown limit 'cpuu'", "did you mean 'cpu'?"),
            ("E105", "limits: {cpu: ^soon}", "limits.cpu", "must be a duration", "30s"),
            ("E304", "limits: {memory: ^0}", "limits.memory", "must be a number above 0", "64M"),
            ("E304", "limits: {as: ^9999999999T}", "limits.as", "must be a number above 0", "64M"),
            ("E304", "limits: {nofile: ^true}", "limits.nofile", "must be a number above 0", "64M"),
        )
    ),
    Case(
        "E306",
        "states: {a: {actions: [{type: bash, shell: bash, env: {N: '{n}'}, command: ^'echo $((N))'}]}}",
        "states.a.actions[0].command",
        "$N, which holds {n}, in $(( ))",
        "{n|int}",
    ),
    *(
        Case("E102", f"{TWO}events: {{e: {{payload: {schema}}}}}", f"events.e.payload.{path}", told, hint)
        for schema, path, told, hint in (
            ("{type: ^objekt}", "type", "must be one of array,", "did you mean 'object'?"),
            ("{properties: {a: {minLength: ^-1}}}", "properties.a.minLength", "-1 is less than the minimum", "json"),
            ("{pattern: ^'('}", "pattern", "is not a 'regex'", "json-schema.org"),
            ("{properties: {a: {$ref: ^'#/$defs/b'}}}", "properties.a.'$ref'", "'#/$defs/b'", "$defs:"),
            ("{$ref: ^'http://127.0.0.1:1/x'}", "'$ref'", "nothing in this schema is named", "same payload"),
        )
    ),
]
