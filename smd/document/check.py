"""The shape of a plain document against the models: pydantic's findings in our words, each with its path.

What is wrong is cut out, so that the builder can go on with the rest and find its own in the same run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from smd.document.report import Report
from smd.document.schema import (
    AfterPart,
    ContractPart,
    DocumentPart,
    EventPart,
    InitialPart,
    RestartPart,
    RowPart,
    ShapeError,
    StatePart,
    TransitionPart,
)
from smd.document.without_effect import suggested
from smd.problems import shown

Path = tuple[str | int, ...]

_ROUNDS = 20
_WORDS = {
    "string_type": "a text",
    "dict_type": "a mapping",
    "list_type": "a list",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
}
_TAG = re.compile("<([a-z]+)>")
_CHOICE = re.compile("'([^']*)'")
_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false", "y": "true", "n": "false"}


class Trimmed:
    """A plain value without the parts at `bad` paths; knows where each part that is left stood before."""

    def __init__(self, value: Any, bad: set[Path]) -> None:
        self.bad = bad
        self._kept: dict[Path, list[int]] = {}
        self.value = self._copy(value, (), ())

    def _copy(self, value: Any, path: Path, new: Path) -> Any:
        if isinstance(value, dict):
            return {k: self._entry(v, (*path, k), (*new, k)) for k, v in value.items() if self._stays((*path, k))}
        if isinstance(value, list):
            kept = [index for index in range(len(value)) if (*path, index) not in self.bad]
            self._kept[new] = kept
            return [self._copy(value[old], (*path, old), (*new, place)) for place, old in enumerate(kept)]
        return value

    def _stays(self, path: Path) -> bool:
        return path not in self.bad or _names_a_state(path)

    def _entry(self, value: Any, path: Path, new: Path) -> Any:
        return None if path in self.bad else self._copy(value, path, new)

    def original(self, path: Iterable[str | int]) -> Path:
        """The path, in the whole value, of what stands at `path` in the trimmed one."""
        new: Path = ()
        old: Path = ()
        for part in path:
            kept = self._kept.get(new) if isinstance(part, int) else None
            old = (*old, kept[part] if kept and isinstance(part, int) and part < len(kept) else part)
            new = (*new, part)
        return old


def _names_a_state(path: Path) -> bool:
    """Paths `states.a`, `states.a.states.b`: a state keeps its name even where its definition is wrong."""
    return len(path) > 1 and len(path) % 2 == 0 and all(part == "states" for part in path[::2])


def check_shape(report: Report) -> tuple[DocumentPart, Trimmed] | None:
    """Validate the report's source; None where nothing is left to build from."""
    bad: set[Path] = set()
    for turn in range(_ROUNDS):
        trimmed = Trimmed(report.source.value, bad)
        try:
            return DocumentPart.model_validate(trimmed.value), trimmed
        except ValidationError as error:
            found: set[Path] = set()
            for detail in error.errors(include_url=False):
                path, is_key = _place(trimmed.value, detail)
                if turn == 0:
                    _tell(report, detail, path, DocumentPart, is_key=is_key)
                found.add(trimmed.original(path))
            bad |= found
        report.lost_states = ("states",) in bad
        if () in bad:
            return None
    return None


def check_part(report: Report, model: type[BaseModel], value: Any, path: Path) -> Any:
    """Validate one part of the document by itself; None, with the problems told, if it is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            place, is_key = _place(value, detail)
            _tell(report, detail, (*path, *place), model, is_key=is_key)
        return None


def _place(value: Any, detail: Mapping[str, Any]) -> tuple[Path, bool]:
    """Path of an error without the tags of unions, and whether its key is meant.

    A missing key belongs to the mapping that lacks it.
    """
    path: Path = ()
    loc = detail["loc"]
    for part in loc:
        if _has(value, part):
            path, value = (*path, part), value[part]
    return path, detail["type"] == "extra_forbidden" or (bool(loc) and loc[-1] == "[key]")


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _tell(report: Report, detail: Mapping[str, Any], path: Path, model: type[BaseModel], *, is_key: bool) -> None:
    kind, value, ctx = detail["type"], detail["input"], detail.get("ctx", {})
    code, hint = "E102", ""
    if kind == "extra_forbidden":
        known = keys_of(_model_at(model, path[:-1]))
        code, message = "E101", "unknown key"
        hint = suggested(report, str(path[-1]), known) or f"known here: {', '.join(known)}"
    elif kind == "missing":
        code, message = "E104", f"the key {str(detail['loc'][-1])!r} is missing"
    elif isinstance(ctx.get("error"), ShapeError):
        fault = ctx["error"]
        code, message, hint = fault.code, fault.message, fault.hint
    elif kind in _WORDS or kind.startswith("union_tag"):
        code, message = "E103", f"must be {_WORDS.get(kind) or _expected(ctx)} (got {shown(value)})"
        hint = f"write {_BOOLEANS[value]}" if kind == "bool_type" and value in [*_BOOLEANS] else ""
    else:
        message = f"{_rule(kind, ctx) or detail['msg']} (got {shown(value)})"
        hint = report.nearest(str(value), _CHOICE.findall(str(ctx.get("expected", ""))))
    report.add(code, path, message, hint, key=is_key)


def _rule(kind: str, ctx: dict[str, Any]) -> str:
    if kind == "literal_error":
        return f"must be {ctx['expected']}"
    if kind == "too_short":
        return "must not be empty"
    bounds = {"greater_than_equal": "at least {ge:g}", "less_than_equal": "at most {le:g}"}
    return f"must be {bounds[kind].format_map(ctx)}" if kind in bounds else ""


def _expected(ctx: dict[str, Any]) -> str:
    """The members of a union in words, from the tags that pydantic lists."""
    words = [f"a {word}" for word in _TAG.findall(str(ctx.get("expected_tags", "")))]
    return f"{', '.join(words[:-1])} or {words[-1]}" if words else "a value of another type"


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys a part may have, as documents write them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], container: Path) -> type[BaseModel]:
    """The part a path leads to, told by its words, for the keys to propose."""
    if model is not DocumentPart or not container:
        return model
    words = [part for part in container if isinstance(part, str)]
    if words[0] in _TOP:
        return _TOP[words[0]]
    if len(words) > 1 and words[-2] == "states":
        return StatePart
    inner = [word for word in words if word in _INNER]
    return _INNER[inner[-1]] if inner else TransitionPart


_TOP: dict[str, type[BaseModel]] = {
    "restart": RestartPart,
    "contracts": ContractPart,
    "events": EventPart,
    "transitions": RowPart,
    "initial": InitialPart,
}
_INNER: dict[str, type[BaseModel]] = {
    "initial": InitialPart,
    "default": InitialPart,
    "after": AfterPart,
    "on": TransitionPart,
    "always": TransitionPart,
}
