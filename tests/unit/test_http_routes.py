"""Every route but the events: what it calls, what it answers, who may use it."""

from __future__ import annotations

from typing import Any

import pytest

from smd import __version__, codec
from smd.http.access import Access, Peer
from smd.http.app import ROUTES, Application
from smd.http.bodies import BODY_LIMIT, BULK_LIMIT, MACHINE_LIMIT, YAML_LIMIT
from smd.jobs import NewJob
from smd.yaml_source import MAX_BYTES
from tests.unit.http_double import JOB, ROW, VIEW, Caller, SmallSupervisor

PLAIN_VIEW = codec.loads(codec.dumps(VIEW.plain(stored=2)))
"""Two events wait for it in the store."""
SHOWN_ROW = {
    "seq": 9, "consumed_no": 4, "at": 10.0, "now": 10.5, "type": "go", "from": "idle", "to": "busy",
    "disposition": "taken", "source": "cli", "job_id": None, "error": None, "machine": "worker",
}  # fmt: skip


@pytest.fixture
def call() -> Caller:
    supervisor = SmallSupervisor()
    app = Application(supervisor, access=Access(), schema=lambda: {"type": "object"}, clock=lambda: 50.0)
    return Caller(supervisor, app, Peer(1, 0, 0))


GETS = [
    ("/health", {"status": "ok"}),
    ("/livez", {"status": "ok"}),
    ("/readyz", {"status": "ok"}),
    ("/v1/schema", {"type": "object"}),
    ("/v1/machines", {"machines": [PLAIN_VIEW], "next": None}),
    ("/v1/machines?limit=1", {"machines": [PLAIN_VIEW], "next": None}),
    ("/v1/machines?after=worker", {"machines": [], "next": None}),
    ("/v1/machines/worker", PLAIN_VIEW),
    ("/v1/machines/worker/snapshot",
     {"machine": "worker", "version": 7, "status": "running", "snapshot": {"context": {"n": 1}}}),
    ("/v1/machines/worker/history", {"rows": [SHOWN_ROW], "next": None}),
    ("/v1/machines/worker/history?limit=1", {"rows": [SHOWN_ROW], "next": 9}),
    ("/v1/history", {"rows": [SHOWN_ROW], "next": None}),
    ("/v1/errors", {"rows": [SHOWN_ROW], "next": None}),
    ("/v1/events", {"rows": [{**SHOWN_ROW, "payload": {"x": 1}, "id": "e1"}], "next": None}),
    ("/v1/jobs", {"jobs": [JOB._asdict()], "next": None}),
    ("/v1/jobs?limit=1", {"jobs": [JOB._asdict()], "next": 3}),
    ("/v1/jobs/j1", JOB._asdict()),
    ("/v1/queues", {"queues": {"image": {"available": 2}, "text": {"available": 1, "failed": 1}}}),
]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(("target", "answer"), GETS, ids=[target for target, _ in GETS])
async def test_a_question_gets_its_answer(call: Caller, target: str, answer: Any) -> None:
    reply = await call("GET", target)
    assert (reply.status, reply.json) == (200, answer)
    assert reply.headers[b"content-type"] == b"application/json"


@pytest.mark.asyncio
async def test_the_status_counts_machines_and_jobs(call: Caller) -> None:
    status = (await call("GET", "/v1/status")).json
    assert status.pop("pid") > 0
    assert status == {
        "status": "ok", "version": __version__, "uptime": 0.0, "store": {}, "store_id": "store",
        "machines": {"running": 1}, "jobs": {"available": 3, "failed": 1},
    }  # fmt: skip


@pytest.mark.asyncio
async def test_a_store_that_cannot_write_is_not_ready(call: Caller) -> None:
    call.supervisor.writable = False
    reply = await call("GET", "/readyz")
    assert (reply.status, reply.json["reason"]) == (503, "disk full")


ASKED = [
    ("/v1/machines/worker/history?limit=5&before=9&since=1.5",
     {"machine": "worker", "since": 1.5, "before": 9, "limit": 5, "changed": True, "errors": False}),
    ("/v1/history?machine=gone",
     {"machine": "gone", "since": None, "before": None, "limit": 100, "changed": True, "errors": False}),
    ("/v1/errors?since=3",
     {"machine": None, "since": 3.0, "before": None, "limit": 100, "changed": False, "errors": True}),
    ("/v1/events?status=pending&type=go&machine=w",
     {"machine": "w", "types": ["go"], "since": None, "before": None, "limit": 100, "pending": True}),
    ("/v1/events?status=consumed",
     {"machine": None, "types": None, "since": None, "before": None, "limit": 100, "pending": False}),
    ("/v1/jobs?status=processing&type=image&limit=7&before=4",
     {"status": "running", "job_type": "image", "limit": 7, "before": 4}),
]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(("target", "asked"), ASKED)
async def test_filters_reach_the_store(call: Caller, target: str, asked: Any) -> None:
    assert (await call("GET", target)).status == 200
    assert call.supervisor.store.asked == asked


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "target",
    [
        "/v1/history?limit=0", "/v1/history?limit=1001", "/v1/history?limit=x", "/v1/history?limit=1&limit=2",
        "/v1/history?before=-1", "/v1/history?since=inf", "/v1/history?colour=red", "/v1/events?status=lost",
        "/v1/jobs?status=lost", "/v1/jobs?before=%D9%A3", "/v1/machines/worker/log?lines=-1",
        "/v1/machines/worker/log?follow=maybe", "/v1/machines?limit=0", "/v1/machines?limit=-1",
        "/v1/machines?limit=1001", "/v1/machines?colour=red",
    ],
)  # fmt: skip
async def test_a_wrong_filter_is_422(call: Caller, target: str) -> None:
    assert (await call("GET", target)).status == 422


@pytest.mark.asyncio
async def test_machines_are_paged_by_name(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call.supervisor, "views", lambda: [VIEW._replace(name=name) for name in "abc"])
    pages = [(await call("GET", f"/v1/machines?limit=2{after}")).json for after in ("", "&after=b", "&after=c")]
    seen = [([view["name"] for view in page["machines"]], page["next"]) for page in pages]
    assert seen == [(["a", "b"], "b"), (["c"], None), ([], None)]


@pytest.mark.asyncio
@pytest.mark.parametrize(("now", "shown"), [(10.5, 10.5), (None, None)])
async def test_a_row_sent_at_no_known_time_is_shown_at_the_time_it_was_consumed(
    call: Caller, monkeypatch: pytest.MonkeyPatch, now: float | None, shown: float | None
) -> None:
    async def events(*_: Any, **__: Any) -> Any:
        return [ROW._replace(at=0.0, now=now)]

    monkeypatch.setattr(call.supervisor.store, "events", events)
    for route in ("/v1/events", "/v1/history", "/v1/errors", "/v1/machines/worker/history"):
        assert (await call("GET", route)).json["rows"][0]["at"] == shown


VERBS = ["start", "stop", "restart", "resume", "reset-failed"]


@pytest.mark.asyncio
@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_calls_the_supervisor_and_shows_the_machine(call: Caller, verb: str) -> None:
    reply = await call("POST", f"/v1/machines/worker/{verb}")
    assert (reply.status, reply.json) == (200, PLAIN_VIEW)
    assert call.supervisor.called == [(verb.replace("-", "_"), "worker")]


@pytest.mark.asyncio
@pytest.mark.parametrize(("body", "now"), [(None, False), ({}, False), ({"now": True}, True)])
async def test_pause_may_be_at_once(call: Caller, body: Any, *, now: bool) -> None:
    assert (await call("POST", "/v1/machines/worker/pause", body)).status == 200
    assert call.supervisor.called == [("pause", "worker", now)]


@pytest.mark.asyncio
async def test_a_machine_is_added_from_yaml(call: Caller) -> None:
    reply = await call("POST", "/v1/machines", {"yaml": "a: 1", "name": "w", "context": {"n": 1}, "start": False})
    assert (reply.status, reply.json) == (201, PLAIN_VIEW)
    asked = {"path": None, "text": "a: 1", "name": "w", "context": {"n": 1}, "start": False}
    assert call.supervisor.called == [("add", "worker", asked)]


@pytest.mark.asyncio
async def test_a_machine_s_text_may_be_as_long_as_the_document_layer_takes_it(call: Caller) -> None:
    """However its sender escapes it. Beyond that nobody is told to send it in parts."""
    assert YAML_LIMIT == MAX_BYTES
    text = "#" * YAML_LIMIT
    escaped = b'{"yaml": "' + b"\\u0023" * YAML_LIMIT + b'"}'
    assert (await call("POST", "/v1/machines", escaped)).status == 201
    assert call.supervisor.called[0][2]["text"] == text
    refused = await call("POST", "/v1/machines", b" " * (MACHINE_LIMIT + 1))
    assert (refused.status, "parts" in refused.json["error"]["hint"]) == (413, False)


@pytest.mark.asyncio
async def test_only_what_holds_many_things_is_to_be_sent_in_parts(call: Caller) -> None:
    jobs = await call("POST", "/v1/jobs", b" " * (BULK_LIMIT + 1))
    verb = await call("POST", "/v1/machines/worker/start", b" " * (BODY_LIMIT + 1))
    assert [(r.status, r.json["error"]["hint"]) for r in (jobs, verb)] == [
        (413, "send it in parts"), (413, "keep large data in a file and send its name"),
    ]  # fmt: skip


@pytest.mark.asyncio
async def test_a_machine_is_removed(call: Caller) -> None:
    reply = await call("DELETE", "/v1/machines/worker")
    assert (reply.status, reply.json, call.supervisor.called) == (200, {"removed": "worker"}, [("remove", "worker")])


@pytest.mark.asyncio
async def test_the_log_is_text(call: Caller) -> None:
    reply = await call("GET", "/v1/machines/worker/log?lines=1")
    assert (reply.raw, reply.headers[b"content-type"]) == (b"two\n", b"text/plain; charset=utf-8")


@pytest.mark.asyncio
async def test_one_job_is_added_and_warned_of_when_nothing_takes_it(call: Caller) -> None:
    body = {"type": "text", "job_id": "a", "machine_type": "m", "data": [1], "priority": 1, "metadata": {"k": 2}}
    reply = await call("POST", "/v1/jobs", body)
    assert (reply.status, reply.json["job_type"]) == (201, "text")
    assert reply.json["warning"] == "no machine takes jobs of type text"
    assert call.supervisor.called == [("add_jobs", [NewJob("text", "a", "m", [1], 1, None, {"k": 2})])]


@pytest.mark.asyncio
@pytest.mark.parametrize("ndjson", [False, True])
async def test_many_jobs_are_added_in_one_call(call: Caller, *, ndjson: bool) -> None:
    lines = [{"job_type": "image"}, {"job_type": "image", "payload": {}}]
    body = b"\n".join(map(codec.dumps, lines)) if ndjson else codec.dumps(lines)
    headers = ((b"content-type", b"application/x-ndjson"),) if ndjson else ()
    reply = await call("POST", "/v1/jobs", body, headers=headers)
    assert (reply.status, len(reply.json["jobs"]), "warning" in reply.json) == (201, 2, False)
    assert call.supervisor.called == [("add_jobs", [NewJob("image"), NewJob("image", data={})])]


NDJSON = ((b"content-type", b"application/x-ndjson"),)
GOOD = b'{"job_type": "image", "job_id": "a"}'


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([GOOD, b"", b'{"job_type": '], "(line 3, column "),
        ([GOOD, b"\r", b"\xff"], "it is not UTF-8 (line 3)"),
        ([GOOD, b"", b'{"job_type": 5}'], "job_type: must be a string (line 3)"),
        ([GOOD, b"", b'{"job_type": "image", "priority": 123456789012345678901}'], "64 bits (line 3)"),
        ([GOOD, b"", GOOD], "cannot add job 'a': its id stands twice (lines 1 and 3)"),
    ],
)
async def test_what_is_wrong_in_many_jobs_is_told_with_its_line(call: Caller, lines: list[bytes], told: str) -> None:
    reply = await call("POST", "/v1/jobs", b"\n".join(lines), headers=NDJSON)
    assert (reply.status in {400, 422}, call.supervisor.called) == (True, [])
    assert told in reply.json["error"]["message"]
    assert reply.json["error"]["message"].count("line") == 1


@pytest.mark.asyncio
async def test_an_array_of_jobs_with_one_id_twice_is_refused(call: Caller) -> None:
    jobs = [{"job_type": "image", "job_id": "b"}, {"job_type": "image"}, {"job_type": "image"}]
    assert (await call("POST", "/v1/jobs", jobs)).status == 201
    reply = await call("POST", "/v1/jobs", [*jobs, jobs[0]])
    told = "cannot add job 'b': its id stands twice (jobs 1 and 4)"
    assert (reply.status, reply.code, reply.json["error"]["message"]) == (422, "repeated_id", told)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "target", "told"),
    [
        ("POST", "/v1/machines/a%2Fb/events", "cannot find 'a/b'"),
        ("GET", "/v1/machines/..%2fx", "cannot find '../x'"),
        ("GET", "/v1/jobs/..%2Fx", "cannot find job '../x'"),
        ("GET", "/v1/jobs/%C3%A9%2F%25", "cannot find job 'é/%'"),
        ("GET", "/v1%2Fjobs", "cannot find route '/v1%2Fjobs'"),
    ],
)
async def test_a_slash_within_a_name_does_not_cut_it(call: Caller, method: str, target: str, told: str) -> None:
    reply = await call(method, target, {"type": "go"} if method == "POST" else None)
    assert (reply.status, reply.json["error"]["message"].partition(":")[0]) == (404, told)


@pytest.mark.asyncio
async def test_a_job_is_completed_with_its_result(call: Caller) -> None:
    reply = await call("POST", "/v1/jobs/j1/complete", {"result": {"n": 1}})
    assert (reply.status, reply.json["status"]) == (200, "completed")
    assert call.supervisor.called == [("settle_job", "j1", "completed", {"n": 1}, None)]


@pytest.mark.asyncio
async def test_a_job_is_failed_with_a_reason(call: Caller) -> None:
    assert (await call("POST", "/v1/jobs/j1/fail", {"reason": "bad"})).json["status"] == "failed"
    assert call.supervisor.called == [("settle_job", "j1", "failed", None, "bad")]


WRONG = [
    ("POST", "/v1/machines", {}, 422), ("POST", "/v1/machines", {"path": "a", "yaml": "b"}, 422),
    ("POST", "/v1/machines", {"path": ""}, 422), ("POST", "/v1/machines", {"path": "a", "start": "yes"}, 422),
    ("POST", "/v1/machines", {"path": "a", "context": []}, 422), ("POST", "/v1/machines", b"{", 400),
    ("POST", "/v1/machines/worker/start", {"now": True}, 422), ("POST", "/v1/machines/worker/start", [], 422),
    ("POST", "/v1/machines/worker/pause", {"now": 1}, 422), ("POST", "/v1/machines/nobody/start", None, 404),
    ("DELETE", "/v1/machines/nobody", None, 404), ("GET", "/v1/machines/nobody", None, 404),
    ("GET", "/v1/machines/nobody/history", None, 404), ("GET", "/v1/machines/nobody/log?follow=1", None, 404),
    ("GET", "/v1/machines/nobody/snapshot", None, 404), ("GET", "/v1/jobs/nothing", None, 404),
    ("POST", "/v1/jobs", {}, 422), ("POST", "/v1/jobs", 5, 422), ("POST", "/v1/jobs", b"[", 400),
    ("POST", "/v1/jobs", {"job_type": ""}, 422),
    ("POST", "/v1/jobs", {"job_type": "image", "priority": 2**40}, 422),
    ("POST", "/v1/jobs", {"job_type": "image", "job_id": "a\nb"}, 422),
    ("POST", "/v1/jobs", [{"job_type": "image"}, {"job_type": 5}], 422),
    ("POST", "/v1/jobs", {"job_type": "image", "job_id": "taken"}, 409),
    ("POST", "/v1/jobs/j1/fail", {}, 422), ("POST", "/v1/jobs/j1/fail", {"reason": ""}, 422),
    ("POST", "/v1/jobs/j1/complete", {"reason": "x"}, 422), ("POST", "/v1/jobs/no/complete", {}, 404),
    ("GET", "/", None, 404), ("GET", "/v1", None, 404), ("GET", "/v1/machines/", None, 404),
    ("GET", "/v1/machines/worker/../../etc", None, 404), ("POST", "/v1/machines/worker/explode", None, 404),
    ("PUT", "/v1/machines", None, 405), ("GET", "/v1/machines/worker/events", None, 405),
    ("POST", "/v1/status", None, 405), ("BREW", "/health", None, 405),
]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(("method", "target", "body", "status"), WRONG)
async def test_a_wrong_request_is_refused_and_changes_nothing(
    call: Caller, method: str, target: str, body: Any, status: int
) -> None:
    reply = await call(method, target, body)
    assert (reply.status, call.supervisor.called, call.supervisor.posted) == (status, [], [])
    assert reply.json["error"]["message"].startswith("cannot ")


@pytest.mark.asyncio
async def test_a_wrong_method_names_the_right_ones(call: Caller) -> None:
    reply = await call("PUT", "/v1/machines")
    assert (reply.code, reply.headers[b"allow"]) == ("wrong_method", b"GET, POST, HEAD")


@pytest.mark.asyncio
async def test_an_unknown_route_says_so(call: Caller) -> None:
    assert (await call("GET", "/v2")).code == "unknown_route"


@pytest.mark.asyncio
@pytest.mark.parametrize("target", ["/v1/machines", "/v1/machines/worker/log?follow=1"])
async def test_a_head_request_ends_at_once(call: Caller, target: str) -> None:
    assert (await call("HEAD", target)).status == 200


def test_the_table_names_each_method_of_a_path_once_and_describes_it() -> None:
    pairs = [(row.path, row.method) for row in ROUTES]
    assert len(set(pairs)) == len(pairs)
    assert all(row.doc for row in ROUTES)
    assert {row.path for row in ROUTES if row.role is None} == {"/health", "/livez", "/readyz"}


def test_rows_show_what_the_journal_keeps() -> None:
    assert SHOWN_ROW["from"] == ROW.from_state
