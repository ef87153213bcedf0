"""Wake-ups for machines that wait: for a job, or for the end of jobs they track. A wake-up is never a promise.

No polling (P7). `changes` counts everything that may end a wait; a machine remembers the count at which its turn
began, so that what happened between its empty look and its registration here is not missed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from smd.errors import SmdError
from smd.jobs import Job, JobStatus
from smd.runtime.asking import lookup_for
from smd.statechart.sequence import action_of
from smd.statechart.snapshot import ARMED, WAITING

if TYPE_CHECKING:
    from smd.runtime.machine import Machine

K = TypeVar("K")
AnyJob = tuple[str | None, str | None]
Places = tuple[list[AnyJob], list[str]]
"""Kinds of jobs, and ids of jobs whose end is waited for."""


class Queue:
    """Which machines wait for what."""

    def __init__(self) -> None:
        self.changes = 0
        self._takers: dict[AnyJob, dict[str, Machine]] = {}
        self._trackers: dict[str, dict[str, Machine]] = {}
        self._places: dict[str, Places] = {}
        self._watchers: dict[str, Machine] = {}

    def watch(self, machine: Machine) -> None:
        """Note what a machine waits for now; forget what it waited for before."""
        self.forget(machine)
        snapshot = machine.snapshot
        if not machine.watches() or snapshot is None:
            return
        jobs: list[AnyJob] = []
        tracked: list[str] = []
        for record in snapshot.sequences:
            if record.phase not in {WAITING, ARMED}:
                continue
            action = action_of(machine.chart, record)
            try:
                params: Any = action.params.render(lookup_for(machine.chart, snapshot, record, 0.0))
            except SmdError:
                params = {}
            if action.watch == "tracked":
                tracked.extend(_ids(snapshot.context.get(str(params.get("tracked_jobs_key", "spawned_jobs")))))
            elif action.watch == "jobs":
                jobs.append((params.get("job_type"), params.get("machine_type")))
            elif params.get("target_machine") not in {None, machine.name}:
                self._watchers[machine.name] = machine
        self._note(machine, jobs, tracked)
        if (jobs or tracked or machine.name in self._watchers) and machine.queue_mark != self.changes:
            machine.queue_mark = self.changes
            machine.nudge()

    def _note(self, machine: Machine, jobs: list[AnyJob], tracked: list[str]) -> None:
        if jobs or tracked:
            self._places[machine.name] = (jobs, tracked)
        for kind in jobs:
            self._takers.setdefault(kind, {})[machine.name] = machine
        for job_id in tracked:
            self._trackers.setdefault(job_id, {})[machine.name] = machine

    def places(self, machine: Machine) -> Places:
        """What a machine waits for: kinds of jobs, and the ends of jobs."""
        return self._places.get(machine.name, ([], []))

    def forget(self, machine: Machine) -> None:
        """The machine waits for nothing."""
        self._watchers.pop(machine.name, None)
        jobs, tracked = self._places.pop(machine.name, ([], []))
        for kind in jobs:
            _drop(self._takers, kind, machine.name)
        for job_id in tracked:
            _drop(self._trackers, job_id, machine.name)

    def changed(self, jobs: Iterable[tuple[str, Job]]) -> None:
        """Jobs became available or ended: wake one taker for each, and everyone who tracks it."""
        for status, job in jobs:
            self.changes += 1
            if status == JobStatus.AVAILABLE:
                self._wake_taker(job)
            if self._trackers:
                for machine in list(self._trackers.get(job.job_id, {}).values()):
                    machine.nudge()

    def events_waiting(self) -> None:
        """Events were put by for some machine: those who look at others' events look again."""
        self.changes += bool(self._watchers)
        for machine in list(self._watchers.values()):
            machine.nudge()

    def released(self) -> None:
        """An unknown number of jobs became available: everyone looks."""
        self.changes += 1
        for waiting in list(self._takers.values()):
            for machine in list(waiting.values()):
                machine.nudge()

    def _wake_taker(self, job: Job) -> None:
        """Wake one taker that is idle; one with a turn under way looks again by itself, as its mark is old."""
        machine_types = {None, job.machine_type} if job.machine_type is not None else None
        for (job_type, machine_type), waiting in self._takers.items():
            fits = job_type in {None, job.job_type} and (machine_types is None or machine_type in machine_types)
            free = next((m for m in waiting.values() if not (m.wake or m.submitted)), None) if fits else None
            if free is not None:
                free.woken = (*free.woken, job)
                free.nudge()
                return

    def pass_on(self, machine: Machine, taken: Collection[str], watched: Places) -> None:
        """A machine has had its turn after a wake-up: wake others for jobs it was woken for and did not look for.

        One that took nothing and waits for what it `watched` has looked in vain: the jobs are gone.
        """
        woken, machine.woken = machine.woken, ()
        moved = self.places(machine) != watched
        if not moved and not taken:
            return
        if moved and not woken:
            self.released()
        for job in woken:
            if job.job_id not in taken:
                self.changes += 1
                self._wake_taker(job)

    def takes(self, machines: Iterable[Machine], job_type: str, machine_type: str | None) -> bool:
        """Does any chart take jobs of this type?"""
        return any(_chart_takes(m.chart, job_type, machine_type) for m in machines)


def _drop(table: dict[K, dict[str, Machine]], key: K, name: str) -> None:
    waiting = table.get(key, {})
    waiting.pop(name, None)
    if not waiting:
        table.pop(key, None)


def _ids(value: Any) -> list[str]:
    items = value if isinstance(value, list) else []
    return [str(i.get("job_id", i.get("id"))) if isinstance(i, dict) else str(i) for i in items]


def _chart_takes(chart: Any, job_type: str, machine_type: str | None) -> bool:
    for state in chart.states.values():
        for action in (*state.sequence, *(a for head in state.heads.values() for a in head)):
            if action.watch != "jobs" or action.type == "get_pending_jobs":
                continue
            params: Any = action.params.value
            wanted, kind = params.get("job_type"), params.get("machine_type")
            templated = any(isinstance(v, str) and "{" in v for v in (wanted, kind))
            if templated or (wanted in {None, job_type} and (machine_type is None or kind in {None, machine_type})):
                return True
    return False
