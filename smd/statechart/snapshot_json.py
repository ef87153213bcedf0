"""Snapshots, events and outcomes as plain JSON values and back, checked for legality on the way in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from operator import itemgetter
from types import NoneType
from typing import Any, NamedTuple, NoReturn, TypeVar

from smd.catalogue import Kind
from smd.errors import ChartError
from smd.statechart.configuration import restore_configuration
from smd.statechart.event import Event, Hold, Outcome
from smd.statechart.model import PARALLEL, Statechart
from smd.statechart.sequence import NOT_STARTED, actions_of
from smd.statechart.snapshot import (
    ARMED,
    ASKING,
    ENDED,
    FINISHED,
    FINISHING,
    NOTHING_COVERED,
    READY,
    RUNNING,
    SLEEPING,
    WAITING,
    WORKING,
    Sequence,
    Snapshot,
    Timer,
)  # fmt: skip

_NO_EVENT = Event("")
_EVENT = Sequence._fields.index("event")
_STATUSES = frozenset((RUNNING, FINISHING, FINISHED))
_PLACES = {
    READY: (NOT_STARTED, 0), ENDED: (NOT_STARTED, 0), SLEEPING: (NOT_STARTED, -1),
    ASKING: (0, -1), WAITING: (0, -1), WORKING: (0, -1), ARMED: (0, -1),
}  # fmt: skip
"""The first action at which a record of this phase may stand, and the last, counted from the end."""
_ASKED = frozenset((ASKING, WAITING, ARMED))
_new = tuple.__new__  # half the cost of calling the classes

Record = TypeVar("Record", bound=tuple[Any, ...])


class Shape(NamedTuple):
    """Which types a record's fields may have; `legal` are all ways in which they may come together."""

    what: str
    fields: dict[str, tuple[type, ...]]
    legal: frozenset[tuple[type, ...]]


def _shape(what: str, **fields: type | tuple[type, ...]) -> Shape:
    types = {name: kinds if isinstance(kinds, tuple) else (kinds,) for name, kinds in fields.items()}
    return Shape(what, types, frozenset(product(*types.values())))


_ARRAY, _NUMBER, _TEXT = (list, tuple), (float, int), (str, NoneType)
_JSON = (dict, list, str, int, float, bool, NoneType)
_ONLY_TEXT = frozenset((str,))

_WHOLE = _shape(
    "the snapshot", machine=str, life=int, version=int, chart=str, configuration=_ARRAY, context=dict, history=dict,
    timers=_ARRAY, sequences=_ARRAY, held=_ARRAY, deferred=_ARRAY, entry=int, status=str, loop=_ARRAY,
    covered=dict,
)  # fmt: skip
_TIMER = _shape(
    "a timer", id=str, kind=str, due=_NUMBER, state=str, event=str, seconds=_NUMBER, data=(NoneType, int, list, Event)
)
_SEQUENCE = _shape(
    "a sequence", state=str, entry=int, index=int, attempt=int, phase=str, event=(Event, NoneType), failed=bool,
    head=int, passes=int, direct=bool,
)  # fmt: skip
_HOLD = _shape("a held job", job_id=str, epoch=int, auto=bool, ok=bool, region=str, handed=bool)
_EVENTS = _shape(
    "an event", type=str, payload=_JSON, id=str, source=str, priority=int, job_id=_TEXT, sent_at=_NUMBER,
    origin_layer=_TEXT, timer=str, outcome=NoneType, owner=str, led=(NoneType, Event),
)  # fmt: skip
_LOOP = _shape("the loop", states=_ARRAY, turns=int)
_SEND = _shape("a delayed send", id=str, targets=_ARRAY, payload=_JSON, priority=int, job_id=_TEXT)
_SEND_BEFORE = 4
"""Parts of a delayed send in snapshots of releases that kept no job id."""
_DATA = {"after": (NoneType, Event), "sequence": (int,), "wait": (int,), "send": (list,)}
_whole = itemgetter(*[name for name in _WHOLE.fields if name != "covered"])


def event_to_plain(event: Event) -> dict[str, Any]:
    """An event without the fields that hold their default; `outcome` and `led` in plain form."""
    told = zip(Event._fields, event, _NO_EVENT, strict=True)
    plain = {name: value for name, value, default in told if value != default or name == "type"}
    if event.outcome is not None:
        plain["outcome"] = outcome_to_plain(event.outcome)
    if event.led is not None:
        plain["led"] = event_to_plain(event.led)
    return plain


def event_from_plain(plain: Mapping[str, Any]) -> Event:
    """The inverse of `event_to_plain`."""
    event = Event(**plain)
    if event.led is not None:
        event = event._replace(led=event_from_plain(plain["led"]))
    return event if event.outcome is None else event._replace(outcome=outcome_from_plain(plain["outcome"]))


def outcome_to_plain(outcome: Outcome) -> dict[str, Any]:
    """An outcome for the journal."""
    plain: dict[str, Any] = {"key": outcome.key, "attempt": outcome.attempt, "ok": outcome.ok, "event": outcome.event}
    if outcome.patch:
        plain["patch"] = outcome.patch
    if outcome.empty:
        plain["empty"] = True
    if outcome.hold is not None:
        plain["hold"] = list(outcome.hold)
    if outcome.settled:
        plain["settled"] = outcome.settled
    if outcome.taken is not None:
        plain["taken"] = event_to_plain(outcome.taken)
    if outcome.error is not None:
        plain["error"] = outcome.error
    return plain


def outcome_from_plain(plain: Mapping[str, Any]) -> Outcome:
    """The inverse of `outcome_to_plain`."""
    return Outcome(
        plain["key"], plain["attempt"], plain["ok"], plain["event"],
        tuple((c[0], tuple(c[1]), *c[2:]) for c in plain.get("patch", ())),
        bool(plain.get("empty")),
        Hold(*plain["hold"]) if "hold" in plain else None,
        tuple(plain.get("settled", ())),
        event_from_plain(plain["taken"]) if "taken" in plain else None,
        plain.get("error"),
    )  # fmt: skip


def to_plain(snapshot: Snapshot) -> dict[str, Any]:
    """The JSON form (its arrays may be tuples).

    Every field is present, so that equal snapshots have equal bytes; but `covered` only when it is not empty, as in
    the snapshots of versions that did not know it.
    """
    plain = {
        "machine": snapshot.machine,
        "life": snapshot.life,
        "version": snapshot.version,
        "chart": snapshot.chart,
        "configuration": snapshot.configuration.leaf_ids,
        "context": snapshot.context,
        "history": snapshot.history,
        "timers": list(map(_timer_to_plain, snapshot.timers)),
        "sequences": list(map(_sequence_to_plain, snapshot.sequences)),
        "held": list(map(list, snapshot.held)),
        "deferred": list(map(event_to_plain, snapshot.deferred)),
        "entry": snapshot.entry,
        "status": snapshot.status,
        "loop": snapshot.loop,
    }
    if snapshot.covered:
        plain["covered"] = snapshot.covered
    return plain


def _timer_to_plain(timer: Timer) -> list[Any]:
    return [*timer[:-1], event_to_plain(timer.data)] if type(timer.data) is Event else list(timer)


def _sequence_to_plain(record: Sequence) -> list[Any]:
    plain: list[Any] = list(record)
    if record.event is not None:
        plain[_EVENT] = event_to_plain(record.event)
    return plain


def from_plain(chart: Statechart, plain: Mapping[str, Any]) -> Snapshot:
    """Read a snapshot back.

    Raises:
        ChartError: it does not fit the chart: an impossible configuration, a timer, sequence or history of a state
            that is not there or not active, an action beyond the end, an unknown phase or status, a missing field,
            a value of the wrong type.
    """
    try:
        (machine, life, version, source, leaves, context, history, timers, sequences, held, deferred, entry, status,
         loop, covered) = _typed((*_whole(plain), plain.get("covered", NOTHING_COVERED)), _WHOLE)  # fmt: skip
        visited, turns = _typed(tuple(loop), _LOOP)
        snapshot = _new(Snapshot, (
            machine, life, version, source, restore_configuration(chart, leaves), context,
            {name: _names(states) for name, states in history.items()} if history else {},
            tuple([_timer_from_plain(t) for t in timers]),
            tuple([_sequence_from_plain(s) for s in sequences]),
            tuple([_typed(Hold(*h), _HOLD) for h in held]),
            tuple([_told_event(e) for e in deferred]),
            entry, status, (_names(visited) if visited else (), turns), covered,
        ))  # fmt: skip
        _check(chart, snapshot)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ChartError(
            f"cannot restore a snapshot: {type(error).__name__} at {error}", code="illegal_snapshot"
        ) from error
    return snapshot


def _typed(record: Record, shape: Shape) -> Record:
    """The record, if every field has a type it may have; true is no whole number here."""
    if tuple(map(type, record)) not in shape.legal:
        for (name, kinds), value in zip(shape.fields.items(), record, strict=True):
            if type(value) not in kinds:
                known = " or ".join([kind.__name__ for kind in kinds])
                _illegal(f"'{name}' of {shape.what} is {repr(value)[:40]}, not {known}")
    return record


def _names(plain: Iterable[str]) -> tuple[str, ...]:
    names = tuple(plain)
    if type(plain) not in _ARRAY or not _ONLY_TEXT.issuperset(map(type, names)):
        _illegal(f"{repr(plain)[:40]} is no list of names")
    return names


def _told_event(plain: Mapping[str, Any]) -> Event:
    """An event that led somewhere or waits: it came from outside, so it is no action's outcome."""
    event = Event(**plain)
    return _typed(event if event.led is None else event._replace(led=_told_event(plain["led"])), _EVENTS)


def _timer_from_plain(plain: list[Any]) -> Timer:
    timer = Timer(*plain)
    return _typed(timer._replace(data=_told_event(timer.data)) if type(timer.data) is dict else timer, _TIMER)


def _sequence_from_plain(plain: list[Any]) -> Sequence:
    if plain[_EVENT] is not None:
        plain = [*plain[:_EVENT], _told_event(plain[_EVENT]), *plain[_EVENT + 1 :]]
    return _typed(_new(Sequence, plain), _SEQUENCE)


def _check(chart: Statechart, snapshot: Snapshot) -> None:
    active = snapshot.configuration.ids
    if snapshot.status not in _STATUSES:
        _illegal(f"status '{snapshot.status}' is unknown")
    for timer in snapshot.timers:
        _check_timer(active, timer)
    for event in snapshot.deferred:
        if event.owner and event.owner not in active:
            _illegal(f"a deferred time-out belongs to '{event.owner}', which is not active")
    for record in snapshot.sequences:
        _check_sequence(chart, active, record)
    for pseudo, remembered in snapshot.history.items():
        _check_history(chart, pseudo, remembered)


def _check_timer(active: frozenset[str], timer: Timer) -> None:
    kind, data = timer.kind, timer.data
    if type(data) not in _DATA.get(kind, ()):
        _illegal(f"timer '{timer.id}' is of kind '{kind}' with {repr(data)[:40]}")
    if kind == "send":
        sent = (*timer.data, None) if len(timer.data) == _SEND_BEFORE else tuple(timer.data)
        _names(_typed(sent, _SEND)[1])
    elif timer.state not in active:
        _illegal(f"timer '{timer.id}' belongs to '{timer.state}', which is not active")


def _check_sequence(chart: Statechart, active: frozenset[str], record: Sequence) -> None:
    name, _, index, attempt, phase, _, _, head, _, _ = record
    if name not in active:
        _illegal(f"a sequence belongs to '{name}', which is not active")
    if phase not in _PLACES:
        _illegal(f"phase '{phase}' is unknown")
    state = chart.states[name]
    if head >= len(state.heads):
        _illegal(f"sequence of '{name}' began with a transition that is not there")
    actions = actions_of(state, record)
    first, last = _PLACES[phase]
    if not first <= index <= len(actions) + last or (index == NOT_STARTED and attempt != 1):
        _illegal(f"sequence of '{name}' stands at action {index} of {len(actions)}, attempt {attempt}")
    if phase in _ASKED and actions[index].kind != Kind.STORE:
        _illegal(f"sequence of '{name}' asks the store for '{actions[index].type}'")


def _check_history(chart: Statechart, pseudo: str, remembered: tuple[str, ...]) -> None:
    """What is remembered must be enterable: states below the history's parent, no two of one compound."""
    state = chart.states.get(pseudo)
    if state is None or state.parent is None or not state.is_history:
        _illegal(f"'{pseudo}' is no history state")
    inside = {state.parent}
    for name in remembered:
        found = chart.states.get(name)
        if found is None or found.is_history or state.parent not in found.ancestors:
            _illegal(f"history '{pseudo}' names a state that is not there: '{name}'")
        inside.update((found, *found.ancestors[: found.ancestors.index(state.parent)]))
    if not remembered or any(s.kind != PARALLEL and len(inside.intersection(s.children)) > 1 for s in inside):
        _illegal(f"history '{pseudo}' remembers states that are never active together: {list(remembered)}")


def _illegal(why: str) -> NoReturn:
    raise ChartError(f"cannot restore a snapshot: {why}", code="illegal_snapshot")
