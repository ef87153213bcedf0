"""Real shells see a value as exactly the bytes it has, and never as code."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from smd.errors import ActionError, ChartError
from smd.shell import compile_shell

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much], database=None)
MANY = settings(FEW, max_examples=250)

HOSTILE = [
    "$(touch canary)", "`touch canary`", "; touch canary;", "\ntouch canary\n", "| touch canary",
    "& touch canary &", "'", '"', "\\", "'; touch canary; '", '"; touch canary; "', "{x}", "${HOME}", "$1",
    "$_smd1", "*", "?", "[a-z]", "~", "-n", "--", "-", "é", "\U0001f600", " ", "\t", "\n", "\r", "#", "!",
    "a[$(touch canary)]", "%n%s\\c", ") touch canary (", "esac; touch canary", "\x7f", "\u202e", "}",
    "${x:-$(touch canary)}",
]  # fmt: skip
values = st.lists(
    st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5), max_size=5
).map("".join)

BOTH = {
    "bare": "printf '%s\\0' {v}",
    "after --": "printf -- '%s\\0' {v}",
    "double": "printf '%s\\0' \"{v}\"",
    "single": "printf '%s\\0' '{v}'",
    "joined": "printf '%s\\0' \"\"{v}''",
    "assignment": "X={v}; printf '%s\\0' \"$X\"",
    "quoted assignment": "X='{v}'\nprintf '%s\\0' \"$X\"",
    "assignment before a command": 'X="{v}" sh -c \'printf "%s\\0" "$X"\'',
    "substitution": "X=\"$(printf '%s.' {v})\"; printf '%s\\0' \"${X%.}\"",
    "nested substitution": "X=$(printf '%s.' \"$(printf '%s.' '{v}')\"); printf '%s\\0' \"${X%..}\"",
    "case subject": "case {v} in \"$EXPECTED\") printf '%s\\0' {v};; esac",
    "case inside $( )": '[ "$(case {v} in ("$EXPECTED") echo 1;; esac)" ] && printf "%s\\0" {v}',
    "loop word": "for x in {v}; do printf '%s\\0' \"$x\"; done",
    "function argument": "f() { printf '%s\\0' \"$1\"; }; f {v}",
    "code's argument": 'sh -c \'printf "%s\\0" "$1"\' name {v}',
    "group in a pipe": "{ printf '%s\\0' {v}; } | cat",
    "after a comment": "# it's {v}\nprintf '%s\\0' {v} # {v}",
    "test": "[ x{v} = \"x$EXPECTED\" ] && printf '%s\\0' {v}",
}
BASH = {
    "here-string through cat": "X=$(cat <<< {v}.); printf '%s\\0' \"${X%.}\"",
    "array": "a=({v} b); printf '%s\\0' \"${a[0]}\"",
    "condition": "[[ {v} == \"$EXPECTED\" ]] && printf '%s\\0' {v}",
    "pattern side": "[[ $EXPECTED == {v} ]] && printf '%s\\0' {v}",
    "process substitution": "cat <(printf '%s\\0' {v})",
}
CASES = [(shell, name, text) for name, text in BOTH.items() for shell in ("sh", "bash")]
CASES += [("bash", name, text) for name, text in BASH.items()]


@contextlib.contextmanager
def empty_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def run(argv: list[str], folder: Path, expected: str = "") -> bytes:
    program = argv[0] if argv[0].startswith("/") else "/bin/" + argv[0]
    env = {"PATH": "/usr/bin:/bin", "EXPECTED": expected, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [program, *argv[1:]],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize(("shell", "name", "text"), CASES, ids=[f"{shell}-{name}" for shell, name, _ in CASES])
def test_each_allowed_place_passes_identical_bytes(shell: str, name: str, text: str) -> None:
    """A value arrives as one argument with its own bytes, and nothing in it runs."""
    program = compile_shell(text, shell=shell, allow_dash=True)

    @FEW
    @given(value=values)
    def check(value: str) -> None:
        with empty_folder() as folder:
            try:
                argv = program.argv([value] * len(program.slots))
            except ActionError:
                assert value.startswith("-")
                return
            seen = run(argv, folder, value)
            assert not list(folder.iterdir())
        assert seen == value.encode() + b"\0"

    check()


# `@` stands for a word, `%` for a command.
WORDS = [
    '"@"', "'@'", "$(echo @)", '"$(echo @)"', "`echo @`", "${X:-@}", '"${X#@}"', "$((@))", "$'@'", "x=@",
    "a[@]=1", "@@", "\\@", "-@", "<(echo @)", "#@", "~@", '"a\\@"', "{@,@}", "'\\@'",
    '"$(case @ in (@) echo;; esac)"',
]  # fmt: skip
COMMANDS = [
    "echo @", "printf @ @", "printf -v @ @", "[ @ ]", "test @ @", "[[ @ == @ ]]", "[[ @ -eq 1 ]]",
    "[[ -v @ ]]", "@", "eval @", "sh -c @", "sh -c 'echo \"$1\"' x @", "X=@", "X=@ @", "declare -i X; X=@",
    "export @", "trap @ EXIT", "for x in @; do echo \"$x\"; done", "for @ in x; do :; done",
    "case @ in @) :;; esac", "cat <<E\n@\nE\n", "cat <<'E' # @\n'\nE\necho @", "cat <<< @", "echo x > @",
    "(( @ ))", "find . -name @", "sed @", "awk @", "env @ @", "xargs @", ". @", "read @", "unset @", "let @",
    "f() { echo \"$1\"; }; f @", "a=(@ @); echo ${a[0]}", "exec @",
]  # fmt: skip
JOINED = [
    "%; %", "%\n%", "% && %", "% | %", "% & %", "{ %; }", "(%)", "if %; then %; fi", "! %", "% # @\n%",
    "echo $(%)",
]  # fmt: skip
ATTACKS = [
    "$(touch canary)", ";touch canary;", "`touch canary`", "touch canary", "x[$(touch canary)]",
    "\ntouch canary\n", "'\ntouch canary\n'", '"\ntouch canary\n"', ")\ntouch canary\n", "}\ntouch canary\n",
    "E\ntouch canary\n", "touch", "1;touch canary", "-v", "-c", "%n", "./evil",
]  # fmt: skip


def filled(forms: list[str], mark: str, inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Each form with every mark replaced by a draw of its own."""
    return st.tuples(st.sampled_from(forms), inner, inner).map(
        lambda drawn: drawn[0].replace(mark, drawn[1], 1).replace(mark, drawn[2])
    )


words = st.recursive(
    st.sampled_from(["{v}", "{v}", "{v|int}", "a", "$X"]), lambda inner: filled(WORDS, "@", inner), max_leaves=3
)
commands = filled(COMMANDS, "@", words)
texts = st.recursive(commands, lambda inner: filled(JOINED, "%", inner), max_leaves=3).map(
    lambda text: text.replace("@", "{v}")
)
attacks = st.sampled_from(ATTACKS)


@pytest.mark.parametrize(("shell", "program"), [("sh", ["sh"]), ("bash", ["bash"]), ("sh", ["bash", "--posix"])])
def test_no_text_that_compiles_runs_a_value(shell: str, program: list[str]) -> None:
    """Whatever text is thrown together, it is refused or its values stay data in a real shell, also in bash as sh."""

    @MANY
    @given(text=texts, value=attacks)
    def check(text: str, value: str) -> None:
        try:
            compiled = compile_shell(text, shell=shell, allow_dash=True)
            argv = compiled.argv([1 if slot.placeholder == "v|int" else value for slot in compiled.slots])
        except (ChartError, ActionError):
            reject()
        with empty_folder() as folder:
            (folder / "evil").write_text("#!/bin/sh\ntouch canary\n")
            (folder / "evil").chmod(0o755)
            run([*program, *argv[1:]], folder)
            assert not (folder / "canary").exists()

    check()


def test_the_child_gets_each_value_as_one_argument(tmp_path: Path) -> None:
    """A program's own argument list holds the values byte for byte."""
    code = "import os, sys; os.write(1, b'\\0'.join(map(os.fsencode, sys.argv[1:])))"
    program = compile_shell(f"{sys.executable} -c \"{code}\" -- {{a}} 'x {{b}}' z{{a}}")
    found = run(program.argv(["-a b\n", "$(touch canary)*", "ü"]), tmp_path)
    assert found.split(b"\0") == [b"--", b"-a b\n", b"x $(touch canary)*", "zü".encode()]
    assert not list(tmp_path.iterdir())


def test_the_longest_argument_passes_the_kernel(tmp_path: Path) -> None:
    """131,071 bytes, the most a value may have, arrive whole."""
    program = compile_shell("printf '%s' {a} | wc -c")
    assert run(program.argv(["x" * 131_071]), tmp_path).strip() == b"131071"


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_shell_looks_untouched(shell: str, tmp_path: Path) -> None:
    """Positional arguments are empty, variables are not exported, more than nine values work."""
    text = "echo $# [$*]; env | grep -c _smd; echo " + " ".join(f"{{a{n}}}" for n in range(12))
    program = compile_shell(text, shell=shell)
    assert run(program.argv([f"v{n}" for n in range(12)]), tmp_path).decode().splitlines() == [
        "0 []",
        "0",
        " ".join(f"v{n}" for n in range(12)),
    ]


def test_arithmetic_reads_integers_as_written(tmp_path: Path) -> None:
    """Negative numbers and leading zeros count as the decimal numbers they are."""
    program = compile_shell('echo $(( 3-{a|int} )) "$(({b|int}*2))"')
    assert run(program.argv([-5, "010"]), tmp_path) == b"8 20\n"
