"""`smd.document`: the work a document makes grows with its size, and not with the square of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from referencing import Registry

import smd.document
from smd.document import check_document, load_document, report
from smd.document.transitions import MAX_TRANSITIONS
from smd.problems import did_you_mean

FOLDER = str(Path(smd.document.__file__).parent)


def steps_of(text: str) -> int:
    """How often a line of `smd.document` is run to check a document."""
    steps = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal steps
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        steps += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        check_document(text, "f")
    finally:
        sys.settrace(before)
    return steps


def names(count: int) -> str:
    return ",".join(f"s{n}" for n in range(count))


def flat(count: int, *rows: str) -> str:
    return f"states: [{names(count)}]\ninitial_state: s0\ntransitions: [{','.join(rows)}]\n"


def states(count: int, text: str = "s%d: {}") -> str:
    return "{" + ",".join(text % ((n,) * text.count("%d")) for n in range(count)) + "}"


GROWING: dict[str, Callable[[int], str]] = {
    "targets that clash": lambda n: flat(n, f"{{from: s0, event: e, to: [{names(n)}]}}"),
    "targets that fit": lambda n: (
        f"states: {{p: {{type: parallel, states: {states(n)}}}, a: {{on: {{e: {{to: [{names(n)}]}}}}}}}}"
    ),
    "initial states": lambda n: f"initial: [{names(n)}]\nstates: {{p: {{type: parallel, states: {states(n)}}}}}",
    "initial states elsewhere": lambda n: f"states: {{p: {{initial: [{names(n)}], states: {{x: }}}}, q: {states(n)}}}",
    "dotted targets": lambda n: f"states: {{p: {{states: {states(n, 's%d: {on: {e: p.s%d}}')}}}}}",
    "unknown dotted targets": lambda n: flat(n, *(f"{{from: s0, event: e, to: q.s{i}}}" for i in range(n))),
    "times": lambda n: f"states: {{a: {{after: {states(n, '1%ds: a')}}}}}",
    "on_restart": lambda n: f"states: {{a: {{after: {states(n, '1%ds: {to: a, on_restart: restart}')}}}}}",
    "anchors": lambda n: (
        "states: {a: }\nevents: {e: {payload: {$defs: "
        + states(n, "p%d: {$anchor: a%d, properties: {x: {$ref: '#a%d'}}}")
        + "}}}"
    ),
    "rows from ended states": lambda n: (
        f"states: {states(n, 's%d: {type: final}')}\ntransitions: [" + "{from: '*', to: s0, event: e}," * n + "]"
    ),
    "stars": lambda n: flat(n, "{from: [" + "'*'," * n + "], to: s0, event: e}"),
}


@pytest.mark.parametrize("kind", GROWING)
def test_twice_the_document_is_about_twice_the_work(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_COMPARED", 0)
    small, large = steps_of(GROWING[kind](100)), steps_of(GROWING[kind](200))
    assert large < 2.5 * small


def test_a_row_counts_once_for_each_of_its_events_and_none_beyond_the_bound_is_made() -> None:
    def row(events: Iterable[str]) -> str:
        return flat(200, f"{{from: '*', to: s0, event: [{','.join(events)}]}}")

    fitting = load_document(row(f"timeout({n + 1})" for n in range(MAX_TRANSITIONS // 200)), "f")
    assert len(fitting.states["s0"].timers) == 500
    for kind in ("e{}", "timeout({})"):
        text = row(kind.format(n + 1) for n in range(1_000))
        assert [(p.code, p.path) for p in check_document(text, "f")] == [("smd-E006", "transitions")]
        assert steps_of(text) < 4 * MAX_TRANSITIONS


def test_hints_compare_no_more_letters_than_the_bound_however_many_names_are_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letters, asked = 0, 0

    def counted(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
        nonlocal letters, asked
        listed = list(known)
        asked += 1
        letters += sum(len(word) + len(name) for name in listed)
        return did_you_mean(word, listed, cutoff) if asked == 1 else ""

    monkeypatch.setattr(report, "did_you_mean", counted)
    like = "state_of_the_machine_with_a_very_long_name_indeed_{}"
    rows = ",".join(f"{{from: {like.format(0)}, event: e, to: x{like.format(n)}}}" for n in range(100))
    text = f"states: [{','.join(map(like.format, range(500)))}]\ninitial_state: {like.format(0)}\ntransitions: [{rows}]"
    found = check_document(text, "f")
    assert len(found) == 100
    assert found[0].hint == f"did you mean {like.format(0)!r}?"
    assert 0 < letters <= report.MAX_COMPARED


def test_unknown_types_and_parameters_share_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_COMPARED", 3_000)
    types = ",".join(f"{{type: logs{n}}}" for n in range(50))
    hints = [p.hint for p in check_document(f"states: {{a: {{actions: [{types}]}}}}", "f")]
    assert hints[0] == "did you mean 'log'?"
    assert "did you mean 'log'?" not in hints[20:]


def test_the_anchors_of_a_payloads_schema_are_gathered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, crawled = Registry.crawl, 0

    def crawl(self: Registry[Any]) -> Registry[Any]:
        nonlocal crawled
        crawled += len(self._uncrawled)
        return plain(self)

    monkeypatch.setattr(Registry, "crawl", crawl)
    counts = []
    for size in (10, 60):
        crawled = 0
        assert check_document(GROWING["anchors"](size), "f") == []
        counts.append(crawled)
    assert counts[0] == counts[1]
