"""The context as an immutable value: every change copies along its path, so old snapshots stay valid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from smd.errors import ActionError

Path = tuple[str, ...]
Change = tuple[Any, ...]
"""`("set", path, value)` or `("unset", path)`."""


def split(key: str) -> Path:
    """`a.b` as a path."""
    return tuple(key.split("."))


def set_path(context: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy of `context` in which `path` holds `value`; maps on the way are created.

    Raises:
        ActionError: something on the way is not a map.
    """
    head = path[0]
    changed = context.copy()
    if len(path) == 1:
        changed[head] = value
        return changed
    inner = context.get(head)
    if inner is None:
        inner = {}
    elif not isinstance(inner, dict):
        raise ActionError(f"cannot set '{'.'.join(path)}': '{head}' holds {type(inner).__name__}, not a map")
    changed[head] = set_path(inner, path[1:], value)
    return changed


def unset_path(context: dict[str, Any], path: Path) -> dict[str, Any]:
    """A copy of `context` without `path`; the same object when there is no such path."""
    head = path[0]
    if head not in context:
        return context
    if len(path) == 1:
        return {key: value for key, value in context.items() if key != head}
    inner = context[head]
    if not isinstance(inner, dict):
        return context
    return {**context, head: unset_path(inner, path[1:])}


def apply_patch(context: dict[str, Any], patch: Iterable[Change]) -> dict[str, Any]:
    """All changes in order.

    Raises:
        ActionError: a path leads through something that is not a map.
    """
    owned = False
    for change in patch:
        path = tuple(change[1])
        if len(path) > 1:
            context = set_path(context, path, change[2]) if change[0] == "set" else unset_path(context, path)
            owned = owned or change[0] == "set"
            continue
        if not owned:
            context, owned = context.copy(), True
        if change[0] == "set":
            context[path[0]] = change[2]
        else:
            context.pop(path[0], None)
    return context


def difference(old: dict[str, Any], new: dict[str, Any], prefix: Path = ()) -> tuple[Change, ...]:
    """The patch that turns `old` into `new`. Paths reach into maps; lists are replaced whole."""
    changes: list[Change] = [("unset", (*prefix, key)) for key in old if key not in new]
    for key, value in new.items():
        path = (*prefix, key)
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            changes.extend(difference(before, value, path))
        elif key not in old or type(before) is not type(value) or before != value:
            changes.append(("set", path, value))
    return tuple(changes)
