"""The JSON Schema of documents, for editors: the models' own, with an entry for each action type."""

from __future__ import annotations

from typing import Any

from smd.catalogue import ACTIONS, ActionType, Kind, Parameter, Value
from smd.document.actions import parameters_of
from smd.document.schema import DocumentPart, RetryPart

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_KINDS = {
    Kind.INSTANT: "Instant: may stand in blocks.",
    Kind.STORE: "Answered by the store.",
    Kind.TIMED: "Waits on a durable timer.",
    Kind.WORKING: "Runs outside; its outcome is an event.",
}
_TEXT: dict[str, Any] = {"type": "string"}
_SHAPES: dict[Value, dict[str, Any]] = {
    Value.ANY: {},
    Value.TEXT: _TEXT,
    Value.NUMBER: {"type": ["number", "string"]},
    Value.INTEGER: {"type": ["integer", "string"]},
    Value.BOOLEAN: {"type": ["boolean", "string", "integer"]},
    Value.DURATION: {"type": ["number", "string", "null"], "examples": ["30s", "1h30m", "PT5M"]},
    Value.MAPPING: {"type": ["object", "string"]},
    Value.LIST: {"type": ["array", "string"]},
    Value.NAMES: {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
    Value.ARGV: {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1},
    Value.SHELL: _TEXT,
    Value.EXPRESSIONS: {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
    Value.EVENT: {"type": ["string", "null"]},
    Value.EVENTS: {"type": "object", "additionalProperties": _TEXT},
    Value.PATHS: {"type": "array", "items": _TEXT},
    Value.WORD: _TEXT,
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a document; `smctl schema` prints it."""
    schema = DocumentPart.model_json_schema(by_alias=True)
    retry = RetryPart.model_json_schema(by_alias=True)
    schema["$defs"] = {**schema["$defs"], "RetryPart": retry, "ActionPart": _action()}
    return {"$schema": DIALECT, **schema, "title": "smd machine"}


def _action() -> dict[str, Any]:
    types = [_action_type(row) for row in ACTIONS.values()]
    custom = {
        "title": "custom",
        "description": "A Python action of the user's own; every parameter is passed on.",
        "properties": {"type": {"type": "string", "not": {"enum": list(ACTIONS)}}},
    }
    described = {"type": "string", "description": "action type", "examples": list(ACTIONS)}
    return {
        "title": "Action",
        "type": "object",
        "required": ["type"],
        "properties": {"type": described},
        "discriminator": {"propertyName": "type"},
        "oneOf": [*types, custom],
    }


def _action_type(row: ActionType) -> dict[str, Any]:
    parameters = {spelling: _parameter(p) for p in parameters_of(row) for spelling in (p.name, *p.aliases)}
    own = {
        "type": {"const": row.name},
        "if": {"type": "string", "description": "run only where this expression holds"},
        **({} if row.kind == Kind.INSTANT else {"retry": {"$ref": "#/$defs/RetryPart"}}),
        "params": {"type": "object", "properties": parameters, "additionalProperties": False},
    }
    return {
        "title": row.name,
        "description": f"{row.doc} {_KINDS[row.kind]}",
        "properties": {**own, **parameters},
        "additionalProperties": False,
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    shape = dict(_SHAPES[parameter.value])
    if parameter.choices and parameter.value == Value.TEXT:
        shape["examples"] = list(parameter.choices)
    elif parameter.choices:
        shape["enum"] = list(parameter.choices)
    if parameter.default is not None:
        shape["default"] = parameter.default
    return shape
