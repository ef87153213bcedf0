"""Values are checked before anything starts."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from smd.errors import ActionError
from smd.shell import MAX_ARGUMENT, check_argument, compile_shell


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        ("", ""),
        (7, "7"),
        (1.5, "1.5"),
        (True, "True"),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}'),
        ([1, None], "[1,null]"),
        (MappingProxyType({"a": MappingProxyType({"b": (1, 2)})}), '{"a":{"b":[1,2]}}'),
    ],
)
def test_a_value_has_one_text(value: object, text: str) -> None:
    """Strings stand, numbers are written as str() does, structures as compact JSON."""
    assert check_argument(value) == text


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "unknown placeholder"),
        ("a\0b", "NUL"),
        ("\ud800", "encoded"),
        (["\udcff"], "encoded"),
        pytest.param(10**5000, "digits", id="huge"),
        ({1, 2}, "no JSON"),
        (object(), "no JSON"),
        (b"x", "no JSON"),
    ],
)
def test_a_value_that_is_no_argument_fails_the_action(value: object, why: str) -> None:
    """None, NUL, lone surrogates and what is no JSON raise ActionError."""
    with pytest.raises(ActionError, match=f"^cannot use .*{why}"):
        check_argument(value)


@pytest.mark.parametrize("value", ["x" * MAX_ARGUMENT, "é" * (MAX_ARGUMENT // 2) + "x"])
def test_an_argument_holds_131071_bytes(value: str) -> None:
    """The limit counts bytes of UTF-8; one more is refused, and stdin: is named."""
    assert MAX_ARGUMENT == 131_071
    assert check_argument(value) == value
    with pytest.raises(ActionError, match="stdin:"):
        check_argument(value + "x")
    with pytest.raises(ActionError, match="stdin:"):
        compile_shell("echo {a}").argv([value + "x"])


def refused(text: str, *values: object, roots: tuple[str, ...] = (), allow_dash: bool = False) -> bool:
    program = compile_shell(text, allow_dash=allow_dash)
    try:
        program.argv(values, roots)
    except ActionError:
        return True
    return False


def test_a_leading_dash_fails_the_action() -> None:
    """At the start of a word a value may not be an option, unless it follows -- or the author allows it."""
    for text in ("rm {a}", 'rm "{a}"', "rm $x{a}", "sed p {a}", "for x in {a}; do :; done", "echo $(rm {a})"):
        assert refused(text, "-rf")
        assert not refused(text, "x-rf")
    for text in ("rm -- {a}", "rm x{a}", "rm --x={a}", "X={a}", "case {a} in x) ;; esac"):
        assert not refused(text, "-rf")
    assert not refused("rm {a}", "-rf", allow_dash=True)


@pytest.mark.parametrize("text", ["sed p {a}", "perl -e 1 {a}", "sudo -u {a} x", "timeout {a} x", "[ {a} = x ]"])
def test_allow_dash_never_makes_a_value_an_option_that_holds_code(text: str) -> None:
    """Where an option of the program could be code or a program, a leading dash stays refused."""
    assert refused(text, "-e1", allow_dash=True)


def test_a_dash_behind_a_value_counts_only_if_that_value_is_empty() -> None:
    """`{a}{b}` begins with b only where a is empty."""
    assert not refused("rm {a}{b}", "x", "-1")
    assert refused("rm {a}{b}", "", "-1")


@pytest.mark.parametrize(
    ("text", "value", "roots", "bad"),
    [
        ("x > {a}", "out-1_a.txt", (), False),
        ("x > {a}", ".", (), True),
        ("x > {a}", "..", (), True),
        ("x > {a}", "", (), True),
        ("x > {a}", "a b", (), True),
        ("x > {a}", "a\n", (), True),
        ("x > {a}", "é", (), True),
        ("x > {a}", "/srv/out/a b", ("/srv/out",), False),
        ("x > {a}", "//srv/out/a", ("/srv/out/",), False),
        ("x > {a}", "/srv/out/../x", ("/srv/out",), True),
        ("x > {a}", "/srv/outer", ("/srv/out",), True),
        ("x > {a}", "/etc/passwd", ("/srv/out",), True),
        ("x > {a}", "/etc/passwd", (), True),
        ("x > {a}", "out/sub/x", ("out",), False),
        ("x > {a}", "sub/x", (".",), False),
        ("x > {a}", "sub/../../x", (".",), True),
        ("x > {a}", "/etc/x", (".",), True),
        ("x > {a}", "/etc/x", ("/",), False),
        ("x > {a}/f", "/srv/out", ("/srv/out",), False),
        ("x > {a}f", "/srv/out", ("/srv/out",), True),
        ("x > {a}f", "/srv/out/", ("/srv/out",), True),
        ("x > {a}.log", "/srv/out/x", ("/srv/out",), False),
        ("x > d/{a}", "f", (), False),
        ("x > d/{a}", "../f", ("..", "."), True),
        ("x > d/{a}", "/srv/out/f", ("/srv/out",), True),
        ("x < '{a}'", "/srv/out/f", ("/srv/out",), False),
    ],
)
def test_a_redirection_stays_below_the_declared_roots(
    text: str, value: str, roots: tuple[str, ...], bad: object
) -> None:
    """A plain name, or a path that begins the target and lies under a root, and nothing else."""
    assert refused(text, value, roots=roots) is bad


@pytest.mark.parametrize("value", ["x", "1.5", "", "1 ", "0x10", "1e3", "a[0]", True, 1.0, "\uff11", "9" * 20])
def test_arithmetic_takes_integers_only(value: object) -> None:
    """Text that bash would evaluate, and numbers of another form, fail the action."""
    assert refused("echo $(({a|int}))", value)


def test_an_integer_is_written_in_its_shortest_form() -> None:
    """A leading zero would make it octal."""
    assert compile_shell("echo $(({a|int})) $(({b|int}))").argv(["-007", 42])[4:] == ["-7", "42"]


def test_each_slot_needs_a_value() -> None:
    """A caller that renders too few or too many values is a defect, not a failed action."""
    with pytest.raises(ValueError, match="shorter"):
        compile_shell("echo {a} {b}").argv(["x"])
