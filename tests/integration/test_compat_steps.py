"""Compatibility spec sections 2.1 to 2.7: what 1.0.91 does wrong in a step, done as it was meant."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from smd.jobs import NewJob
from smd.problems import DocumentError
from smd.runtime.clock import SystemClock
from smd.statechart.event import Outcome
from smd.statechart.sequence import key_of
from tests.hosting import Host, hosting
from tests.lab import Lab, chart_of

FLAT = """
initial_state: a
transitions:
  - {{from: a, to: b, event: go}}
  - {{from: b, to: a, event: back}}
{rows}
actions:
{actions}
"""


def flat(rows: str = "", actions: str = "  a: []") -> str:
    """A flat file with states a and b; `rows` and `actions` are indented by two."""
    return FLAT.format(rows=rows, actions=actions)


# --- 2.1 start-up -----------------------------------------------------------------------------------------------------


def test_start_moves_before_the_initial_state_acts() -> None:
    lab = Lab(
        flat("  - {from: a, to: b, event: start}", "  a: [{type: log, message: never}]\n  b: [{type: log, message: b}]")
    )
    assert (lab.states, lab.logs) == (["b"], ["b"])


def test_without_a_row_for_start_the_initial_state_acts() -> None:
    lab = Lab(flat("  - {from: '*', to: b, event: stop}", "  a: [{type: log, message: a}]"))
    assert (lab.states, lab.logs) == (["a"], ["a"])


@pytest.mark.asyncio
async def test_a_machine_is_registered_at_every_start(tmp_path: Path) -> None:
    for _ in range(2):
        async with hosting(tmp_path / "s.db") as host:
            with host.supervisor.bus.subscribe(["machine_registered"]) as notices:
                if "m" in host.supervisor.machines:
                    await host.supervisor.start("m")
                else:
                    await host.add(flat(), name="m")
                assert (await asyncio.wait_for(notices.get(), 20)).machine == "m"
            await host.supervisor.stop("m")


# --- 2.2, 2.3 no tick -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("state", ["waiting", "busy"])
async def test_an_event_is_picked_up_though_time_stands_still(state: str) -> None:
    async with hosting() as host:
        await host.add(f"initial_state: {state}\ntransitions: [{{from: {state}, to: there, event: go}}]", name="m")
        assert (await host.send("m", "go")).states == ("there",)
        assert len(host.supervisor.timers) == 0


@pytest.mark.asyncio
async def test_everything_that_waits_is_taken_in_one_turn_not_one_event_a_tick() -> None:
    async with hosting() as host:
        await host.add(flat(), name="m")
        commits = 0
        submit = host.store.submit

        def counting(unit: object) -> object:
            nonlocal commits
            commits += 1
            return submit(unit)  # type: ignore[arg-type]

        host.store.submit = counting  # type: ignore[method-assign, assignment]
        answers = await asyncio.gather(*(host.send("m", ("go", "back")[n % 2]) for n in range(100)))
        assert {a.disposition for a in answers} == {"taken"}
        assert commits <= 3


# --- 2.4 action execution ---------------------------------------------------------------------------------------------

THREE = "  a: [{type: log, message: '1', success: %s}, {type: log, message: '2'}, {type: log, message: '3'}]"


def test_a_result_without_row_goes_on_to_the_next_action() -> None:
    assert Lab(flat(actions=THREE % "nothing")).logs == ["1", "2", "3"]


def test_a_result_that_leaves_the_state_abandons_the_rest() -> None:
    lab = Lab(flat(actions=THREE % "go"))
    assert (lab.states, lab.logs) == (["b"], ["1"])


def test_actions_run_once_per_entry_and_again_on_the_next() -> None:
    lab = Lab(flat(actions="  a: [{type: log, message: in}]"))
    lab.wait(10)
    assert lab.logs == ["in"]
    lab.send("go")
    lab.send("back")
    assert lab.logs == ["in", "in"]


def test_a_repeatable_action_repeats_at_a_bounded_pace() -> None:
    lab = Lab(flat(actions="  a: [{type: log, message: once}, {type: log, message: again, repeatable: true}]"))
    lab.wait(60)
    assert lab.logs.count("once") == 1
    assert 60 / 0.5 <= lab.logs.count("again") <= 60 / 0.05


@pytest.mark.parametrize(
    ("word", "repeats"),
    [("'yes'", True), ("'ON'", True), ("1", True), ("'false'", False), ("'off'", False), ("0", False)],
)
def test_boolean_words_mean_what_they_say(word: str, *, repeats: bool) -> None:
    lab = Lab(flat(actions=f"  a: [{{type: log, message: x, repeatable: {word}}}]"))
    lab.wait(5)
    assert (len(lab.logs) > 1) is repeats


@pytest.mark.asyncio
async def test_an_action_that_has_ended_is_not_run_again_while_its_result_waits_its_turn(tmp_path: Path) -> None:
    mark, steps = tmp_path / "ran", 30
    actions = ", ".join(f"{{type: bash, command: 'echo {n} >> {mark}'}}" for n in range(steps))
    async with hosting(tmp_path / "s.db", clock=SystemClock()) as host:
        await host.add(flat(actions=f"  a: [{actions}, {{type: log, message: end, success: go}}]"), name="m")
        while host.states("m") == ["a"]:
            await host.send("m", "noise")
        assert mark.read_text().split() == [str(n) for n in range(steps)]


@pytest.mark.asyncio
async def test_events_are_read_while_an_action_runs() -> None:
    async with hosting(clock=SystemClock()) as host:
        await host.add(flat(actions="  a: [{type: bash, command: sleep 600}]"), name="m")
        assert (await host.send("m", "go")).states == ("b",)


# --- 2.5 self-loops: re-entry -----------------------------------------------------------------------------------------

POLL = """
initial_state: waiting
transitions:
  - {from: waiting, to: waiting, event: no_jobs}
  - {from: waiting, to: busy, event: new_job}
  - {from: busy, to: waiting, event: done}
actions:
  waiting: [{type: log, message: in}, {type: check_database_queue, job_type: t%s}]
  busy: [{type: add_to_list, list_key: seen, value: '{id}', success: done}]
"""
BATCH = """
initial_state: listing
transitions:
  - {from: listing, to: spawning, event: jobs_found}
  - {from: listing, to: listing, event: no_jobs}
  - {from: spawning, to: spawning, event: worker_spawned}
  - {from: spawning, to: waiting_for_batch, event: list_empty}
  - {from: waiting_for_batch, to: waiting_for_batch, event: timeout(2)}
  - {from: waiting_for_batch, to: over, event: all_jobs_complete}
actions:
  listing: [{type: get_pending_jobs, job_type: t}]
  spawning:
    - {type: pop_from_list, list_key: pending_jobs, store_as: current_job, success: popped}
    - {type: add_to_list, list_key: spawned_jobs, value: '{current_job.job_id}', success: tracked}
    - {type: start_fsm, yaml_path: child.yaml, machine_name: 'w_{current_job.job_id}', context_vars: [current_job.job_id as job_id], success: worker_spawned}
  waiting_for_batch: [{type: wait_for_jobs}]
"""
CHILD = "machine: child\ntemplate: true\nstates: {a: {actions: [{type: claim_job, job_id: '{job_id}', success: held}], on: {held: b}}, b: {on: {go: c}}, c: {actions: [{type: complete_job, success: ok}], on: {ok: d}}, d: {type: final}}"


@pytest.mark.asyncio
@pytest.mark.parametrize("more", ["", ", repeatable: true"], ids=["one-shot", "repeatable"])
async def test_a_worker_whose_empty_poll_loops_back_takes_jobs_for_ever(more: str) -> None:
    async with hosting() as host:
        await host.add(POLL % more, name="m")
        for n in range(3):
            await host.quiet()
            host.advance(3)
            await host.supervisor.add_jobs([NewJob("t", f"j{n}")])
            await host.quiet()
        assert host.context("m")["seen"] == ["j0", "j1", "j2"]


async def batch_of_three(host: Host, tmp_path: Path) -> None:
    (tmp_path / "child.yaml").write_text(CHILD)
    await host.supervisor.add_jobs([NewJob("t", f"j{n}") for n in range(3)])
    await host.add(BATCH, name="boss")
    await host.until("boss", "waiting_for_batch")


@pytest.mark.asyncio
async def test_a_self_loop_spawns_one_worker_per_queued_job(tmp_path: Path) -> None:
    async with hosting(work_folder=tmp_path) as host:
        await batch_of_three(host, tmp_path)
        assert sorted(host.supervisor.machines) == ["boss", "w_j0", "w_j1", "w_j2"]


@pytest.mark.asyncio
async def test_a_timed_self_loop_beside_wait_for_jobs_ends_when_the_jobs_have(tmp_path: Path) -> None:
    async with hosting(work_folder=tmp_path) as host:
        await batch_of_three(host, tmp_path)
        for n in range(3):
            host.advance(2)
            assert (await host.send(f"w_j{n}", "go")).disposition == "taken"
        await host.until("boss", "over")
        assert sorted(host.context("boss")["completed_jobs"]) == ["j0", "j1", "j2"]


def test_a_self_loop_runs_every_action_again_from_the_top() -> None:
    lab = Lab(flat("  - {from: a, to: a, event: again}", "  a: [{type: log, message: '1'}, {type: log, message: '2'}]"))
    lab.send("again")
    assert lab.logs == ["1", "2"] * 2


def test_a_result_that_loops_at_once_is_paced_and_never_hot() -> None:
    lab = Lab(flat("  - {from: a, to: a, event: again}", "  a: [{type: log, message: x, success: again}]"))
    lab.wait(60)
    assert 60 / 0.5 <= len(lab.logs) <= 60 / 0.05


# --- 2.6 events -------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_unknown_event_is_answered_not_dropped() -> None:
    async with hosting() as host:
        await host.add(flat(), name="m")
        answer = await host.send("m", "bac")
        assert (answer.disposition, answer.code) == ("ignored", "unknown_event")
        assert answer.hint == "did you mean 'back'?"


def test_an_ignored_event_does_not_become_the_event_data_of_what_runs() -> None:
    lab = Lab(flat(actions="  b: [{type: sleep, duration: 5}, {type: log, message: '{event_data.payload.n}'}]"))
    lab.send("go", {"n": 1})
    assert lab.send("noise", {"n": 2}) == "ignored"
    lab.wait(5)
    assert lab.logs == ["1"]


def test_event_names_match_exactly_and_by_case() -> None:
    lab = Lab(flat())
    assert [lab.send(name) for name in ("GO", "Go", "g", "go ", "go")] == ["ignored"] * 4 + ["taken"]


def test_an_event_that_is_not_declared_works_all_the_same() -> None:
    lab = Lab("events: [other]\n" + flat())
    assert lab.send("go") == "taken"


def test_stop_means_nothing_without_a_row() -> None:
    lab = Lab(flat())
    assert (lab.send("stop"), lab.snapshot.status) == ("ignored", "running")


def test_a_result_whose_state_entry_is_over_is_discarded() -> None:
    lab = Lab(flat("  - {from: a, to: b, event: timeout(5)}\n  - {from: b, to: c, event: done}",
                   "  a: [{type: bash, command: 'true', success: done}]\n  b: [{type: log, message: own}, {type: bash, command: 'true'}]"))  # fmt: skip
    late = Outcome(key_of(lab.snapshot, lab.records("working")[0]), 1, True, "done", (("set", ("x",), 1),))
    lab.wait(5)
    assert lab.answer(late) == "stale"
    assert (lab.states, lab.logs, lab.context) == (["b"], ["own"], {})


@pytest.mark.asyncio
async def test_the_action_of_a_state_that_timed_out_is_cancelled(tmp_path: Path) -> None:
    async with hosting(clock=SystemClock()) as host:
        rows = "  - {from: a, to: b, event: timeout(0.2)}\n  - {from: b, to: c, event: job_done}"
        await host.add(flat(rows, f"  a: [{{type: bash, command: 'sleep 600; touch {tmp_path}/late'}}]"), name="m")
        await host.until("m", "b")
        await host.quiet()
        assert (host.states("m"), (tmp_path / "late").exists()) == (["b"], False)


PROMOTING = (
    "events: {heard: {context_map: {text: payload.text, deep: payload.a.b, job: job_id, all: payload}}, go: {}}\n"
)


def test_context_map_promotes_before_the_row_is_looked_up_and_without_one() -> None:
    lab = Lab(PROMOTING + flat())
    assert lab.send("heard", {"text": "hi", "a": {"b": 2}}, job_id="j") == "ignored"
    assert lab.context == {"text": "hi", "deep": 2, "job": "j", "all": {"text": "hi", "a": {"b": 2}}}


@pytest.mark.parametrize(
    "payload", [{}, {"text": None}, {"text": None, "a": None}, {"a": 5}, {"a": [1]}, 7, "x", None, [1]]
)
def test_context_map_keeps_the_old_value_where_the_path_leads_nowhere(payload: object) -> None:
    lab = Lab(PROMOTING + flat())
    lab.send("heard", {"text": "old", "a": {"b": "old"}})
    lab.send("heard", payload)
    assert (lab.context["text"], lab.context["deep"]) == ("old", "old")


def test_context_map_promotes_the_results_of_actions_too() -> None:
    lab = Lab(
        "events: {heard: {context_map: {kind: type}}}\n"
        + flat(actions="  a: [{type: log, message: x, success: heard}]")
    )
    assert lab.context == {"kind": "heard"}


def test_a_context_map_path_that_is_no_text_is_refused_at_load() -> None:
    with pytest.raises(DocumentError, match="context_map"):
        chart_of("events: {heard: {context_map: {text: 5}}}\n" + flat())


# --- 2.7 errors -------------------------------------------------------------------------------------------------------

RAISING = """
from statemachine_engine.actions import BaseAction
class BadAction(BaseAction):
    def __init__(self, config):
        super().__init__(config)
        if config.get("params", {}).get("early"):
            raise ValueError("early")
    async def execute(self, context):
        raise KeyError("late")
"""
FAILURES = {
    "constructor": ("{type: bad, params: {early: true}}", "bad: ValueError: early"),
    "execute": ("{type: bad}", "bad: KeyError: 'late'"),
    "cannot be loaded": ("{type: broken}", "broken"),
    "no such class": ("{type: empty}", "EmptyAction"),
    "bash exit code": ("{type: bash, command: exit 3}", "exit code 3"),
    "bash time-out": ("{type: bash, command: sleep 60, timeout: 0.1}", "timed out"),
    "bash placeholder": ("{type: bash, command: 'sleep {nothing|int}'}", "{nothing|int}"),
    "sleep": ("{type: sleep, duration: '{nothing}'}", "duration"),
    "list": ("{type: add_to_list, list_key: machine_word, value: 1}", "not a list"),
    "job": ("{type: complete_job, job_id: nobody}", "no such job"),
    "child": ("{type: start_fsm, yaml_path: nothing.yaml, machine_name: c}", "nothing.yaml"),
}


async def failing(host: Host, action: str, rows: str = "") -> None:
    actions = f"  a: [{action}, {{type: log, message: next}}]\n  failed: [{{type: log, message: '{{last_error}}'}}]"
    await host.supervisor.add(text=flat(rows, actions), name="m", context={"machine_word": "text"})
    await host.quiet()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "own_actions"
    made.mkdir()
    (made / "bad_action.py").write_text(RAISING)
    (made / "broken_action.py").write_text("import nothing_of_that_name\n")
    (made / "empty_action.py").write_text("x = 1\n")
    return made


@pytest.mark.asyncio
@pytest.mark.parametrize(("action", "said"), FAILURES.values(), ids=FAILURES)
async def test_every_kind_of_failure_is_the_event_error_with_its_reason(folder: Path, action: str, said: str) -> None:
    async with hosting(clock=SystemClock(), actions_dir=folder) as host:
        await failing(host, action, "  - {from: a, to: failed, event: error}")
        assert host.states("m") == ["failed"]
        context = host.context("m")
        assert said in context["last_error"]
        assert context["last_error_action"] == action[7:].partition(",")[0].rstrip("}")


@pytest.mark.asyncio
@pytest.mark.parametrize("action", [action for action, _ in FAILURES.values()], ids=list(FAILURES))
async def test_a_failure_without_row_goes_on_with_the_next_action(folder: Path, action: str) -> None:
    async with hosting(clock=SystemClock(), actions_dir=folder) as host:
        await failing(host, action)
        assert any(line.endswith("next") for line in host.supervisor.log_tail("m", 50))
        view = host.supervisor.view("m")
        assert (view.status, view.states, view.health) == ("running", ("a",), "Warning")


def test_an_action_type_nobody_knows_is_refused_at_load() -> None:
    with pytest.raises(DocumentError, match="unknown action type"):
        chart_of(flat(actions="  a: [{type: chekc_queue}]"))


@pytest.mark.asyncio
async def test_an_error_is_told_to_those_who_watch(folder: Path) -> None:
    async with hosting(clock=SystemClock(), actions_dir=folder) as host:
        with host.supervisor.bus.subscribe(["error"]) as notices:
            await failing(host, "{type: bad}")
            notice = await asyncio.wait_for(notices.get(), 20)
        assert (notice.machine, "KeyError" in notice.data["error_message"]) == ("m", True)
