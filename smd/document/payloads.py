"""The JSON Schemas of declared payloads, held against JSON Schema itself (2020-12, as the door applies them)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from smd.document.report import Path, Report
from smd.problems import shown

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from referencing import Resource

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def check_payload_schema(report: Report, schema: dict[str, Any], path: Path) -> None:
    """Tell what is wrong with a schema: each keyword at its place, and references to what is not in it."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - half of charts never need it, and it is large

    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
    wrong = False
    for error in meta.iter_errors(schema):
        wrong = True
        place = (*path, *error.absolute_path)
        report.add("E102", place, *_told(report, error))
    if not wrong:
        _check_references(report, schema, path)


def _told(report: Report, error: ValidationError) -> tuple[str, str]:
    if list(error.absolute_path)[-1:] == ["type"]:
        known = f"one of {', '.join(_TYPES)}"
        return f"must be {known} (got {shown(error.instance)})", report.nearest(str(error.instance), _TYPES)
    return f"is no JSON Schema: {error.message[:200]}", "see json-schema.org, draft 2020-12"


def _check_references(report: Report, schema: dict[str, Any], path: Path) -> None:
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415
    from referencing.jsonschema import DRAFT202012  # noqa: PLC0415

    root = DRAFT202012.create_resource(schema)
    places = dict(_places(schema, path))
    for part, resolver in _subschemas(root, Registry().resolver_with_root(root)):
        for word in ("$ref", "$dynamicRef"):
            target = part.get(word)
            try:
                if isinstance(target, str):
                    resolver.lookup(target)
            except (Unresolvable, ValueError):
                place = (*places[id(part)], word)
                told = f"nothing in this schema is named {shown(target)}"
                report.add("E102", place, told, "write #/$defs/name, and $defs: in the same payload:")


def _subschemas(resource: Resource[Any], resolver: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    if isinstance(resource.contents, dict):
        yield resource.contents, resolver
        for inner in resource.subresources():
            yield from _subschemas(inner, resolver.in_subresource(inner))


def _places(value: Any, path: Path) -> Iterator[tuple[int, Path]]:
    if isinstance(value, dict):
        yield id(value), path
        for key, each in value.items():
            yield from _places(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _places(each, (*path, index))
