"""Which function answers which operation in SQLite."""

from __future__ import annotations

from smd.store import base
from smd.store.claiming import add_job, claim_job, job_states, pending_jobs, release_jobs, settle_job
from smd.store.saving import save
from smd.store.transaction import Perform
from smd.store.waiting import (
    clear_pending,
    create_machine,
    enqueue,
    find_machine,
    find_pending,
    put_chart,
    remove_machine,
    seen,
    update_machine,
)

OPERATIONS: dict[type, Perform] = {
    base.Save: save,
    base.Seen: seen,
    base.Enqueue: enqueue,
    base.PutChart: put_chart,
    base.CreateMachine: create_machine,
    base.UpdateMachine: update_machine,
    base.RemoveMachine: remove_machine,
    base.FindMachine: find_machine,
    base.ClaimJob: claim_job,
    base.SettleJob: settle_job,
    base.ReleaseJobs: release_jobs,
    base.AddJob: add_job,
    base.PendingJobs: pending_jobs,
    base.JobStates: job_states,
    base.FindPending: find_pending,
    base.ClearPending: clear_pending,
}
