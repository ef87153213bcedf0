"""The context's own keys, and the data of jobs that cover them for a while."""

from __future__ import annotations

from typing import Any

import pytest

from smd.statechart.context import apply_patch
from smd.statechart.event import Event
from smd.statechart.interpreter import full_step
from tests.lab import Lab
from tests.unit.acting import claim

OWN: dict[str, Any] = {"name": "own", "set": None, "keep": 1}


def after_jobs(*jobs: tuple[Any, ...], own: dict[str, Any] = OWN) -> list[dict[str, Any]]:
    """What the context shows beside the jobs' ids, after each claim or other change."""
    covered: dict[str, Any] = {}
    shown, context = [], own
    for change in jobs:
        context = apply_patch(context, (change,), covered)
        shown.append({k: v for k, v in context.items() if k not in {"current_job", "id", "job_id", "job_type"}})
    return shown


def test_the_next_job_finds_what_stood_there_before_the_last_one_s_data() -> None:
    jobs = (claim("j1", {"name": "A", "set": 1, "file": "f"}), claim("j2", {"name": "B"}), claim("j3", None))
    assert after_jobs(*jobs) == [{"name": "A", "set": 1, "file": "f", "keep": 1}, {**OWN, "name": "B"}, OWN]
    assert OWN == {"name": "own", "set": None, "keep": 1}


def test_null_in_a_job_s_data_covers_nothing() -> None:
    assert after_jobs(claim("j1", {"name": None}), claim("j2", {})) == [OWN, OWN]


def test_data_equal_to_the_own_value_leaves_it() -> None:
    assert after_jobs(claim("j1", {"name": "own"}), claim("j2", {}))[1] == OWN


@pytest.mark.parametrize(
    ("change", "left"),
    [(("set", ("name",), "new"), {**OWN, "name": "new"}), (("unset", ("name",)), {"set": None, "keep": 1})],
)
def test_what_the_chart_did_to_a_key_since_stays(change: tuple[Any, ...], left: dict[str, Any]) -> None:
    assert after_jobs(claim("j1", {"name": "A"}), change, claim("j2", {}), claim("j3", {}))[2:] == [left, left]


def test_a_value_the_chart_set_is_its_own_for_the_jobs_after() -> None:
    changes = (claim("j1", {}), ("set", ("name",), "new"), claim("j2", {"name": "B"}), claim("j3", {}))
    assert after_jobs(*changes)[-1]["name"] == "new"


def test_the_source_of_a_job_covers_like_its_data() -> None:
    own = {"source_job_id": "mine"}
    jobs = (claim("j1", {}, "a"), claim("j2", {"source_job_id": "b"}, "a"), claim("j3", {}))
    assert after_jobs(*jobs, own=own) == [{"source_job_id": "a"}, {"source_job_id": "b"}, own]


def test_steps_of_either_path_keep_what_is_covered() -> None:
    text = """
    context: {name: own, n: 0}
    states:
      w: {actions: [{type: check_database_queue}], on: {new_job: b}}
      b: {on: {add: {actions: [{type: assign, set: {n: context.n + 1}}]}, back: w}}
    """
    lab = Lab(text)
    lab.outcome("new_job", phase="asking", patch=(claim("j1", {"name": "A"}),))
    for _ in range(3):
        full = full_step(lab.chart, lab.snapshot, Event("add", {}), lab.now).snapshot
        lab.send("add")
        assert lab.snapshot == full
        assert (lab.context["name"], lab.snapshot.covered) == ("A", {"name": "own"})
    lab.send("back")
    lab.outcome("new_job", phase="asking", patch=(claim("j2", None),))
    assert (lab.context["name"], lab.context["n"], lab.snapshot.covered) == ("own", 3, {})
