"""Units in groups: one commit for many, and everyone hears only of what is theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from smd.errors import NotFoundError, StoreError
from smd.jobs import NewJob
from smd.statechart.event import Event
from smd.store.base import AddJob, Enqueue, FindMachine, PutChart, StaleVersion, Store
from smd.store.group import Done, GroupCommit, submitted
from tests.store.units import Steps, add_machines, ask, asking, saving, took

pytestmark = pytest.mark.asyncio


def failing(error: BaseException) -> Steps:
    """A unit that writes, then raises."""

    def recipe() -> Any:
        yield PutChart("bad", b"x")
        yield AddJob(NewJob("t", "bad"), 1.0)
        raise error

    return Steps(recipe)


@pytest.mark.parametrize("error", [NotFoundError("cannot x: y"), RuntimeError("bug"), KeyboardInterrupt()])
async def test_only_the_culprit_hears(store: Store, error: BaseException) -> None:
    """A unit that raises midway leaves nothing; its group mates are kept, whole, and numbered without gaps."""
    await add_machines(store, "m", "n")
    with store.together():
        first = store.submit(asking(saving([took()])))
        bad = store.submit(failing(error))
        last = store.submit(asking(saving([took()], name="n"), PutChart("good", b"x")))
    await asyncio.wait([first, bad, last])
    assert bad.exception() is error
    assert await store.chart("bad") is None
    assert await store.chart("good") == b"x"
    assert await store.job("bad") is None
    seqs = [row.seq for row in await store.events()]
    assert seqs == [last.result()[0].seqs[0], first.result()[0].seqs[0]] == [2, 1]


async def test_refused_unit_gives_back_its_counts(store: Store) -> None:
    """Rows that were rolled back do not count against an inbox."""
    await add_machines(store, "m")

    def recipe() -> Any:
        yield Enqueue("m", Event("a"), 1.0, limit=1)
        raise NotFoundError("cannot x: y")

    for _ in range(3):
        with pytest.raises(NotFoundError):
            await store.submit(Steps(recipe))
    assert (await ask(store, Enqueue("m", Event("a"), 1.0, limit=1)))[0] == 1


async def test_units_run_in_turn(store: Store) -> None:
    """Units run in the order they were submitted, each seeing all before it, in groups of any size."""
    await add_machines(store, "m")
    units = [asking(saving([took(f"e{n}")], at=n)) for n in range(500)]
    futures = [store.submit(unit) for unit in units]
    seqs = [answers[0].seqs[0] for answers in await asyncio.gather(*futures)]
    assert seqs == sorted(seqs)
    assert [row.type for row in await store.journal("m")] == [f"e{n}" for n in range(500)]


async def test_unit_that_takes_nothing(store: Store) -> None:
    """A unit that begins with nothing is dropped and hears None; one whose begin fails hears that."""
    idle = Steps(failing(RuntimeError("never")).recipe, events=0)

    class Broken(Steps):
        def begin(self, room: int) -> int:
            raise ValueError(room)

    broken = store.submit(Broken(idle.recipe))
    assert not broken.done()
    assert await store.submit(idle) is None
    assert idle.runs == 0
    with pytest.raises(ValueError, match="200"):
        await broken


async def test_a_group_with_one_stale_record_keeps_the_others(store: Store) -> None:
    """Rows of a group are written together; the one that is not where its record begins is refused alone."""
    names = [f"m{n}" for n in range(7)]
    await add_machines(store, *names)
    await ask(store, saving([took()], name="m3"))
    with store.together():
        futures = [store.submit(asking(saving([took()], name=name))) for name in names]
    ends = await asyncio.gather(*futures, return_exceptions=True)
    assert [isinstance(end, StaleVersion) for end in ends] == [name == "m3" for name in names]
    assert {row.name: row.version for row in await store.machines()} == dict.fromkeys(names, 1)


async def test_cancelled_caller(store: Store) -> None:
    """A caller that stops waiting does not undo its unit."""

    async def caller() -> None:
        await store.submit(asking(PutChart("h", b"x")))

    task = asyncio.create_task(caller())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ask(store, PutChart("later", b"x"))
    assert await store.chart("h") == b"x"


async def test_close_finishes_what_was_submitted(store: Store) -> None:
    """Closing waits for all that was submitted, takes no more, and may be repeated."""
    futures = [store.submit(asking(AddJob(NewJob("t"), 1.0))) for _ in range(300)]
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    late = store.submit(asking(AddJob(NewJob("t"), 1.0)))
    await closing
    await store.close()
    assert all(future.done() and future.result()[0][1] for future in futures)
    with pytest.raises(StoreError, match=r"cannot write.*: the store is (closed|not open)"):
        await late
    with pytest.raises(StoreError, match=r"cannot read.*: the store is not open"):
        await store.jobs()


class ByHand:
    """A commit that ends when told to."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.ends: list[Callable[[list[Done]], None]] = []

    def __call__(self, units: Any, ended: Callable[[list[Done]], None]) -> None:
        self.groups.append(list(units))
        self.ends.append(ended)

    def end(self, at: int, error: BaseException | None = None) -> None:
        self.ends[at]([Done(unit, error) for unit in self.groups[at]])


async def test_next_group_starts_before_the_answers() -> None:
    """Alone a unit starts at once; the next group gathers meanwhile and starts before the answers go out."""
    commit = ByHand()
    groups = GroupCommit(commit)
    first, *rest = (asking() for _ in range(4))
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    seen: list[int] = []

    def hears(value: Any, _error: BaseException | None) -> None:
        seen.append(len(commit.groups))
        answered.set_result(value)

    groups.run(first, hears)
    await asyncio.sleep(0)
    assert commit.groups == [[first]]
    waiting = [submitted(groups.run, unit) for unit in rest]
    await asyncio.sleep(0)
    assert len(commit.groups) == 1
    commit.end(0)
    await answered
    assert seen == [2]
    assert commit.groups[1] == rest
    commit.end(1)
    assert await asyncio.gather(*waiting) == rest
    await groups.close()


async def test_group_is_bounded() -> None:
    """A group takes about as many events as there is room; each unit is told its share of what is left of it."""
    commit = ByHand()
    groups = GroupCommit(commit, room=20)
    submitted(groups.run, asking())
    units = [Steps(asking().recipe, events=count) for count in (15, 30, 9, 7, 1)]
    futures = [submitted(groups.run, unit) for unit in units]
    commit.end(0)
    assert [unit.rooms for unit in units] == [[16], [5], [], [], []]
    commit.end(1)
    await futures[0]
    assert commit.groups[1:] == [units[:2], units[2:]]
    commit.end(2)
    await groups.close()


async def test_broken_commit_is_told_to_all() -> None:
    """If the commit itself breaks down, everyone in the group hears of it and the next group starts."""
    commit = ByHand()
    groups = GroupCommit(commit)
    first = submitted(groups.run, asking())
    await asyncio.sleep(0)
    second = submitted(groups.run, asking())
    commit.end(0, MemoryError())
    with pytest.raises(MemoryError):
        await first
    commit.end(1)
    await second


async def test_what_is_ready_together_shares_the_room() -> None:
    """However much the first has, the others find room in the same group."""
    commit, rooms = ByHand(), []

    class Greedy(Steps):
        def begin(self, room: int) -> int:
            rooms.append(room)
            return room

    groups = GroupCommit(commit, room=200)
    submitted(groups.run, asking())
    for _ in range(4):
        submitted(groups.run, Greedy(failing(RuntimeError("never")).recipe))
    commit.end(0)
    assert rooms == [50, 50, 50, 50]


async def test_what_answers_bring_forth_is_one_group() -> None:
    """Each of those who hear of a commit has more to write: that is one group, not one alone and then the others."""
    commit = ByHand()
    groups = GroupCommit(commit)
    submitted(groups.run, asking())
    for _ in range(3):
        groups.run(asking(), lambda _value, _error: groups.run(asking(), lambda _value, _error: None))
    commit.end(0)
    commit.end(1)
    assert [len(group) for group in commit.groups] == [1, 3, 3]
    commit.end(2)


async def test_units_known_to_come_share_a_commit() -> None:
    """Within `together` nothing begins, however idle the store is; the end of the outermost begins one group."""
    commit = ByHand()
    groups = GroupCommit(commit)
    with groups.together():
        submitted(groups.run, asking())
        with groups.together():
            submitted(groups.run, asking())
        assert commit.groups == []
    assert [len(group) for group in commit.groups] == [2]
    commit.end(0)
    with groups.together():
        pass
    assert len(commit.groups) == 1


async def test_who_is_left_out_hears_after_run_and_before_the_close() -> None:
    """A unit that takes nothing is told once its submitter has gone on; closing waits for that."""
    groups = GroupCommit(ByHand())
    heard: list[str] = []
    groups.run(Steps(asking().recipe, events=0), lambda _value, _error: heard.append("left out"))
    heard.append("submitted")
    await groups.close()
    assert heard == ["submitted", "left out"]


async def test_a_group_s_machine_rows_are_written_before_any_operation_that_may_look_at_them(store: Store) -> None:
    """Two units of one group: what the first saved is what the second finds."""
    await add_machines(store, "m")
    with store.together():
        first = store.submit(asking(saving([took()])))
        second = store.submit(asking(FindMachine("m")))
    await first
    assert [row.version for row in await second] == [1]


async def test_a_unit_that_begins_may_queue_another() -> None:
    """The other waits for the next group; two groups never run at once."""
    commit = ByHand()
    groups = GroupCommit(commit)
    others: list[asyncio.Future[Any]] = []

    class Planting(Steps):
        def begin(self, room: int) -> int:
            others.extend(submitted(groups.run, asking()) for _ in range(2))
            return room

    first = submitted(groups.run, Planting(asking().recipe))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(commit.groups) == 1
    commit.end(0)
    await first
    assert [len(group) for group in commit.groups] == [1, 2]
    commit.end(1)
    await asyncio.gather(*others)


async def test_broken_hearer_keeps_nobody_from_hearing() -> None:
    """What goes wrong in one unit's callback is the loop's to report; the others of the group hear, work goes on."""
    commit, reported = ByHand(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(told["exception"]))
    groups = GroupCommit(commit)

    def breaks(_value: Any, _error: BaseException | None) -> None:
        raise ValueError("mine")

    submitted(groups.run, asking())
    groups.run(asking(), breaks)
    other = submitted(groups.run, asking())
    commit.end(0)
    commit.end(1)
    await other
    assert [str(error) for error in reported] == ["mine"]
    last = submitted(groups.run, asking())
    commit.end(2)
    await last
