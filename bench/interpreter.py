"""The pure interpreter: steps a second of a chart loaded from YAML."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.daemon import CHARTS
from bench.library import STEP
from bench.rows import BenchError, Group, Measured, Row, Size
from smd.document import load_document
from smd.statechart.effects import TAKEN
from smd.statechart.event import Event
from smd.statechart.interpreter import initial, macrostep

FLAT = "interpreter: flat step, guard + action"
NESTED = "interpreter: nested step, parallel pair"


def steps_per_second(name: str, steps: int) -> float:
    """Steps a second of the chart `charts/<name>.yaml`, which moves at each `go`.

    Raises:
        BenchError: the machine did not move every time.
    """
    path = CHARTS / f"{name}.yaml"
    chart = load_document(path.read_bytes(), str(path))
    step = initial(chart, machine="bench", life=1, version=0, context={}, now=0.0)
    event = Event("go", {})
    for _ in range(100):
        step = macrostep(chart, step.snapshot, event, 0.0)
    began = time.perf_counter()
    for _ in range(steps):
        step = macrostep(chart, step.snapshot, event, 0.0)
    seconds = time.perf_counter() - began
    if step.disposition != TAKEN or step.snapshot.context["n"] != steps + 100:
        raise BenchError(f"cannot use the figures: {name} counted {step.snapshot.context['n']}, not {steps + 100}")
    return steps / seconds


def _measure(size: Size) -> Sequence[Measured]:
    return [
        {FLAT: steps_per_second("flat", size.steps), NESTED: steps_per_second("nested", size.steps // 2)}
        for _ in range(size.runs)
    ]


GROUP = Group(
    "interpreter",
    (
        Row(FLAT, "/s", 400_000, 800_000, more=True, peers=(STEP,), reference=("XState 5.33", 334_500)),
        Row(NESTED, "/s", 250_000, 500_000, more=True, reference=("XState 5.33", 238_700)),
    ),
    _measure,
)
