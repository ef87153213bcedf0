"""A machine whose row in the store makes no sense is shown as failed; the daemon and all others run (P8)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.acceptance.daemon import Daemon

CHART = """
machine: {name}
context: {{n: 0}}
states:
  a:
    on: {{tick: {{actions: [{{type: assign, set: {{n: context.n + 1}}}}]}}}}
    after: {{1h: a}}
    actions: [{{type: sleep, duration: 1h}}]
"""
BROKEN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "'index' of a sequence is 'x', not int": lambda p: p["sequences"][0].__setitem__(2, "x"),
    "'due' of a timer is 'soon'": lambda p: p["timers"][0].__setitem__(2, "soon"),
    "'context' of the snapshot is [1]": lambda p: p.update(context=[1]),
    "attempt 1": lambda p: p["sequences"][0].__setitem__(2, 5),
    "cannot restore state 'z'": lambda p: p.update(configuration=["z"]),
    "KeyError at 'loop'": lambda p: p.pop("loop"),
}


def _spoil(daemon: Daemon, machine: str, spoil: Callable[[dict[str, Any]], Any]) -> None:
    with closing(sqlite3.connect(daemon.store)) as store, store:
        ((stored,),) = store.execute("SELECT snapshot FROM machines WHERE name = ?", (machine,)).fetchall()
        plain = json.loads(stored)
        spoil(plain)
        changed = store.execute(
            "UPDATE machines SET snapshot = ? WHERE name = ?", (json.dumps(plain).encode(), machine)
        )
        assert changed.rowcount == 1


@pytest.mark.parametrize("stopped", [True, False], ids=["after a stop", "after a kill"])
def test_one_broken_row_fails_its_machine_alone(start: Callable[..., Daemon], *, stopped: bool) -> None:
    daemon = start()
    names = [f"m{number}" for number in range(len(BROKEN))]
    for name in (*names, "well"):
        daemon.add(CHART.format(name=name))
        assert daemon.send(name, "tick")["disposition"] == "taken"
    if stopped:
        daemon.stop()
    else:
        daemon.kill()
    for name, spoil in zip(names, BROKEN.values(), strict=True):
        _spoil(daemon, name, spoil)
    daemon.start()
    for name, why in zip(names, BROKEN, strict=True):
        view = daemon.get(f"/v1/machines/{name}")
        assert (view["status"], view["health"]) == ("failed", "Critical")
        assert why in view["error"]
        assert why in daemon.smctl("status", name).out
    assert daemon.get("/v1/machines/well")["status"] == "running"
    assert daemon.send("well", "tick")["disposition"] == "taken"
    assert daemon.context("well") == {"n": 2}
    daemon.post(f"/v1/machines/{names[0]}/restart")
    assert daemon.send(names[0], "tick")["disposition"] == "taken"
    assert daemon.context(names[0]) == {"n": 1}
