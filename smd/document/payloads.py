"""The JSON Schemas of declared payloads, held against JSON Schema itself (2020-12, as the door applies them)."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import TYPE_CHECKING, Any

from smd.document.report import Path, Report
from smd.problems import shown
from smd.statechart.cel_syntax import pattern
from smd.yaml_source import MAX_PROBLEMS

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from referencing import Resource

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_REFERENCES = ("$ref", "$dynamicRef")
_SIMPLER = "write a simpler pattern, or enum:, minLength: and maxLength:"


def check_payload_schema(report: Report, schema: dict[str, Any], path: Path) -> None:
    """Tell what is wrong with a schema: each keyword at its place, and references to what is not in it."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - half of charts never need it, and it is large

    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
    wrong = False
    for error in islice(meta.iter_errors(schema), MAX_PROBLEMS):
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
    base = root.id() or ""
    registry: Registry[Any] = Registry().with_resource(base, root).crawl()
    parts = list(_subschemas(root, registry.resolver(base)))
    places = dict(_places(schema, path))
    leads = {id(part): _applied_beside(part) for part, _ in parts}
    for part, resolver in parts:
        _check_patterns(report, part, places[id(part)])
        for word in _REFERENCES:
            target, place = part.get(word), (*places[id(part)], word)
            if not isinstance(target, str):
                continue
            try:
                found = resolver.lookup(target).contents
            except (Unresolvable, ValueError):
                told = f"nothing in this schema is named {shown(target)}"
                report.add("E102", place, told, "write #/$defs/name, and $defs: in the same payload:")
                continue
            if id(found) in leads:
                leads[id(part)].append(id(found))
            elif not isinstance(found, bool):
                told = f"what {shown(target)} leads to is no schema"
                report.add("E102", place, told, "write it under $defs: in the same payload:")
    _check_circles(report, {id(part): part for part, _ in parts}, leads, places)


def _applied_beside(part: dict[str, Any]) -> list[int]:
    """The schemas that are held against the same value as the one they stand in, as far as no reference leads there."""
    found = [part.get(word) for word in ("not", "if", "then", "else")]
    for word in ("allOf", "anyOf", "oneOf"):
        found.extend(part.get(word, ()))
    found.extend(part.get("dependentSchemas", {}).values())
    return [id(each) for each in found if isinstance(each, dict)]


def _check_circles(
    report: Report, parts: dict[int, dict[str, Any]], leads: dict[int, list[int]], places: dict[int, Path]
) -> None:
    """Refuse a schema that leads back to itself for the same value: no value could ever be held against it."""
    try:
        TopologicalSorter(leads).prepare()
    except CycleError as error:
        place, word = next(
            (places[each], word) for each in error.args[1] for word in _REFERENCES if word in parts[each]
        )
        told = "leads back to itself for the same value: no event could be checked"
        report.add("E102", (*place, word), told, "refer to it from properties: or items:")


def _check_patterns(report: Report, part: dict[str, Any], path: Path) -> None:
    """Refuse regular expressions with which a sender's text could hold up the daemon, as `matches` does."""
    found = [(part["pattern"], (*path, "pattern"), False)] if "pattern" in part else []
    found += [(text, (*path, "patternProperties", text), True) for text in part.get("patternProperties", ())]
    for text, place, is_key in found:
        try:
            pattern(text)
        except ValueError as error:
            report.add("E102", place, f"cannot take {shown(text)}: {error}", _SIMPLER, key=is_key)


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
