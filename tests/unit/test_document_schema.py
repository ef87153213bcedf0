"""`smd.document.json_schema`: what editors are told."""

from __future__ import annotations

from typing import Any

import pytest

from smd.catalogue import ACTIONS
from smd.document import json_schema, load_document
from tests.unit.test_document import NESTED


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema()


def test_the_json_schema_knows_every_key_of_a_full_document(schema: dict[str, Any]) -> None:
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["additionalProperties"] is False
    chart = load_document(NESTED, "f")
    assert set(chart.source) - {"machine_default"} <= set(schema["properties"])
    known = set(schema["$defs"]["StatePart"]["properties"])
    assert all(set(state or {}) <= known for state in chart.source["states"].values())


def test_the_json_schema_describes_each_action_type(schema: dict[str, Any]) -> None:
    action = schema["$defs"]["ActionPart"]
    types = {branch["title"]: branch for branch in action["oneOf"]}
    assert set(types) == {*ACTIONS, "custom"}
    bash = types["bash"]["properties"]
    assert bash["type"] == {"const": "bash"}
    assert bash["shell"]["enum"] == ["sh", "bash"]
    assert {"command", "timeout", "success", "error_mappings", "if", "retry"} <= set(bash)
    assert "target" in types["send_event"]["properties"]


def test_references_of_the_json_schema_lead_somewhere(schema: dict[str, Any]) -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, list):
            return [found for each in part for found in references(each)]
        if not isinstance(part, dict):
            return []
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for each in part.values() for found in references(each)]

    names = {reference.removeprefix("#/$defs/") for reference in references(schema)}
    assert names
    assert names <= set(schema["$defs"])
