"""The user's Python actions: run, contained, and what they changed turned into a patch."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from typing import Any

from smd.actions.base import Call
from smd.actions.base_action import BaseAction
from smd.actions.legacy_models import JobModel, serving
from smd.actions.loader import ActionClass, CustomActions, LoadError
from smd.actions.threads import OwnThread, Raised, abandoned_threads
from smd.actions.values import plain
from smd.errors import ActionError, ChartError, SmdError
from smd.statechart.context import Change, difference
from smd.statechart.durations import parse_duration
from smd.statechart.event import Outcome
from smd.statechart.scope import event_data

ENGINE_WORDS = frozenset(("machine_name", "current_state", "event_data", "job_model"))
"""Keys of an action's context that are given to it and never kept."""

GRACE = 5.0
"""Seconds a cancelled coroutine in a thread has to end before the thread is abandoned."""

Answer = tuple[str | None, tuple[Change, ...]]
"""Event type and patch."""


class _Registry:
    """The actions that calls are answered from; set once at start by `connect`."""

    actions = CustomActions()


def use(actions: CustomActions) -> None:
    """Answer calls from these actions from now on."""
    _Registry.actions = actions


async def perform_custom(call: Call, actions: CustomActions | None = None) -> Outcome:
    """Run a Python action.

    It runs in a daemon thread of its own, a coroutine with an event loop of its own there, so that one that blocks
    keeps nobody else waiting (P8).

    Answers the returned text as event; nothing when it returned nothing (or something false). An exception, any
    other return value, and a context that is not JSON any more are failures, of which nothing is kept.
    """
    name = call.action.type
    try:
        async with asyncio.timeout(_timeout(call)) as limit:
            event, patch = await _run(call, actions or _Registry.actions)
    except TimeoutError as error:
        if not limit.expired():
            return _crashed(call, error)
        return call.failed(f"{name}: timed out after {_timeout(call):g} s")
    except LoadError as error:
        call.log("error", error.trace or error.message)
        return call.failed(f"{name}: {error.message}")
    except SmdError as error:
        return call.failed(f"{name}: {error.message}")
    except Exception as error:  # noqa: BLE001 - whatever a user's code raises is its failure, told with its name
        return _crashed(call, error)
    return call.done(event, patch=patch)


def _crashed(call: Call, error: Exception) -> Outcome:
    cause = error.__cause__ if isinstance(error, Raised) and error.__cause__ else error
    call.log("error", "".join(traceback.format_exception(cause)))
    words = str(cause)
    kind = type(cause).__name__
    return call.failed(f"{call.action.type}: {kind}: {words}" if words else f"{call.action.type}: {kind}")


def _timeout(call: Call) -> float | None:
    value = call.params.get("timeout")
    try:
        return None if value is None else parse_duration(value)
    except ChartError as error:
        raise ActionError(error.message, hint=error.hint) from error


async def _run(call: Call, actions: CustomActions) -> Answer:
    name = call.action.type
    found = actions.known(name) or await OwnThread(call.machine, lambda _: actions.get(name)).result(0.0)
    return await OwnThread(call.machine, lambda thread: _in_thread(call, found, thread)).result(GRACE)


def _in_thread(call: Call, found: ActionClass, thread: OwnThread[Answer]) -> Answer:
    with serving(call.machine):
        context = _context(call)
        if found.legacy:
            context["job_model"] = JobModel(call.machine)
        action = _made(call, found)
        if isinstance(action, BaseAction):
            action._tell = lambda level, message: thread.tell(call.log, level, message)
        returned = action.execute(context)
        if inspect.isawaitable(returned):
            returned = thread.wait_for(returned)
        return _answer(call, returned, context)


def _made(call: Call, found: ActionClass) -> Any:
    return found.make(_config(call))


def _config(call: Call) -> dict[str, Any]:
    """The action's map in both layouts: parameters at the top level (which win) and under `params`."""
    given = _copied(call.params)
    inner = given.pop("params", None)
    flat = {**(inner if isinstance(inner, dict) else {}), **given}
    own = {key: value for key, value in flat.items() if key != "type"}
    return {"type": call.action.type, **own, "params": own.copy()}


def _copied(value: Any) -> Any:
    """A deep copy of a JSON value, at a fraction of what the general one costs."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_copied(each) for each in value]
    return value


def _context(call: Call) -> dict[str, Any]:
    context: dict[str, Any] = _copied(call.context)
    context |= {"machine_name": call.machine, "current_state": call.state}
    told = _copied(event_data(call.event))
    if told is None:
        context.pop("event_data", None)
    else:
        context["event_data"] = {**told, "payload": {} if told["payload"] is None else told["payload"]}
    return context


def _answer(call: Call, returned: Any, context: dict[str, Any]) -> Answer:
    if returned and not isinstance(returned, str):
        raise ActionError(
            f"it returned {returned!r:.80}, a {type(returned).__name__}; an action returns an event's name"
        )
    after = plain({key: value for key, value in context.items() if key not in ENGINE_WORDS}, "")
    before = {key: value for key, value in call.context.items() if key not in ENGINE_WORDS}
    return (plain(returned, "event") if returned else None), difference(before, after)


__all__ = ["BaseAction", "CustomActions", "abandoned_threads", "perform_custom", "use"]
