"""`smd.document` on documents nobody would write: a chart or a DocumentError, nothing else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from smd.document import DocumentError, Problem, chart_from_plain, load_document

WORDS = [
    "name",
    "machine",
    "initial",
    "initial_state",
    "states",
    "transitions",
    "actions",
    "on",
    "to",
    "if",
    "type",
    "entry",
    "exit",
    "after",
    "always",
    "busy",
    "default",
    "deep",
    "history",
    "final",
    "parallel",
    "a",
    "b",
    "c",
    "*",
    "from",
    "event",
    "timeout(5)",
    "params",
    "command",
    "bash",
    "log",
    "success",
    "restart",
    "policy",
    "limit",
    "contracts",
    "events",
    "payload",
    "context_map",
    "state_groups",
    "metadata",
    "machine_name",
    "template",
    "context",
    "output",
    "retry",
    "max",
    "5s",
    "run",
    "sleep",
    "claim_job",
    "a.b",
    "assign",
    "set",
    "error_mappings",
    "repeatable",
    "machine_default",
    "<text>",
    "<<",
]
NAMES = st.sampled_from(["a", "b", "c", "d"])
SCALARS = st.one_of(
    st.sampled_from([*WORDS, "{x}", "context.a > 1", "in_state('a')", "echo {x}", "1s", "", "5 in 1m"]),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


def part(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A mapping with some of these keys, or something else entirely."""
    return st.fixed_dictionaries({}, optional=optional) | ANY


ACTIONS = (
    st.lists(
        part(
            type=st.sampled_from(["log", "bash", "run", "assign", "sleep", "mine"]),
            command=ANY,
            message=ANY,
            params=ANY,
            set=ANY,
            success=SCALARS,
            retry=ANY,
            timeout=SCALARS,
            repeatable=SCALARS,
            **{"if": SCALARS},
        ),
        max_size=2,
    )
    | ANY
)
TRANSITION = (
    part(to=NAMES | st.lists(NAMES, max_size=2), actions=ACTIONS, internal=st.booleans(), **{"if": SCALARS}) | NAMES
)
STATE: st.SearchStrategy[Any] = st.deferred(
    lambda: part(
        type=st.sampled_from(["atomic", "final", "history", "parallel", "compound"]),
        on=st.dictionaries(st.sampled_from(WORDS), TRANSITION, max_size=2),
        after=st.dictionaries(st.sampled_from(["5s", "0", "x"]), TRANSITION, max_size=2),
        always=TRANSITION,
        states=st.dictionaries(NAMES, STATE, max_size=2),
        initial=NAMES,
        default=NAMES,
        deep=st.booleans(),
        entry=ACTIONS,
        actions=ACTIONS,
        output=ANY,
    )
)
ROW = part(to=NAMES, event=st.sampled_from(["x", "timeout(5)", "*"]), actions=ACTIONS, **{"from": NAMES | st.just("*")})
DOCUMENT = part(
    states=st.dictionaries(NAMES, STATE, max_size=3) | st.lists(NAMES, max_size=3) | ANY,
    transitions=st.lists(ROW, max_size=3) | ANY,
    actions=st.dictionaries(NAMES, ACTIONS, max_size=2) | ANY,
    initial=NAMES | ANY,
    restart=ANY,
    events=ANY,
    contracts=ANY,
    state_groups=ANY,
    context=ANY,
    metadata=ANY,
)


@given(DOCUMENT)
def test_any_document_loads_or_is_refused_and_what_loads_loads_again(document: Any) -> None:
    try:
        chart = load_document(json.dumps(document), "f")
    except DocumentError as error:
        refused = error
    else:
        assert chart_from_plain(chart.source).hash == chart.hash
        return
    assert refused.problems
    assert refused.render()


@given(DOCUMENT)
def test_any_stored_value_loads_or_is_refused(document: Any) -> None:
    problems: list[Problem] = []
    try:
        chart_from_plain(document)
    except DocumentError as error:
        problems = error.problems
    assert all(p.line == 0 for p in problems)


PROPER_STATE: st.SearchStrategy[Any] = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={"on": st.dictionaries(st.sampled_from(["x", "y", "*"]), NAMES, max_size=2), "busy": st.just("queue")},
    )
)
PROPER = st.fixed_dictionaries({"states": st.fixed_dictionaries(dict.fromkeys("abcd", PROPER_STATE))})


@given(PROPER)
def test_proper_documents_load_with_all_their_transitions(document: Any) -> None:
    chart = load_document(json.dumps(document), "f")
    assert {s.id: [t.events[0] for t in s.transitions] for s in chart.states.values() if s.id} == {
        name: list(state.get("on", {})) for name, state in document["states"].items()
    }
