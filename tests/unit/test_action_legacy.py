"""Actions written for the predecessor load unchanged; their models ask a real store through a bridge."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from smd import actions
from smd.actions import legacy, legacy_models
from smd.actions.custom import abandoned_threads, perform_custom
from smd.actions.legacy_models import JobModel, get_machine_event_model
from smd.actions.loader import CustomActions
from smd.errors import ActionError, ConflictError, RequestError
from smd.statechart.event import Event
from smd.store.base import CreateMachine, Enqueue, MachineRow
from smd.store.sqlite import SqliteStore
from tests.unit.acting import after, call_of, one

FOLDER = Path(__file__).parent.parent / "data" / "legacy_actions"

pytestmark = pytest.mark.asyncio


class StoreBridge:
    """The runtime's part: from a thread to the loop and back."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._home = threading.get_ident()

    def _wait(self, coroutine: Any) -> Any:
        assert threading.get_ident() != self._home
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _submit(self, operation: Any) -> Any:
        return await self._store.submit(one(operation))

    def call(self, operation: Any, /) -> Any:
        return self._wait(self._submit(operation))

    def query(self, name: str, /, *arguments: Any, **options: Any) -> Any:
        return self._wait(getattr(self._store, name)(*arguments, **options))

    def send(self, machine: str, event: Event, /) -> Any:
        seq, _ = self.call(Enqueue(machine, event, self.now()))
        return type("Answer", (), {"seq": seq})

    def now(self) -> float:
        return 1_714_566_600.0


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "smd.db")
    await opened.open()
    actions.connect(CustomActions([FOLDER]), StoreBridge(opened))
    yield opened
    actions.connect(CustomActions(), None)
    await opened.close()


async def test_greet_loads_unchanged_and_greets(store: SqliteStore, tmp_path: Path) -> None:
    call = call_of("greet", tmp_path, params={"success": "hello"}, event=Event("greet", {"name": "Ann"}))
    outcome = await perform_custom(call)
    assert (outcome.event, after(call, outcome)) == ("hello", {"greeting": "Hello, Ann!"})


async def test_calculate_asks_for_jobs_synchronously_and_the_model_stays_out_of_the_context(
    store: SqliteStore, tmp_path: Path
) -> None:
    call = call_of(
        "calculate", tmp_path, success="ok", params={"operation": "add"}, event=Event("go", {"a": 2, "b": 3})
    )
    outcome = await perform_custom(call)
    assert (outcome.event, outcome.error) == ("ok", None)
    assert after(call, outcome) == {"calculation_result": 5, "seen": ["calculated"]}
    job = await store.job("calculated")
    assert job is not None
    assert job.data == {"result": 5}
    again = await perform_custom(call)
    assert again.error == "calculate: cannot create job 'calculated': the id is taken"


async def test_a_waiting_coroutine_in_a_thread_is_cancelled_not_abandoned(store: SqliteStore, tmp_path: Path) -> None:
    (tmp_path / "wait_action.py").write_text(
        f"import asyncio\nfrom {__name__} import ENTERED\nfrom statemachine_engine.actions import BaseAction\n"
        "class WaitAction(BaseAction):\n  async def execute(self, context):\n    ENTERED.set(); await asyncio.sleep(1000)"
    )
    task = asyncio.ensure_future(perform_custom(call_of("wait", tmp_path), CustomActions([tmp_path])))
    await asyncio.to_thread(ENTERED.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert abandoned_threads("m") == 0


ENTERED = threading.Event()


async def test_jobs_have_the_predecessors_shape_and_words(store: SqliteStore) -> None:
    def work() -> None:
        model = JobModel("m")
        number = model.create_job("j1", "image", data={"a": 1}, priority=2, metadata={})
        assert model.get_pending_jobs("image") == [model.get_job("j1")]
        row = model.get_next_job("image")
        assert row == {
            "id": number, "job_id": "j1", "job_type": "image", "machine_type": None, "source_job_id": None,
            "data": {"a": 1}, "result": None, "priority": 2, "status": "processing", "error_message": None,
            "created_at": "2024-05-01 12:30:00", "started_at": "2024-05-01 12:30:00", "completed_at": None,
            "metadata": None,
        }  # fmt: skip
        assert model.get_next_job("image") is None
        with pytest.raises(ConflictError):
            model.create_job("j1", "image")

    await asyncio.to_thread(work)


async def test_jobs_move_as_the_predecessors_did_but_never_twice(store: SqliteStore) -> None:
    def work() -> None:
        model = legacy_models.get_job_model()
        for name in ("a", "b", "c"):
            model.create_job(name, "t")
        assert [model.claim_job("a"), model.claim_job("a"), model.claim_job("gone")] == [True, False, False]
        assert [model.reset_job_to_pending("a"), model.claim_job("a")] == [True, True]
        assert [model.complete_job("a"), model.complete_job("a"), model.complete_job("gone")] == [True, False, False]
        assert [model.claim_job("b"), model.fail_job("b", "broke")] == [True, True]
        failed = model.get_job("b")
        assert failed is not None
        assert (failed["status"], failed["error_message"]) == ("failed", "broke")
        latest = model.get_latest_job_by_type("t")
        assert latest is not None
        assert latest["job_id"] == "c"
        assert [row["job_id"] for row in model.list_jobs("pending")] == ["c"]
        assert [model.count_jobs(), model.count_jobs("pending"), model.count_jobs("failed", "t")] == [3, 1, 1]
        assert (model.get_job("gone"), model.get_latest_job_by_type("gone")) == (None, None)
        with pytest.raises(RequestError, match="cannot use job status"):
            model.list_jobs("lost")

    with legacy_models.serving("m"):
        await asyncio.to_thread(work)


async def test_events_are_sent_and_listed(store: SqliteStore) -> None:
    await store.submit(one(CreateMachine(MachineRow("other", 1, "x", "stopped", 0))))

    def work() -> None:
        model = get_machine_event_model()
        with legacy_models.serving("me"):
            number = model.send_event("other", "go", payload={"n": 1})
        (pending,) = model.get_pending_events("other")
        assert (pending["id"], pending["event_type"], pending["payload"]) == (number, "go", {"n": 1})
        (listed,) = model.list_events("other", "pending")
        assert (listed["source_machine"], listed["status"]) == ("me", "pending")
        with pytest.raises(ActionError, match="consume their events themselves"):
            model.mark_event_processed(number)

    await asyncio.to_thread(work)


async def test_a_job_claimed_in_an_executor_is_held_by_the_machine_of_the_action(
    store: SqliteStore, tmp_path: Path
) -> None:
    (tmp_path / "pool_action.py").write_text(
        "import asyncio\nfrom statemachine_engine.actions import BaseAction\n"
        "from statemachine_engine.database.models import get_job_model\n"
        "class PoolAction(BaseAction):\n  async def execute(self, context):\n"
        "    claim = lambda: get_job_model().get_next_job('t')['job_id']\n"
        "    context['job'] = await asyncio.get_running_loop().run_in_executor(None, claim)\n"
    )
    await asyncio.to_thread(JobModel().create_job, "j", "t")
    call = call_of("pool", tmp_path)
    outcome = await perform_custom(call, CustomActions([tmp_path]))
    assert (outcome.error, after(call, outcome)) == (None, {"job": "j"})
    job = await store.job("j")
    assert job is not None
    assert (job.status, job.holder) == ("running", "m")


async def test_a_job_that_no_machine_would_hold_is_not_claimed(store: SqliteStore) -> None:
    await asyncio.to_thread(JobModel().create_job, "j", "t")
    for claim in (lambda: JobModel().get_next_job("t"), lambda: JobModel().claim_job("j")):
        with pytest.raises(ActionError, match="cannot claim a job: no machine's action"):
            await asyncio.to_thread(claim)
    job = await store.job("j")
    assert job is not None
    assert job.status == "available"


async def test_what_smd_does_not_have_is_refused_in_words() -> None:
    legacy.install()
    models = importlib.import_module("statemachine_engine.database.models")
    for name in ("get_database", "get_realtime_event_model", "get_machine_state_model"):
        with pytest.raises(ActionError, match="smd has none"):
            getattr(models, name)()
    with pytest.raises(ImportError, match="cannot import name 'StateMachineEngine'"):
        exec("from statemachine_engine import StateMachineEngine")
    with pytest.raises(ActionError, match="no daemon is connected"):
        JobModel().get_job("x")


async def test_installing_twice_keeps_the_classes() -> None:
    legacy.install()
    first = importlib.import_module("statemachine_engine.actions")
    legacy.install()
    second = importlib.import_module("statemachine_engine.actions.base")
    assert first.BaseAction is second.BaseAction is legacy.BaseAction
