"""Working actions: started and ended so that what runs is what the snapshot says (P4).

Nothing is remembered but what is under way: which actions ought to run is read off the snapshot, after a commit and
after a restart alike. An action that ought not to run any more is cancelled with its whole process tree, and the
machine's next working action starts only when that tree is gone.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from smd.actions import WORKING as FAMILIES
from smd.actions.base import Call
from smd.actions.custom import GRACE, abandoned_threads, begin_custom, perform_custom
from smd.actions.threads import OwnThread, fewer_abandoned
from smd.errors import SmdError
from smd.runtime import control
from smd.runtime.asking import call_for, refused
from smd.runtime.control import OUTCOME
from smd.statechart.event import HIGH, Event, Outcome
from smd.statechart.sequence import action_of, key_of
from smd.statechart.snapshot import WORKING

if TYPE_CHECKING:
    from smd.runtime.machine import Machine
    from smd.runtime.supervisor import Supervisor

ABANDONED = 3
"""Blocking Python actions cannot be killed; a machine that has left so many behind fails (architecture 6)."""

_log = structlog.get_logger("smd.actions")


class Running(NamedTuple):
    """A working action under way: a task, or the thread of a Python action that nothing else is needed for."""

    task: asyncio.Task[Any] | OwnThread[Any]
    type: str
    since: float


class Working:
    """The working actions of all machines."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._before: asyncio.Task[object] | None = None

    def after(self, before: Coroutine[Any, Any, object]) -> None:
        """Start no action until this is done: processes of an earlier life are ended first."""
        self._before = asyncio.get_running_loop().create_task(before)

    def align(self, machine: Machine) -> None:
        """Start what ought to run and does not; cancel what runs and ought not to."""
        snapshot = machine.snapshot
        if snapshot is None or machine.status not in {"running", "paused"}:
            wanted = {}
        else:
            wanted = {(key_of(snapshot, r), r.attempt): r for r in snapshot.sequences if r.phase == WORKING}
        for mark in [m for m in machine.running if m not in wanted]:
            self._cancel(machine, mark)
        if machine.status != "running" or snapshot is None or self._supervisor.closing:
            return
        for mark, record in wanted.items():
            if mark in machine.running:
                continue
            action = action_of(machine.chart, record)
            try:
                call = call_for(machine, machine.chart, snapshot, record, action, self._supervisor.clock.now())
            except SmdError as error:
                self._answer(machine, refused(machine.chart, snapshot, record, action, error, machine.log))
                continue
            machine.running[mark] = Running(self._start(machine, call), action.type, call.now)

    def cancel_all(self, machine: Machine) -> None:
        """End everything of this machine; the snapshot still says it ought to run, so a resume repeats it.

        An action that has already answered is left alone: its outcome is on its way.
        """
        for mark in [m for m, running in machine.running.items() if not running.task.done()]:
            self._cancel(machine, mark)

    async def close(self) -> None:
        """Let what was to be done first come to its end."""
        if self._before is not None:
            await asyncio.wait({self._before})

    async def gone(self, machine: Machine) -> None:
        """Wait until every cancelled action's process tree is gone."""
        while machine.ending:
            await asyncio.wait(tuple(machine.ending))

    def _cancel(self, machine: Machine, mark: tuple[str, int]) -> None:
        running = machine.running.pop(mark)
        if running.task.done():
            return
        if isinstance(running.task, OwnThread):
            ending = running.task.end(GRACE)
        else:
            ending = running.task
            ending.cancel()
        machine.ending.add(ending)
        ending.add_done_callback(machine.ending.discard)

    def _start(self, machine: Machine, call: Call) -> asyncio.Task[Any] | OwnThread[Any]:
        """Begin an action. A task is made only for what has to wait: it costs several turns of the loop."""
        if (
            call.action.custom
            and not call.action.limited
            and not machine.ending
            and (self._before is None or self._before.done())
            and abandoned_threads(machine.name) < ABANDONED
        ):
            self._tell_started(machine, call)
            return begin_custom(call, partial(self._ended, machine, call))
        return asyncio.get_running_loop().create_task(
            self._run(machine, call), name=f"{machine.name}:{call.action.type}"
        )

    async def _run(self, machine: Machine, call: Call) -> None:
        """Run one action. Its mark stays until its outcome is consumed, so that it is not started twice."""
        if self._before is not None and not self._before.done():
            await asyncio.wait({self._before})
        await self.gone(machine)
        if call.action.custom and not await fewer_abandoned(machine.name, ABANDONED, GRACE):
            why = f"{ABANDONED} blocked threads of Python actions were abandoned; '{call.action.type}' is not run"
            machine.post(Event(control.FAIL, {"error": why}, source="supervisor", priority=HIGH))
            return
        self._tell_started(machine, call)
        try:
            outcome = await self._perform(call)
        except asyncio.CancelledError:
            self._supervisor.logs.end_output(machine.name, call.key)
            raise
        self._ended(machine, call, outcome)

    def _tell_started(self, machine: Machine, call: Call) -> None:
        if self._supervisor.bus.wants("action_started"):
            self._supervisor.notice("action_started", machine.name, {"type": call.action.type, "key": call.key})

    def _ended(self, machine: Machine, call: Call, outcome: Outcome) -> None:
        try:
            self._supervisor.logs.end_output(machine.name, call.key)
            if self._supervisor.bus.wants("action_ended"):
                told = {"type": call.action.type, "key": call.key, "ok": outcome.ok, "error": outcome.error}
                self._supervisor.notice("action_ended", machine.name, told)
        finally:  # a log that cannot be written keeps no machine waiting
            self._answer(machine, outcome)

    async def _perform(self, call: Call) -> Outcome:
        """Whatever an action raises is its failure, told with its name; it never reaches the loop."""
        try:
            family = perform_custom if call.action.custom else FAMILIES[call.action.type]
            return await family(call)
        except SmdError as error:
            return call.failed(f"{call.action.type}: {error.message}")
        except Exception as error:  # noqa: BLE001 - the room where an action's failure becomes an event
            _log.error("action crashed", machine=call.machine, action=call.action.type, trace=traceback.format_exc())
            return call.failed(f"{call.action.type}: {type(error).__name__}: {error}")

    def _answer(self, machine: Machine, outcome: Outcome) -> None:
        machine.post(Event(outcome.event or OUTCOME, {}, source="action", outcome=outcome))
