"""Values on their way into the context: JSON, or an error that names the place."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from smd.errors import ActionError
from smd.statechart.context import Change, difference, same

MAX_DEPTH = 100
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
_SCALARS = frozenset((str, int, float, bool, type(None)))


def plain(value: object, place: str, depth: int = 0) -> Any:
    """A copy of `value` made of dict, list, str, int, float, bool and None only; tuples become lists.

    Args:
        value: what an action left.
        place: the dotted key, for the error.
        depth: levels above it.

    Raises:
        ActionError: an object, NaN, a key that is no text, an integer beyond 64 bits, text that is no Unicode, or
            more than 100 levels (a value that holds itself, too).
    """
    if value is None or isinstance(value, bool):
        return value
    if depth > MAX_DEPTH:
        _refuse(place[:80], f"it is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        return _text(value, place)
    if isinstance(value, int | float):
        return _number(value, place)
    if isinstance(value, dict):
        return {_key(key, place): plain(each, f"{place}.{key}" if place else str(key), depth + 1)
                for key, each in value.items()}  # fmt: skip
    if isinstance(value, list | tuple):
        return [plain(each, place, depth + 1) for each in value]
    return _refuse(place, f"a value of type {type(value).__name__} is not JSON")


def copied(value: Any) -> Any:
    """A deep copy of a JSON value, at a fraction of what the general one costs."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, dict):
        return {key: each if type(each) in _SCALARS else copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [each if type(each) in _SCALARS else copied(each) for each in value]
    return value


def _unchangeable(*_: object, **__: object) -> NoReturn:
    raise TypeError("cannot change config: it is the chart's document; change a copy of it (copy.deepcopy)")


class FrozenMap(dict[str, Any]):
    """A map that reads like any other and cannot be changed; a copy of it can."""

    __setitem__: Any = _unchangeable
    __delitem__: Any = _unchangeable
    __ior__: Any = _unchangeable
    clear: Any = _unchangeable
    pop: Any = _unchangeable
    popitem: Any = _unchangeable
    setdefault: Any = _unchangeable
    update: Any = _unchangeable

    def __deepcopy__(self, _: object) -> dict[str, Any]:
        return copied(self)  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (copied(self),)


class FrozenList(list[Any]):
    """A list that reads like any other and cannot be changed; a copy of it can."""

    __setitem__: Any = _unchangeable
    __delitem__: Any = _unchangeable
    __iadd__: Any = _unchangeable
    __imul__: Any = _unchangeable
    append: Any = _unchangeable
    clear: Any = _unchangeable
    extend: Any = _unchangeable
    insert: Any = _unchangeable
    pop: Any = _unchangeable
    remove: Any = _unchangeable
    reverse: Any = _unchangeable
    sort: Any = _unchangeable

    def __deepcopy__(self, _: object) -> list[Any]:
        return copied(self)  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (copied(self),)


def frozen(value: Any) -> Any:
    """A JSON value as one that cannot be changed."""
    if isinstance(value, dict):
        return FrozenMap((key, frozen(each)) for key, each in value.items())
    return FrozenList(map(frozen, value)) if isinstance(value, list) else value


def patch(before: Mapping[str, Any], after: Mapping[str, Any], without: Collection[str]) -> tuple[Change, ...]:
    """The changes that turn one context into another, but for the keys in `without`. What is the same costs little.

    Raises:
        ActionError: something that changed is not JSON, see `plain`.
    """
    changed = {
        key: value
        for key, value in after.items()
        if key not in without and not (key in before and same(before[key], value))
    }
    touched = {
        key: value for key, value in before.items() if key in changed or (key not in after and key not in without)
    }
    return difference(touched, plain(changed, "")) if changed or touched else ()


def _refuse(place: str, why: str) -> NoReturn:
    raise ActionError(f"cannot keep context key '{place}': {why}")


def _text(value: str, place: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse(place, "the text holds half a character (a lone surrogate)")
    return str.__str__(value)


def _number(value: float, place: str) -> int | float:
    if isinstance(value, int):
        if not _SMALLEST <= value <= _LARGEST:
            _refuse(place, "the integer is beyond 64 bits")
        return int(value)
    if not math.isfinite(value):
        _refuse(place, f"{value} is not JSON")
    return float(value)


def _key(key: object, place: str) -> str:
    if not isinstance(key, str):
        _refuse(place, f"a map key is {key!r:.40}, not a text")
    return _text(key, place)


def parse_json(text: str, place: str) -> Any:
    """A JSON text as a value fit for the context.

    Raises:
        ActionError: it is not JSON, or see `plain`.
    """
    try:
        return plain(json.loads(text), place)
    except (ValueError, RecursionError) as error:
        raise ActionError(f"cannot parse the output as JSON: {error}") from error


def path_of(dotted: str) -> tuple[str, ...]:
    """`a.b` as the path of a change."""
    return tuple(dotted.split("."))


def setting(changes: Mapping[str, Any]) -> tuple[tuple[Any, ...], ...]:
    """A patch that sets top-level context keys."""
    return tuple(("set", (key,), value) for key, value in changes.items())
