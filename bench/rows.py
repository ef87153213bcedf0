"""What is measured and how it is told: a row, the group that measures it, and the printed table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class BenchError(Exception):
    """A row cannot be measured: "cannot X: why"."""


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        unit: what stands behind the figure.
        floor: the figure that must be reached, None for a peer's own row.
        aim: the figure wanted.
        more: more is better.
        peers: names of rows measured in the same run to compare with.
        reference: a stored figure of another run: (who, figure).
    """

    name: str
    unit: str
    floor: float | None = None
    aim: float | None = None
    more: bool = False
    peers: tuple[str, ...] = ()
    reference: tuple[str, float] | None = None


@dataclass(frozen=True)
class Size:
    """How much one run does. `runs` is the number of runs per row."""

    runs: int = 3
    steps: int = 200_000
    singles: int = 3_000
    connections: int = 32
    events: int = 20_000
    arrays: int = 60
    machines: int = 1_000
    jobs: int = 20_000
    working_jobs: int = 3_000
    parked: int = 10_000
    watched_seconds: float = 4.0
    starts: int = 20
    commits: int = 2_000


QUICK = Size(
    runs=1, steps=50_000, singles=1_000, events=5_000, arrays=15, machines=200, jobs=4_000, working_jobs=500,
    parked=1_000, watched_seconds=2.0, starts=5, commits=500,
)  # fmt: skip

Measured = Mapping[str, float]
"""Row name to the figure of one run."""


class Group(NamedTuple):
    """Rows measured together: `measure` gives the figures of `Size.runs` runs."""

    name: str
    rows: tuple[Row, ...]
    measure: Callable[[Size], Sequence[Measured]]


@dataclass
class Results:
    """Figures so far, by row name, one per run."""

    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, runs: Sequence[Measured]) -> None:
        """Take the figures of some runs."""
        for run in runs:
            for name, figure in run.items():
                self.figures.setdefault(name, []).append(figure)

    def median(self, name: str) -> float | None:
        """The median over the runs."""
        figures = self.figures.get(name)
        return statistics.median(figures) if figures else None


_HEAD = f"{'what':<46} {'floor':>9} {'aim':>9} {'median':>10}  {'[min - max]':<23} {'reached':<8} next to"


def head() -> str:
    """The table's first lines."""
    return f"{_HEAD}\n{'-' * 122}"


def lines(row: Row, results: Results) -> list[str]:
    """A row's printed lines: its figures, then one line for each further peer."""
    figures = results.figures[row.name]
    median = statistics.median(figures)
    spread = f"[{told(min(figures))} - {told(max(figures))}]"
    others = list(_comparisons(row, median, results)) or [""]
    first = (
        f"{row.name + ', ' + row.unit:<46} {told(row.floor):>9} {told(row.aim):>9} {told(median):>10}  {spread:<23} "
        f"{_reached(row, median):<8} {others[0]}"
    )
    return [first.rstrip(), *(f"{'':<111}{other}" for other in others[1:])]


def _comparisons(row: Row, median: float, results: Results) -> Sequence[str]:
    found = []
    for name in row.peers:
        peer = results.median(name)
        if peer is not None:
            found.append(f"{name} {told(peer)}: {ratio(median, peer, more=row.more)}")
    if row.reference is not None:
        who, figure = row.reference
        found.append(f"{who} {told(figure)} (reference, other run): {ratio(median, figure, more=row.more)}")
    return found


def ratio(ours: float, peer: float, *, more: bool) -> str:
    """How many times better we are; below 1 is worse."""
    top, bottom = (ours, peer) if more else (peer, ours)
    return f"x {top / bottom:,.2f}" if bottom else "x -"


def _reached(row: Row, median: float) -> str:
    if row.floor is None:
        return ""
    for word, goal in (("aim", row.aim), ("floor", row.floor)):
        if goal is not None and (median >= goal if row.more else median <= goal):
            return word
    return "below"


def told(figure: float | None) -> str:
    """A figure with about three digits."""
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
