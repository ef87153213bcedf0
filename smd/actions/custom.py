"""The user's Python actions: run, contained, and what they changed turned into a patch."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import traceback
from collections.abc import Callable
from types import CoroutineType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from smd.actions.acting import Acting, act
from smd.actions.base import Call
from smd.actions.base_action import BaseAction
from smd.actions.legacy_models import JobModel, serving
from smd.actions.loader import CustomActions, LoadError
from smd.actions.offspring import Offspring
from smd.actions.threads import OwnThread, abandoned_threads
from smd.actions.values import FrozenMap, copied, frozen, patch, plain
from smd.errors import ActionError, ChartError, SmdError, brief, storable
from smd.statechart.context import Change
from smd.statechart.durations import parse_duration
from smd.statechart.event import Outcome
from smd.statechart.model import Statechart
from smd.statechart.scope import event_data

ENGINE_WORDS = frozenset(("machine_name", "current_state", "event_data", "job_model"))
"""Keys of an action's context that are given to it and never kept."""

CONFIG = "config"
"""The key of the chart's document, given likewise to an action of a machine that has no such key of its own."""

_documents: WeakKeyDictionary[Statechart, FrozenMap] = WeakKeyDictionary()
_GIVEN = ENGINE_WORDS | {CONFIG}

GRACE = 5.0
"""Seconds a cancelled coroutine in a thread has to end before the thread is abandoned."""

Answer = tuple[str | None, tuple[Change, ...]]
"""Event type and patch."""


class Failure(NamedTuple):
    """What went wrong in words, and what of it is for the log alone."""

    words: str
    trace: str


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
    other return value, and a context that is not JSON any more are failures, of which nothing is kept. Cancelled, it
    returns when the coroutine has ended, or GRACE seconds later.
    """
    try:
        limit = _timeout(call)
        async with asyncio.timeout(limit):
            return await _outcome(call, actions)
    except TimeoutError:
        return call.failed(f"{call.action.type}: timed out after {limit:g} s")
    except ActionError as error:
        return call.failed(f"{call.action.type}: {error.message}")


def begin_custom(
    call: Call, told: Callable[[Outcome], None], actions: CustomActions | None = None
) -> OwnThread[Answer | Failure]:
    """Like `perform_custom`, without its `timeout`: `told` is called with the outcome, unless it is ended before."""
    chosen = actions or _Registry.actions
    return OwnThread(
        call.machine,
        lambda thread: _contained(call, chosen, thread),
        lambda answer, error: told(_judged(call, answer, error)),
        Offspring(call.full_key),
    )


async def _outcome(call: Call, actions: CustomActions | None) -> Outcome:
    told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    running = begin_custom(call, lambda outcome: None if told.done() else told.set_result(outcome), actions)
    try:
        return await told
    except asyncio.CancelledError:
        ending = running.end(GRACE)
        while not ending.done():
            with contextlib.suppress(asyncio.CancelledError):  # the first one is raised
                await asyncio.shield(ending)
        raise


def _contained(call: Call, actions: CustomActions, thread: OwnThread[Answer | Failure]) -> Answer | Failure:
    try:
        return _in_thread(call, actions, thread)
    except BaseException as error:  # noqa: BLE001 - whatever a user's code raises is its failure, told with its name
        return _failure(call.action.type, error)


def _failure(name: str, error: BaseException) -> Failure:
    """In the thread, for an exception's own words are the user's code, too."""
    kind = type(error).__name__
    try:
        if isinstance(error, SmdError):
            trace = error.trace or error.message if isinstance(error, LoadError) else ""
            return Failure(f"{name}: {error.message}", trace)
        words, trace = str(error), "".join(traceback.format_exception(error)).rstrip()
    except BaseException as broken:  # noqa: BLE001 - it has no words; a failure all the same
        return Failure(f"{name}: {kind}, of which no more could be told: {type(broken).__name__}", "")
    return Failure(f"{name}: {kind}: {words}" if words else f"{name}: {kind}", trace)


def _judged(call: Call, answer: Answer | Failure | None, error: BaseException | None) -> Outcome:
    if answer is None:
        answer = _failure(call.action.type, error or RuntimeError())
    if not isinstance(answer, Failure):
        event, changes = answer
        return call.done(event, patch=changes)
    words, trace = answer
    try:
        if trace:
            call.log("error", storable(trace))
            words = brief(words)  # the trace ends with all of them
    except Exception as broken:  # noqa: BLE001 - told with the failure that could not be logged
        words = brief(f"{words} (and the log cannot be written: {type(broken).__name__})")
    return call.failed(words)


def _timeout(call: Call) -> float | None:
    value = call.params.get("timeout") if call.action.limited else None
    try:
        return None if value is None else parse_duration(value)
    except ChartError as error:
        raise ActionError(error.message, hint=error.hint) from error


def _in_thread(call: Call, actions: CustomActions, thread: OwnThread[Answer | Failure]) -> Answer:
    name = call.action.type
    found = actions.known(name) or actions.get(name)
    acting = Acting(call, thread)
    act(acting)
    with serving(call.machine):
        context = _context(call)
        if found.legacy:
            context["job_model"] = JobModel(call.machine)
        action = found.make(_config(call))
        if isinstance(action, BaseAction):
            action._tell = acting.log
        thread.check()
        returned = action.execute(context)
        if isinstance(returned, CoroutineType) or inspect.isawaitable(returned):
            returned = thread.wait_for(returned)
        return _answer(call, returned, context)


def _config(call: Call) -> dict[str, Any]:
    """The action's map in both layouts: parameters at the top level (which win) and under `params`."""
    given = copied(call.params)
    inner = given.pop("params", None)
    flat = {**(inner if isinstance(inner, dict) else {}), **given}
    own = {key: value for key, value in flat.items() if key != "type"}
    return {"type": call.action.type, **own, "params": own.copy()}


def _context(call: Call) -> dict[str, Any]:
    context: dict[str, Any] = copied(call.context)
    context |= {"machine_name": call.machine, "current_state": call.state}
    if call.chart is not None:
        context.setdefault(CONFIG, _document(call.chart))
    told = copied(event_data(call.event))
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
    event = plain(returned, "event") if returned else None
    return event, patch(call.context, context, ENGINE_WORDS if CONFIG in call.context else _GIVEN)


def _document(chart: Statechart) -> FrozenMap:
    document = _documents.get(chart)
    if document is None:
        document = _documents[chart] = frozen(chart.source or {})
    return document


__all__ = ["BaseAction", "CustomActions", "abandoned_threads", "begin_custom", "perform_custom", "use"]
