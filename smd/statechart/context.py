"""The context as an immutable value: every change copies along its path, so old snapshots stay valid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from smd.errors import ActionError

Path = tuple[str, ...]
Change = tuple[Any, ...]
"""`("set", path, value)`, `("unset", path)` or `("claim", path, job)`."""

CONTEXT_LIMIT = 1_048_576
"""Bytes of a machine's context as JSON (see `codec.size`)."""
CURRENT_JOB = "current_job"
ENGINE_KEYS = frozenset((
    "machine_name", "current_state", "event_data", "event", "payload", "config", CURRENT_JOB, "job_model",
    "last_error", "last_error_action", "last_error_command", "last_error_exit_code",
))  # fmt: skip
"""Top-level keys that job data never sets."""
_JOB_KEYS = ("id", "job_id", "source_job_id", "job_type")


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


def apply_patch(
    context: dict[str, Any], patch: Iterable[Change], covered: dict[str, Any] | None = None
) -> dict[str, Any]:
    """All changes in order.

    Args:
        covered: what stood at the top where job data stands now; a claim puts it back and notes here what the next
            job's data covers.

    Raises:
        ActionError: a path leads through something that is not a map.
    """
    owned = False
    for change in patch:
        verb, path = change[0], tuple(change[1])
        if len(path) > 1:
            context = set_path(context, path, change[2]) if verb == "set" else unset_path(context, path)
            owned = owned or verb == "set"
            continue
        if not owned:
            context, owned = context.copy(), True
        if verb == "set":
            context[path[0]] = change[2]
        elif verb == "claim":
            _claim(context, path[0], change[2], {} if covered is None else covered)
        else:
            context.pop(path[0], None)
    return context


def _claim(context: dict[str, Any], key: str, job: dict[str, Any], covered: dict[str, Any]) -> None:
    """Put a job under `key`, and its ids and its data (if a map) at the top, where the job before leaves.

    Of the job before goes what nothing has changed since; what its data covered comes back.
    """
    before = context.get(key)
    if isinstance(before, dict):
        for name, value in _given(before):
            if name in context and context[name] == value:
                if name in covered:
                    context[name] = covered[name]
                else:
                    del context[name]
    covered.clear()
    given = _given(job)
    for name, _ in given:
        if name in context:
            covered[name] = context[name]
    context[key] = job
    context.update([(name, job[name]) for name in _JOB_KEYS if job[name] is not None])
    context.update(given)


def _given(job: dict[str, Any]) -> list[tuple[str, Any]]:
    """What a job puts at the top and the next may not: its source's id and its data."""
    data, source = job.get("data"), job.get("source_job_id")
    given = [] if source is None else [("source_job_id", source)]
    if isinstance(data, dict):
        given += [(name, value) for name, value in data.items() if value is not None and name not in ENGINE_KEYS]
    return given


def difference(old: dict[str, Any], new: dict[str, Any], prefix: Path = ()) -> tuple[Change, ...]:
    """The patch that turns `old` into `new`. Paths reach into maps; lists are replaced whole."""
    changes: list[Change] = [("unset", (*prefix, key)) for key in old if key not in new]
    for key, value in new.items():
        path = (*prefix, key)
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            changes.extend(difference(before, value, path))
        elif key not in old or not same(before, value):
            changes.append(("set", path, value))
    return tuple(changes)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down: 1, 1.0 and true are three values."""
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is dict:
        return one.keys() == other.keys() and all(map(same, one.values(), map(other.__getitem__, one)))
    if kind is list:
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other) if kind is float else bool(one == other)
