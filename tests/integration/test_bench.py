"""`python -m bench` still works: a small run of the rows that need no daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import chain, interpreter
from bench.rows import Results, Row, Size, lines

ROOT = Path(__file__).parent.parent.parent


def test_every_interpreter_row_has_a_figure_for_each_run() -> None:
    size = Size(runs=3, steps=200)
    results = Results()
    results.add(interpreter.GROUP.measure(size))
    assert {name: len(figures) for name, figures in results.figures.items()} == {
        row.name: 3 for row in interpreter.GROUP.rows
    }


def test_the_peers_on_smd_s_own_tables_have_a_figure_for_each_run() -> None:
    size = Size(runs=2, working_jobs=20)
    results = Results()
    results.add(chain.GROUP.measure(size))
    assert {name: len(figures) for name, figures in results.figures.items()} == {chain.CHAIN: 2}


def test_the_command_prints_the_chosen_rows() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "interpreter", "--quick", "--no-peers"],
        cwd=ROOT, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [row.name for row in interpreter.GROUP.rows if f"{row.name}, /s" not in done.stdout] == []


def test_an_unknown_row_is_refused_with_the_known_groups() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "flying"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "cannot find a row 'flying'" in done.stderr
    assert "interpreter" in done.stderr


@pytest.mark.parametrize(
    ("more", "figures", "word"),
    [(True, [90, 110, 130], "aim"), (True, [60, 70, 200], "floor"), (True, [10, 20, 300], "below"),
     (False, [1, 2, 90], "aim"), (False, [40, 60, 70], "below")],
)  # fmt: skip
def test_a_line_tells_median_spread_and_what_was_reached(more: bool, figures: list[float], word: str) -> None:
    floor, aim = (50, 100) if more else (50, 10)
    row = Row("thing", "/s", floor, aim, more=more, peers=("peer",))
    results = Results({"thing": figures, "peer": [10.0]})
    (line,) = lines(row, results)
    assert f"{figures[1]:g}  [{figures[0]:g} - {figures[2]:g}]" in line
    assert f" {word} " in line
    ratio = figures[1] / 10 if more else 10 / figures[1]
    assert line.endswith(f"peer 10: x {ratio:.2f}")
