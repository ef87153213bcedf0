"""A small supervisor with the methods the transport calls, and a caller that speaks ASGI to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from smd import codec
from smd.errors import BusyError, ConflictError, NotFoundError, SmdError
from smd.http.access import Peer
from smd.http.app import Application
from smd.http.ports import Posting, Settle
from smd.jobs import Job, NewJob
from smd.runtime.answers import Answer, MachineView
from smd.runtime.bus import Bus
from smd.statechart.event import Event
from smd.store.base import JournalRow

VIEW = MachineView(
    "worker", "idle", "running", ("idle",), 5.0, 1, 7, "start", "Active", "Ready", "Healthy",
    None, 0, None, "", 0, False, None, None, ("go",),
)  # fmt: skip
JOB = Job(
    3, "j1", "image", None, None, {"a": 1}, None, 5, "available", 1.0, None, None, None, None, None, 0, 0
)  # fmt: skip
ROW = JournalRow(
    9, 4, "e1", "worker", 1, "go", {"x": 1}, "cli", 1, None, 10.0, 10.5, "taken", "idle", "busy", None, None
)  # fmt: skip


class Reads:
    """Canned rows; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    async def events(self, machine: str | None = None, **asked: Any) -> Sequence[JournalRow]:
        self.asked = {"machine": machine, **asked}
        return [ROW]

    async def pending_counts(self, machine: str | None = None) -> Mapping[str, int]:
        return {"worker": 2}

    async def job(self, job_id: str) -> Job | None:
        return JOB if job_id == "j1" else None

    async def jobs(self, **asked: Any) -> Sequence[Job]:
        self.asked = asked
        return [JOB]

    async def job_counts(self) -> Mapping[str, Mapping[str, int]]:
        return {"image": {"available": 2}, "text": {"available": 1, "failed": 1}}


class SmallSupervisor:
    """One machine, `worker`. `posted` is what reached it; `outcome` says what it answers."""

    store_id = "store"

    def __init__(self) -> None:
        self.store = Reads()
        self.bus = Bus()
        self.posted: list[Event] = []
        self.called: list[tuple[Any, ...]] = []
        self.refusal: Exception | None = None
        self.writable = True
        self.outcome: Callable[[Event], Answer | SmdError | None] = self.take

    def take(self, event: Event) -> Answer:
        return Answer("worker", event.type, len(self.posted), "taken", ("busy",), ("idle",))

    def find(self, name: str) -> None:
        if name != "worker":
            raise NotFoundError(f"cannot find '{name}'", code="unknown_machine", hint="is it 'worker'?")

    def post(self, machine: str, event: Event, reply: Settle | None, *, client: bool, size: int = 0) -> None:
        self.find(machine)
        if self.refusal is not None:
            raise self.refusal
        self.posted.append(event)
        outcome = self.outcome(event)
        if reply is not None and outcome is not None:
            asyncio.get_running_loop().call_soon(reply, outcome)

    def post_many(self, postings: Sequence[Posting], *, client: bool, size: int = 0) -> int:
        for count, (machine, event, reply) in enumerate(postings):
            try:
                self.post(machine, event, reply, client=client, size=size)
            except BusyError:
                return count
            except SmdError as error:
                reply(error)
        return len(postings)

    async def settled(self, machine: str, seconds: float | None) -> MachineView:
        return self._called("settled", machine)

    def _called(self, *call: Any) -> MachineView:
        self.find(call[1])
        if self.refusal is not None:
            raise self.refusal
        self.called.append(call)
        return VIEW

    def views(self) -> Sequence[MachineView]:
        return [VIEW]

    def view(self, name: str) -> MachineView:
        self.find(name)
        return VIEW

    def snapshot(self, name: str) -> Mapping[str, Any]:
        self.find(name)
        return {"context": {"n": 1}}

    async def add(self, **asked: Any) -> MachineView:
        return self._called("add", "worker", asked)

    async def remove(self, name: str) -> None:
        self._called("remove", name)

    async def start(self, name: str) -> MachineView:
        return self._called("start", name)

    async def stop(self, name: str) -> MachineView:
        return self._called("stop", name)

    async def restart(self, name: str) -> MachineView:
        return self._called("restart", name)

    async def pause(self, name: str, *, now: bool = False) -> MachineView:
        return self._called("pause", name, now)

    async def resume(self, name: str) -> MachineView:
        return self._called("resume", name)

    async def reset_failed(self, name: str) -> MachineView:
        return self._called("reset_failed", name)

    async def add_jobs(self, jobs: Sequence[NewJob]) -> Sequence[Job]:
        if any(job.job_id == "taken" for job in jobs):
            raise ConflictError("cannot add job 'taken': it exists", code="job_exists")
        self.called.append(("add_jobs", list(jobs)))
        return [JOB._replace(job_type=job.job_type) for job in jobs]

    async def settle_job(
        self, job_id: str, status: str, *, result: Any = None, error: str | None = None
    ) -> Job:  # fmt: skip
        if job_id != "j1":
            raise NotFoundError("cannot settle job", code="unknown_job")
        self.called.append(("settle_job", job_id, status, result, error))
        return JOB._replace(status=status)

    def takes_job(self, job_type: str, machine_type: str | None) -> bool:
        return job_type == "image"

    def log_tail(self, name: str, lines: int) -> Sequence[str]:
        return ["one", "two"][-lines:] if lines else []

    def status(self) -> Mapping[str, Any]:
        store = {} if self.writable else {"writable": False, "reason": "disk full"}
        return {"machines": {"running": 1}, "store": store}


class Response(NamedTuple):
    """A whole answer."""

    status: int
    headers: dict[bytes, bytes]
    raw: bytes

    @property
    def json(self) -> Any:
        return codec.loads(self.raw)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


class Caller:
    """Calls the application as a peer. `sent` counts the body parts it took."""

    def __init__(self, supervisor: SmallSupervisor, app: Application, peer: Peer | None) -> None:
        self.supervisor = supervisor
        self.app = app
        self.peer = peer
        self.sent = 0
        self.leave = asyncio.Event()

    async def __call__(
        self, method: str, target: str, body: Any = None, *, parts: Sequence[bytes] = (), headers: Any = ()
    ) -> Response:
        if body is not None:
            parts = [body if isinstance(body, bytes) else codec.dumps(body)]
        path, _, query = target.partition("?")
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "root_path": "",
            "query_string": query.encode(), "headers": list(headers), "extensions": {"smd.peer": self.peer},
        }  # fmt: skip
        messages: list[Any] = []

        async def receive() -> Any:
            if self.sent < max(1, len(parts)):
                self.sent += 1
                more = self.sent < len(parts)
                return {"type": "http.request", "body": parts[self.sent - 1] if parts else b"", "more_body": more}
            await self.leave.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            messages.append(message)

        self.sent = 0
        await self.app(scope, receive, send)
        if not messages:
            return Response(0, {}, b"")
        raw = b"".join(message["body"] for message in messages[1:])
        return Response(messages[0]["status"], dict(messages[0]["headers"]), raw)
