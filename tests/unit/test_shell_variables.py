"""A variable that was given a value from data is refused where its value could become code, a program or a name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from smd.errors import ActionError, ChartError
from smd.shell import chooses_program, compile_shell, name_fault

GIVEN = [
    "v={x}", "v='{x}'", 'v="a {x}"', "v={x}; export v", "w={x}; v=$w", "w={x}; v=${w:-1}", "f() { local v; v={x}; }; f",
    "w={x}; export v=\"$w\"", "for v in {x}; do :; done", "printf -v v %s {x}", "read -r v <<< {x}",
    "mapfile -t v <<< {x}", "v=({x} b)", "v=(); v+=({x})", "v[0]={x}", "w=$(echo {x}); v={x}",
]  # fmt: skip
"""Ways to give `v` a value in bash."""

CODE = [
    'eval "$v"', "eval $v", '"$v" x', "$v", "$(echo \"$v\")", '. "$v"', 'trap "$v" EXIT', 'sh -c "$v"', 'sudo "$v"',
    "timeout $v ls", 'python3 "$v"', 'python3 -c "$v"', 'sed "s/x/$v/" f', 'ssh host "rm $v"', 'echo "$v" | sh',
    'unset "$v"', 'export "$v"', 'read "$v"', 'test -v "$v"', 'printf "$v"', 'PATH="$v" ls', 'PATH+=":$v"',
    'export PATH="$v:$PATH"', 'env PATH="$v" ls', 'find . -exec "$v" \\;', 'wait -n -p "$v"', 'exec -a "$v" sh',
    'flock f -c "$v"', "jobs -x \"$v\"", 'eval "$(echo "$v")"', 'w="$v"; eval "$w"',
]  # fmt: skip
EVALUATED = [
    "echo $((v))", "echo $(($v+1))", 'echo "$(( 1 + ${v} ))"', "(( v > 3 ))", "let v+=1", "let y=v", "[[ v -eq 1 ]]",
    "[[ $v -gt 1 ]]", "[[ 1 -lt ${v} ]]", "y[v]=1", "y[$v]=1", "y=([v]=1)", "y=([$v]=1)", "echo ${y[v]}",
    'echo "${y[$v]}"', "y=(1 2); echo ${#y[v]}", "y=abc; echo ${y:v}", "y=abc; echo ${y:0:$v}", "[ $v -gt 3 ]",
    "for ((i=v; i<0; i++)); do :; done", "cat <<E\n$((v))\nE", "echo `echo $((v))`", "[[ -v y[v] ]]",
    "test -v y[v]", "declare y[v]=1", "read -r y[v] <<< 1", "printf -v y[v] 1", "y=(1 2); unset y[v]",
    "declare -i y; y=$v", "declare -a y=\"$v\"", "echo ${v@P}", "echo ${!v}",
]  # fmt: skip
"""What bash alone evaluates."""
BASH_TEXT = ("[[ ", "(( ", "for ((", "y=(", "<<<")
"""Signs of a text that `shell: sh` does not read."""

PLAIN = [
    '[ "$v" -gt 3 ]', 'echo "$v"', 'for f in "$v"; do echo "$f"; done', "echo ${v:-b} ${v##*/} ${#v} ${v%x}",
    'case "$v" in b) ;; "$v") ;; esac', 'cat -- "$v"', "echo $(( ${#v} + 1 ))", 'n=$(wc -c < f); echo $((n + 1))',
    'n=$(printf %s "$v" | wc -c); echo $((n + 1))', 'export B="$v"; f() { local c="$v"; }; f; readonly D="$v"',
    "[[ $v == y && -n $v ]]", "[[ y =~ $v ]]", "awk -v v=\"$v\" 'BEGIN { print v }'", 'sh s.sh "$v"', "true $v",
    'timeout 5 true "$v"', "$TRUE \"$v\"", "b=3; echo $((b + 1)) ${y[b]} ${!b}", 'y=("$v" [1]="$v"); echo "${y[@]}"',
    "printf '%s\\n' \"$v\"", "trap 'true \"$v\"' EXIT", "cat <<E\n$v $((1+2))\nE", "cat <<'E'\n$((v))\nE",
    'X="$v" true; env Y="$v" true', "echo ${v:0:3} ${v: -2}", "echo $(basename -- \"$v\")", "unset v; v=1; export v",
    'while read -r l; do echo "$l"; done < f', "echo \"$v\" > f", "n=$(wc -c < f); [[ $n -gt 1 ]]; (( n > 1 )) || true",
]  # fmt: skip
ATTACKS = [
    "a[$(touch canary)]",
    "$(touch canary)",
    "touch canary",
    "./evil",
    "-v a[$(touch${IFS}canary)]",
    "x;touch canary",
]


def refused(text: str, *, shell: str = "bash", env: dict[str, str] | None = None) -> str:
    with pytest.raises(ChartError) as caught:
        compile_shell(text, shell=shell, carried=env or {})
    assert caught.value.code == "shell_placeholder"
    return caught.value.message


def canary_after(argv: list[str], folder: Path) -> bool:
    (folder / "evil").write_text("#!/bin/sh\ntouch canary\n")
    (folder / "evil").chmod(0o755)
    for name in ("f", "s.sh"):
        (folder / name).write_text("")
    env = {"PATH": "/usr/bin:/bin", "TRUE": "true"}
    subprocess.run(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    return (folder / "canary").exists()


@pytest.mark.parametrize("use", CODE + EVALUATED)
def test_a_variable_with_a_value_is_refused_where_it_would_be_code(use: str) -> None:
    """However the variable got its value, also further down in the text, and through the environment."""
    for given in GIVEN:
        refused(f"{given}; {use}")
        refused(f"while :; do {use}\ndone; {given}")
    assert "{x}" in refused(use, env={"v": "x"})


@pytest.mark.parametrize("use", [use for use in CODE if "test -v" not in use])
def test_sh_refuses_code_and_programs_too(use: str) -> None:
    refused(f"v={{x}}; {use}", shell="sh")
    refused(use, shell="sh", env={"v": "x"})


@pytest.mark.parametrize("use", [use for use in EVALUATED if not use.startswith(BASH_TEXT) and "<<<" not in use])
def test_sh_refuses_what_bash_evaluates_since_it_may_be_bash(use: str) -> None:
    for given in ("v={x}", 'v="a {x}"', "w={x}; v=${w:-1}", "for v in {x}; do :; done"):
        refused(f"{given}; {use}", shell="sh")
    refused(use, shell="sh", env={"v": "x"})


@pytest.mark.parametrize("use", ['eval "$v"', "$v", 'sh -c "$v"', 'PATH="$v" ls'])
def test_output_of_a_command_that_got_a_value_is_no_program_either(use: str) -> None:
    refused(f"v=$(printf %s {{x}}); {use}")


@pytest.mark.parametrize(("shell", "use"), [(shell, use) for shell in ("sh", "bash") for use in PLAIN])
def test_ordinary_uses_compile_and_run_nothing(shell: str, use: str, tmp_path: Path) -> None:
    """No false alarm, and real shells keep the value data."""
    if shell == "sh" and any(mark in use for mark in ("[[", "((n", "y=(", "y[", "${!", "v:0", "(( n")):
        return
    program = compile_shell(f"v={{x}}; {use}", shell=shell)
    assert compile_shell(use, shell=shell, carried={"v": "x"}).text == use
    for attack in ATTACKS:
        try:
            argv = program.argv([attack])
        except ActionError:
            continue
        assert not canary_after(argv, tmp_path)


@pytest.mark.parametrize("use", [*EVALUATED, 'wait -n -p "$v"', 'printf -v "$v" x', 'test -v "$v"', 'jobs -x "$v"'])
def test_what_is_refused_in_bash_is_what_bash_evaluates(use: str, tmp_path: Path) -> None:
    """The list is no guess: with a value spliced in, bash runs it, also as /bin/sh; dash runs none of it."""
    if use == "echo ${!v}":
        return
    attacks = [*ATTACKS, "([$(touch canary)]=1)"]
    for bash in (["bash"], ["bash", "--posix"]):
        assert any(canary_after([*bash, "-c", f"v=$1; sleep 0 & {use}", "x", a], tmp_path) for a in attacks)
        (tmp_path / "canary").unlink()
    assert not any(canary_after(["dash", "-c", f"v=$1; {use}", "x", a], tmp_path) for a in attacks)


def test_a_checked_integer_may_stand_in_arithmetic() -> None:
    text = "v={n|int}; echo $((v)); (( v > 3 )); [[ v -gt 3 ]]; y[v]=1; [ $v -gt 3 ]"
    assert compile_shell(text, shell="bash").slots
    assert compile_shell("v={n|int}; echo $((v)) $(($v + 1)); [ $v -gt 3 ]").slots


def test_arithmetic_of_sh_with_its_own_variables_stays_allowed() -> None:
    text = "i=0; while [ $i -lt {n|int} ]; do echo {x}; i=$((i + 1)); done; n=$(wc -l < {f}); echo $((n + i)) ${#n}"
    assert compile_shell(text).slots


def test_the_error_names_the_variable_its_placeholder_the_line_and_the_way_round() -> None:
    message = refused("v={payload.n}\necho hi\necho $((v))")
    assert message.startswith("cannot use $v, which holds {payload.n}, in $(( )) (line 3): ")
    assert "{payload.n|int}" in message


@pytest.mark.parametrize(
    "text",
    [
        "wait -p {x}", "wait -n -p {x}", "wait -np {x}", "wait -p{x}", "test -R {x}", "jobs -x {x}", "fc -s {x}",
        "history -s {x}", "exec -a {x} busybox", "BASH_CMDS[ls]={x}; ls", "BASH_CMDS=([ls]={x})", "BASH_ALIASES[a]={x}",
        "for PATH in {x}; do ls; done", "read -r PATH <<< {x}", "printf -v PATH %s {x}", "EXECIGNORE={x}",
    ],
)  # fmt: skip
def test_builtins_that_take_names_or_choose_programs_are_refused(text: str) -> None:
    refused(text)


def test_wait_for_a_process_takes_a_value_that_is_no_option() -> None:
    program = compile_shell("wait {pid}", shell="bash", allow_dash=True)
    with pytest.raises(ActionError, match="begins with -"):
        program.argv(["-p"])
    assert compile_shell("exec -a name prog {x}").slots


def test_variables_that_only_hand_values_on_end_the_reading() -> None:
    """Each turn finds one more variable; a text made for that does not cost without bound."""
    chain = "; ".join(f"v{n}=$v{n + 1}" for n in range(40))
    with pytest.raises(ChartError, match="too many turns"):
        compile_shell(f"{chain}; v40={{x}}")
    assert compile_shell("a=$b; b=$c; c={x}").slots


@pytest.mark.parametrize(
    ("names", "chooses"),
    [
        ("PATH IFS ENV LD_PRELOAD LD_x BASH_ENV PS4 PYTHONPATH PERL5OPT RUBYOPT NODE_OPTIONS", True),
        ("GIT_SSH_COMMAND GIT_DIR EDITOR SUDO_EDITOR PAGER RSYNC_RSH SHELLOPTS PROMPT_COMMAND", True),
        ("HOME LANG X PATHS MY_PATH GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL UID path", False),
    ],
)
def test_some_variables_choose_programs(names: str, chooses: bool) -> None:
    assert {name: chooses_program(name) for name in names.split()} == dict.fromkeys(names.split(), chooses)


@pytest.mark.parametrize(("name", "fault"), [("A", ""), ("_a1", ""), ("A-B", "no variable"), ("SMD_X", "smd's own")])
def test_some_names_are_none(name: str, fault: str) -> None:
    assert fault in name_fault(name)
    assert bool(fault) is bool(name_fault(name))
