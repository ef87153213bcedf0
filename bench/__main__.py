"""`python -m bench [ROW ...] [--quick] [--no-peers]`: measure smd and print a table.

Each figure is the median of three runs (`--quick`: one, smaller), with the least and the greatest. A ratio over 1 means
that smd is better than what stands beside it. Peers are measured in the same run; floors and aims were set on another
machine, and the peers that were measured there too tell how fast this one is. Nothing is asserted about time; the
exit code is 1 only when a row could not be measured.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from bench import chain, commands, events, interpreter, jobs, library, machine, parked, predecessor, sqlite_limits
from bench.rows import QUICK, BenchError, Group, Results, Size, head, lines

PEERS: tuple[Group, ...] = (sqlite_limits.GROUP, library.GROUP, chain.GROUP, predecessor.GROUP)
OWN: tuple[Group, ...] = (interpreter.GROUP, *events.GROUPS, jobs.GROUP, commands.GROUP, parked.GROUP)


def run(groups: Sequence[Group], size: Size) -> int:
    """Measure the groups in turn and print their rows; the number of groups that could not be measured."""
    results = Results()
    failed = 0
    note = f"quick: one run, {size.parked:,} parked and {size.machines:,} bulk machines\n" if size is QUICK else ""
    print(machine.summary(), note + head(), sep="\n\n", flush=True)
    for group in groups:
        began = time.monotonic()
        try:
            results.add(group.measure(size))
        except BenchError as error:
            failed += 1
            print(f"{group.name}: {error}", flush=True)
            continue
        for row in group.rows:
            print(*lines(row, results), sep="\n", flush=True)
        print(f"{group.name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    print(f"\ncalibration loop at the end: {machine.calibration():.3f} s")
    return failed


def chosen(words: Sequence[str], *, peers: bool) -> list[Group]:
    """The groups with a name, or a row whose name begins, as one of the words, after the peers they need; all without.

    Raises:
        BenchError: a word names nothing.
    """
    for word in words:
        if not any(_matches(word, group) for group in (*PEERS, *OWN)):
            known = ", ".join(group.name for group in (*PEERS, *OWN))
            raise BenchError(f"cannot find a row '{word}'; groups are {known}")
    wanted = [group for group in OWN if not words or any(_matches(word, group) for word in words)]
    needed = {peer for group in wanted for row in group.rows for peer in row.peers}
    beside = [
        group for group in PEERS
        if any(_matches(word, group) for word in words) or (peers and any(row.name in needed for row in group.rows))
    ]  # fmt: skip
    return [*beside, *wanted]


def _matches(word: str, group: Group) -> bool:
    return group.name == word or any(row.name.startswith(word) for row in group.rows)


def _stop(number: int, _: FrameType | None) -> None:
    """SIGTERM ends what was started, like Ctrl-C."""
    raise SystemExit(128 + number)


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure smd next to its peers.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="a group, or the beginning of a row's name")
    parser.add_argument("--quick", action="store_true", help="one small run each: shows that it works, not how fast")
    parser.add_argument("--no-peers", action="store_true", help="without the peers")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    try:
        return 1 if run(chosen(given.rows, peers=not given.no_peers), QUICK if given.quick else Size()) else 0
    except BenchError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
