"""A value is followed where the shell runs or expands a text within a text, and through what commands read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from smd.errors import ChartError
from smd.shell import compile_shell

WITHIN = [
    "X={x}; Y=`$X`", 'X="{x}"; echo `eval "$X"`', 'X={x}; echo "`eval "$X"`"', 'X={x}; echo "`eval \\"\\$X\\"`"',
    'X={x}; echo `echo \\`eval "$X"\\``', 'X={x}; echo ${Z:-`eval "$X"`}', 'X={x}; echo "${Z:-`eval "$X"`}"',
    'X={x}; echo $(( `eval "$X"` ))', "X={x}; case `$X` in *) ;; esac", "X={x}; echo x > `$X`",
    'X={x}; cat <<E\n$(eval "$X")\nE', 'X={x}; cat <<E\n`eval "$X"`\nE', 'X={x}; cat <<E\n${Z:-$(eval "$X")}\nE',
    "X={x}; cat <<E\nit's \"$(sh -c \"$X\")\"\nE", 'X={x}; cat <<E\na \\\nE\n$(eval "$X")\nE',
    'X={x}; cat <<A; cat <<-B\na\nA\n\t`eval "$X"`\n\tB',
]  # fmt: skip
"""Texts within a text: backticks and the bodies of here-documents."""

READ = [
    "X={x}; sh <<E\n$X\nE", "X={x}; cat <<E | sh\n$X\nE", "X={x}; cat <<E |\n$X\nE\nsh", "X={x}; (sh) <<E\n$X\nE",
    'X={x}; read -r l <<E\n$X\nE\neval "$l"', 'X={x}; while read -r l; do eval "$l"; done <<-E\n\t$X\n\tE',
    "printf '%s\\n' {x} | while read -r l; do eval \"$l\"; done", "printf '%s\\n' {x} | { read -r l; $l; }",
]  # fmt: skip

READ_BY_BASH = [
    'while read -r l; do eval "$l"; done <<< {x}', "until ! read -r l; do $l; done <<< {x}",
    'if read -r l; then eval "$l"; fi <<< {x}', "(read -r l; $l) <<< {x}", "f() { read -r l; $l; } <<< {x}; f",
    "for i in 1; do read -r l; done <<< {x}; $l", "builtin read -r l <<< {x}; $l", "read -r l < <(echo {x}); $l",
    'select l in a b; do eval "$REPLY"; done <<< {x}', "exec 3<<< {x}; read -r -u 3 l; $l", "exec <<< {x}; sh",
    "while read -r a; do while read -r b; do $b; done <<< \"$a\"; done <<< {x}", "echo {x} > >(sh)",
    "> >(sh) echo {x}", "X={x}; a=(`$X`)", "X={x}; cat <<< \"`$X`\"", "X={x}; [[ -n `$X` ]]",
]  # fmt: skip

HARMLESS = [
    'X={x}; Y=`printf %s "$X"`; echo "$Y"', 'X={x}; n=`printf %s "$X" | wc -c`; echo $((n + 1))',
    "X={x}; cat <<E\n$X it's \"`date`\" $((1+2)) ${X:-a} \\$X \\`x\\` {y \\\n more\nE",
    "X={x}; cat <<'E'\n$(eval \"$X\") `$X`\nE", "X={x}; sh s.sh <<E\n$X\nE", "X={x}; cat <<E > out\n$X\nE\ncat out",
    "X={x}; cat <<A; cat <<B\n$X\nA\n`echo \"$X\"`\nB", "X={x}; echo `# don't\necho hi`", "exec 3>&1; echo {x} >&3",
    'while read -r l; do echo "$l"; done <<< {x}', "printf '%s\\n' {x} | while read -r l; do rm -f -- \"$l\"; done",
    'echo {x} | while read -r n; do [ "$n" = 1 ]; done', "ls | while read -r f; do $f; done; echo {x}",
    "wc -l {x} | while read -r n r; do [[ $n -gt 1 ]]; done", "echo {x} | { read -r l; cat; } | sh -c 'cat'",
    "while read -r c; do $c; done < f; echo {x}",
]  # fmt: skip


def refused(text: str, *, shell: str = "bash", stdin: str = "") -> str:
    with pytest.raises(ChartError) as caught:
        compile_shell(text, shell=shell, stdin=stdin)
    assert caught.value.code == "shell_placeholder"
    return caught.value.message


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("text", WITHIN + READ)
def test_a_value_is_no_code_in_a_text_within_the_text(text: str, shell: str) -> None:
    assert "{x}" in refused(text, shell=shell)


@pytest.mark.parametrize("text", READ_BY_BASH)
def test_a_value_is_no_code_where_a_command_reads_it(text: str) -> None:
    assert "{x}" in refused(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_elsewhere_texts_within_the_text_and_input_may_carry_values(text: str) -> None:
    compile_shell(text, shell="bash")


def test_a_place_within_backticks_or_a_heredoc_is_named_by_its_line() -> None:
    assert "$X, which holds {x}, as an argument of eval (line 3)" in refused('X={x}\necho `true\neval "$X"`')
    assert "$X, which holds {x}, as an argument of eval (line 4)" in refused('X={x}\ncat <<E\na\n$(eval "$X")\nE')


@pytest.mark.parametrize("text", ['X={x}; cat <<E\n`echo \\"$X\\"`\nE', 'X={x}; echo "${Z:-`echo \\"$X\\"`}"'])
def test_where_shells_disagree_about_backticks_they_are_not_read(text: str) -> None:
    with pytest.raises(ChartError, match="shells disagree") as caught:
        compile_shell(text)
    assert caught.value.code == "shell_syntax"


@pytest.mark.parametrize("text", ["read -r l; eval \"$l\"", "cat | while read -r l; do $l; done", "sh <&0",
                                  "sh < /dev/stdin"])  # fmt: skip
def test_what_stdin_gives_to_read_is_followed(text: str) -> None:
    assert "{x}" in refused(text, stdin="x")


@pytest.mark.parametrize("text", ['while read -r l; do echo "$l"; done', "while read -r l; do $l; done < f"])
def test_stdin_may_be_read_by_variables(text: str) -> None:
    compile_shell(text, stdin="x")


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_texts_within_the_text_run_as_they_are_written(shell: str, tmp_path: Path) -> None:
    text = (
        'X={x}; Y=`printf "%s" "$X"`; echo "`printf \\"<%s>\\" \\"$Y\\"`"; cat <<E | while read -r l; do echo "[$l]"; done\n'
        '$X \\$X `echo \\`echo b\\`` $(echo "$Y") it\'s\nE'
    )
    argv = compile_shell(text, shell=shell).argv(["$(touch canary)"])
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "<$(touch canary)>\n[$(touch canary) $X b $(touch canary) it's]\n"
    assert not (tmp_path / "canary").exists()
