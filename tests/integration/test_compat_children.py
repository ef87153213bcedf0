"""Compatibility spec 4.9: children of `start_fsm` live in the daemon, are told apart, and report their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smd.errors import ConflictError
from smd.jobs import NewJob
from smd.runtime.clock import ManualClock, SystemClock
from smd.runtime.units import ask_one
from smd.store.base import UpdateMachine
from tests.hosting import Host, hosting

pytestmark = pytest.mark.asyncio

PARENT = """
machine: parent
initial: idle
states:
  idle: {on: {go: starting}}
  starting:
    actions: [{type: start_fsm, yaml_path: %s, machine_name: child, success: started%s}]
    on: {started: waiting, error: failed}
  waiting:
    on:
      go: starting
      kill: killing
      quit: over
      done.machine.child: {to: done, actions: [{type: set_context, key: result, value: "{payload}"}]}
      error.machine.child: broken
  killing: {actions: [{type: stop_machine, machine_name: child, success: stopped_it}], on: {stopped_it: waiting}}
  done: {on: {go: starting}}
  broken: {}
  failed: {on: {go: starting}}
  over: {type: final}
"""
CHILD = """
machine: template_child
template: true
context: {own: 1}
states:
  busy:
    on:
      end: ended
      settle: settling
      loop: one
      quit: ended
  settling: {actions: [{type: complete_job, success: ok}], on: {ok: busy}}
  one: {always: two}
  two: {always: one}
  ended: {type: final}
"""


async def parent_of(
    host: Host, *, path: str = "charts/child.yaml", more: str = "", go: bool = True, **context: Any
) -> list[str]:
    """A parent in a work folder, told to start its child; the parent's states."""
    await host.supervisor.add(text=PARENT % (path, more), context=context)
    if go:
        await host.send("parent", "go")
        await host.quiet()
    return host.states("parent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    (work / "charts").mkdir(parents=True)
    (work / "charts" / "child.yaml").write_text(CHILD)
    (tmp_path / "outside.yaml").write_text(CHILD)
    (work / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    return work


# --- where charts come from -------------------------------------------------------------------------------------------


async def test_a_relative_path_is_found_under_the_work_folder(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        assert await parent_of(host) == ["waiting"]
        view = host.supervisor.view("child")
        assert (view.status, view.parent, view.states) == ("running", "parent", ("busy",))


@pytest.mark.parametrize(
    "path", ["../outside.yaml", "charts/../../outside.yaml", "/etc/passwd", "link.yaml", "charts/none.yaml", "charts"]
)
async def test_a_path_outside_or_of_no_chart_is_an_error_and_starts_nothing(folder: Path, path: str) -> None:
    async with hosting(work_folder=folder) as host:
        assert await parent_of(host, path=path) == ["failed"]
        assert "child" not in host.supervisor.machines
        assert "cannot start machine 'child'" in host.context("parent")["last_error"]


async def test_a_path_made_of_data_cannot_leave_the_work_folder(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        assert await parent_of(host, path="'charts/{kind}.yaml'", kind="../../outside") == ["failed"]


@pytest.mark.parametrize("name", ["''", "'{unset}'", "a/b", "all", "'{deep}'", "'{long}'"])
async def test_a_name_no_machine_can_have_is_an_error(folder: Path, name: str) -> None:
    async with hosting(work_folder=folder) as host:
        text = (PARENT % ("charts/child.yaml", "")).replace(
            "machine_name: child, success", f"machine_name: {name}, success"
        )
        await host.supervisor.add(text=text, context={"deep": {"a": 1}, "long": "x" * 129})
        await host.send("parent", "go")
        await host.quiet()
        assert (host.states("parent"), list(host.supervisor.machines)) == (["failed"], ["parent"])


# --- what children are given ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("items", "given"), [
    ("[a]", {"a": 1}), ("[deep.list]", {"deep": {"list": [2]}}), ("['deep.list as items']", {"items": [2]}),
    ("[a, missing, nothing]", {"a": 1}), ("[]", {}), ("[false_one]", {"false_one": False}), ("[machine_name]", {"machine_name": "parent"}),
])  # fmt: skip
async def test_context_vars_are_handed_over_and_what_has_no_value_is_not(
    folder: Path, items: str, given: dict[str, Any]
) -> None:
    async with hosting(work_folder=folder) as host:
        context: dict[str, Any] = {"a": 1, "deep": {"list": [2]}, "nothing": None, "false_one": False}
        assert await parent_of(host, more=f", context_vars: {items}", **context) == ["waiting"]
        assert host.context("child") == {"own": 1, **given}


@pytest.mark.parametrize("item", ["5", "'a b'", "'a as'", "'{a}'"])
async def test_a_context_var_that_cannot_be_read_is_an_error(folder: Path, item: str) -> None:
    async with hosting(work_folder=folder) as host:
        assert await parent_of(host, more=f", context_vars: [{item}]") == ["failed"]


async def test_success_means_that_the_child_runs_and_its_name_can_be_kept(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        await parent_of(host, more=", store_pid: true")
        assert host.context("parent")["spawned_pids"] == ["child"]


# --- who is who -------------------------------------------------------------------------------------------------------


async def test_a_running_stranger_of_that_name_is_an_error_and_goes_on(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        await host.add("machine: child\nstates: {mine: {}}")
        assert await parent_of(host) == ["failed"]
        assert (host.states("child"), host.supervisor.view("child").parent) == (["mine"], None)


async def test_starting_it_again_while_it_runs_is_an_error(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        await parent_of(host)
        await host.send("parent", "go")
        await host.quiet()
        assert (host.states("parent"), host.supervisor.view("child").life) == (["failed"], 1)


async def test_a_crash_after_the_start_does_not_start_it_twice(tmp_path: Path, folder: Path) -> None:
    async with hosting(tmp_path / "s.db", work_folder=folder) as host:
        await parent_of(host)
    async with hosting(tmp_path / "s.db", work_folder=folder) as host:
        await host.quiet()
        assert (host.states("parent"), host.supervisor.view("child").life) == (["waiting"], 1)


async def test_a_finished_child_is_replaced_by_a_new_life_with_a_new_context(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        await parent_of(host, more=", context_vars: [result]")
        await host.send("child", "end")
        await host.until("parent", "done")
        await host.send("parent", "go")
        await host.quiet()
        view = host.supervisor.view("child")
        assert (host.states("parent"), view.status, view.life, view.states) == (["waiting"], "running", 2, ("busy",))
        assert host.context("child")["result"]["machine"] == "child"


async def test_a_finished_stranger_is_replaced_and_reports_to_its_new_parent(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        await host.add("machine: child\nstates: {mine: {on: {end: z}}, z: {type: final}}")
        await host.send("child", "end")
        assert await parent_of(host) == ["waiting"]
        assert host.supervisor.view("child").parent == "parent"
        await host.send("child", "end")
        await host.until("parent", "done")


async def test_a_replaced_child_runs_the_chart_of_its_new_file_after_a_restart_too(
    tmp_path: Path, folder: Path
) -> None:
    async with hosting(tmp_path / "s.db", work_folder=folder) as host:
        await host.add("machine: child\nstates: {mine: {on: {end: z}}, z: {type: final}}")
        await host.send("child", "end")
        await parent_of(host)
    async with hosting(tmp_path / "s.db", work_folder=folder, verify=False) as host:
        assert host.states("child") == ["busy"]
        await host.supervisor.restart("child")
        assert host.states("child") == ["busy"]


# --- how children end -------------------------------------------------------------------------------------------------


async def test_the_end_of_a_child_is_an_event_of_its_parent_with_its_context(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        await parent_of(host)
        await host.send("child", "end")
        await host.until("parent", "done")
        result = host.context("parent")["result"]
        assert (result["machine"], result["status"], result["states"], result["context"]) == (
            "child",
            "finished",
            "ended",
            {"own": 1},
        )


async def test_the_failure_of_a_child_is_an_event_of_its_parent(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        await parent_of(host)
        assert (await host.send("child", "loop")).disposition == "failed"
        await host.until("parent", "broken")


async def test_the_end_of_a_child_reaches_a_parent_that_was_stopped(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        await parent_of(host)
        await host.supervisor.stop("parent")
        await host.send("child", "end")
        await host.supervisor.start("parent")
        await host.until("parent", "done")


@pytest.mark.parametrize(
    ("more", "status"), [(", linked: true", "stopped"), ("", "running"), (", linked: false", "running")]
)
@pytest.mark.parametrize("how", ["finished", "stopped", "failed"])
async def test_a_linked_child_ends_with_its_parent_and_another_lives_on(
    folder: Path, more: str, status: str, how: str
) -> None:
    async with hosting(work_folder=folder) as host:
        text = (
            (PARENT % ("charts/child.yaml", more))
            .replace("quit: over", "quit: over\n      loop: one")
            .replace("  over:", "  one: {always: two}\n  two: {always: one}\n  over:")
        )
        await host.supervisor.add(text=text)
        await host.send("parent", "go")
        await host.quiet()
        if how == "stopped":
            await host.supervisor.stop("parent")
        else:
            await host.send("parent", "quit" if how == "finished" else "loop")
        await host.quiet()
        assert (host.supervisor.view("parent").status, host.supervisor.view("child").status) == (how, status)


async def test_a_linked_child_that_outlived_its_parent_at_a_crash_ends_at_the_next_start(
    folder: Path, tmp_path: Path
) -> None:
    """The crash came between the parent's end and its child's."""
    clock = ManualClock()
    async with hosting(tmp_path / "s.db", work_folder=folder, clock=clock) as host:
        await parent_of(host, more=", linked: true")
        ended = {"status": "stopped", "since": clock.now() + 1}
        await host.store.submit(ask_one(UpdateMachine("parent", ended)))
    async with hosting(tmp_path / "s.db", work_folder=folder, clock=clock) as host:
        await host.until("child", "stopped")


async def test_a_linked_child_that_was_started_by_itself_runs_on_after_a_restart(folder: Path, tmp_path: Path) -> None:
    clock = ManualClock()
    async with hosting(tmp_path / "s.db", work_folder=folder, clock=clock) as host:
        await parent_of(host, more=", linked: true")
        await host.supervisor.stop("parent")
        await host.until("child", "stopped")
        host.advance(1)
        await host.supervisor.start("child")
    async with hosting(tmp_path / "s.db", work_folder=folder, clock=clock) as host:
        await host.quiet()
        assert host.supervisor.view("child").status == "running"


async def test_a_parent_can_start_its_linked_child_again_after_both_were_stopped(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        await parent_of(host, more=", linked: true")
        await host.supervisor.restart("parent")
        await host.send("parent", "go")
        await host.quiet()
        assert (host.states("parent"), host.supervisor.view("child").status) == (["waiting"], "running")


@pytest.mark.parametrize("again", [False, True])
async def test_stop_machine_stops_a_child_and_counts_one_that_is_down_as_stopped(folder: Path, *, again: bool) -> None:
    told = "error.machine.child: {actions: [{type: set_context, key: told, value: '{payload.status}'}]}"
    async with hosting(work_folder=folder) as host:
        text = (PARENT % ("charts/child.yaml", "")).replace("error.machine.child: broken", told)
        await host.supervisor.add(text=text)
        for event in ("go", "kill", *(["kill"] if again else [])):
            await host.send("parent", event)
            await host.quiet()
        assert (host.states("parent"), host.supervisor.view("child").status) == (["waiting"], "stopped")
        assert host.context("parent")["told"] == "stopped"


async def test_a_child_that_floods_its_log_does_not_freeze(folder: Path) -> None:
    flood = "machine: c\ntemplate: true\nstates: {a: {actions: [{type: bash, command: \"head -c 3000000 /dev/zero | tr '\\\\0' x | fold -w 2000\", success: ok}, {type: log, message: '{big}'}], on: {ok: b}}, b: {type: final}}"
    (folder / "charts" / "flood.yaml").write_text(flood)
    async with hosting(work_folder=folder, clock=SystemClock()) as host:
        await parent_of(host, path="charts/flood.yaml", more=", context_vars: [big]", big="x" * 100_000)
        await host.until("parent", "done")


# --- jobs handed over -------------------------------------------------------------------------------------------------

HANDING = PARENT.replace(
    "idle: {on: {go: starting}}",
    "idle: {on: {go: claiming}}\n  claiming: {actions: [{type: claim_job, job_type: t, success: held}], on: {held: starting}}",
)


async def handed(host: Host) -> None:
    """A parent has claimed job `j` and handed it to its child."""
    await host.supervisor.add_jobs([NewJob("t", "j")])
    await host.supervisor.add(text=HANDING % ("charts/child.yaml", ", context_vars: [job_id]"))
    await host.send("parent", "go")
    await host.until("parent", "waiting")
    await host.quiet()
    assert (host.supervisor.view("parent").held, host.supervisor.view("child").held) == ((), ("j",))


async def status_of(host: Host, job_id: str) -> str:
    job = await host.store.job(job_id)
    assert job is not None
    return str(job.status)


async def test_a_job_handed_over_is_settled_by_the_child(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        await handed(host)
        await host.send("child", "settle")
        await host.send("child", "end")
        await host.until("parent", "done")
        assert await status_of(host, "j") == "completed"


@pytest.mark.parametrize(("event", "state"), [("end", "done"), ("loop", "broken")])
async def test_a_job_fails_when_the_child_that_had_it_ends_without_settling_it(
    folder: Path, event: str, state: str
) -> None:
    async with hosting(work_folder=folder) as host:
        await handed(host)
        await host.send("child", event)
        await host.until("parent", state)
        assert await status_of(host, "j") == "failed"


async def test_a_job_whose_child_is_stopped_is_not_lost(folder: Path) -> None:
    async with hosting(work_folder=folder) as host:
        await handed(host)
        await host.send("parent", "kill")
        await host.quiet()
        assert await status_of(host, "j") in {"available", "failed"}


async def test_a_job_handed_over_stays_with_the_child_over_a_restart(tmp_path: Path, folder: Path) -> None:
    async with hosting(tmp_path / "s.db", work_folder=folder) as host:
        await handed(host)
    async with hosting(tmp_path / "s.db", work_folder=folder) as host:
        assert (await status_of(host, "j"), host.supervisor.view("child").held) == ("running", ("j",))


async def test_a_name_is_given_to_one_machine_only() -> None:
    async with hosting() as host:
        await host.add("machine: m\nstates: {a: {}}")
        with pytest.raises(ConflictError):
            await host.add("machine: m\nstates: {b: {}}")
        assert host.states("m") == ["a"]
