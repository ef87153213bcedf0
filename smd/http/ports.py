"""What the transport needs of the rest, as protocols; the supervisor fulfils them.

The classes that fulfil them describe their methods.
"""
# ruff: noqa: D102, ASYNC109

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from smd.errors import SmdError
from smd.jobs import Job, NewJob
from smd.runtime.answers import Answer, MachineView
from smd.statechart.event import Event

Settle = Callable[[Answer | SmdError], None]
"""Called once, on the event loop, when it is known what became of an event."""
Posting = tuple[str, Event, Settle]
"""The name of a machine, an event for it, and who hears what became of it."""


class Post(Protocol):
    """Hand one event to a machine; returns at once.

    Raises:
        NotFoundError: no such machine.
        BusyError: its inbox is full.
        ConflictError: it is finished.
    """

    def __call__(self, machine: str, event: Event, reply: Settle | None, /, *, client: bool) -> None: ...


class Notice(Protocol):
    """One notice of the bus; `at` is seconds since the epoch."""

    @property
    def kind(self) -> str: ...
    @property
    def machine(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


class Subscription(Protocol):
    """Notices in order, as they happen."""

    async def get(self) -> Notice: ...
    def close(self) -> None: ...


class Bus(Protocol):
    """Where notices come from."""

    def subscribe(self, kinds: Collection[str] | None = None, *, size: int = 1000) -> Subscription: ...


class Reads(Protocol):
    """The queries of the store that are shown as they are; newest first, `before` pages."""

    async def events(
        self, machine: str | None = None, *, types: Sequence[str] | None = None,
        disposition: str | None = None, since: float | None = None, before: int | None = None,
        limit: int = 100, changed: bool = False, errors: bool = False, pending: bool | None = None,
    ) -> Sequence[Any]: ...  # fmt: skip
    async def pending_counts(self, machine: str | None = None) -> Mapping[str, int]: ...
    async def job(self, job_id: str) -> Job | None: ...
    async def jobs(
        self, *, status: str | None = None, job_type: str | None = None, limit: int = 100,
        before: int | None = None,
    ) -> Sequence[Job]: ...  # fmt: skip
    async def job_counts(self) -> Mapping[str, Mapping[str, int]]: ...


class Supervisor(Protocol):
    """The verbs. Every method that names a machine raises NotFoundError when there is none of that name."""

    @property
    def store(self) -> Reads: ...
    @property
    def bus(self) -> Bus: ...
    @property
    def store_id(self) -> str: ...

    def post(self, machine: str, event: Event, reply: Settle | None, /, *, client: bool, size: int = 0) -> None: ...
    def post_many(self, postings: Sequence[Posting], /, *, client: bool, size: int = 0) -> int: ...
    async def settled(self, machine: str, timeout: float | None, /) -> MachineView: ...
    def views(self) -> Sequence[MachineView]: ...
    def view(self, name: str) -> MachineView: ...
    def snapshot(self, name: str) -> Mapping[str, Any]: ...
    async def add(
        self, *, path: str | None = None, text: str | None = None, name: str | None = None,
        context: dict[str, Any] | None = None, start: bool = True,
    ) -> MachineView: ...  # fmt: skip
    async def remove(self, name: str) -> None: ...
    async def start(self, name: str) -> MachineView: ...
    async def stop(self, name: str) -> MachineView: ...
    async def restart(self, name: str) -> MachineView: ...
    async def pause(self, name: str, *, now: bool = False) -> MachineView: ...
    async def resume(self, name: str) -> MachineView: ...
    async def reset_failed(self, name: str) -> MachineView: ...
    async def add_jobs(self, jobs: Sequence[NewJob]) -> Sequence[Job]: ...
    async def settle_job(
        self, job_id: str, status: str, *, result: Any = None, error: str | None = None
    ) -> Job: ...  # fmt: skip
    def takes_job(self, job_type: str, machine_type: str | None) -> bool: ...
    def log_tail(self, name: str, lines: int) -> Sequence[str]: ...
    def status(self) -> Mapping[str, Any]: ...
