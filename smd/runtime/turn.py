"""One turn of one machine: the unit that folds a batch of events over a snapshot, in one transaction.

Pure but for the operations it yields. It may run twice (a refused group is repeated), so `run` begins anew each time
and leaves its result in a fresh `Result`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from smd import codec
from smd.errors import ConflictError, MachineError, brief
from smd.runtime import control
from smd.runtime.answers import Answer, lifecycle_of, nearest_events
from smd.runtime.asking import ask
from smd.runtime.inbox import Item, is_newcomer, outcome_item
from smd.runtime.measured import measured
from smd.runtime.payloads import misfit, unwanted
from smd.runtime.putting_by import crowded, duplicate, must_wait, put_by
from smd.runtime.reports import error_of
from smd.runtime.result import Again, Result, tell_parent
from smd.runtime.sizes import excess, outgrown
from smd.statechart.effects import CONTROL, DEFERRED, FAILED, IGNORED, Send, Settle, Warn
from smd.statechart.event import Event
from smd.statechart.interpreter import macrostep
from smd.statechart.model import Statechart
from smd.statechart.sequence import pending
from smd.statechart.snapshot import ARMED, FINISHED, WAITING, Sequence
from smd.statechart.snapshot_json import to_plain
from smd.statechart.step import Step
from smd.store.base import Consumed, Record, Save, Saved, Seen, SettleJob

if TYPE_CHECKING:
    from smd.runtime.machine import Machine

ROUNDS = 64
"""Store actions answered in one turn; then other machines have theirs."""
FEWEST_ROUNDS = 16
"""What a machine may always do, however many share the group."""

Recipe = Generator[Any, Any, Any]


class Turn:
    """A unit of the store (`smd.store.base.Unit`).

    Args:
        batch: exactly these events instead of what waits.
        verdict: do not step, but record that the first of them failed the machine.
        wakes: look again for what is waited for.
        measured: see `smd.runtime.measured`.

    Attributes:
        late: rows of the store wait that are older than what came in, but for those that were `loaded`.
    """

    __slots__ = ("batch", "given", "late", "loaded", "machine", "mark", "measured", "now", "result", "rounds",
                 "verdict", "wakes")  # fmt: skip

    def __init__(
        self, machine: Machine, batch: list[Item] | None = None, verdict: MachineError | None = None, *,
        wakes: bool = False, measured: bool = False,
    ) -> None:  # fmt: skip
        self.machine = machine
        self.batch = batch or []
        self.given = batch is not None
        self.verdict = verdict
        self.wakes = wakes
        self.measured = measured
        self.now = 0.0
        self.mark = 0
        self.rounds = ROUNDS
        self.late = False
        self.loaded: frozenset[int] = frozenset()
        self.result: Result

    def begin(self, room: int) -> int:
        """Take what waits; called on the loop as the group starts."""
        machine = self.machine
        self.now = machine.supervisor.clock.now()
        self.mark = machine.supervisor.queue.changes
        self.late, self.loaded = machine.inbox.overflow, machine.loaded
        if self.given:
            return max(1, len(self.batch))
        self.batch = machine.inbox.take(max(1, room))
        self.wakes, machine.wake = machine.wake, False
        todo = sum([item.weight for item in self.batch]) + self.wakes or int(machine.asks())
        if not todo or machine.snapshot is None or not machine.snapshot.sequences:
            return todo
        self.rounds = min(ROUNDS, max(FEWEST_ROUNDS, room))
        return max(todo, self.rounds)

    def run(self) -> Recipe:
        """Fold the batch, ask the store, save."""
        self.result = Result(self.machine)
        if self.verdict is None:
            yield from self._fold()
        else:
            why = Event(control.FAIL, {"error": self.verdict.message}, source="supervisor")
            self._fail(self.batch[0] if self.batch else Item(why), self.verdict)
        if self.result.consumed:
            yield from self._save()
        return self.result

    def _fold(self) -> Recipe:
        result = self.result
        ids = [item.event.id for item in self.batch if item.client and item.seq is None]
        seen = dict((yield Seen(self.machine.name, ids))) if ids else {}
        rounds, was_up, life = self.rounds, result.status == "running", result.life
        for item in self.batch:
            if item.seq is not None and item.seq in result.cleared:
                continue
            if (not was_up or self.late or result.left) and is_newcomer(item) and must_wait(self, was_up=was_up):
                result.later.append(item)
                continue
            if result.life != life and item.event.timer:
                result.untimed = True
                continue
            if result.status == "running" and not item.client and not control.is_control(item.event):
                if not self._step(item):
                    yield from put_by(self, item)
            else:
                yield from self._consume(item, seen)
            if result.snapshot is not None and result.snapshot.sequences:
                rounds = yield from self._rounds(rounds)
        if self.wakes and result.status == "running":
            yield from self._ask_again()
        if result.snapshot is not None and result.snapshot.sequences:
            yield from self._rounds(rounds)

    # --- one event ----------------------------------------------------------------------------------------------

    def _consume(self, item: Item, seen: dict[str, Any]) -> Recipe:
        result, event = self.result, item.event
        fresh = item.client and item.seq is None
        if fresh and event.id in seen:
            result.told.append((item, duplicate(self.machine.name, event, seen[event.id])))
            return
        rows, told = len(result.consumed), len(result.told)
        if control.is_control(event):
            self._control(item)
        elif result.status == "running":
            if not self._step(item):
                yield from put_by(self, item)
        elif event.timer:
            result.untimed = True
        elif event.outcome is not None:
            if result.status == "paused":
                result.parked.append(item)
        elif result.status == "finished":
            self._refuse(item)
        else:
            yield from put_by(self, item)
        if fresh and len(result.consumed) > rows:
            seen[event.id] = result.consumed[-1].answer
        elif fresh and len(result.told) > told and isinstance(answer := result.told[-1][1], Answer):
            seen[event.id] = answer.plain()

    def _refuse(self, item: Item) -> None:
        error = ConflictError(
            f"cannot send '{item.event.type}' to '{self.machine.name}': it is finished", code="finished",
            hint=f"smctl start {self.machine.name} begins a new life",
        )  # fmt: skip
        if item.seq is None:
            self.result.told.append((item, error))
        else:
            self._consumed()
            self._record(item, FAILED, self.result.label, "", error="the machine is finished")
            self.result.rows.append((item, error, ()))

    def _consumed(self) -> None:
        """The event is consumed and changes nothing."""
        if self.result.snapshot is not None:
            self.result.snapshot = control.consumed(self.result.snapshot)

    def _control(self, item: Item) -> None:
        result, event = self.result, item.event
        if not control.is_legal(event, result.status):
            self._illegal(item)
            return
        if event.type == control.RESET and result.snapshot is None:  # it failed before it began: there is no step
            result.status, result.error, result.health = "stopped", None, "Healthy"
            self._record(item, CONTROL, "", "")
            result.rows.append((item, Answer(self.machine.name, event.type, 0, CONTROL), ()))
            return
        chart = result.chart
        if event.type in {control.RELOAD, control.START}:
            chart = self.machine.supervisor.charts.known(event.payload["chart"])
        if event.type == control.START:
            own = {"life": result.life + 1, "version": result.version, "machine": self.machine.name}
            event = event._replace(payload={**event.payload, **own})
            item = item._replace(event=event)
        if self.measured:
            item = measured(self, item, chart, control.advance)
        step = self._advance(item, chart, control.advance)
        if step is None:
            return
        result.chart = chart
        if event.type == control.START:
            result.life += 1
        result.status = control.STATUS_AFTER.get(event.type, result.status)
        if event.type in {control.START, control.RESUME, control.RESET}:
            result.error, result.health = None, "Healthy"
        elif event.type == control.FAIL:
            result.error, result.health = str(event.payload.get("error")), "Critical"
        self._take(item, step)
        if event.type in {control.STOP, control.FAIL}:
            result.sends.extend(tell_parent(self.machine, result))

    def _illegal(self, item: Item) -> None:
        """The verb came too late, or twice; the machine is told nothing of it."""
        verb, name = item.event.type.removeprefix(control.PREFIX), self.machine.name
        error = ConflictError(
            f"cannot {verb} '{name}': it is {self.result.status}", code=f"is_{self.result.status}",
            hint=f"smctl status {name}",
        )  # fmt: skip
        if item.seq is None:
            self.result.told.append((item, error))
        else:
            self._consumed()
            if item.event.type == control.START:
                self.result.settles.extend(control.refused_jobs(item.event))
            self._record(item, IGNORED, self.result.label, "", detail={"code": error.code})
            self.result.rows.append((item, error, ()))

    def _step(self, item: Item) -> bool:
        """Consume the event; False, with nothing changed, if it would have to wait for an action and may not."""
        if item.seq is not None and self._misfit(item):
            return True
        if self.measured:
            item = measured(self, item, self.result.chart, macrostep)
        step = self._advance(item, self.result.chart, macrostep)
        if step is not None:
            if step.disposition == DEFERRED and crowded(self, item):
                return False
            self._take(item, step)
        return True

    def _misfit(self, item: Item) -> bool:
        """An event of another machine whose payload is not what the chart declares is refused, as at the door."""
        machine, result, event = self.machine, self.result, item.event
        error = misfit(result.chart, event, machine.supervisor.validators)
        if error is None:
            return False
        self._consumed()
        states = result.snapshot.configuration.leaf_ids if result.snapshot else ()
        answer = Answer(machine.name, event.type, 0, IGNORED, states, states, error.message, error.code, error.hint)
        detail = {"code": error.code, "refused": True}
        self._record(item, IGNORED, result.label, "", error=error.message, detail=detail, answer=answer)
        result.rows.append((item, error, ()))
        if event.source in machine.supervisor.machines:
            result.sends.extend(unwanted(machine.name, result.life, result.version, event, error))
        return True

    def _advance(self, item: Item, chart: Statechart, advance: Callable[..., Step]) -> Step | None:
        """Run pure code; whatever it raises fails this machine alone (P8)."""
        try:
            step = advance(chart, self.result.snapshot, item.event, self.now, outgrown if item.measured else None)
        except MachineError as error:
            self._fail(item, error)
        except Exception as error:  # noqa: BLE001 - a bug must not take the daemon or other machines with it
            self.result.traces.append(traceback.format_exc())
            why = f"cannot handle '{item.event.type}': {type(error).__name__}: {error}"
            self._fail(item, MachineError(why, code="internal"))
        else:
            if chart.contracts and (breach := control.breach(chart, step.snapshot, self.now)):
                self._fail(item, MachineError(f"cannot accept '{item.event.type}': {breach}", code="contract_broken"))
                return None
            return step
        return None

    def _fail(self, item: Item, error: MachineError) -> None:
        """Record that this event failed the machine.

        Raises:
            Again: the unit has changed the store on the machine's behalf, which must not stay.
        """
        result = self.result
        error = MachineError(brief(error.message), code=error.code, hint=brief(error.hint))
        if result.asked:
            raise Again(error)
        result.status, result.health, result.error = "failed", "Critical", error.message
        if result.snapshot is not None:
            result.settles.extend(control.losses(result.snapshot))
            result.snapshot = control.failed(result.snapshot)
        states = result.snapshot.configuration.leaf_ids if result.snapshot else ()
        name = self.machine.name
        answer = Answer(name, item.event.type, 0, FAILED, states, states, error.message, error.code, error.hint)
        detail = {"code": error.code, "hint": error.hint}
        self._record(item, FAILED, result.label, "", error=error.message, detail=detail, answer=answer)
        result.rows.append((item, answer, states))
        result.sends.extend(tell_parent(self.machine, result))

    def _take(self, item: Item, step: Step) -> None:
        """Keep what a step did."""
        result = self.result
        before, after = result.snapshot, step.snapshot
        result.snapshot = after
        for effect in step.effects:
            if isinstance(effect, Send):
                result.sends.append(effect)
            elif isinstance(effect, Settle):
                result.settles.append(effect)
            elif isinstance(effect, Warn) and effect.code == "unhandled_failure":
                result.health = "Warning"
        if after.status == FINISHED and result.status == "running":
            result.status = "finished"
            result.sends.extend(tell_parent(self.machine, result))
        old = before.configuration if before is not None else None
        states = old.leaf_ids if old is not None else ()
        outcome = item.event.outcome
        self._record(
            item, step.disposition, old.label if old is not None else "",
            after.configuration.label if step.taken else "", error=error_of(step, outcome),
            answer=self.answer(item, step, states, 0) if item.client else None, code=step.code,
        )  # fmt: skip
        result.rows.append((item, step, states))

    def answer(self, item: Item, step: Step, old: tuple[str, ...], seq: int) -> Answer:
        """What the sender of a consumed event is told."""
        name, kind = self.machine.name, item.event.type
        states = step.snapshot.configuration.leaf_ids
        if not step.code:
            return Answer(name, kind, seq, step.disposition, states, old)
        hint = nearest_events(self.result.chart, kind) if step.code == "unknown_event" else ""
        return Answer(name, kind, seq, step.disposition, states, old, step.reason, step.code, hint)

    def _record(
        self, item: Item, disposition: str, before: str, after: str, *, error: str | None = None, detail: Any = None,
        answer: Answer | None = None, code: str = "",
    ) -> None:  # fmt: skip
        if code:
            detail = {**(detail or {}), "code": code}
        if item.measured:
            detail = {**(detail or {}), "measured": True}
        result = self.result
        if item.client and answer is None:
            states = result.snapshot.configuration.leaf_ids if result.snapshot else ()
            answer = Answer(self.machine.name, item.event.type, 0, disposition, states, states, error or "")
        plain = answer.plain() if item.client and answer is not None else None
        result.version += 1
        result.consumed.append(
            Consumed(item.event, item.seq, disposition, self.now, before, after, error, detail, item.client, plain)
        )

    # --- the store's answers ------------------------------------------------------------------------------------

    def _rounds(self, rounds: int) -> Recipe:
        result = self.result
        while rounds and result.status == "running" and result.snapshot is not None:
            record = pending(result.snapshot)
            if record is None:
                break
            rounds -= 1
            outcome = yield from ask(self, record)
            self._step(outcome_item(outcome))
        return rounds

    def _ask_again(self) -> Recipe:
        """What waits or is armed looks once more; an answer that is still empty leaves no trace."""
        result = self.result
        if result.snapshot is None:
            return
        for record in result.snapshot.sequences:
            if record.phase in {WAITING, ARMED} and self._still(record):
                outcome = yield from ask(self, record)
                if not outcome.empty:
                    self._step(outcome_item(outcome))

    def _still(self, record: Sequence) -> bool:
        snapshot = self.result.snapshot
        return self.result.status == "running" and snapshot is not None and record in snapshot.sequences

    def _save(self) -> Recipe:
        """Write the record.

        Raises:
            Again: the context or the whole snapshot is larger than a machine may have.
        """
        result, machine = self.result, self.machine
        data = None
        if result.snapshot is not None:
            data = codec.canonical(to_plain(result.snapshot))
            if self.verdict is None and (error := excess(result.snapshot, data, measured=self.measured)) is not None:
                raise Again(error, outgrown=error.code == "context_too_large" and not self.measured)
        for settle in result.settles:
            job = yield SettleJob(settle.job_id, settle.status, self.now, settle.epoch, error=settle.error)
            if job is not None:
                result.jobs.append((job.status, job))
        record = Record(
            machine.name, result.life, machine.version, result.version, result.status, result.label, data,
            result.consumed, result.sends, result.chart.hash, lifecycle_of(result.status), result.health, result.error,
            machine.restarts,
        )  # fmt: skip
        saved: Saved = yield Save(record)
        result.seqs = saved.seqs
        if saved.delivered:
            result.delivered.extend(saved.delivered)
