"""What `send_event` carries beside its payload: the job it is about (compatibility §4.6, §8.1)."""

from __future__ import annotations

from typing import Any

import pytest

from smd.jobs.job import NewJob
from smd.statechart.effects import Warn
from smd.statechart.snapshot_json import from_plain, to_plain
from tests.hosting import hosting
from tests.lab import Lab

SENDER = """
initial_state: w
transitions: [{from: w, to: a, event: new_job}, {from: a, to: b, event: event_sent}]
actions:
  w: [{type: %s, job_type: t}]
  a: [{type: send_event, target_machine: sink, event_type: hello, payload: {x: 1}}]
"""
SINK = """
initial_state: w
events: {hello: {context_map: {jid: job_id}}}
transitions: [{from: w, to: h, event: hello}]
actions: {h: [{type: set_context, key: seen, value: "{event_data.job_id}"}]}
"""
SEND = "states: {a: {entry: [{type: send_event, target: o, event_type: e%s}]}}"


@pytest.mark.asyncio
@pytest.mark.parametrize("claims", ["claim_job", "check_database_queue"])
async def test_a_send_carries_the_id_of_the_current_job(claims: str) -> None:
    async with hosting() as host:
        await host.add(SINK, name="sink")
        await host.add(SENDER % claims, name="sender")
        await host.supervisor.add_jobs([NewJob("t", "S1")])
        await host.until("sink", "h")
        await host.quiet()
        context = host.context("sink")
        assert (context["jid"], context["seen"]) == ("S1", "S1")


@pytest.mark.parametrize(
    ("context", "job_id"),
    [
        ({}, None),
        ({"current_job": {"id": "J"}, "id": "other"}, "J"),
        ({"current_job": {"id": 7, "job_id": "J"}}, "J"),
        ({"current_job": {}, "id": "K"}, "K"),
        ({"id": 5}, "5"),
        ({"current_job": {"data": {}}, "id": "K"}, None),
        ({"id": {"no": "id"}}, None),
        ({"id": True}, None),
        ({"id": "x" * 256}, None),
    ],
    ids=str,
)
def test_the_job_is_chosen_as_the_predecessor_did(context: dict[str, Any], job_id: str | None) -> None:
    assert [send.job_id for send in Lab(SEND % "", **context).sends] == [job_id]


def test_a_delayed_send_carries_the_job_of_its_making() -> None:
    lab = Lab(SEND % ", delay: 3s", id="J")
    lab.wait(3)
    assert [send.job_id for send in lab.sends] == ["J"]


def test_a_delayed_send_of_an_earlier_release_is_still_sent() -> None:
    lab = Lab(SEND % ", delay: 3s, id: s", id="J")
    plain = to_plain(lab.snapshot)
    (timer,) = plain["timers"]
    assert timer[-1][-1] == "J"
    timer[-1] = timer[-1][:-1]
    lab.snapshot = from_plain(lab.chart, plain)
    lab.wait(3)
    assert [(send.type, send.job_id) for send in lab.sends] == [("e", None)]


def told(lab: Lab) -> list[str]:
    return [effect.message for effect in lab.effects if isinstance(effect, Warn)]


def test_a_whole_payload_that_is_unknown_is_empty_and_a_warning_says_so() -> None:
    lab = Lab(SEND % ", payload: '{event_data.payload.nope}'")
    assert [send.payload for send in lab.sends] == [{}]
    assert told(lab) == ["sent 'e' without {event_data.payload.nope}: there is no such value"]


def test_an_unknown_value_within_a_payload_is_null_and_a_warning_says_so() -> None:
    lab = Lab(SEND % ", payload: {a: '{nope}', b: '{known}'}", known=1)
    assert [send.payload for send in lab.sends] == [{"a": None, "b": 1}]
    assert told(lab) == ["sent 'e' without {nope}: there is no such value"]


def test_where_there_is_nothing_to_forward_the_payload_is_empty() -> None:
    lab = Lab(SEND % ", payload: '{event_data.payload}'")
    assert [send.payload for send in lab.sends] == [{}]
    assert told(lab) == []


@pytest.mark.parametrize(("whole", "sent"), [("{whole}", "{whole}"), ("text", "text"), (None, {})])
def test_a_whole_payload_that_is_known_is_sent_as_it_is(whole: Any, sent: Any) -> None:
    assert [send.payload for send in Lab(SEND % ", payload: '{whole}'", whole=whole).sends] == [sent]
