"""smd does what the pseudo-code of SCXML's appendix D does, on random charts; fixed seeds, so a failure stays one."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from smd.errors import MachineError
from smd.statechart import run
from smd.statechart.effects import Log
from smd.statechart.event import Event
from smd.statechart.interpreter import full_step
from smd.statechart.model import Statechart
from tests.lab import Lab, chart_of
from tests.unit.appendix_d import MOST_STEPS, EndlessError, Machine
from tests.unit.random_charts import CONTEXT, EVENTS, random_chart

MACHINES, LENGTH = 3, 12


@pytest.fixture(autouse=True)
def _soon_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far fewer microsteps than the reference allows, whose steps count the internal events too."""
    monkeypatch.setattr(run, "MICROSTEPS", MOST_STEPS // 2 - 1)


def of_reference(machine: Machine) -> tuple[Any, ...]:
    history = {pseudo.id: tuple(s.id for s in states) for pseudo, states in machine.history.items()}
    return {s.id for s in machine.configuration}, history, machine.context, machine.log


def of_smd(lab: Lab) -> tuple[Any, ...]:
    logs = [effect.message for effect in lab.effects if isinstance(effect, Log)]
    return set(lab.snapshot.configuration.ids), lab.snapshot.history, lab.context, logs


def begun(document: dict[str, Any], chart: Statechart) -> tuple[Machine, Lab] | None:
    try:
        reference = Machine(document, CONTEXT)
    except EndlessError:
        with pytest.raises(MachineError):
            Lab(chart)
        return None
    return reference, Lab(chart)


def alike(reference: Machine, lab: Lab, event: str) -> bool:
    """Both take one event, smd by its short cuts and without; False if the step has no end."""
    reference.log.clear()
    lab.effects.clear()
    try:
        taken = reference.send(event)
    except EndlessError:
        with pytest.raises(MachineError):
            lab.send(event)
        return False
    slow = full_step(lab.chart, lab.snapshot, Event(event, {}), lab.now)
    assert (lab.send(event) == "taken") == taken
    assert lab.step == slow
    assert of_smd(lab) == of_reference(reference)
    return True


@pytest.mark.parametrize("block", range(8))
def test_random_charts_do_what_the_pseudo_code_does(block: int) -> None:
    """Several machines share a chart, so that what one leaves in its tables is there for the next."""
    for seed in range(block * 10, (block + 1) * 10):
        document = random_chart(seed)
        chart = chart_of(json.dumps(document))
        for machine in range(MACHINES):
            both = begun(document, chart)
            if both is None:
                break
            assert of_smd(both[1]) == of_reference(both[0]), (seed, machine)
            chance = random.Random(seed * MACHINES + machine)
            while chance.random() > 1 / LENGTH and alike(*both, chance.choice(EVENTS)):
                pass
