"""A Python action and the templates see the chart's document under `config`; the context never holds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smd.actions.custom import perform_custom
from smd.document import load_document
from smd.statechart.event import Outcome
from tests.hosting import hosting
from tests.unit.acting import after, call_of
from tests.unit.test_action_custom import actions_in

pytestmark = pytest.mark.asyncio

SOURCE = {"machine": "m", "metadata": {"version": 1.2, "list": [1, {"a": 2}]}, "initial": "a", "states": {"a": None}}


async def perform(folder: Path, body: str, context: dict[str, Any] | None = None) -> tuple[dict[str, Any], Outcome]:
    call = call_of("try", folder, context=context)
    call.chart = load_document(json.dumps(SOURCE), "test.yaml")
    outcome = await perform_custom(call, actions_in(folder / "actions", body))
    return after(call, outcome), outcome


async def test_an_action_reads_the_document_and_the_context_does_not_keep_it(tmp_path: Path) -> None:
    context, _ = await perform(tmp_path, "context['v'] = context['config']['metadata']; return 'done'")
    assert context == {"v": {"version": 1.2, "list": [1, {"a": 2}]}}
    assert [type(each) for each in (context["v"], context["v"]["list"], context["v"]["list"][1])] == [dict, list, dict]


async def test_a_config_that_an_action_puts_there_is_not_kept_either(tmp_path: Path) -> None:
    _, outcome = await perform(tmp_path, "context['config'] = {'mine': 1}")
    assert (outcome.ok, outcome.patch) == (True, ())


CHANGES = ["['metadata'].update(version=2)", ".pop('machine')", "['metadata']['list'].append(3)", ".clear()"]


@pytest.mark.parametrize("change", CHANGES)
async def test_nobody_changes_the_document_of_others(tmp_path: Path, change: str) -> None:
    _, outcome = await perform(tmp_path, f"context['config']{change}")
    assert "it is the chart's document" in str(outcome.error)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_copy_of_the_document_is_free_to_change(tmp_path: Path, change: str) -> None:
    _, outcome = await perform(tmp_path, f"import copy; copy.deepcopy(context['config']){change}")
    assert outcome.ok


async def test_the_document_reads_like_any_map(tmp_path: Path) -> None:
    body = "import json, pickle, copy; c = context['config']\n"
    body += "context['all'] = [json.loads(json.dumps(c)), pickle.loads(pickle.dumps(c)), copy.copy(c), {**c}]"
    context, _ = await perform(tmp_path, body)
    assert context["all"] == [SOURCE] * 4


async def test_a_machines_own_config_is_its_own(tmp_path: Path) -> None:
    context, _ = await perform(tmp_path, "context['config']['x'] += 1", {"config": {"x": 1}})
    assert context == {"config": {"x": 2}}


CHART = """
machine: m
metadata: {version: 1.5}
context: {%s}
initial: a
states:
  a:
    entry:
      - {type: set_context, key: seen, value: "{config.metadata.version}"}
      - {type: set_context, key: none, value: "{config.gone}"}
    actions: [{type: bash, command: "echo v{config.metadata.version}", store_as: out, success: done}]
    on: {done: b}
  b: {}
"""


@pytest.mark.parametrize(("own", "seen"), [("", 1.5), ("config: {metadata: {version: 2}}", 2)])
async def test_templates_see_it_unless_the_machine_has_its_own(own: str, seen: float) -> None:
    async with hosting() as host:
        name = await host.add(CHART % own)
        await host.until(name, "b")
        context = host.context(name)
        assert (context["seen"], context["none"], context["out"]) == (seen, "{config.gone}", f"v{seen}")
