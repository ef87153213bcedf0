"""The predecessor's models, for actions written for it: synchronous, in its words and shapes.

They are called in an action's own thread and ask the daemon through a `Bridge`, which waits for the answer. Each call
is a transaction of its own. A job claimed this way is not in the machine's snapshot: unless the action ends it, it is
available again after the next start of the daemon.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

from smd.errors import ActionError, ConflictError
from smd.jobs import Job, NewJob
from smd.jobs.job import ENDED, JobStatus, status_from_word
from smd.statechart.event import Event
from smd.store.base import AddJob, ClaimJob, JobStates, PendingJobs, SettleJob

_WORDS = {JobStatus.AVAILABLE: "pending", JobStatus.RUNNING: "processing"}
_machine: ContextVar[str] = ContextVar("smd_machine", default="")


class Bridge(Protocol):
    """The way from an action's thread to the daemon. Every call blocks; none may be made on the daemon's loop.

    Raises (from each): SmdError, what the store or the supervisor raised.
    """

    def call(self, operation: Any, /) -> Any:
        """Ask one store operation in a unit of its own; its answer. Machines that wait for a job are woken."""
        ...

    def query(self, name: str, /, *arguments: Any, **options: Any) -> Any:
        """The result of the store's query (a coroutine of `StoreQueries`) of this name."""
        ...

    def send(self, machine: str, event: Event, /) -> Any:
        """Send an event; what became of it."""
        ...

    def now(self) -> float:
        """Seconds since the epoch."""
        ...


class _Connection:
    bridge: Bridge | None = None


def connect(bridge: Bridge | None) -> None:
    """Ask this daemon from now on."""
    _Connection.bridge = bridge


def _ask() -> Bridge:
    if _Connection.bridge is None:
        raise ActionError("cannot ask for jobs: no daemon is connected")
    return _Connection.bridge


class _Serving:
    def __init__(self, machine: str) -> None:
        self._machine = machine

    def __enter__(self) -> None:
        self._token = _machine.set(self._machine)

    def __exit__(self, *raised: object) -> None:
        _machine.reset(self._token)


def serving(machine: str) -> AbstractContextManager[None]:
    """Within this block (of this thread) models act for a machine."""
    return _Serving(machine)


def moment(seconds: float | None) -> str | None:
    """A time as the predecessor wrote it: UTC, `2024-05-01 12:30:00`."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def job_row(job: Job) -> dict[str, Any]:
    """A job as the predecessor's dictionary; `id` is the number of its row."""
    status = JobStatus(job.status)
    return {
        "id": job.number, "job_id": job.job_id, "job_type": job.job_type, "machine_type": job.machine_type,
        "source_job_id": job.source_job_id, "data": job.data, "result": job.result, "priority": job.priority,
        "status": _WORDS.get(status, status.value), "created_at": moment(job.created_at),
        "started_at": moment(job.started_at), "completed_at": moment(job.completed_at), "error_message": job.error,
        "metadata": job.metadata,
    }  # fmt: skip


class JobModel:
    """Jobs. Made by an action it acts for the action's machine.

    Args:
        machine: who claims; by default the machine whose action runs in this thread.
    """

    def __init__(self, machine: str = "") -> None:
        self._machine = machine

    def create_job(
        self, job_id: str, job_type: str, machine_type: str | None = None, source_job_id: str | None = None,
        priority: int = 5, data: Any = None, metadata: Any = None,
    ) -> int:  # fmt: skip
        """Add a job; the number of its row.

        Raises:
            ConflictError: the id is taken.
        """
        new = NewJob(job_type, str(job_id), machine_type, data or None, priority, source_job_id, metadata or None)
        bridge = _ask()
        job, added = bridge.call(AddJob(new, bridge.now()))
        if not added:
            raise ConflictError(f"cannot create job '{job_id}': the id is taken", code="job_exists")
        return int(job.number)

    def get_next_job(self, job_type: str | None = None, machine_type: str | None = None) -> dict[str, Any] | None:
        """Claim the next job; its row, or None.

        Raises:
            ActionError: there is no machine to hold it.
        """
        return self._claim(job_type=job_type, machine_type=machine_type)

    def claim_job(self, job_id: str) -> bool:
        """Claim one job; False when it is unknown or not pending.

        Raises:
            ActionError: there is no machine to hold it.
        """
        return self._claim(job_id=str(job_id)) is not None

    def _claim(self, **which: Any) -> dict[str, Any] | None:
        machine = self._machine or _machine.get()
        if not machine:
            raise ActionError(
                "cannot claim a job: no machine's action runs in this thread", hint='JobModel(context["machine_name"])'
            )
        bridge = _ask()
        job = bridge.call(ClaimJob(machine, bridge.now(), **which))
        return None if job is None else job_row(job)

    def get_pending_jobs(
        self, job_type: str | None = None, machine_type: str | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows of waiting jobs, the next to be claimed first."""
        return [job_row(job) for job in _ask().call(PendingJobs(job_type, machine_type, limit))]

    def complete_job(self, job_id: str, result: Any = None) -> bool:
        """End a running job well; False when there is no such running job."""
        return self._settle(job_id, JobStatus.COMPLETED, result=result)

    def fail_job(self, job_id: str, error_message: str = "") -> bool:
        """End a running job badly; False when there is no such running job."""
        return self._settle(job_id, JobStatus.FAILED, error=error_message or "failed by an action")

    def reset_job_to_pending(self, job_id: str, reason: str = "") -> bool:  # noqa: ARG002 - the predecessor's signature
        """Make a running job available again; False when there is no such running job."""
        return self._settle(job_id, JobStatus.AVAILABLE)

    def _settle(self, job_id: str, status: JobStatus, **more: Any) -> bool:
        bridge = _ask()
        known = bridge.call(JobStates((str(job_id),))).get(str(job_id))
        if known is None or known in ENDED:
            return False
        return bridge.call(SettleJob(str(job_id), status.value, bridge.now(), **more)) is not None

    def get_job(self, job_id: str) -> dict[str, Any] | None:
        """The row of a job, or None."""
        job = _ask().query("job", str(job_id))
        return None if job is None else job_row(job)

    def list_jobs(
        self, status: str | None = None, job_type: str | None = None, limit: int = 20
    ) -> list[dict[str, Any]]:
        """Rows of jobs, newest first. `status` in the predecessor's words or smd's."""
        word = None if status is None else status_from_word(status).value
        return [job_row(job) for job in _ask().query("jobs", status=word, job_type=job_type, limit=limit)]

    def get_latest_job_by_type(self, job_type: str) -> dict[str, Any] | None:
        """The row of the newest job of a type, or None."""
        return next(iter(self.list_jobs(job_type=job_type, limit=1)), None)

    def count_jobs(self, status: str | None = None, job_type: str | None = None) -> int:
        """How many jobs there are."""
        word = None if status is None else status_from_word(status).value
        counts: dict[str, dict[str, int]] = _ask().query("job_counts")
        chosen = [counts.get(job_type, {})] if job_type is not None else counts.values()
        return sum(number for each in chosen for name, number in each.items() if word in {None, name})


class MachineEventModel:
    """Events between machines."""

    def send_event(
        self, target_machine: str, event_type: str, job_id: str | None = None, payload: Any = None,
        source_machine: str | None = None,
    ) -> int:  # fmt: skip
        """Send an event; its number in the journal."""
        event = Event(
            event_type, {} if payload is None else payload, source=source_machine or _machine.get(), job_id=job_id
        )
        return int(getattr(_ask().send(target_machine, event), "seq", 0))

    def get_pending_events(self, target_machine: str) -> list[dict[str, Any]]:
        """Events that wait for a machine, the next to be taken first."""
        return [
            {"id": seq, "target_machine": target_machine, "source_machine": event.source, "event_type": event.type,
             "job_id": event.job_id, "payload": event.payload, "status": "pending", "created_at": moment(event.sent_at)}
            for seq, event in _ask().query("pending", target_machine)
        ]  # fmt: skip

    def list_events(
        self, target_machine: str | None = None, status: str | None = None, limit: int = 20
    ) -> list[dict[str, Any]]:
        """Events, newest first; `status` is `pending` or `processed`."""
        pending = None if status is None else status == "pending"
        rows = _ask().query("events", target_machine, pending=pending, limit=limit)
        return [
            {"id": row.seq, "target_machine": row.machine, "source_machine": row.source, "event_type": row.type,
             "job_id": row.job_id, "payload": row.payload, "created_at": moment(row.at),
             "status": "pending" if row.now is None else "processed", "processed_at": moment(row.now)}
            for row in rows
        ]  # fmt: skip

    def mark_event_processed(self, event_id: int) -> NoReturn:
        """Not possible: machines consume their events themselves.

        Raises:
            ActionError: always.
        """
        raise ActionError(
            f"cannot mark event {event_id} as processed: machines consume their events themselves",
            hint="use the action clear_events",
        )


def get_job_model() -> JobModel:
    """Jobs, for the machine whose action asks."""
    return JobModel()


def get_machine_event_model() -> MachineEventModel:
    """Events between machines."""
    return MachineEventModel()


def _absent(what: str, instead: str) -> NoReturn:
    raise ActionError(f"cannot give an action {what}: smd has none", hint=instead)


def get_database() -> NoReturn:
    """Not offered: nobody but the daemon opens the store. Raises ActionError."""
    _absent("the database", "use get_job_model()")


def get_realtime_event_model() -> NoReturn:
    """Not offered: notices leave the daemon by its stream. Raises ActionError."""
    _absent("the real-time event model", "use self.log(), or return an event")


def get_machine_state_model() -> NoReturn:
    """Not offered: states are the daemon's. Raises ActionError."""
    _absent("the machine state model", "use the action check_machine_state")


OFFERED = (
    "JobModel", "MachineEventModel", "get_database", "get_job_model", "get_machine_event_model",
    "get_machine_state_model", "get_realtime_event_model",
)  # fmt: skip
