"""The supervisor's verbs on events: putting them in the inboxes of machines."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from smd.errors import NotFoundError, RequestError, SmdError
from smd.runtime import control
from smd.runtime.answers import Answer
from smd.runtime.inbox import LIMIT, Item, Posting, tell, weight_of
from smd.runtime.machine import Machine
from smd.runtime.payloads import Validators, check_payload
from smd.statechart.event import NORMAL, Event
from smd.statechart.model import Statechart
from smd.store.base import Store


class EventVerbs(ABC):
    """Part of `Supervisor`."""

    machines: dict[str, Machine]
    validators: dict[str, Validators]
    loop: asyncio.AbstractEventLoop
    store: Store

    @abstractmethod
    def find(self, name: str) -> Machine:
        """A hosted machine.

        Raises:
            NotFoundError: no such machine.
        """

    def post(
        self,
        name: str,
        event: Event,
        reply: Callable[[Answer | SmdError], None] | None,
        *,
        client: bool = True,
        limit: int = LIMIT,
        size: int = 0,
    ) -> None:
        """Put an event in a machine's inbox; `reply` is called on the loop once the answer is durable (P1, P3).

        `size` is about what its payload takes, in bytes, where that is known.

        Raises:
            NotFoundError: no such machine. BusyError: its inbox is full. RequestError: a reserved type.
        """
        machine = self.machines.get(name) or self.find(name)
        if event.type in machine.chart.events or event.type.startswith(control.PREFIX):
            event = self._admitted(machine.chart, event)
        machine.post(event, reply, client=client, limit=limit, weight=weight_of(size))

    def post_many(self, postings: Sequence[Posting], *, client: bool = True, size: int = 0) -> int:
        """Put events in the inboxes of their machines, in their order, until one finds its machine's inbox full.

        Each is replied to on the loop once its answer is durable, or at once with the error that keeps it out: no such
        machine, a reserved type, a payload that does not fit. `size`: about what each payload takes, in bytes.

        Returns:
            How many were taken or refused; fewer than given if the next one's inbox is full.
        """
        with self.store.together():
            return self._post_each(postings, weight_of(size), client=client)

    def _post_each(self, postings: Sequence[Posting], weight: int, *, client: bool) -> int:
        machine: Machine | None = None
        run: list[Item] = []
        room = 0
        for done, (name, event, reply) in enumerate(postings):
            try:
                if machine is None or name != machine.name:
                    machine, run = None, _pass_on(machine, run)
                    machine = self.machines.get(name) or self.find(name)
                    room = machine.room()
                kind = event.type
                if kind in machine.chart.events or kind.startswith(control.PREFIX):
                    event = self._admitted(machine.chart, event)  # noqa: PLW2901
            except (NotFoundError, RequestError) as error:
                tell(Item(event, None, reply), error)
                continue
            if len(run) * weight >= room:
                _pass_on(machine, run)
                return done
            run.append(Item(event, None, reply, client and event.id != "", weight))
        _pass_on(machine, run)
        return len(postings)

    def _admitted(self, chart: Statechart, event: Event) -> Event:
        """The event as its declaration wants it.

        Raises:
            RequestError: a reserved type, or a payload that does not fit.
        """
        if event.type.startswith(control.PREFIX):
            raise RequestError(f"cannot send '{event.type}': types beginning with 'smd.' are the daemon's own")
        check_payload(chart, event.type, event.payload, self.validators)
        spec = chart.events.get(event.type)
        if spec is not None and event.priority == NORMAL != spec.priority:
            return event._replace(priority=spec.priority)
        return event

    async def send(self, name: str, event: Event, *, client: bool = True) -> Answer:
        """Post and wait for the answer.

        Raises:
            SmdError: whatever kept the event out.
        """
        return await self.answered(lambda reply: self.post(name, event, reply, client=client))

    async def answered(self, post: Callable[[Callable[[Answer | SmdError], None]], None]) -> Answer:
        """What the reply is called with that `post` is given.

        Raises:
            SmdError: it was an error.
        """
        future: asyncio.Future[Answer] = self.loop.create_future()

        def reply(answer: Answer | SmdError) -> None:
            if future.done():
                return
            if isinstance(answer, SmdError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        post(reply)
        return await future


def _pass_on(machine: Machine | None, run: list[Item]) -> list[Item]:
    """Hand a run to its machine; a new, empty one to go on with."""
    if machine is not None and run:
        machine.post_all(run)
    return []
