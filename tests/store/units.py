"""Units and records for tests: short words for what a machine's step would write."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from smd.statechart.effects import Send
from smd.statechart.event import Event
from smd.store.base import Consumed, CreateMachine, MachineRow, Operation, Record, Save, Store

Recipe = Generator[Any, Any, Any]


class Steps:
    """A unit that runs a recipe, made anew each time; notes what it was told and how often it ran."""

    def __init__(self, recipe: Callable[[], Recipe], events: int = 1) -> None:
        self.recipe = recipe
        self.events = events
        self.rooms: list[int] = []
        self.runs = 0

    def begin(self, room: int) -> int:
        self.rooms.append(room)
        return min(room, self.events)

    def run(self) -> Recipe:
        self.runs += 1
        return self.recipe()


def asking(*operations: Operation) -> Steps:
    """A unit that asks for each and returns the list of answers."""

    def recipe() -> Recipe:
        answers: list[Any] = []
        for operation in operations:
            answer = yield operation
            answers.append(answer)
        return answers

    return Steps(recipe)


async def ask(store: Store, operation: Operation) -> Any:
    """The answer of one operation in a unit of its own."""
    return (await store.submit(asking(operation)))[0]


def machine(name: str = "m", **columns: Any) -> MachineRow:
    return MachineRow(**{"life": 1, "chart": "c", "status": "running", "version": 0, **columns}, name=name)


async def add_machines(store: Store, *names: str, **columns: Any) -> None:
    for name in names:
        assert await ask(store, CreateMachine(machine(name, **columns))) is None


def took(kind: str = "go", *, id: str = "", seq: int | None = None, **more: Any) -> Consumed:  # noqa: A002
    """One consumed event, taken from `a` to `b` at 5.0 unless said otherwise."""
    event = more.pop("event", None) or Event(kind, {"n": 1}, id, "cli", sent_at=4.0)
    return Consumed(event, seq, **{"disposition": "taken", "now": 5.0, "from_state": "a", "to_state": "b", **more})


def record(consumed: Sequence[Consumed] = (), name: str = "m", at: int = 0, **columns: Any) -> Record:
    known: dict[str, Any] = {"life": 1, "status": "running", "label": "b", "snapshot": b"{}", **columns}
    return Record(name, from_version=at, version=at + len(consumed), consumed=consumed, **known)


def saving(consumed: Sequence[Consumed] = (), name: str = "m", at: int = 0, **columns: Any) -> Save:
    return Save(record(consumed, name, at, **columns))


def sending(*targets: str, payload: Any = None) -> Send:
    return Send(targets, "hello", payload, "m/1/1/0")
