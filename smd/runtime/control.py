"""Control events: start, stop, pause and their like are rows of the journal too, so that a replay meets them.

`advance` is the one function that consumes a journal row, live and in replay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from smd.errors import ChartError, MachineError
from smd.statechart.configuration import configuration_of
from smd.statechart.effects import CONTROL, Effect, Settle
from smd.statechart.event import Event, Hold
from smd.statechart.expression import ExpressionError
from smd.statechart.interpreter import initial, macrostep, resettle
from smd.statechart.model import State, Statechart
from smd.statechart.run import Measure
from smd.statechart.scope import Moment
from smd.statechart.sequence import NOT_STARTED, leading_event
from smd.statechart.snapshot import READY, Sequence, Snapshot, Timer
from smd.statechart.step import Step

PREFIX = "smd."
"""Event types from outside never begin with it."""
START, RESUME, STOP, PAUSE = "smd.start", "smd.resume", "smd.stop", "smd.pause"
FAIL, RESET, RELOAD = "smd.fail", "smd.reset-failed", "smd.reload"
REMOVE, DISCARD = "smd.remove", "smd.discard"
"""The machine was removed, or its state given up because it could not be restored: what follows begins from nothing."""
LET_GO = "smd.let-go"
"""Jobs that the machine holds were ended otherwise: `held` are their ids and epochs."""

OUTCOME = "smd.outcome"
"""Type of an action's answer that names no event."""


_LEGAL = {
    START: {"stopped", "failed", "finished"}, RESUME: {"stopped", "failed", "paused", "running"},
    STOP: {"running", "paused"}, PAUSE: {"running"}, FAIL: {"running", "paused"}, RESET: {"failed", "finished"},
}  # fmt: skip

STATUS_AFTER = {
    START: "running", RESUME: "running", STOP: "stopped", PAUSE: "paused", FAIL: "failed", RESET: "stopped",
}  # fmt: skip
"""What a machine is after a control event; others leave that as it was."""


def is_legal(event: Event, status: str) -> bool:
    """May a machine of this status be given this control event?"""
    return status in _LEGAL.get(event.type, {status})


def is_control(event: Event) -> bool:
    """True for the daemon's own events; timers and outcomes that name no event are the machine's."""
    return event.type.startswith(PREFIX) and event.outcome is None and not event.timer


def advance(chart: Statechart, snapshot: Snapshot | None, event: Event, now: float, measure: Measure = None) -> Step:
    """Consume one event of any kind.

    Args:
        snapshot: None before the first start.
        measure: see `smd.statechart.run.Run`.

    Raises:
        MachineError: the chart does not settle.
    """
    if snapshot is not None and not is_control(event):
        return macrostep(chart, snapshot, event, now, measure)
    if event.type == START:
        return _start(chart, snapshot, event, now, measure)
    if snapshot is None:
        raise MachineError(f"cannot handle '{event.type}': the machine has never been started")
    if event.type in {STOP, RESET}:
        return _control(snapshot._replace(version=snapshot.version + 1, held=()), _releases(snapshot))
    if event.type == RELOAD:
        adopted = adopt(chart, snapshot, now, event.payload.get("entered"))
        return resettle(chart, adopted, event, now, measure)._replace(disposition=CONTROL)
    if event.type == LET_GO:
        return _control(consumed(snapshot)._replace(held=_without(snapshot.held, event.payload["held"])))
    if event.type == RESUME and event.payload:
        return _control(
            _rearm(chart, snapshot, now, event.payload.get("down_since"))._replace(version=snapshot.version + 1)
        )
    return _control(snapshot._replace(version=snapshot.version + 1))


def breach(chart: Statechart, snapshot: Snapshot, now: float) -> str | None:
    """The first contract that does not hold after a step, in words; None when all do."""
    moment = Moment(snapshot, snapshot.context, snapshot.configuration.ids, now)
    for contract in chart.contracts:
        try:
            if contract.test(snapshot.context, None, moment):
                continue
            why = "does not hold"
        except ExpressionError as error:
            why = f"cannot be evaluated: {error.message}"
        return f"contract '{contract.text}' {why}"
    return None


def consumed(snapshot: Snapshot) -> Snapshot:
    """The event is consumed; everything else stays as it was."""
    return snapshot._replace(version=snapshot.version + 1)


def failed(snapshot: Snapshot) -> Snapshot:
    """The event is consumed; everything else stays as it was, but for jobs a parent handed over (see `losses`)."""
    held = tuple(h for h in snapshot.held if not h.handed)
    return snapshot._replace(version=snapshot.version + 1, held=held)


def losses(snapshot: Snapshot) -> tuple[Settle, ...]:
    """Jobs that a parent handed to this machine, which ends without having settled them."""
    why = "its machine ended without settling it"
    return tuple(Settle(h.job_id, h.epoch, "failed", why) for h in snapshot.held if h.handed)


def refused_jobs(start: Event) -> tuple[Settle, ...]:
    """Jobs that a parent handed over with a start that came too late."""
    why = "the machine it was handed to had been started otherwise"
    return tuple(Settle(hold[0], hold[1], "failed", why) for hold in start.payload.get("held", ()))


def _control(snapshot: Snapshot, effects: tuple[Effect, ...] = ()) -> Step:
    return Step(snapshot, (), effects, CONTROL)


def _without(held: tuple[Hold, ...], gone: list[list[Any]]) -> tuple[Hold, ...]:
    lost = {(job_id, epoch) for job_id, epoch in gone}
    return tuple([h for h in held if (h.job_id, h.epoch) not in lost])


def _start(chart: Statechart, snapshot: Snapshot | None, event: Event, now: float, measure: Measure) -> Step:
    payload: dict[str, Any] = event.payload
    version = snapshot.version if snapshot is not None else payload["version"]
    held = tuple(Hold(*hold) for hold in payload.get("held", ()))
    step = initial(
        chart, machine=payload["machine"], life=payload["life"], version=version, context=payload["context"], now=now,
        held=held, measure=measure,
    )  # fmt: skip
    lost = () if snapshot is None else _releases(snapshot)
    return step._replace(effects=(*lost, *step.effects), disposition=CONTROL)


def _releases(snapshot: Snapshot) -> tuple[Settle, ...]:
    """Jobs in hand when a machine stops: completed if the last action ended well, else available again."""
    own = [h for h in snapshot.held if not h.handed]
    well = not _busy(snapshot)
    return losses(snapshot) + tuple(
        Settle(h.job_id, h.epoch, "completed" if h.auto and h.ok and well else "available", None) for h in own
    )


def _busy(snapshot: Snapshot) -> bool:
    return any(record.phase in {"working", "sleeping"} for record in snapshot.sequences)


def _rearm(chart: Statechart, snapshot: Snapshot, now: float, down_since: float | None) -> Snapshot:
    """Timers whose `on_restart` is not `deadline`; what was left stays left, also if the clock was set back since."""
    timers = []
    for timer in snapshot.timers:
        policy = _policy(chart, timer)
        if policy == "restart":
            timer = timer._replace(due=now + timer.seconds)  # noqa: PLW2901
        elif policy == "remaining" and down_since is not None:
            timer = timer._replace(due=timer.due + (now - down_since))  # noqa: PLW2901
        timers.append(timer)
    return snapshot._replace(timers=tuple(timers))


def _policy(chart: Statechart, timer: Timer) -> str:
    if timer.kind != "after":
        return "deadline"
    specs = chart.states[timer.state].timers
    return next((s.on_restart for s in specs if s.event == timer.event), "deadline")


def needs_rearming(chart: Statechart, snapshot: Snapshot) -> bool:
    """Some live timer depends on how long the daemon was down."""
    return any(_policy(chart, timer) != "deadline" for timer in snapshot.timers)


# --- reload -------------------------------------------------------------------------------------------------------


def fits(chart: Statechart, snapshot: Snapshot) -> bool:
    """True if every active state still exists in `chart`, and may be active together."""
    if any(name not in chart.states for name in snapshot.configuration.ids):
        return False
    wanted = configuration_of(chart, (chart.states[name] for name in snapshot.configuration.ids))
    return wanted.leaf_ids == snapshot.configuration.leaf_ids and all(
        chart.states[s.id].ancestors and [a.id for a in chart.states[s.id].ancestors] == [a.id for a in s.ancestors]
        for s in snapshot.configuration.states
    )


def lacks_entry(chart: Statechart, snapshot: Snapshot) -> bool:
    """True if a changed state has timers in `chart`, and none in the snapshot to tell when it was entered."""
    timed = {t.state for t in snapshot.timers if t.kind == "after"}
    return any(chart.states[name].timers and name not in timed for name in _changed(chart, snapshot))


def _changed(chart: Statechart, snapshot: Snapshot) -> list[str]:
    return sorted(s.id for s in snapshot.configuration.states if chart.states[s.id].digest != s.digest)


def adopt(chart: Statechart, snapshot: Snapshot, now: float, entered: float | None = None) -> Snapshot:
    """The snapshot under a changed chart.

    A state whose definition is unchanged keeps its sequence and timers; a changed one begins its sequence anew and
    re-arms its timers from the time it was entered, so that one whose time has passed is due at once.

    Args:
        entered: when a state was entered that has no timer to tell it; None: now.

    Raises:
        ChartError: the active states do not fit.
    """
    if not fits(chart, snapshot):
        raise ChartError(f"cannot adopt the new chart: '{snapshot.configuration.label}' is not a configuration of it")
    changed = _changed(chart, snapshot)
    configuration = configuration_of(chart, (chart.states[s.id] for s in snapshot.configuration.states))
    entry = snapshot.entry
    sequences = [r for r in snapshot.sequences if r.state not in changed]
    timers = [t for t in snapshot.timers if t.state not in changed]
    for name in changed:
        state = chart.states[name]
        entry += 1
        led = leading_event(snapshot, name)
        armed = _armed(state, entry, snapshot, now if entered is None else entered)
        timers.extend(t if state.sequence or n else t._replace(data=led) for n, t in enumerate(armed))
        if state.sequence:
            sequences.append(Sequence(name, entry, NOT_STARTED, 1, READY, led))
    sequences.sort(key=lambda r: chart.states[r.state].order)
    history = {name: states for name, states in snapshot.history.items() if name in chart.states}
    return snapshot._replace(chart=chart.hash, configuration=configuration, entry=entry, sequences=tuple(sequences),
                             timers=tuple(timers), history=history)  # fmt: skip


def _armed(state: State, entry: int, snapshot: Snapshot, entered: float) -> Iterator[Timer]:
    """A changed state's timers. Those it had tell when it was entered, and what `on_restart` has put off since."""
    had = {t.event: t for t in snapshot.timers if t.kind == "after" and t.state == state.id}
    since = min((t.due - t.seconds for t in had.values()), default=entered)
    for number, spec in enumerate(state.timers):
        same = had.get(spec.event)
        due = same.due if same is not None else since + spec.seconds
        yield Timer(f"{entry}.{number}", "after", due, state.id, spec.event, spec.seconds)
