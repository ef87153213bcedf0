"""Snapshots, events and outcomes as plain JSON values and back, checked for legality on the way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smd.errors import ChartError
from smd.statechart.configuration import restore_configuration
from smd.statechart.event import Event, Hold, Outcome
from smd.statechart.model import Statechart
from smd.statechart.sequence import NOT_STARTED, actions_of
from smd.statechart.snapshot import (
    ARMED,
    ASKING,
    ENDED,
    FINISHED,
    FINISHING,
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
_PHASES = {READY, ASKING, WAITING, WORKING, SLEEPING, ENDED, ARMED}


def event_to_plain(event: Event) -> dict[str, Any]:
    """An event without the fields that hold their default; `outcome` in plain form."""
    told = zip(Event._fields, event, _NO_EVENT, strict=True)
    plain = {name: value for name, value, default in told if value != default or name == "type"}
    if event.outcome is not None:
        plain["outcome"] = outcome_to_plain(event.outcome)
    return plain


def event_from_plain(plain: Mapping[str, Any]) -> Event:
    """The inverse of `event_to_plain`."""
    event = Event(**plain)
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
    """The JSON form (its arrays may be tuples). Every field is present, so that equal snapshots have equal bytes."""
    return {
        "machine": snapshot.machine,
        "life": snapshot.life,
        "version": snapshot.version,
        "chart": snapshot.chart,
        "configuration": snapshot.configuration.leaf_ids,
        "context": snapshot.context,
        "history": snapshot.history,
        "timers": list(map(list, snapshot.timers)),
        "sequences": list(map(_sequence_to_plain, snapshot.sequences)),
        "held": list(map(list, snapshot.held)),
        "deferred": list(map(event_to_plain, snapshot.deferred)),
        "entry": snapshot.entry,
        "status": snapshot.status,
        "loop": snapshot.loop,
    }


def _sequence_to_plain(record: Sequence) -> list[Any]:
    plain: list[Any] = list(record)
    if record.event is not None:
        plain[_EVENT] = event_to_plain(record.event)
    return plain


def from_plain(chart: Statechart, plain: Mapping[str, Any]) -> Snapshot:
    """Read a snapshot back.

    Raises:
        ChartError: it does not fit the chart: an impossible configuration, a timer, sequence or history of a state
            that is not there or not active, an action beyond the end, an unknown phase or status, a missing field.
    """
    try:
        snapshot = Snapshot(
            plain["machine"], plain["life"], plain["version"], plain["chart"],
            restore_configuration(chart, plain["configuration"]), plain["context"],
            {name: tuple(states) for name, states in plain["history"].items()},
            tuple(Timer(*t) for t in plain["timers"]),
            tuple(_sequence_from_plain(s) for s in plain["sequences"]),
            tuple(Hold(*h) for h in plain["held"]),
            tuple(event_from_plain(e) for e in plain["deferred"]),
            plain["entry"], plain["status"], (tuple(plain["loop"][0]), plain["loop"][1]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ChartError(
            f"cannot restore a snapshot: {type(error).__name__} at {error}", code="illegal_snapshot"
        ) from error
    if not isinstance(plain["context"], dict):
        _illegal("its context is not a map")
    _check(chart, snapshot)
    return snapshot


def _sequence_from_plain(plain: list[Any]) -> Sequence:
    record = Sequence(*plain)
    return record if record.event is None else record._replace(event=event_from_plain(plain[_EVENT]))


def _check(chart: Statechart, snapshot: Snapshot) -> None:
    active = snapshot.configuration.ids
    if snapshot.status not in {RUNNING, FINISHING, FINISHED}:
        _illegal(f"status '{snapshot.status}' is unknown")
    for timer in snapshot.timers:
        if timer.kind != "send" and timer.state not in active:
            _illegal(f"timer '{timer.id}' belongs to '{timer.state}', which is not active")
    for record in snapshot.sequences:
        _check_sequence(chart, active, record)
    for pseudo, remembered in snapshot.history.items():
        if pseudo not in chart.states or not chart.states[pseudo].is_history:
            _illegal(f"'{pseudo}' is no history state")
        if any(name not in chart.states for name in remembered):
            _illegal(f"history '{pseudo}' names a state that is not there")


def _check_sequence(chart: Statechart, active: frozenset[str], record: Sequence) -> None:
    if record.state not in active:
        _illegal(f"a sequence belongs to '{record.state}', which is not active")
    if record.phase not in _PHASES:
        _illegal(f"phase '{record.phase}' is unknown")
    state = chart.states[record.state]
    if record.head >= len(state.heads):
        _illegal(f"sequence of '{record.state}' began with a transition that is not there")
    length = len(actions_of(state, record))
    last = length if record.phase in {READY, ENDED, SLEEPING} else length - 1
    if not NOT_STARTED <= record.index <= last:
        _illegal(f"sequence of '{record.state}' stands at action {record.index} of {length}")


def _illegal(why: str) -> None:
    raise ChartError(f"cannot restore a snapshot: {why}", code="illegal_snapshot")
