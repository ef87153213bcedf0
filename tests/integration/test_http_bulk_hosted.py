"""Many events in one body, to machines that are really hosted, on a real store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from smd import codec
from smd.errors import NotFoundError, RequestError, SmdError
from smd.http.access import Access, Peer
from smd.http.app import Application
from smd.runtime.answers import Answer
from smd.runtime.inbox import LIMIT
from smd.runtime.units import ask_one
from smd.statechart.event import Event
from smd.store.base import RemoveMachine
from tests.hosting import hosting
from tests.unit.http_double import Caller, SmallSupervisor

LOG = """
machine: log
context: {seen: []}
states:
  on:
    on:
      note: {actions: [{type: assign, set: {seen: 'context.seen + [event.payload.n]'}}]}
"""
PICKY = """
machine: picky
events:
  number: {payload: {type: object, properties: {n: {type: integer}}, required: [n]}}
  urgent: {priority: high}
context: {seen: []}
states:
  on:
    on:
      number: {actions: [{type: assign, set: {seen: 'context.seen + [event.payload.n]'}}]}
      urgent: {actions: [{type: assign, set: {seen: 'context.seen + ["urgent"]'}}]}
"""


CHAIN = ", ".join(f"d{n}: {{$ref: '#/$defs/d{n + 1}'}}" for n in range(999))
"""References through which no stack is deep enough to follow."""
BROKEN = f"""
machine: broken
events:
  number: {{payload: {{$ref: '#/$defs/d0', $defs: {{{CHAIN}, d999: {{}}}}}}}}
  text: {{payload: {{allOf: [{{$ref: '#/$defs/d0'}}], $defs: {{{CHAIN}, d999: {{}}}}}}}}
context: {{seen: []}}
states:
  on:
    on:
      note: {{actions: [{{type: assign, set: {{seen: 'context.seen + [event.payload.n]'}}}}]}}
"""


def caller(supervisor: Any) -> Caller:
    return Caller(supervisor, Application(supervisor, access=Access()), Peer(1, 0, 0))


def note(machine: str, n: int, kind: str = "note", **more: Any) -> dict[str, Any]:
    return {"machine": machine, "type": kind, "payload": {"n": n}, **more}


def codes(reply: Any) -> list[str]:
    return [answer["error"]["code"] if "error" in answer else answer["disposition"] for answer in reply.json["answers"]]


@pytest.mark.asyncio
@pytest.mark.parametrize("run", [1, 2, 90])
async def test_events_of_many_machines_reach_each_in_their_order(tmp_path: Path, run: int) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        names = [await host.add(LOG, f"log{k}") for k in range(3)]
        events = [note(names[n // run % 3], n) for n in range(540)]
        reply = await caller(host.supervisor)("POST", "/v1/events", events)
        assert (reply.status, set(codes(reply))) == (200, {"taken"})
        assert [answer["machine"] for answer in reply.json["answers"]] == [event["machine"] for event in events]
        for name in names:
            assert host.context(name)["seen"] == [e["payload"]["n"] for e in events if e["machine"] == name]
            seqs = [answer["seq"] for answer in reply.json["answers"] if answer["machine"] == name]
            assert seqs == sorted(set(seqs))


@pytest.mark.asyncio
async def test_an_idle_store_writes_a_burst_for_several_machines_in_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        names = [await host.add(LOG, f"log{k}") for k in range(4)]
        await host.quiet()
        groups: Any = host.store
        commit = groups._groups._commit
        sizes: list[int] = []

        def counted(units: Any, ended: Any) -> None:
            sizes.append(len(units))
            commit(units, ended)

        monkeypatch.setattr(groups._groups, "_commit", counted)
        told: list[Any] = []
        host.supervisor.post_many([(name, Event("note", {"n": 1}), told.append) for name in names])
        await host.quiet()
        assert (sizes, len(told)) == ([4], 4)


@pytest.mark.asyncio
async def test_more_events_than_an_inbox_holds_are_all_taken(tmp_path: Path) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        name = await host.add(LOG)
        reply = await caller(host.supervisor)("POST", "/v1/events", [note(name, n) for n in range(2 * LIMIT + 100)])
        assert (reply.status, set(codes(reply))) == (200, {"taken"})
        assert host.context(name)["seen"] == list(range(2 * LIMIT + 100))


@pytest.mark.asyncio
async def test_a_run_is_taken_as_far_as_there_is_room(tmp_path: Path) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        names = [await host.add(LOG, f"log{k}") for k in range(2)]
        told: list[Any] = []
        assert host.supervisor.post_many([(names[0], Event("note", {"n": 0}), told.append)]) == 1  # its commit begins
        full = [(names[0], Event("note", {"n": n}), told.append) for n in range(LIMIT - 5)]
        assert host.supervisor.post_many(full) == LIMIT - 5
        more = [(names[0], Event("note", {"n": n}), told.append) for n in range(10)]
        missing = ("nobody", Event("note", {"n": 0}), told.append)
        assert host.supervisor.post_many([*more[:2], missing, *more[2:]]) == 6
        assert [type(answer) for answer in told] == [NotFoundError]
        assert host.supervisor.post_many([(names[1], Event("note", {"n": 1}), told.append), *more]) == 1
        await host.quiet()
        assert len(told) == LIMIT + 3


@pytest.mark.asyncio
async def test_one_event_whose_payload_does_not_fit_is_refused_alone(tmp_path: Path) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        name = await host.add(PICKY)
        events = [note(name, n, "number") for n in range(5)]
        events[2]["payload"] = {"n": "two"}
        events[3:3] = [{"machine": name, "type": "smd.stop"}, {"machine": "nobody", "type": "number"}]
        reply = await caller(host.supervisor)("POST", "/v1/events", events)
        refused = ["invalid_payload", "invalid_request", "unknown_machine"]
        assert (reply.status, codes(reply)) == (207, ["taken", "taken", *refused, "taken", "taken"])
        assert host.context(name)["seen"] == [0, 1, 3, 4]


@pytest.mark.asyncio
async def test_a_declaration_that_cannot_be_applied_keeps_out_its_own_event_alone(tmp_path: Path) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        name = await host.add(BROKEN)
        text = {"machine": name, "type": "text", "payload": "x"}
        events = [note(name, 1), note(name, 2, "number"), note(name, 3), text, note(name, 4)]
        reply = await caller(host.supervisor)("POST", "/v1/events", events)
        told = ["taken", "invalid_chart", "taken", "invalid_chart", "taken"]
        assert (reply.status, codes(reply)) == (207, told)
        assert host.context(name)["seen"] == [1, 3, 4]


@pytest.mark.asyncio
async def test_all_who_wait_for_a_machine_hear_when_it_is_gone(tmp_path: Path) -> None:
    """Its row goes while a turn is under way, as when it is removed and started at once."""
    async with hosting(tmp_path / "smd.db") as host:
        name = await host.add(LOG)
        told: list[Any] = []
        posted = 0
        settled = asyncio.create_task(host.supervisor.settled(name, None))
        removal = host.store.submit(ask_one(RemoveMachine(name, 0.0)))
        while name in host.supervisor.machines and posted < LIMIT:
            host.supervisor.post(name, Event("note", {"n": posted}), told.append)
            posted += 1
            await asyncio.sleep(0)
        await removal
        await asyncio.wait([settled], timeout=20)
        assert name not in host.supervisor.machines
        assert len(told) == posted
        assert all(isinstance(outcome, SmdError | Answer) for outcome in told)
        assert isinstance(told[-1], NotFoundError)
        assert isinstance(settled.exception(), NotFoundError)


@pytest.mark.asyncio
async def test_a_declared_priority_overtakes_within_a_run(tmp_path: Path) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        name = await host.add(PICKY)
        events = [note(name, 1, "number"), note(name, 2, "number"), {"machine": name, "type": "urgent"}]
        assert (await caller(host.supervisor)("POST", "/v1/events", events)).status == 200
        assert host.context(name)["seen"] == ["urgent", 1, 2]


@pytest.mark.asyncio
async def test_a_reserved_type_is_refused_from_whoever_posts_and_a_broken_sender_harms_nobody(tmp_path: Path) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        name = await host.add(LOG)
        told: list[Any] = []

        def broken(outcome: Any) -> None:
            raise OSError(outcome)

        stop, fine = Event("smd.stop"), Event("note", {"n": 1})
        run = [(name, stop, broken), (name, stop, told.append), (name, fine, broken), (name, fine, told.append)]
        assert host.supervisor.post_many(run) == 4
        await host.quiet()
        assert isinstance(told[0], RequestError)
        assert [answer.disposition for answer in told[1:]] == ["taken"]
        assert host.supervisor.view(name).status == "running"


@pytest.mark.asyncio
async def test_an_event_sent_twice_in_one_body_is_a_duplicate(tmp_path: Path) -> None:
    async with hosting(tmp_path / "smd.db") as host:
        name = await host.add(LOG)
        events = [note(name, 1, id="a"), note(name, 2, id="a"), note(name, 3, id="b")]
        assert codes(await caller(host.supervisor)("POST", "/v1/events", events)) == ["taken", "duplicate", "taken"]
        assert codes(await caller(host.supervisor)("POST", "/v1/events", events)) == ["duplicate"] * 3
        await host.supervisor.stop(name)
        assert codes(await caller(host.supervisor)("POST", "/v1/events", [note(name, 4)])) == ["queued"]
        await host.supervisor.start(name)
        await host.quiet()
        assert host.context(name)["seen"] == [1, 3, 4]


def spelled(answer: Answer) -> bytes:
    """The JSON form of an answer, written out."""
    told = {
        "machine": answer.machine, "type": answer.type, "seq": answer.seq, "disposition": answer.disposition,
        "states": list(answer.states), "before": list(answer.before),
    }  # fmt: skip
    more = {"reason": answer.reason, "code": answer.code, "hint": answer.hint}
    return codec.dumps(told | {name: text for name, text in more.items() if text})


ODD = ("m", 'q"uo\\te', "ü%d", "雪", "{}", "a b")


@pytest.mark.asyncio
@pytest.mark.parametrize("disposition", ["taken", "ignored", "deferred", "queued", "duplicate", "failed"])
async def test_the_reply_is_the_answers_as_json_byte_for_byte(disposition: str) -> None:
    answers = [
        Answer(name, kind, n, disposition, (kind, name), (name,) * n, *explained)
        for n, (name, kind) in enumerate(zip(ODD, reversed(ODD), strict=True))
        for explained in ((), ("why", "code"), ("", "", "hint"), ('no "', "x", "é"))
    ]
    waiting = iter(answers)
    supervisor = SmallSupervisor()
    supervisor.outcome = lambda _event: next(waiting)
    reply = await caller(supervisor)("POST", "/v1/events", [{"machine": "worker", "type": "go"}] * len(answers))
    assert reply.raw == b'{"answers":[' + b",".join(map(spelled, answers)) + b"]}"
