"""32 connections, one machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.load import COUNTER, Sender, query, replays, seconds_of, sizes


@pytest.mark.parametrize("events", sizes(10_000, 200_000))
def test_every_event_of_32_connections_is_acknowledged_journaled_and_counted_once(
    start: Callable[..., Daemon], events: int
) -> None:
    daemon = start()
    daemon.add(COUNTER)
    sender = Sender(daemon.socket)

    sender.send("counter", range(events))

    assert Counter(answer["disposition"] for answer in sender.answers.values()) == {"taken": events}
    assert len({answer["seq"] for answer in sender.answers.values()}) == events
    assert daemon.states("counter") == [["even", "odd"][events % 2]]
    assert daemon.context("counter") == {"count": events, "sum": sum(range(events))}
    daemon.kill()
    assert query(daemon.store, "SELECT count(*), count(DISTINCT id) FROM journal WHERE type = 'tick'") == [
        (events, events)
    ]
    assert replays(daemon.store) == 1


def test_a_restart_after_a_load_is_about_as_quick_as_on_an_empty_store(start: Callable[..., Daemon]) -> None:
    daemon = start()
    empty = seconds_of(daemon.again)
    daemon.add(COUNTER)
    Sender(daemon.socket).send("counter", range(10_000))
    assert seconds_of(daemon.again) < 3 * empty
    assert daemon.context("counter")["count"] == 10_000
