"""Jobs: added beforehand in bulk, then worked off, timed from the first claim to the last completion."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from bench.chain import CHAIN
from bench.daemon import ACTIONS, CHARTS, Daemon, daemon, folder
from bench.load import Stream, drive
from bench.rows import BenchError, Group, Measured, Row, Size

ONE = "jobs, instant action, 1 worker"
SIXTEEN = "jobs, instant action, 16 workers"
WORKING = "jobs, 1 worker, a Python action between"

_LONGEST = 120.0


def jobs_per_second(chart: str, workers: int, jobs: int) -> float:
    """Jobs a second of some workers with the chart `charts/<chart>.yaml`.

    Raises:
        BenchError: a job failed, or it took too long.
    """
    text = (CHARTS / f"{chart}.yaml").read_text()
    with folder() as state, daemon(state, actions=ACTIONS) as running:
        drive(running.control, [Stream("/v1/jobs", _arrays(jobs), -(-jobs // 1_000))])
        for number in range(workers):
            running.request("POST", "/v1/machines", {"yaml": text, "name": f"w{number}", "start": False})
        starts = [Stream(f"/v1/machines/w{number}/start", [""], 1) for number in range(workers)]
        drive(running.control, starts)
        ended = _all_completed(running, jobs)
        return jobs / (ended - _first_claim(running, jobs))


def _arrays(jobs: int) -> list[str]:
    made = [{"job_type": "task", "payload": {"file": f"{n}.png", "note": "x" * 200}} for n in range(jobs)]
    return [json.dumps(made[start : start + 1_000]) for start in range(0, jobs, 1_000)]


def _all_completed(running: Daemon, jobs: int) -> float:
    """The moment at which all jobs were seen completed. It looks seldom until the end is near."""
    began = time.time()
    while time.time() < began + _LONGEST:
        counts = running.request("GET", "/v1/queues")["queues"]["task"]
        done = counts.get("completed", 0)
        if done == jobs:
            return time.time()
        if counts.get("failed"):
            raise BenchError(f"cannot use the figures: {counts['failed']} jobs failed")
        left = (time.time() - began) * (jobs - done) / max(done, 1)
        time.sleep(min(max(left / 2, 0.005), 0.2))
    raise BenchError(f"cannot finish the jobs in {_LONGEST:.0f} s: {counts}")


def _first_claim(running: Daemon, jobs: int) -> float:
    """When the job added first was claimed, by the daemon's clock, which is ours."""
    newest = running.request("GET", "/v1/jobs?limit=1")["jobs"][0]["number"]
    oldest = running.request("GET", f"/v1/jobs?limit=1&before={newest - jobs + 2}")["jobs"][0]
    return float(oldest["started_at"])


def _measure(size: Size) -> Sequence[Measured]:
    return [
        {
            ONE: jobs_per_second("worker", 1, size.jobs),
            SIXTEEN: jobs_per_second("worker", 16, size.jobs),
            WORKING: jobs_per_second("working", 1, size.working_jobs),
        }
        for _ in range(size.runs)
    ]


_SEED = "predecessor: jobs"
_CLAIM = "SQLite FULL, claim + ack"

GROUP = Group(
    "jobs",
    (
        Row(ONE, "/s", 10_000, 30_000, more=True, peers=(_CLAIM, _SEED)),
        Row(SIXTEEN, "/s", 20_000, 40_000, more=True, peers=(_CLAIM,)),
        Row(WORKING, "/s", 2_000, 3_000, more=True, peers=(CHAIN, _CLAIM, _SEED)),
    ),
    _measure,
)
