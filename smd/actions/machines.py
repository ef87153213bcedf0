"""Actions on other machines of this daemon."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any, NamedTuple

from smd.actions.base import Call
from smd.actions.values import setting
from smd.errors import ActionError
from smd.statechart.context import set_path
from smd.statechart.event import HIGH, Event, Outcome
from smd.statechart.template import MISSING
from smd.store.base import Enqueue, FindMachine, MachineRow

Asking = Generator[Any, Any, Outcome]

STOP = "smd.stop"
_UP = frozenset(("running", "paused"))
_VARIABLE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)(?:\s+as\s+([A-Za-z_][A-Za-z0-9_.]*))?\s*\Z")
_OPEN = re.compile(r"\{[A-Za-z_][A-Za-z0-9_.]*(?:\|[^{}]*)?\}")


class StartChild(NamedTuple):
    """Create and start a child machine in this unit. Answered by the runtime, which can load the file.

    Answer: {"started": bool, "existing": bool, "error": str | None}. `key` (the parent's action key) tells a child
    that this very action has started already from a stranger of the same name. `path` is as the chart has it,
    relative to the parent's work folder. `held` are ids of the parent's jobs that the child holds from now on.
    """

    name: str
    path: str
    context: dict[str, Any]
    parent: str
    key: str
    linked: bool
    held: tuple[str, ...] = ()


def start_fsm(call: Call) -> Asking:
    """Start a child machine; jobs whose ids it is given go over to it.

    `store_pid` appends the child's name to `spawned_pids`: a child is a machine here, not a process.
    """
    name, path = _known(call, "machine_name"), _known(call, "yaml_path")
    context = _handed(call)
    held = tuple(hold.job_id for hold in call.held if hold.job_id in set(_ids(context.values())))
    operation = StartChild(name, path, context, call.machine, call.key, bool(call.params.get("linked")), held)
    answer = yield operation
    if not answer["started"]:
        return call.failed(f"cannot start machine '{name}': {answer['error']}")
    patch: tuple[tuple[Any, ...], ...] = ()
    if call.params.get("store_pid"):
        before = call.context.get("spawned_pids")
        patch = setting({"spawned_pids": [*(before if isinstance(before, list) else ()), name]})
    return call.done(patch=patch, settled=held)


def _handed(call: Call) -> dict[str, Any]:
    """The child's first context from `context_vars`: `a`, `a.b.c` (kept as nested maps) and `a.b as name`."""
    context: dict[str, Any] = {}
    for item in call.params.get("context_vars") or ():
        found = _VARIABLE.match(item) if isinstance(item, str) else None
        if found is None:
            raise ActionError(f"cannot hand over {item!r:.80}: write name, path.to.name, or path.to.name as other")
        value = call.lookup(tuple(found[1].split(".")))
        if value is MISSING or value is None:
            call.log("warning", f"start_fsm: '{found[1]}' has no value and is not handed over")
            continue
        context = set_path(context, tuple((found[2] or found[1]).split(".")), value)
    return context


def _ids(values: Any) -> Generator[str, None, None]:
    """Texts that may be job ids, in values and in maps and lists within them."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _ids(value.values())
        elif isinstance(value, list):
            yield from _ids(value)


def _known(call: Call, name: str) -> str:
    text = call.text(name)
    found = _OPEN.search(text)
    if found is not None:
        raise ActionError(f"cannot run {call.action.type}: {name} has no value for {found[0]}")
    return text


def stop_machine(call: Call) -> Asking:
    """Stop another machine; one that is not up already counts as stopped."""
    name = _known(call, "machine_name")
    row: MachineRow | None = yield FindMachine(name)
    if row is None:
        return call.failed(f"cannot stop machine '{name}': no such machine")
    if row.status in _UP:
        yield Enqueue(name, Event(STOP, {}, source=call.machine, priority=HIGH), call.now)
    return call.done()


def check_machine_state(call: Call) -> Asking:
    """Compare another machine's active states with `expected_states`.

    Answers `success`, `unexpected` (with `unexpected_machine_state` in the context) or `not_running`. What the store
    says is current, so `timeout_seconds` has nothing to bound.
    """
    row: MachineRow | None = yield FindMachine(_known(call, "target_machine"))
    if row is None or row.status not in _UP:
        return call.done(call.action.events.get("not_running"))
    expected = call.params.get("expected_states") or []
    wanted = {expected} if isinstance(expected, str) else set(map(str, expected))
    if wanted & {row.label, *row.label.split(",")}:
        return call.done()
    return call.done(call.action.events.get("unexpected"), patch=setting({"unexpected_machine_state": row.label}))
