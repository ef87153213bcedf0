"""Templates: which text is a placeholder, what it becomes, and that data never becomes a placeholder."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smd.errors import ActionError, ChartError
from smd.statechart.template import (
    MISSING,
    Lookup,
    compile_placeholder,
    compile_template,
    names,
    sole_placeholder,
    walk,
)

CONTEXT: dict[str, Any] = {"s": "text", "n": 5, "zero": 0, "no": False, "empty": "", "null": None, "half": 2.5}
CONTEXT |= {"f": 2.0, "list": [1, "é"], "map": {"a": {"b": 7}, "x": "{n}"}, "digits": " 42 ", "huge": 2**63}
CONTEXT |= {"evil": "{s}"}


def lookup_in(root: dict[str, Any]) -> Lookup:
    return lambda parts: walk(root, parts)


def rendered(value: object, *, fallback: bool = False) -> Any:
    return compile_template(value, fallback=fallback).render(lookup_in(CONTEXT))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{n}", 5),
        ("{list}", [1, "é"]),
        ("{map.a}", {"b": 7}),
        ("{map.a.b}", 7),
        ("{no}", False),
        ("{zero}", 0),
        ("{empty}", ""),
        ("x{n}y{s}", "x5ytext"),
        ("is {no}{zero}{empty}{half}", "is False02.5"),
        ("got {list} {map.a}", 'got [1,"é"] {"b":7}'),
        ("{{n}}", "{5}"),
        ("{evil}", "{s}"),
        ("a {evil} b", "a {s} b"),
        ("{missing}", "{missing}"),
        ("a {missing} {n}", "a {missing} 5"),
        ("{null}", "{null}"),
        ("a {null}", "a {null}"),
        ("{list.0}", "{list.0}"),
        ("{s.upper}", "{s.upper}"),
        ("{map.a.b.c}", "{map.a.b.c}"),
        *(
            (text, text)
            for text in ["{ n}", "{n }", "{n-s}", "{}", "{1}", "{n,s}", "{n..s}", "{.n}", "{n.}", "{", "n}"]
        ),
    ],
)
def test_placeholders_become_values_or_stay_as_written(text: str, value: object) -> None:
    assert rendered(text) == value
    assert type(rendered(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{list|length}", 2),
        ("{map|length}", 2),
        ("{s|length}", 4),
        ("{missing|length}", 0),
        ("{null|length}", 0),
        ("{n|length}", "{n|length}"),
        ("{missing|length|default:9}", 0),
        ("{n|length|default:9}", 9),
        ("{missing|default:0}", 0),
        ("{null|default:1.5}", 1.5),
        ("{zero|default:9}", 0),
        ("{missing|default:true}", True),
        ("{missing|default:none}", None),
        ("{missing|default:null}", None),
        ("{missing|default:a b}", "a b"),
        ("{missing|default:'a|b'}", "a|b"),
        ('{missing|default:"7"}', "7"),
        ('{missing|default: "7" }', "7"),
        ("{missing|default:}", ""),
        ("{missing|default:[1]}", "[1]"),
        ("{missing|default:NaN}", "NaN"),
        ("n={missing|default:0}", "n=0"),
        ("n={missing|default:none}.", "n=."),
        ("{list|json}", '[1,"é"]'),
        ("{missing|json}", "{missing|json}"),
        ("{missing|default:none|json}", None),
        ("{digits|int}", 42),
        ("{f|int}", 2),
        ("{missing|int}", "{missing|int}"),
        ("{missing|int|default:3}", 3),
        ("{n|unknown}", "{n|unknown}"),
        ("{n|default}", "{n|default}"),
        ("{n|int:4}", "{n|int:4}"),
        ("{n|}", "{n|}"),
        ("{n|s}", "{n|s}"),
    ],
)
def test_filters_apply_from_left_to_right(text: str, value: object) -> None:
    assert rendered(text) == value
    assert type(rendered(text)) is type(value)


@pytest.mark.parametrize("text", ["{s|int}", "a {half|int}", "{no|int}", "{list|int}", "{huge|int}"])
def test_int_of_anything_but_a_whole_number_is_an_action_error(text: str) -> None:
    with pytest.raises(ActionError, match=r"cannot use .* as an integer"):
        rendered(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{missing|n}", 5),
        ("{s|n}", "text"),
        ("{null|missing|map.a.b}", 7),
        ("{null|missing}", "{null|missing}"),
        ("{missing|null|default:x}", "x"),
        ("{s|length}", 4),
        ("{s|json|n}", "{s|json|n}"),
    ],
)
def test_with_fallback_other_words_are_further_keys(text: str, value: object) -> None:
    assert rendered(text, fallback=True) == value


def test_maps_and_lists_are_rendered_but_keys_are_not() -> None:
    assert rendered({"{n}": ["{n}", {"a": "{s}!"}, 3, None]}) == {"{n}": [5, {"a": "text!"}, 3, None]}


def test_a_constant_template_gives_back_the_same_object() -> None:
    value = {"a": ["{ x}", 1, {"b": None}]}
    template = compile_template(value)
    assert template.constant
    assert template.render(lookup_in(CONTEXT)) is value
    assert not compile_template({"a": ["{n}"]}).constant


def test_names_are_the_paths_looked_up() -> None:
    template = compile_template({"a": "{n} {map.a|length}", "b": ["{x|y}", "{z|unknown:1}"]}, fallback=True)
    assert names(template) == {("n",), ("map", "a"), ("x",), ("y",)}


def test_placeholder_renders_a_value_or_missing() -> None:
    assert compile_placeholder("map.a|json").render(lookup_in(CONTEXT)) == '{"b":7}'
    assert compile_placeholder("null").render(lookup_in(CONTEXT)) is MISSING
    assert compile_placeholder("x|n", fallback=True).render(lookup_in(CONTEXT)) == 5
    for text in ["", "1a", "a b", "a,b", "{n}"]:
        with pytest.raises(ChartError, match="cannot read placeholder"):
            compile_placeholder(text)


def test_depth_is_bounded() -> None:
    value: Any = "{n}"
    for _ in range(100):
        value = [value]
    assert "5" in str(rendered(value))
    for deep in ([value], {"a": value}):
        with pytest.raises(ChartError, match="nested deeper than 100"):
            compile_template(deep)


def test_walk_enters_maps_only() -> None:
    assert walk(CONTEXT, ("map", "a", "b")) == 7
    assert walk(CONTEXT, ()) is CONTEXT
    assert [walk(CONTEXT, path) for path in [("list", "0"), ("s", "x"), ("no", "x"), ("zz",)]] == [MISSING] * 4


_TEXTS = st.text(alphabet="{}nsx|.: ", max_size=12)


@given(_TEXTS, _TEXTS, _TEXTS)
def test_a_value_is_never_read_as_a_placeholder(before: str, value: str, after: str) -> None:
    """Whatever stands in a value arrives unchanged, and only the template's own braces are looked up."""
    asked: list[tuple[str, ...]] = []

    def lookup(parts: tuple[str, ...]) -> object:
        asked.append(parts)
        return value if parts == ("slot",) else MISSING

    text = f"{before.replace('{', '(')}{{slot}}{after.replace('{', '(')}"
    expected = text.replace("{slot}", value, 1)
    assert compile_template(text).render(lookup) == expected
    assert asked == [("slot",)]


@pytest.mark.parametrize("text", ["{n}", "{map.a.b}", "{n|length}", "{n|json|default: 'x'}"])
def test_a_text_may_be_one_placeholder(text: str) -> None:
    found = sole_placeholder(text)
    assert found is not None
    assert found.text == text[1:-1]


@pytest.mark.parametrize(
    "text", ["", "{}", "n", "{a}{b}", " {n}", "{n}\n", '{"k": 1}', "{ a }", "{n|lenght}", "{n|}", 5, None]
)
def test_other_texts_are_not_one_placeholder(text: object) -> None:
    assert sole_placeholder(text) is None
