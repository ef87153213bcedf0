"""Machines, charts, and what a record leaves of a step."""

from __future__ import annotations

from typing import Any

import pytest

from smd.errors import ConflictError, NotFoundError, RequestError, StoreError
from smd.jobs import NewJob
from smd.statechart.event import HIGH, LOW, Event, Hold, Outcome
from smd.store.base import (
    AddJob,
    ClaimJob,
    CreateMachine,
    Enqueue,
    FindMachine,
    PutChart,
    RemoveMachine,
    Seen,
    StaleVersion,
    Store,
    UpdateMachine,
)
from smd.store.rows import row_event
from tests.store.units import add_machines, ask, asking, machine, record, saving, sending, took

pytestmark = pytest.mark.asyncio


async def test_machine_round_trip(store: Store) -> None:
    """A created machine is found, with every column as it was given, in a unit and in a query."""
    row = machine("m\0é", label="a", parent="p", linked=True, initial_context=b'{"x":1}', snapshot=b"s", since=2.5,
                  error="e", owner="o", owner_epoch=3, origin="f.yaml", work_folder="/w", restarts=2)  # fmt: skip
    assert await ask(store, CreateMachine(row)) is None
    assert await ask(store, FindMachine(row.name)) == row == await store.machine(row.name)
    assert await store.machines() == [row]


async def test_create_existing(store: Store) -> None:
    """Creating a machine whose name is taken answers the row that has it and changes nothing."""
    await add_machines(store, "m", label="old")
    assert await ask(store, CreateMachine(machine("m", label="new"))) == machine("m", label="old")


async def test_unknown_machine(store: Store) -> None:
    """Every request that needs a machine names the one that is missing."""
    assert await ask(store, FindMachine("x")) is None
    assert await store.machine("x") is None
    for operation in (
        Enqueue("x", Event("go"), 1.0), UpdateMachine("x", {"origin": "o"}), RemoveMachine("x", 1.0)
    ):  # fmt: skip
        with pytest.raises(NotFoundError, match=r"cannot .* 'x': there is no such machine"):
            await ask(store, operation)


async def test_update_machine(store: Store) -> None:
    """Columns are set one by one; a column that steps count on, or none, is refused."""
    await add_machines(store, "m")
    await ask(store, UpdateMachine("m", {"origin": "o", "restarts": 4}))
    assert await store.machine("m") == machine("m", origin="o", restarts=4)
    for column in ("version", "name", "origin = '', version"):
        with pytest.raises(RequestError, match="cannot be set"):
            await ask(store, UpdateMachine("m", {column: 1}))


async def test_removed_name_goes_on(store: Store) -> None:
    """A machine added under a removed one's name goes on with its lives and its places in the journal."""
    await add_machines(store, "m")
    await store.submit(asking(saving([took(), took()], life=3)))
    await ask(store, RemoveMachine("m", 9.0))
    assert await store.machines() == []
    await add_machines(store, "m")
    assert await store.machine("m") == machine("m", life=3, version=2)
    await store.submit(asking(saving([took("again")], at=2, life=4)))
    assert [(row.consumed_no, row.life) for row in await store.journal("m")] == [(1, 3), (2, 3), (3, 4)]


async def test_remove_ends_what_waits(store: Store) -> None:
    """Removing a machine clears its pending rows, frees its jobs, and keeps the journal and known ids."""
    await add_machines(store, "m")
    await ask(store, Enqueue("m", Event("go", id="c1"), 1.0, client=True))
    await ask(store, AddJob(NewJob("t", "j"), 1.0))
    await ask(store, ClaimJob("m", 2.0))
    await ask(store, RemoveMachine("m", 9.0))
    assert await store.pending("m") == []
    assert await store.pending_counts() == {}
    assert [(row.disposition, row.now) for row in await store.events("m")] == [("cleared", 9.0)]
    job = await store.job("j")
    assert job is not None
    assert (job.status, job.holder, job.attempt, job.epoch) == ("available", None, 0, 1)
    assert list(await ask(store, Seen("m", ["c1"]))) == ["c1"]


async def test_chart(store: Store) -> None:
    """A chart is kept under its hash; the first stays."""
    await store.submit(asking(PutChart("h", b"one"), PutChart("h", b"one")))
    assert await store.chart("h") == b"one"
    assert await store.chart("x") is None


async def test_save_machine_columns(store: Store) -> None:
    """A record sets what it names and keeps what it leaves out; `since` moves when the states do."""
    await add_machines(store, "m", snapshot=b"s0", lifecycle="Active", health="Warning", chart="c0")
    await store.submit(asking(saving([took("go")], error="bad", snapshot=None)))
    expected = machine("m", version=1, label="b", error="bad", since=5.0, last_event="go", snapshot=b"s0",
                       lifecycle="Active", health="Warning", chart="c0")  # fmt: skip
    assert await store.machine("m") == expected
    ignored = took("odd", now=6.0, disposition="ignored")
    await store.submit(asking(saving([ignored], at=1, chart="c1", health="Critical", restarts=2, snapshot=b"s1")))
    assert await store.machine("m") == expected._replace(
        version=2, chart="c1", health="Critical", restarts=2, snapshot=b"s1", error=None
    )


async def test_save_journal(store: Store) -> None:
    """Each consumed event becomes a row with its place, and the numbers rise."""
    await add_machines(store, "m")
    event = Event("go", {"a": [1, None, "é\0"]}, "i1", "cli", HIGH, "j1", 4.5)
    first = took(event=event, detail={"why": 1}, error="oops")
    saved = (await store.submit(asking(saving([first, took("no", disposition="ignored", now=6.0)]))))[0]
    rows = await store.journal("m")
    assert [row.seq for row in rows] == list(saved.seqs) == sorted(saved.seqs)
    assert rows[0] == (saved.seqs[0], 1, "i1", "m", 1, "go", event.payload, "cli", HIGH, "j1", 4.5, 5.0, "taken",
                       "a", "b", "oops", {"why": 1})  # fmt: skip
    assert await store.journal("m", after=1) == rows[1:]
    assert await store.journal("m", limit=1) == rows[:1]


async def test_event_survives_whole(store: Store) -> None:
    """An event comes back as it was posted, with timer, layer and outcome: waiting, and from the journal."""
    await add_machines(store, "m")
    outcome = Outcome("m/1/1/0", 2, True, "ok", (("set", ("a", "b"), 1), ("unset", ("c",))), True,
                      Hold("j", 3, True, False, "r"), ("j0",), Event("t", 1), "e")  # fmt: skip
    event = Event("done", {"x": 1}, "i", "action", LOW, "j", 3.0, "health", "timer-1", outcome)
    seq, _ = await ask(store, Enqueue("m", event, 9.0))
    assert await store.pending("m") == [(seq, event)]
    await store.submit(asking(saving([took(event=event, seq=seq, detail={"why": 2})])))
    (row,) = await store.journal("m")
    assert row_event(row) == event
    assert row.detail["why"] == 2


@pytest.mark.parametrize("version", [1, 7])
async def test_stale_version(store: Store, version: int) -> None:
    """A record that begins elsewhere is refused and leaves nothing."""
    await add_machines(store, "m")
    with pytest.raises(StaleVersion):
        await store.submit(asking(PutChart("h", b"x"), saving([took()], at=version)))
    assert await store.journal("m") == []
    assert await store.chart("h") is None


async def test_missing_machine_is_stale(store: Store) -> None:
    """A record of a machine that is gone is refused."""
    with pytest.raises(StaleVersion):
        await ask(store, saving([took()]))


async def test_record_must_count(store: Store) -> None:
    """A record whose versions do not account for its events is refused."""
    await add_machines(store, "m")
    with pytest.raises(StoreError, match="2 events do not lead from version 0 to 1"):
        await store.submit(asking(saving()._replace(record=record([took(), took()])._replace(version=1))))


async def test_consume_waiting(store: Store) -> None:
    """A waiting row is consumed in place: same number, next place; a second time it is stale."""
    await add_machines(store, "m")
    seq, _ = await ask(store, Enqueue("m", Event("go", 1, sent_at=2.0), 3.0))
    saved = await ask(store, saving([took("new"), took(seq=seq, event=Event("go", 1, sent_at=2.0))]))
    assert saved.seqs[1] == seq
    assert [(row.type, row.consumed_no) for row in await store.journal("m")] == [("new", 1), ("go", 2)]
    assert await store.pending("m") == []
    with pytest.raises(StaleVersion):
        await ask(store, saving([took(seq=seq)], at=2))


async def test_answers_are_remembered(store: Store) -> None:
    """The answer to a client's event is remembered with its number; other events are not."""
    await add_machines(store, "m", "n")
    saved = await ask(store, saving([took(id="c1", client=True, answer={"d": "taken"}), took(id="c2"),
                                     took(client=True), took(id="c4", client=True)]))  # fmt: skip
    known = {"c1": {"d": "taken", "seq": saved.seqs[0]}, "c4": None}
    assert await ask(store, Seen("m", ["c0", "c1", "c2", "", "c4"])) == known
    assert await ask(store, Seen("n", ["c1"])) == {}
    assert await ask(store, Seen("m", [])) == {}


async def test_repeat_is_refused(store: Store) -> None:
    """An id that was answered cannot be consumed again, neither later nor within one record."""
    await add_machines(store, "m")
    await ask(store, saving([took(id="c1", client=True)]))
    for repeat in (["c1"], ["c2", "c2"]):
        with pytest.raises(ConflictError) as refused:
            await ask(store, saving([took(id=one, client=True) for one in repeat], at=1))
        assert refused.value.code == "duplicate"
    assert len(await store.journal("m")) == 1


async def test_queued_answer_is_completed(store: Store) -> None:
    """A repeat hears `queued` while the event waits, and the final answer once it was consumed."""
    await add_machines(store, "m")
    enqueue = Enqueue("m", Event("go", id="c1"), 1.0, client=True)
    seq, known = await ask(store, enqueue)
    assert known is None
    queued = {"machine": "m", "type": "go", "seq": seq, "disposition": "queued"}
    assert await ask(store, enqueue) == (0, queued)
    await ask(store, saving([took(seq=seq, id="c1", client=True, answer={"disposition": "taken"})]))
    assert await ask(store, enqueue) == (0, {"disposition": "taken", "seq": seq})
    assert await store.pending_counts() == {}


@pytest.mark.parametrize(
    "bad", [{"payload": {"x": "\ud800"}}, {"payload": 2**64}, {"type": "\udfff"}, {"id": "\ud800"},
            {"priority": 2**63}, {"payload": object()}]
)  # fmt: skip
async def test_unstorable_values(store: Store, bad: dict[str, Any]) -> None:
    """Half a surrogate pair and numbers beyond 64 bits are the sender's fault, and leave nothing."""
    await add_machines(store, "m")
    event = Event("go")._replace(**bad)
    for operation in (Enqueue("m", event, 1.0), saving([took(event=event)])):
        with pytest.raises(RequestError, match="cannot store"):
            await ask(store, operation)
    assert await store.events() == []


async def test_send_reaches_its_target(store: Store) -> None:
    """An event sent becomes a waiting row of its target, from the sender, at the step's time."""
    await add_machines(store, "m", "n")
    saved = await ask(store, saving([took()], sends=[sending("n", payload={"x": 1})]))
    event = Event("hello", {"x": 1}, "m/1/1/0", "m", sent_at=5.0)
    ((target, seq, delivered),) = saved.delivered
    assert (target, delivered) == ("n", event)
    assert await store.pending("n") == [(seq, event)]


async def test_send_to_all(store: Store) -> None:
    """`all` means every machine but the sender and those that are finished."""
    await add_machines(store, "b", "a", "m")
    await add_machines(store, "f", status="finished")
    saved = await ask(store, saving([took()], sends=[sending("all")]))
    assert [target for target, _, _ in saved.delivered] == ["a", "b"]


@pytest.mark.parametrize("why", ["there is no machine", "is finished", "already wait"])
async def test_send_undeliverable(store: Store, why: str) -> None:
    """A send to nobody is a dead row, and the sender gets `error.communication`."""
    await add_machines(store, "m")
    if why != "there is no machine":
        await add_machines(store, "n", status="finished" if "finished" in why else "running")
    if why == "already wait":
        for _ in range(3):
            await ask(store, Enqueue("n", Event("x"), 1.0))
    saved = await ask(store, saving([took()], sends=[sending("n")]))
    ((target, seq, told),) = saved.delivered
    assert (target, told.type, told.source) == ("m", "error.communication", "store")
    assert told.payload == {
        "target": "n", "type": "hello", "reason": told.payload["reason"], "send_id": "m/1/1/0"
    }  # fmt: skip
    assert why in told.payload["reason"]
    assert await store.pending("m") == [(seq, told)]
    (dead,) = await store.events("n", disposition="dead")
    assert (dead.consumed_no, dead.error, dead.id) == (None, told.payload["reason"], "m/1/1/0")


async def test_finished_sender_is_not_told(store: Store) -> None:
    """A machine that ended with its send to nobody is not left an event it would never consume."""
    await add_machines(store, "m")
    saved = await ask(store, saving([took()], status="finished", sends=[sending("x"), sending("m")]))
    assert list(saved.delivered) == []
    assert await store.pending("m") == []
    assert len(await store.events(disposition="dead")) == 2
