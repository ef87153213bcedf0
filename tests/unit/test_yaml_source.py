"""`smd.yaml_source`: strict YAML with places."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smd.problems import DocumentError, Problem
from smd.yaml_source import MAX_BYTES, MAX_NODES, read_yaml, scan_yaml


def problems_of(text: str | bytes) -> list[Problem]:
    with pytest.raises(DocumentError) as caught:
        read_yaml(text, "f.yaml")
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("12:30", "12:30"),
        ("2026-01-02", "2026-01-02"),
        ("1_000", "1_000"),
        ("~", None),
        ("", None),
        ("True", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("08", 8),
        ("+12", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1e3", -1000.0),
        ("'1'", "1"),
        ("! 1", "1"),
        ("!!str 1", "1"),
        ('!!int "5"', 5),
        ("!!float 1", 1),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    read = read_yaml(text, "f").value
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x {p: 1}\nb: {<<: *x, q: 2}", {"a": {"p": 1}, "b": {"q": 2, "p": 1}}),
        ("- &x {p: 1}\n- {<<: *x, p: 2}", [{"p": 1}, {"p": 2}]),
        ("- &x {p: 1}\n- &y {p: 2, q: 3}\n- {<<: [*x, *y]}", [{"p": 1}, {"p": 2, "q": 3}, {"p": 1, "q": 3}]),
        ('"<<": 1', {"<<": 1}),
        ("- &a [1]\n- *a", [[1], [1]]),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_aliases_and_merge_keys_are_expanded(text: str, value: Any) -> None:
    assert read_yaml(text, "f").value == value


@pytest.mark.parametrize(
    ("text", "code", "place", "message"),
    [
        ("a: [1", "E001", (1, 6), "flow sequence"),
        ("a: 1\nb: c: d", "E001", (2, 5), "mapping values"),
        ("a: 1\n---\nb: 2", "E001", (2, 1), "second document"),
        ("a: @x", "E001", (1, 4), "token"),
        (b"\xff\xfea\x00", "E002", (1, 1), "UTF-16"),
        (b"\xfe\xff\x00a", "E002", (1, 1), "UTF-16"),
        (b"a: 1\nb: \xe4", "E002", (2, 4), "0xe4"),
        ("a: \x07", "E002", (1, 4), "U+0007"),
        ("a: \ud800", "E002", (1, 4), "U+D800"),
        ('a: "\\0"', "E002", (1, 4), "U+0000"),
        ("a: 1\nb: 2\na: 3", "E003", (3, 1), "'a' stands twice"),
        ("x: {<<: {}, <<: {}}", "E003", (1, 13), "'<<' stands twice"),
        ("1: a", "E004", (1, 1), "not 1"),
        ("x:\n  null: a", "E004", (2, 3), "not null"),
        ("? [a]\n: b", "E004", (1, 3), "not a list"),
        ("a: !foo 1", "E005", (1, 4), "'!foo'"),
        ("a: !!binary x", "E005", (1, 4), "'!!binary'"),
        ("a: !!set {x: }", "E005", (1, 4), "'!!set'"),
        ("a: !!int x", "E005", (1, 4), "not a !!int"),
        ("a: *b", "E005", (1, 4), "*b has no anchor"),
        ("a: &a [*a]", "E005", (1, 8), "*a has no anchor"),
        ("a: {<<: 5}", "E005", (1, 9), "takes a mapping"),
        ("a: .inf", "E007", (1, 4), ".inf"),
        ("a: 1e999", "E007", (1, 4), "1e999"),
        ("a: 9223372036854775808", "E007", (1, 4), "64 bits"),
    ],
)
def test_what_yaml_or_json_cannot_say_is_refused_at_its_place(
    text: str | bytes, code: str, place: tuple[int, int], message: str
) -> None:
    (problem,) = problems_of(text)
    assert (problem.code, (problem.line, problem.column)) == (f"smd-{code}", place)
    assert message in problem.message


def test_a_true_key_says_what_to_write() -> None:
    (problem,) = problems_of("true: go")
    assert problem.hint == "write 'true': in quotes"


def test_all_mistakes_of_a_readable_text_are_told_at_once_in_order() -> None:
    found = problems_of("a: !x 1\n2: b\na: .nan\n")
    assert [(p.code, p.line) for p in found] == [("smd-E005", 1), ("smd-E004", 2), ("smd-E003", 3)]


def bomb(levels: int) -> str:
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(["a0: &a0 x", *lines])


@pytest.mark.parametrize(
    "text",
    [
        bomb(9),
        "[" * 101,
        "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 150))]),
        "[" + "x," * (MAX_NODES + 1) + "]",
        "[" * 500_000,
        "x" * (MAX_BYTES + 1),
    ],
    ids=["alias bomb", "deep", "deep by aliases", "many", "deep beyond any stack", "large"],
)
def test_size_depth_and_expansion_are_bounded(text: str) -> None:
    assert [p.code for p in problems_of(text)] == ["smd-E006"]


def test_the_bounds_themselves_are_allowed() -> None:
    deep = read_yaml("[" * 100 + "]" * 100, "f").value
    assert str(deep) == "[" * 100 + "]" * 100


def test_every_part_knows_its_place() -> None:
    source = read_yaml("a:\n  bü: 'x'\n  c:\n  - 1\n  - {d: 2}\nz: &q {y: 1}\nw: *q\n", "f")
    assert source.place(("a", "bü")) == (2, 7)
    assert source.place_of_key(("a", "bü")) == (2, 3)
    assert source.place(("a", "c", 1, "d")) == (5, 9)
    assert source.place_of_key(("a", "c", 1)) == (5, 5)
    assert source.place(("w",)) == (7, 4)
    assert source.place(("w", "y")) == (6, 11)
    assert source.place(("a", "c", 9)) == source.place_of_key(("a", "c")) == (3, 3)
    assert source.place(()) == (1, 1)
    assert source.lines[1] == "  bü: 'x'"


def test_the_text_stays_readable_for_comments() -> None:
    assert read_yaml("# === A ===\na: 1", "f").text == "# === A ===\na: 1"


@given(st.text(alphabet=st.sampled_from("a1:-[]{}&*!|>'\"# \n\t,?<@%\x85ü\\"), max_size=60))
@example("a: &a\n  <<: *a")
@example("? &x {<<: *x}")
@example("!<!> a")
@example("- &a !!map\n- *a")
def test_any_text_is_read_or_refused_with_places_inside_it(text: str) -> None:
    lines = len(text.splitlines()) + 1
    assert all(1 <= p.line <= lines and p.render() for p in scan_yaml(text, "f")[1])


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    source, problems = scan_yaml(data, "f")
    assert problems or data.decode().removeprefix("\ufeff") == source.text
