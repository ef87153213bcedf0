"""Each place where a value could become a program, code or a name is a load error with a way round."""

from __future__ import annotations

import pytest

from smd.errors import ChartError
from smd.shell import compile_shell

PROGRAMS = [
    "{a}", "x{a}", "/opt/{a}/run now", "'{a}' x", '"{a}"', "$(echo {a}) x", "X=1 {a}", "X={b} {a}", "! {a}",
    "exec {a}", "sudo {a}", "sudo -u bob {a}", "sudo -n -- {a}", "env {a}", "env X=1 {a}", "env -i {a}",
    "nohup {a}", "timeout 5 {a}", "timeout -k 1 5 {a}", "nice {a}", "nice -n 5 {a}", "command {a}",
    "time {a}", "builtin {a}", "setsid {a}", "if {a}; then :; fi", "if :; then {a}; fi",
    "if :; then :; else {a}; fi", "while {a}; do :; done", "until {a}; do :; done", "while :; do {a}; done",
    "{ {a}; }", "({a})", ": && {a}", ": || {a}", ": ; {a}", ": | {a}", ":\n{a}", ": & {a}", "echo $({a})",
    'echo "$({a})"', "case x in x) {a};; esac", "f() { {a}; }", "> out {a}", "xargs {a}",
    "find . -exec {a} ;", "echo x \\\n&& {a}", "sudo X=1 {a}", "sudo nohup timeout 1 {a}", "! time {a}",
    "cat <<E\nE\n{a}", "echo # it's\n{a}", "stdbuf -oL {a}", "sudo -x bob {a}", "flock f {a}",
]  # fmt: skip

NAMES = [
    "for {a} in x; do :; done", "read {a}", "read -r x {a}", "unset {a}", "export {a}", "export {a}=x",
    "export X={a}", "local {a}", "readonly {a}", "typeset {a}=1", "declare {a}", "printf -v {a} x",
    "printf -v{a} x", "test -v {a}", "[ -v {a} ]", "trap {a} EXIT", "trap 'echo {a}' EXIT", "alias x={a}",
    "alias r=rm; echo {a}", ". {a}", ". ./{a}", "source {a}", "eval {a}", "eval 'echo {a}'", "eval \"x={a}\"",
    "command eval {a}", "builtin source {a}", "let {a}", "{a}() { :; }", "getopts {a} x", "PATH={a} ls",
    "IFS={a}", "LD_PRELOAD=./{a} ls", "env PATH={a} ls", "set {a}", "BASH_ENV={a} bash x", "RANDOM={a}",
    "PATH=$(dirname {a}) ls",
]  # fmt: skip

PLACES = [
    "cat <<E\n{a}\nE", "cat <<'E'\n{a}\nE", "cat <<-E\n\t{a}\n\tE", "cat <<{a}\nx\n",
    "cat <<E\n$(echo {a})\nE", "echo `echo {a}`", 'echo "`echo {a}`"', "echo $(({a}))", "echo $(( {a} + 1 ))",
    'echo "$((1+{a}))"', "echo $(( {n|default:1} ))", "echo $(( $(echo {a}) ))", "echo ${x:-{a}}",
    "echo ${x#{a}}", 'echo "${x:-{a}}"', "echo ${x:-$(echo {a})}", "echo $'{a}'", "case x in {a}) :;; esac",
    "case x in (y|{a}) :;; esac", "case x in x*{a}) :;; esac", "echo x >&{a}", "cat <&{a}",
    "echo x > $(dirname {a})/y", "printf {a}", 'printf "x {a}\\n"', "printf -- {a} x",
]  # fmt: skip

BASH = [
    "(( {a} ))", "(( x = {a} ))", "for ((i={a};;)); do :; done", "[[ {a} -eq 1 ]]", "[[ 1 -lt {a} ]]",
    "[[ x =~ {a} ]]", "[[ x =~ ^({a}|b)$ ]]", "[[ -v {a} ]]", "a[{a}]=1", "a=([{a}]=1)", "echo ${a[{a}]}",
    "select {a} in x; do :; done", "function {a} { :; }", "declare -i n; n={a}", "local -n r; r={a}",
    "coproc {a}", "bash <<< {a}", "sh < <(echo {a})", "source <(echo {a})", "bash <(echo {a})", "mapfile {a}",
    "readarray -t {a}", "echo <({a})", "{a}&>x",
]  # fmt: skip

CODE = [
    "sh -c {a}", "bash -c {a}", "dash -c {a}", "zsh -c {a}", "ksh93 -c {a}", "fish -c {a}",
    "sh -c 'echo {a}'", 'sh -c "x {a}"', "sh -ec {a}", "sh -e -c {a}", "sh -o pipefail -c {a}",
    "sh -c \"$(echo {a})\"", "/bin/sh -c {a}", "\\sh -c {a}", "'s'h -c {a}", "sh {a}", "bash --rcfile {a}",
    "python -c {a}", "python3 -c 'print({a})'", "python3 -c'{a}'", "python3 -u -c {a}",
    "/usr/bin/python3 -c {a}", "python3.11 -c {a}", "~/venv/bin/python3 -c {a}", "python3 -m {a}",
    "python3 {a}", "perl -e {a}", "perl -ne 'print {a}'", "perl -pi.bak -e {a} f", "perl -ne 1 {a}",
    "ruby -e {a}", "node -e {a}", "node --eval={a}", "node -p {a}", "php -r {a}", "awk {a} f",
    "awk '{print}' f", "awk -F: '/{a}/' f", "awk -f {a} f", "gawk -e {a}", "awk -v {a}=1 '1'", "sed {a} f",
    "sed -n '/{a}/p' f", "sed -e {a} f", "sed -i s/x/{a}/ f", "sed -ne '{a}p' f", "sed --expression={a} f",
    "sed -f {a} f", "jq {a} f", "jq -r '.{a}' f", "jq -f {a}", "ssh host {a}", "ssh host 'rm {a}'",
    "ssh -p 22 host rm {a}", "ssh -o {a} host", "ssh host -- {a}", "su -c {a}", "su bob -c 'x {a}'",
    "echo x | xargs sh -c {a}", "xargs -I% sh -c 'echo % {a}'", "xargs -n 1 bash -c {a}",
    "find . -exec sh -c {a} \\;", "find . -exec sh -c 'x {a}' {} +", "find . -execdir bash -c {a} \\;",
    "find {a} -exec sh -c 'echo {}' \\;", "psql -c {a}", "psql db -c 'select {a}'", "psql --command={a}",
    "psql -tAc {a}", "psql -f {a}", "sqlite3 db {a}", "sqlite3 -json db 'select {a}'", "sqlite3 -cmd {a} db",
    "mysql -e {a}", "env -S {a}", "env -S 'x {a}'", "env -iS {a}", "env --split-string={a}",
    "env -S 'sh -c' {a}", "watch {a}", "watch -n 1 ls {a}", "parallel {a}", "parallel x ::: {a}",
    "sudo sh -c {a}", "env X=1 sh -c {a}", "nohup bash -c 'x {a}'", "timeout 5 python3 -c {a}",
    "exec sh -c {a}", "sudo -u bob env X=1 nice -n 5 sh -c {a}", "docker exec box sh -c {a}", "sudo -s {a}",
    "flock f -c {a}", "echo {a} | sh", "echo {a} | sudo bash -s", "{ echo {a}; } | python3",
    "cat {a} | python3 -", "sh < {a}", "busybox sh -c {a}", "echo {a} | xargs sh -c",
    "echo {a} | xargs -I% sh -c 'x %'", "$SHELL -c {a}", '"$SHELL" -c {a}', "sh $OPTIONS {a}",
    "$(command -v sh) -c {a}", "sudo $OPTIONS rm {a}", "echo {a} | psql", "sqlite3 db < {a}", "echo {a} | ssh host",
    "echo {a} | ssh host 'sudo bash -s'", "echo {a} | xargs -0I% sh -c %", "echo {a} | awk -f -", "echo {a} | sudo -s",
    "docker exec box psql -U u < {a} | sh",
]  # fmt: skip

UNREADABLE = [
    "echo '{a}", 'echo "{a}', "echo $(echo {a}", "echo {a} )", "(echo {a}", "if :; then echo {a}",
    "case {a} in x) :;;", "{ echo {a}", "for x in {a}; do :", "cat <<E\n{ a}\necho {a}", "echo $[1] {a}",
    "echo ${ x; } {a}", "echo {a} ${x", "echo $\\\n{a}", "echo {a} (x)", "echo {a}; _smd1=x",
    "[[ {a} == x ]]", "cat <<< {a}", "((1)); echo {a}", "cat <(echo {a})", "x &> y {a}", "x |& y {a}",
    "function f { echo {a}; }", "a=({a})", "echo $((1) ; echo {a})", "echo \"${x#'}'}\" {a}",
    "echo $'\\'' {a}", "echo {a} &\\\n& x", "echo `echo {a}",
]  # fmt: skip


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("text", PROGRAMS + NAMES + PLACES + CODE)
def test_a_forbidden_place_is_a_load_error(text: str, shell: str) -> None:
    """The error names a placeholder of the text, and what to write instead after a semicolon."""
    with pytest.raises(ChartError, match=r"^cannot use \{[a-z|:0-9]+\} .*: .*; .+") as caught:
        compile_shell(text, shell=shell, allow_dash=True)
    assert caught.value.code == "shell_placeholder"
    assert "write a space after" in caught.value.hint


@pytest.mark.parametrize("text", BASH)
def test_a_place_forbidden_in_bash_is_a_load_error(text: str) -> None:
    """What only bash evaluates is refused under shell: bash, and its text is not read as sh either."""
    for shell in ("bash", "sh"):
        with pytest.raises(ChartError, match=r"^cannot "):
            compile_shell(text, shell=shell)


@pytest.mark.parametrize("text", UNREADABLE)
def test_text_that_two_shells_read_differently_is_a_load_error(text: str) -> None:
    """Where sh cannot place a placeholder for sure, it does not guess."""
    with pytest.raises(ChartError, match=r"^cannot .*; .+"):
        compile_shell(text)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("{a} x", "as an argument, through env: or through stdin:"),
        ("sh -c 'echo {a}'", "argument after it, through env: or through stdin:"),
        ("cat <<E\n{a}\nE", "stdin:"),
        ("export X={a}", "export NAME"),
        ("echo $(({n}))", "{n|int}"),
        ("printf {a}", "printf '%s\\n'"),
        ("echo `ls {a}`", "$( )"),
        ("[ x ] && case x in {a}) ;; esac", "subject"),
        ("\n\n{a}", "line 3"),
    ],
)
def test_the_error_names_the_fix(text: str, fix: str) -> None:
    """Each kind of place has a way round that fits it, and its line."""
    with pytest.raises(ChartError) as caught:
        compile_shell(text)
    assert fix in caught.value.message


def test_bad_input_is_an_error_of_the_chart() -> None:
    """An unknown shell, NUL, text without an encoding and text longer than an argument are refused."""
    for text, shell in (
        ("x", "fish"),
        ("a\0", "sh"),
        ("\ud800", "sh"),
        ("x" * 131_072, "sh"),
        ("$(" * 4000 + "{a}", "sh"),
    ):
        with pytest.raises(ChartError, match=r"^cannot "):
            compile_shell(text, shell=shell)
