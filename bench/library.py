"""A machine in memory of the library `transitions`: what Python does with a step on this computer."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from bench.peers import BIN, install
from bench.rows import BenchError, Group, Measured, Row, Size

STEP = "transitions 0.9.3: step, guard + action"

_PACKAGE = "transitions==0.9.3"
_PROGRAM = """
import sys, time
from transitions import Machine

class Model:
    n = 0

    def allowed(self):
        return True

    def count(self):
        self.n += 1

model, steps = Model(), int(sys.argv[1])
Machine(model, states=["a", "b"], initial="a", transitions=[
    {"trigger": "go", "source": source, "dest": target, "conditions": "allowed", "after": "count"}
    for source, target in ("ab", "ba")
])
began = time.perf_counter()
for _ in range(steps):
    model.go()
print(steps / (time.perf_counter() - began), model.n)
"""


def _steps_per_second(steps: int) -> float:
    command = [str(BIN / "python"), "-c", _PROGRAM, str(steps)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except (subprocess.SubprocessError, OSError) as error:
        raise BenchError(f"cannot measure {_PACKAGE}: {error}") from error
    if done.returncode:
        raise BenchError(f"cannot measure {_PACKAGE}: {done.stderr.strip()[-200:]}")
    rate, counted = done.stdout.split()
    if int(counted) != steps:
        raise BenchError(f"cannot use the figures: {_PACKAGE} counted {counted}, not {steps}")
    return float(rate)


def _measure(size: Size) -> Sequence[Measured]:
    install(_PACKAGE)
    return [{STEP: _steps_per_second(size.steps // 4)} for _ in range(size.runs)]


GROUP = Group("library", (Row(STEP, "/s", more=True, reference=("the floors' machine", 167_600)),), _measure)
