"""What lasting actions do: one family a file, entered here by type.

`WORKING` run outside of a step, after its commit; `STORE` are answered inside its transaction. Custom types have no
entry: `custom.perform_custom` runs them.
"""

from __future__ import annotations

from smd.actions import apart, custom, environment, legacy_models, machines, messages, queue, spawning
from smd.actions.base import Ask, Call, Perform
from smd.actions.commands import perform_bash, perform_run

WORKING: dict[str, Perform] = {"bash": perform_bash, "run": perform_run}

STORE: dict[str, Ask] = {
    "add_job": queue.add_job,
    "check_database_queue": queue.check_database_queue,
    "claim_job": queue.claim_job,
    "complete_job": queue.complete_job,
    "fail_job": queue.fail_job,
    "get_pending_jobs": queue.get_pending_jobs,
    "wait_for_jobs": queue.wait_for_jobs,
    "start_fsm": machines.start_fsm,
    "stop_machine": machines.stop_machine,
    "check_machine_state": machines.check_machine_state,
    "check_events": messages.check_events,
    "clear_events": messages.clear_events,
}


def connect(actions: custom.CustomActions, bridge: legacy_models.Bridge | None) -> None:
    """Give actions what they need of the daemon: the user's own actions, and the way back for the predecessor's.

    To be called before any action runs: the environment, folder and mask of now are those that commands get.
    """
    environment.remember()
    apart.remember()
    spawning.install()
    custom.use(actions)
    legacy_models.connect(bridge)


__all__ = ["STORE", "WORKING", "Ask", "Call", "Perform", "connect"]
