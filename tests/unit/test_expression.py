"""The CEL subset: what it means (compared with the reference evaluator), what it refuses, what it bounds."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cel_expr_python import cel  # type: ignore[import-untyped]
from cel_expr_python.ext import ext_strings  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from smd.errors import ChartError
from smd.statechart.event import Event
from smd.statechart.expression import ExpressionError, compile_expression

TABLE = json.loads((Path(__file__).parent.parent / "data" / "expressions.json").read_text(encoding="utf-8"))
CONTEXT: dict[str, Any] = {"retries": 2, "s": "abc", "l": [1, 2, 3], "f": 1.5, "m": {"a": {"b": "x"}}}
CONTEXT |= {"n": None, "t": True, "big": 2**62}
EVENT = Event("go", {"force": True}, priority=1)
FIELDS = ("type", "payload", "id", "source", "priority", "job_id")
ROOTS: dict[str, Any] = {"context": CONTEXT, "event": {name: getattr(EVENT, name) for name in FIELDS}}
ROOTS |= {"machine": {"name": "w"}, "job": None, "now": 1.5}
ERROR = "an error"


class Moment:
    machine: ClassVar[dict[str, Any]] = {"name": "w", "life": 1, "states": ["a"]}
    job = None
    now = 1.5

    def in_state(self, name: str) -> bool:
        return name in self.machine["states"]


class Narrow(Moment):
    machine: ClassVar[dict[str, Any]] = {"name": "w"}


def ours(text: str) -> str:
    try:
        return json.dumps(compile_expression(text).evaluate(CONTEXT, EVENT, Narrow()), sort_keys=True)
    except (ChartError, ExpressionError):
        return ERROR


def value_of(text: str, context: dict[str, Any] | None = None, event: Event | None = EVENT) -> Any:
    return compile_expression(text).evaluate(CONTEXT if context is None else context, event, Moment())


@pytest.fixture(scope="module")
def reference() -> Any:
    variables = dict.fromkeys(ROOTS, cel.Type.DYN)
    env = cel.NewEnv(variables=variables, extensions=[ext_strings.ExtStrings()])

    def evaluate(text: str) -> str:
        try:
            answer = env.compile(text, disable_check=True).eval(data=ROOTS)
        except RuntimeError:
            return ERROR
        return ERROR if answer.type() == cel.Type.ERROR else shown(answer.plain_value())

    return evaluate


def shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


@pytest.mark.parametrize("text", TABLE["agree"])
def test_means_what_the_reference_means(text: str, reference: Any) -> None:
    assert ours(text) == reference(text)


@pytest.mark.parametrize("text", [text for group in TABLE["deviate"].values() for text in group])
def test_listed_deviations_are_deviations(text: str, reference: Any) -> None:
    assert ours(text) != reference(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("now + 1", 2.5),
        ("7.5 % 2.0", 1.5),
        ("-7.5 % 2", -1.5),
        ("1 + 0.5", 1.5),
        ("7 / 2.0", 3.5),
        ("string(1e15)", "1000000000000000"),
        ("9007199254740993 == 9007199254740992.0", False),
        ("0" * 75 + "5", 5),
        ("-" + "0" * 5000 + "5", -5),
        ("0x" + "0" * 75 + "ff", 255),
        ("0x" + "0" * 5000, 0),
        ("00", 0),
        ("0" * 75 + "9223372036854775807", 2**63 - 1),
        ("-0x" + "0" * 75 + "8000000000000000", -(2**63)),
        ("1." + "0" * 75 + "e5", 100000.0),
        ("1234567890" * 8 + ".0", 1.2345678901234568e79),
        ("0." + "0" * 76 + "1", 1e-77),
    ],
    ids=lambda value: str(value)[:40],
)
def test_ints_and_doubles_mix(text: str, value: object) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("x +", "column 4: expected a value, found the end", ""),
        ("1 +\n  )", "line 2, column 3: expected a value", ""),
        ("contxt.a", "column 1: unknown name 'contxt'", "did you mean 'context'?"),
        ("1 + sice('a')", "column 5: unknown function 'sice'", "did you mean 'size'?"),
        ("context.s.startWith('a')", "column 11: unknown method", "did you mean 'startsWith'?"),
        ("event.payloud.x", "column 1: unknown field of event", "did you mean 'payload'?"),
        ("[1].all(item, itm > 0)", "column 15: unknown name 'itm'", "did you mean 'item'?"),
        ("in_state(context.s)", "in_state() takes the name of one state", ""),
        ("in_state(1)", "in_state() takes the name of one state", ""),
        ("", "column 1: expected a value", ""),
        ("9" * 5000, "too large", ""),
        ("0x1" + "0" * 5000, "too large", ""),
        ("0" * 75 + "9223372036854775808", "too large", ""),
        ("-9223372036854775809", "the number -9223372036854775809 is too large", ""),
        ("1e999", "too large", ""),
        ("9" * 400 + ".0", "too large", ""),
        ("'a'.matches('(a)(?!b)')", "no looking around", ""),
        (r"'a'.matches(r'(a)\1')", "no backreferences", ""),
    ],
)
def test_refusals_name_the_place_and_the_nearest_name(text: str, place: str, hint: str) -> None:
    with pytest.raises(ChartError) as caught:
        compile_expression(text)
    assert caught.value.message.startswith("cannot read expression '")
    assert place in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("context.zz < 3", "context has no key 'zz'"),
        ("context.m.a.c", "context.m.a has no key 'c'"),
        ("context.s.x.y", "context.s is a string, not a map"),
        ("event.payload.zz", "event.payload has no key 'zz'"),
        ("job.id", "job is a null, not a map"),
        ("context.retries < 'a'", "< does not take int and string"),
        ("1 / (context.retries - 2)", "division by zero"),
        ("context.l[3]", "index 3 of a list of 3"),
        ("context.big * 4", "leaves the range of int"),
    ],
)
def test_failures_say_what_was_wrong(text: str, why: str) -> None:
    with pytest.raises(ExpressionError, match="cannot evaluate") as caught:
        value_of(text)
    assert why in caught.value.message
    assert caught.value.code == "expression_failed"


def test_machine_job_now_and_states_come_from_the_moment() -> None:
    moment = Moment()
    expression = compile_expression("in_state('a') && machine.life == 1 && !in_state('b') && now > 1 && in_state('a')")
    assert expression.test({}, None, moment)
    assert expression.states == ("a", "b")
    assert expression.roots == {"machine", "now"}


def test_moment_is_not_touched_unless_named() -> None:
    assert compile_expression("context.a > 1 && event.type == 'go'").test({"a": 2}, EVENT, None)


def test_macros_see_the_moment_and_shadow_roots() -> None:
    assert value_of("context.l.map(x, in_state('a') ? x : 0)") == [1, 2, 3]
    assert value_of("context.l.map(now, now + 1)") == [2, 3, 4]
    assert value_of("[[1]].map(context, context.map(x, x + size(context)))") == [[2]]
    assert value_of("machine.states.exists(s, s == 'a') && now == 1.5") is True


@pytest.mark.parametrize("text", ["event.type == 'go'", "event", "event.payload.x", "has(event.payload)"])
def test_without_an_event_its_fields_fail(text: str) -> None:
    with pytest.raises(ExpressionError, match="there is no event"):
        value_of(text, event=None)


def test_null_payload_is_null() -> None:
    assert value_of("event.payload == null", event=Event("go")) is True


@pytest.mark.parametrize("text", ["1", "'true'", "null", "context.l", "event"])
def test_a_guard_must_be_a_bool(text: str) -> None:
    with pytest.raises(ExpressionError, match="a condition must be a bool"):
        compile_expression(text).test(CONTEXT, EVENT, Moment())


def test_source_and_nesting_are_bounded() -> None:
    assert value_of("(" * 90 + "1" + ")" * 90) == 1
    assert value_of(" && ".join(["true"] * 900)) is True
    for text in ["1" + " " * 8192, "(" * 101 + "1" + ")" * 101, "!" * 101 + "true", "1" + "+1" * 101,
                 "context" + ".a" * 101, "[" * 3000, "true ? 1 : " * 101 + "1"]:  # fmt: skip
        with pytest.raises(ChartError, match=r"nested deeper than 100|longer than 8192"):
            compile_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "context.long.all(x, true)",
        "context.many.all(x, context.many.all(y, true))",
        "context.long.filter(x, false) == []",
        "context.many.map(x, context.text + 'a')",
        "context.many.all(x, !('z' in context.long))",
        "false && context.long.all(x, true) || context.long.exists(x, true) || true",
        "[context.text, context.text]",
        "context.text + context.text",
        "[[[[[[[[[[1, 1]]]]]]]]]]" + ".map(a, [a, a, a, a])" * 15,
        "[context.text].join(context.text) + context.text",
    ],
)
def test_work_and_size_are_bounded(text: str) -> None:
    """A limit is never made up for by another operand, and costs are counted before they are paid."""
    context = {"long": ["a"] * 10_001, "many": list(range(300)), "text": "x" * 600_000}
    with pytest.raises(ExpressionError, match=r"than allowed"):
        value_of(text, context)


def test_values_nested_too_deep_are_a_failure() -> None:
    deep: list[Any] = []
    other: list[Any] = []
    for _ in range(100_000):
        deep, other = [deep], [other]
    with pytest.raises(ExpressionError, match="nested too deep"):
        value_of("context.a == context.b", {"a": deep, "b": other})


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(a?){30}", "((a*))*", "(a{1,9}){9}", "a**"])
def test_patterns_of_exponential_cost_are_refused(pattern: str) -> None:
    with pytest.raises(ChartError, match="must not repeat"):
        compile_expression(f"context.s.matches('{pattern}')")
    with pytest.raises(ExpressionError, match="must not repeat"):
        value_of("context.s.matches(context.p)", {"s": "a", "p": pattern})


@pytest.mark.parametrize(("pattern", "length"), [("a.*b", 6_000), ("a.*b.*c.*d", 100), ("a?" * 20 + "b", 100)])
def test_text_for_a_costly_pattern_is_bounded(pattern: str, length: int) -> None:
    with pytest.raises(ExpressionError, match="reads at most"):
        value_of("context.s.matches(context.p)", {"s": "a" * length, "p": pattern})


def test_expressions_may_be_evaluated_in_several_threads() -> None:
    """Variables of macros live in the evaluation, not in the expression."""
    expression = compile_expression("context.l.map(x, context.l.map(y, x * y))")
    contexts = [{"l": list(range(size))} for size in range(1, 60)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda context: expression.evaluate(context, None, None), contexts * 5))
    assert found == [[[x * y for y in c["l"]] for x in c["l"]] for c in contexts * 5]


def test_inputs_are_never_changed() -> None:
    context = {"l": [1], "m": {"a": 1}}
    value_of("context.l + [2]", context)
    value_of("[context.m, {'b': context.l.map(x, x + 1)}]", context)
    assert context == {"l": [1], "m": {"a": 1}}


_PIECES = st.sampled_from(
    [
        *("1", "0", "-1", "1.5", "'a'", "true", "null", "[1, 'a']", "{'a': 1}", "9223372036854775807"),
        *("context.l", "context.m.a", "context.zz", "has(context.m.a)", "in_state('a')"),
        *("event", "event.payload", "machine", "job", "now"),
    ]
)
_OPERATORS = st.sampled_from(["+", "-", "*", "/", "%", "<", "<=", "==", "!=", "in", "&&", "||", "?", "."])


_CALLS = st.sampled_from(
    [
        *("size({0})", "string({0})", "int({0})", "double({0})", "bool({0})", "!({0})", "-({0})", "{0}.trim()"),
        *("{0}.contains({1})", "{0}.split({1})", "{0}.join({1})", "{0}.matches({1})", "{0}.map(x, {1})"),
        *("{0}.all(x, {1})", "{0}.exists(x, x == {1})", "{0}.filter(x, {1})"),
    ]
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def joined(left: str, op: str, right: str) -> str:
        if op == "?":
            return f"({left} ? {right} : {left})"
        return f"({left})[{right}]" if op == "." else f"({left} {op} {right})"

    calls = st.builds(lambda a, call, b: call.format(a, b), inner, _CALLS, inner)
    return st.builds(joined, inner, _OPERATORS, inner) | calls


@given(st.recursive(_PIECES, _grow, max_leaves=8))
def test_any_expression_gives_json_or_an_expression_error(text: str) -> None:
    try:
        value = value_of(text)
    except (ExpressionError, ChartError):
        return
    json.dumps(value, allow_nan=False)


def refusal(text: str) -> str | None:
    try:
        compile_expression(text)
    except ChartError as error:
        return error.message
    return None


@given(st.text(alphabet="ab.()[]{}'\"\\+-*/%<>=!&|?:, 01ex_inr\n", max_size=40))
def test_any_text_compiles_or_is_a_chart_error(text: str) -> None:
    message = refusal(text)
    assert message is None or "column" in message
