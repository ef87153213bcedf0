"""Instant actions: what a block, or an instant action of a sequence, does to the working copy.

An operation that only computes a new context from context and event is also offered as a *pure* function, for the
fast path of `interpreter.macrostep`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from smd.catalogue import LOG_LEVELS
from smd.errors import ActionError, ChartError
from smd.statechart.context import set_path, split
from smd.statechart.durations import parse_duration
from smd.statechart.effects import Log, Send, Warn
from smd.statechart.event import NORMAL, PRIORITIES, Event
from smd.statechart.expression import Expression
from smd.statechart.model import Action
from smd.statechart.scope import Moment, lookup_in
from smd.statechart.snapshot import Timer
from smd.statechart.template import MISSING, Lookup, Placeholder, Template, embedded, names, sole_placeholder

if TYPE_CHECKING:
    from smd.statechart.run import Run

BLOCK_LIMIT = 100_000
"""Instant actions one block may run (architecture, Loops)."""

_FORWARDED = "event_data.payload"
"""What is forwarded if it is there: nothing to forward is no mistake."""
_LONGEST_ID = 255

PureOperation = Callable[[dict[str, Any], Event | None, Moment | None], dict[str, Any]]
"""(context, event, moment) -> new context."""

ENGINE_WORDS = frozenset({"machine_name", "current_state", "now", "life", "config"})
"""Template roots that need more than context and event."""


class Operation:
    """An instant action, compiled.

    `apply(run, state, event)` does it and answers which of the action's events it calls for: `success` or `empty`.
    `cond` is the action's own condition.

    Raises (from apply):
        ActionError, ExpressionError: the action failed; nothing was changed.
    """

    __slots__ = ("action", "apply", "cond", "pure")

    def __init__(
        self, action: Action, apply: Callable[[Run, str, Event | None], str], pure: PureOperation | None
    ) -> None:
        self.action = action
        self.apply = apply
        self.cond = action.cond
        self.pure = pure if action.cond is None else None


def compiled(actions: Iterable[Action]) -> tuple[Operation, ...]:
    """The operations of a block."""
    return tuple(operation_of(action) for action in actions)


def operation_of(action: Action) -> Operation:
    """The operation of one instant action, made once."""
    if action.operation is None:
        maker = _MAKERS.get(action.type)
        if maker is None:
            raise ChartError(f"cannot use '{action.type}' here: it is not an instant action")
        action.operation = maker(action)
    return action.operation  # type: ignore[no-any-return]


def _from_pure(action: Action, change: PureOperation, *, pure: bool, empty: bool = False) -> Operation:
    def apply(run: Run, _state: str, event: Event | None) -> str:
        before = run.context
        run.set_context(change(before, event or run.event, run.moment()))
        return "empty" if empty and run.context is before else "success"

    return Operation(action, apply, change if pure else None)


def _needs_only_context(template: Template) -> bool:
    return not any(path[0] in ENGINE_WORDS for path in names(template))


def _templated(
    action: Action, change: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]], **how: bool
) -> Operation:
    """An operation that renders the action's parameters, then changes the context with them."""
    template = action.params
    if _needs_only_context(template):

        def pure(context: dict[str, Any], event: Event | None, _moment: Moment | None) -> dict[str, Any]:
            look = lookup_in(context, event, machine="", state="", now=0.0)
            return change(context, template.render(look))

        return _from_pure(action, pure, pure=True, **how)

    def apply(run: Run, state: str, event: Event | None) -> str:
        before = run.context
        run.set_context(change(before, template.render(run.lookup(state, event))))
        return "empty" if how.get("empty") and run.context is before else "success"

    return Operation(action, apply, None)


# --- context ----------------------------------------------------------------------------------------------------


def _set_context(action: Action) -> Operation:
    if action.params.constant:
        params: Any = action.params.render(lambda _: None)
        path, value = split(params["key"]), params["value"]

        def constant(context: dict[str, Any], _event: Event | None, _moment: Moment | None) -> dict[str, Any]:
            return set_path(context, path, value)

        return _from_pure(action, constant, pure=True)
    return _templated(action, lambda context, params: set_path(context, _key(params, "key"), params["value"]))


def _key(params: dict[str, Any], name: str) -> tuple[str, ...]:
    key = params.get(name)
    if not isinstance(key, str) or not key:
        raise ActionError(f"cannot use {name} {key!r:.60}: it must be a text")
    return split(key)


def _assign(action: Action) -> Operation:
    pairs: tuple[tuple[tuple[str, ...], Expression], ...] = action.program
    alone = all(e.roots <= {"context", "event"} and not e.states for _, e in pairs)
    if len(pairs) == 1 and len(pairs[0][0]) == 1:
        key, evaluate = pairs[0][0][0], pairs[0][1].evaluate

        def one(context: dict[str, Any], event: Event | None, moment: Moment | None) -> dict[str, Any]:
            value = evaluate(context, event, moment)
            changed = context.copy()
            changed[key] = value
            return changed

        return _from_pure(action, one, pure=alone)

    def several(context: dict[str, Any], event: Event | None, moment: Moment | None) -> dict[str, Any]:
        for path, expression in pairs:
            context = set_path(context, path, expression.evaluate(context, event, moment))
        return context

    return _from_pure(action, several, pure=alone)


def _get(context: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = context
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _add_to_list(action: Action) -> Operation:
    def change(context: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        path = _key(params, "list_key")
        present = _get(context, path)
        if present is not None and not isinstance(present, list):
            raise ActionError(f"cannot add to '{'.'.join(path)}': it holds {type(present).__name__}, not a list")
        return set_path(context, path, [*(present or []), params["value"]])

    return _templated(action, change)


def _pop_from_list(action: Action) -> Operation:
    def change(context: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        path = _key(params, "list_key")
        present = _get(context, path)
        if not isinstance(present, list) or not present:
            return context
        context = set_path(context, path, present[1:])
        return set_path(context, _key(params, "store_as"), present[0]) if params.get("store_as") else context

    return _templated(action, change, empty=True)


# --- messages ---------------------------------------------------------------------------------------------------


def _log(action: Action) -> Operation:
    def apply(run: Run, state: str, event: Event | None) -> str:
        params: Any = action.params.render(run.lookup(state, event))
        message = params["message"]
        level = LOG_LEVELS.get(str(params["level"]).lower())
        if level is None:
            raise ActionError(f"cannot log at level {params['level']!r:.60}: it must be {', '.join(LOG_LEVELS)}")
        text = embedded(message) if isinstance(message, list | dict) else str(message)
        run.effects.append(Log(level, text, state or run.configuration.label))
        return "success"

    return Operation(action, apply, None)


def _event_type(params: dict[str, Any], name: str) -> str:
    event_type = params.get(name)
    if not isinstance(event_type, str) or not event_type or event_type.startswith("smd."):
        raise ActionError(
            f"cannot send an event of type {event_type!r:.60}: a type is a text, not beginning with 'smd.'"
        )
    return event_type


def _raise(action: Action) -> Operation:
    def apply(run: Run, state: str, event: Event | None) -> str:
        params: Any = action.params.render(run.lookup(state, event))
        run.raise_internal(_event_type(params, "event"), params["payload"])
        return "success"

    return Operation(action, apply, None)


def _targets(value: Any) -> tuple[str, ...]:
    targets = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not targets or not all(isinstance(t, str) and t for t in targets):
        raise ActionError(f"cannot send an event to {value!r:.60}: targets are machine names")
    return targets


def _placeholders(params: Any) -> dict[str, Placeholder]:
    """The values of a payload that are one placeholder each; under the empty key a payload that is one itself."""
    payload = params.get("payload") if isinstance(params, dict) else None
    values = payload if isinstance(payload, dict) else {"": payload} if isinstance(payload, str) else {}
    slots = {key: sole_placeholder(value) for key, value in values.items()}
    return {key: slot for key, slot in slots.items() if slot is not None}


def _payload(rendered: Any, slots: dict[str, Placeholder], look: Lookup) -> tuple[Any, list[str]]:
    """The payload, and its placeholders without a value: null, or {} for a whole payload, as no reader knows them."""
    values = rendered if isinstance(rendered, dict) else {"": rendered}
    kept = [key for key, slot in slots.items() if values.get(key) == f"{{{slot.text}}}"]
    lost = [key for key in kept if slots[key].render(look) is MISSING]
    if not lost:
        return rendered, lost
    made = {**rendered, **dict.fromkeys(lost)} if isinstance(rendered, dict) else {}
    return made, [slots[key].text for key in lost]


def _current_job(context: dict[str, Any]) -> str | None:
    """The id of the job the machine is at, as the predecessor chose it: the current job's, else what `id` names."""
    job = context.get("current_job")
    found = job.get("job_id", job.get("id")) if isinstance(job, dict) and job else context.get("id")
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) and 0 < len(found) <= _LONGEST_ID else None


def _send_event(action: Action) -> Operation:
    slots = _placeholders(action.params.value)

    def apply(run: Run, state: str, event: Event | None) -> str:
        look = run.lookup(state, event)
        params: Any = action.params.render(look)
        payload, lost = _payload(params["payload"], slots, look)
        send = Send(
            _targets(params["target_machine"]),
            _event_type(params, "event_type"),
            payload,
            f"{run.snapshot.machine}/{run.snapshot.life}/{run.version}/{run.sends}",
            PRIORITIES.get(params.get("priority") or "normal", NORMAL),
            _current_job(run.context),
        )
        for text in lost:
            if text != _FORWARDED:
                told = f"sent '{send.type}' without {{{text}}}: there is no such value"
                run.effects.append(Warn("unknown_value", told, state or run.configuration.label))
        run.sends += 1
        if params.get("delay") is None:
            run.effects.append(send)
        else:
            _delay(run, send, parse_duration(params["delay"]), str(params.get("id") or send.id))
        return "success"

    return Operation(action, apply, None)


def _delay(run: Run, send: Send, seconds: float, send_id: str) -> None:
    data = [send_id, list(send.targets), send.payload, send.priority, send.job_id]
    run.timers = (*run.timers, Timer(send.id, "send", run.now + seconds, "", send.type, seconds, data))


def _cancel(action: Action) -> Operation:
    def apply(run: Run, state: str, event: Event | None) -> str:
        params: Any = action.params.render(run.lookup(state, event))
        name = str(params["id"])
        run.timers = tuple(t for t in run.timers if t.kind != "send" or t.data[0] != name)
        return "success"

    return Operation(action, apply, None)


_MAKERS: dict[str, Callable[[Action], Operation]] = {
    "log": _log,
    "activity_log": _log,
    "set_context": _set_context,
    "assign": _assign,
    "add_to_list": _add_to_list,
    "pop_from_list": _pop_from_list,
    "raise": _raise,
    "send_event": _send_event,
    "cancel": _cancel,
}
