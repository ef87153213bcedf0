"""Places where a value may stand, and the exact text each becomes."""

from __future__ import annotations

import pytest

from smd.shell import Rule, compile_shell, lint_shell

W, R, N = Rule.WORD, Rule.REDIRECT, Rule.INTEGER

# text, constant text, rules of the slots, D where a leading dash is refused
TABLE = [
    ("cp {src} {dir}/out.txt", 'cp "${_smd1}" "${_smd2}"/out.txt', "WD WD"),
    ("echo \"x {a} y\" '{b}'", "echo \"x ${_smd1} y\" ''\"${_smd2}\"''", "W WD"),
    ("echo $(basename {c})", 'echo $(basename "${_smd1}")', "WD"),
    ("echo \"$(basename '{c}' \"{d}\")\"", "echo \"$(basename ''\"${_smd1}\"'' \"${_smd2}\")\"", "WD WD"),
    ("{ echo {a}; }", '{ echo "${_smd1}"; }', "WD"),
    ('for f in {dir}/*.txt; do cat "$f"; done', 'for f in "${_smd1}"/*.txt; do cat "$f"; done', "WD"),
    ("X={a} cmd", 'X="${_smd1}" cmd', "W"),
    ("X={a} Y=x{b}; echo", 'X="${_smd1}" Y=x"${_smd2}"; echo', "W W"),
    ("cmd > {out}", 'cmd > "${_smd1}"', "R"),
    ("cmd 2>>{out} < {in}", 'cmd 2>>"${_smd1}" < "${_smd2}"', "R R"),
    ("head -n {n|int} file", 'head -n "${_smd1}" file', "WD"),
    ("sleep $(( {n|int} * 2 ))", "sleep $(( (${_smd1}) * 2 ))", "N"),
    ("case {a} in x) echo;; esac", 'case "${_smd1}" in x) echo;; esac', "W"),
    ("a {x} | b {y} && c {z} &", 'a "${_smd1}" | b "${_smd2}" && c "${_smd3}" &', "WD WD WD"),
    ("f() { echo {a}; }; f {b}", 'f() { echo "${_smd1}"; }; f "${_smd2}"', "WD WD"),
    ("rm -- {a} x{b}", 'rm -- "${_smd1}" x"${_smd2}"', "W W"),
    ("cmd --name={a} -o{b} {c}{d}", 'cmd --name="${_smd1}" -o"${_smd2}" "${_smd3}""${_smd4}"', "W W WD WD"),
    ('cmd $x{a} "$y"{b}', 'cmd $x"${_smd1}" "$y""${_smd2}"', "WD WD"),
    ("echo {a} # and {b}\necho {c}", 'echo "${_smd1}" \necho "${_smd2}"', "WD WD"),
    ("# it's {a}\necho x#{b}", '\necho x#"${_smd1}"', "W"),
    ("echo {a|b} {x|default:none|json} {i|length}", 'echo "${_smd1}" "${_smd2}" "${_smd3}"', "WD WD WD"),
    ("if [ {a} = b ]; then :; elif x; then :; else y {c}; fi > {out}",
     'if [ "${_smd1}" = b ]; then :; elif x; then :; else y "${_smd2}"; fi > "${_smd3}"', "WD WD R"),
    ("while read -r x; do echo {a}; done < {f}",
     'while read -r x; do echo "${_smd1}"; done < "${_smd2}"', "WD R"),
    ("sh -c 'echo \"$1\"' name {a}", "sh -c 'echo \"$1\"' name \"${_smd1}\"", "WD"),
    ("python3 -c 'x' {a}; python3 job.py --in={b}",
     "python3 -c 'x' \"${_smd1}\"; python3 job.py --in=\"${_smd2}\"", "WD W"),
    ("jq -n --arg a {a} '{x: $a}'", "jq -n --arg a \"${_smd1}\" '{x: $a}'", "WD"),
    ("awk -v x={a} '{ print x }' {f}", "awk -v x=\"${_smd1}\" '{ print x }' \"${_smd2}\"", "W WD"),
    ("sed -i -e s/a/b/ -e p {f}", 'sed -i -e s/a/b/ -e p "${_smd1}"', "WD"),
    ("psql -v x={a} -f q.sql", 'psql -v x="${_smd1}" -f q.sql', "W"),
    ("sqlite3 {db} 'select 1'", "sqlite3 \"${_smd1}\" 'select 1'", "WD"),
    ("ssh {host} uptime", 'ssh "${_smd1}" uptime', "WD"),
    ("sudo -u {u} env X={a} timeout {t} rm -- {f}",
     'sudo -u "${_smd1}" env X="${_smd2}" timeout "${_smd3}" rm -- "${_smd4}"', "WD W WD W"),
    ("find {d} -name {p} -exec rm {} \\; -exec sh -c 'rm \"$1\"' x {} +",
     "find \"${_smd1}\" -name \"${_smd2}\" -exec rm {} \\; -exec sh -c 'rm \"$1\"' x {} +", "WD WD"),
    ("set -e; set -- {a}; exec > {out}", 'set -e; set -- "${_smd1}"; exec > "${_smd2}"', "W R"),
    ("cat <<E | tee x\n${b} \\{c} { d}\nE\necho {a}",
     'cat <<E | tee x\n${b} \\{c} { d}\nE\necho "${_smd1}"', "WD"),
    ("trap 'rm x' EXIT; printf '%s' {a}", "trap 'rm x' EXIT; printf '%s' \"${_smd1}\"", "WD"),
    ('"$TOOL" {a} && echo $? $# ${#x}', '"$TOOL" "${_smd1}" && echo $? $# ${#x}', "WD"),
    ("echo '\\\\{a}' \"\\\\{b}\" \\\\{c}",
     "echo '\\\\'\"${_smd1}\"'' \"\\\\${_smd2}\" \\\\\"${_smd3}\"", "W W W"),
]  # fmt: skip

BASH = [
    ("cat <<< {a}", 'cat <<< "${_smd1}"', "W"),
    ("[[ {a} == x* && -n {b} ]]", '[[ "${_smd1}" == x* && -n "${_smd2}" ]]', "W W"),
    ("[[ {a} =~ ^(a|b) ]] || x {b}", '[[ "${_smd1}" =~ ^(a|b) ]] || x "${_smd2}"', "W WD"),
    ('l=({a} b); l+=({c}); m[0]={d}', 'l=("${_smd1}" b); l+=("${_smd2}"); m[0]="${_smd3}"', "WD WD W"),
    ("for ((i=0; i<{n|int}; i++)); do x {a}; done",
     "for ((i=0; i<(${_smd1}); i++)); do x \"${_smd2}\"; done", "N WD"),
    ("(( {n|int} > 3 )) && x {a}", '(( (${_smd1}) > 3 )) && x "${_smd2}"', "N WD"),
    ("diff <(sort {a}) <(sort {b}) &> {c}",
     'diff <(sort "${_smd1}") <(sort "${_smd2}") &> "${_smd3}"', "WD WD R"),
    ("while read x; do :; done < <(ls {a})", 'while read x; do :; done < <(ls "${_smd1}")', "WD"),
    ("function f { x {a}; }; echo $'\\'' {b}",
     'function f { x "${_smd1}"; }; echo $\'\\\'\' "${_smd2}"', "WD WD"),
]  # fmt: skip

LITERAL = "echo ${x} \\{a} {a,b} {a..b} { a} {} {a-b} {1} {{ \"${y}\" '\\{a}' '${x}' \"\\${x}\""

PREDECESSOR = [
    "echo 'Task Controller initialization complete'",
    "echo 'Job {payload.job_id} completed by {payload.machine}'",
    "echo 'Processing task {id}' && sleep 3 && echo 'Task {id} completed'",
    "echo 'Task completion notification sent for job {id}'",
    "echo 'Processing job {id}' && sleep 2 && echo 'Job {id} completed'",
    "echo 'Job {id} marked as completed'",
    "sleep 3 && echo 'Retrying...'",
]


def slots(text: str, shell: str) -> str:
    found = compile_shell(text, shell=shell).slots
    return " ".join({W: "W", R: "R", N: "N"}[slot.rule] + "D" * slot.dash_checked for slot in found)


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(("text", "constant", "rules"), TABLE)
def test_an_allowed_place_becomes_a_variable(text: str, constant: str, rules: str, shell: str) -> None:
    """The text around a placeholder stays; the placeholder becomes a variable in the quoting of its place."""
    assert compile_shell(text, shell=shell).text == constant
    assert slots(text, shell) == rules


@pytest.mark.parametrize(("text", "constant", "rules"), BASH)
def test_bash_has_places_of_its_own(text: str, constant: str, rules: str) -> None:
    """Under shell: bash, bash's constructs are read as bash reads them."""
    assert compile_shell(text, shell="bash").text == constant
    assert slots(text, "bash") == rules


def test_what_is_no_placeholder_stays_as_written() -> None:
    """Expansions, escaped braces, brace lists and braces with blanks are text, beside a placeholder too."""
    assert compile_shell(LITERAL).slots == ()
    assert compile_shell(LITERAL).text == LITERAL
    assert compile_shell(LITERAL + " {v}").text == LITERAL + ' "${_smd1}"'


@pytest.mark.parametrize("text", PREDECESSOR)
def test_the_commands_of_the_predecessors_examples_compile(text: str) -> None:
    """Each placeholder of a command written for the predecessor becomes a slot."""
    program = compile_shell(text)
    assert len(program.slots) == text.count("{")
    assert len(program.argv(["v"] * len(program.slots))) == 4 + len(program.slots)


def test_argv_assigns_before_it_clears_the_arguments() -> None:
    """Values are positional arguments, moved into variables before the constant text runs."""
    program = compile_shell("cp {src} 'x {b|default:y}'")
    assert [slot.placeholder for slot in program.slots] == ["src", "b|default:y"]
    assert [slot.number for slot in program.slots] == [1, 2]
    assert program.argv(["v1", "v2"]) == [
        "/bin/sh",
        "-c",
        "_smd1=$1; _smd2=$2; set --; cp \"${_smd1}\" 'x '\"${_smd2}\"''",
        "smd",
        "v1",
        "v2",
    ]


def test_a_text_without_placeholders_is_not_touched() -> None:
    """No prelude, no reading: even text that the compiler could not read runs as it is."""
    assert compile_shell("echo `x` # y {", shell="bash").argv([]) == ["bash", "-c", "echo `x` # y {", "smd"]


def test_more_than_nine_values_are_numbered_in_braces() -> None:
    """`$10` would be `$1` and a zero."""
    argv = compile_shell("echo" + " {a}" * 10).argv(["x"] * 10)
    assert "_smd9=$9; _smd10=${10}; set --; " in argv[2]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("for x in {a}; do :; done", 1),
        ('for x in "{a}" {d}/*; do :; done', 0),
        ("rm $(ls {a})", 1),
        ('rm "$(ls {a})"', 0),
    ],
)
def test_lint_warns_of_what_never_splits_and_what_does(text: str, count: int) -> None:
    """A loop over one bare value runs once; the output of an unquoted substitution is split."""
    warnings = lint_shell(text)
    assert len(warnings) == count
    assert all("{a}" in warning for warning in warnings)


def test_lint_leaves_errors_to_the_compiler() -> None:
    """A text that does not compile has no warnings."""
    assert lint_shell("for x in {a}; do {b}; done") == []
