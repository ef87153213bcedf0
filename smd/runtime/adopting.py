"""A machine that was found in the store, and the file that names it: the file may have changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from smd import codec
from smd.runtime import control
from smd.runtime.units import Once
from smd.statechart.model import Statechart
from smd.store.base import PutChart, UpdateMachine

if TYPE_CHECKING:
    from smd.runtime.machine import Machine
    from smd.runtime.supervisor import Supervisor

_log = structlog.get_logger("smd.hosting")


async def adopt(supervisor: Supervisor, machine: Machine, chart: Statechart, origin: str) -> None:
    """Let a machine of the store go on with the chart its file has now, or if that does not fit begin with it next."""
    machine.next_chart = chart
    if chart.hash == machine.chart.hash:
        return

    def recipe() -> Any:
        yield PutChart(chart.hash, codec.dumps(chart.source))
        yield UpdateMachine(machine.name, {"origin": origin})

    await supervisor.store.submit(Once(recipe))
    if machine.lost:
        return
    if machine.snapshot is None or machine.status == "finished":
        machine.chart = chart
    elif control.fits(chart, machine.snapshot):
        payload: dict[str, Any] = {"chart": chart.hash}
        if control.lacks_entry(chart, machine.snapshot):
            payload["entered"] = await _entered(supervisor, machine)
        await supervisor.control(machine.name, control.RELOAD, payload)
    else:
        label = machine.snapshot.configuration.label
        _log.warning("kept the stored chart", machine=machine.name, states=label,
                     why="the file has no such states; smctl restart begins anew with it")  # fmt: skip


async def _entered(supervisor: Supervisor, machine: Machine) -> float | None:
    """The last time at which the machine may have entered one of its states."""
    store, name = supervisor.store, machine.name
    rows = await store.events(name, changed=True, limit=1)
    rows += await store.events(name, types=(control.START,), pending=False, limit=1)
    reloads = await store.events(name, types=(control.RELOAD,), pending=False, limit=-1)
    rows += [row for row in reloads if row.to_state]
    return max((row.now for row in rows if row.now is not None), default=None)
