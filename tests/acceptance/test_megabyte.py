"""A million bytes of text go everywhere as one action among others, however JSON has to write them."""

from __future__ import annotations

import hashlib
import json
from uuid import uuid4

import pytest

from smd.client import ClientError, path
from tests.acceptance.daemon import Daemon

SIZE = 1_000_000
TEXTS = {"ASCII": "x" * SIZE, "no ASCII": "é" * (SIZE // 2), "line ends": "\n" * SIZE, "controls": "\x01" * SIZE,
         "surrogates": "😀" * (SIZE // 4)}  # fmt: skip
CHART = """
machine: {name}
states:
  idle: {{on: {{bash: bash, run: run, log: log, pass: pass, keep: keep}}}}
  bash:
    actions:
      - {{type: bash, command: "md5sum", stdin: "{{payload.text}}", store_as: seen}}
      - {{type: bash, command: "echo after", store_as: after, success: on}}
    on: {{on: done, error: failed}}
  run:
    actions:
      - {{type: run, command: [md5sum], stdin: "{{payload.text}}", store_as: seen}}
      - {{type: bash, command: "echo after", store_as: after, success: on}}
    on: {{on: done, error: failed}}
  log:
    actions:
      - {{type: log, message: "<{{payload.text}}>"}}
      - {{type: bash, command: "echo after", store_as: after, success: on}}
    on: {{on: done, error: failed}}
  pass:
    actions:
      - {{type: send_event, target: "{name}-other", event: keep, payload: {{text: "{{payload.text}}"}}}}
      - {{type: bash, command: "echo after", store_as: after, success: on}}
    on: {{on: done, error: failed}}
  keep:
    actions:
      - {{type: set_context, key: kept, value: "{{payload.text}}"}}
      - {{type: bash, command: "md5sum", stdin: "{{kept}}", store_as: seen}}
      - {{type: bash, command: "echo after", store_as: after, success: on}}
    on: {{on: done, error: failed}}
  done: {{}}
  failed: {{}}
"""


@pytest.fixture
def name(shared: Daemon) -> str:
    """A machine, and another that it can send to."""
    name = f"mega-{uuid4().hex[:8]}"
    shared.add(CHART.format(name=name))
    shared.add(CHART.format(name=name), f"{name}-other")
    return name


def send(daemon: Daemon, machine: str, kind: str, text: str, *, escaped: bool = False) -> None:
    """Send the text, and wait until the actions are done; `escaped`: in ASCII alone, as most programs write JSON."""
    body = json.dumps({"type": kind, "payload": {"text": text}}, ensure_ascii=escaped).encode()
    with daemon.client() as client:
        answer = client.request(
            "POST", path("machines", machine, "events"), raw=("application/json", body), query={"wait": "settled"}
        )
    assert answer["disposition"] == "taken"


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("kind", ["bash", "run", "keep"])
def test_a_million_bytes_go_through_standard_input_and_context(
    shared: Daemon, name: str, kind: str, text: str, *, escaped: bool
) -> None:
    send(shared, name, kind, text, escaped=escaped)
    assert shared.states(name) == ["done"], shared.get(path("machines", name))
    context = shared.context(name)
    assert context["seen"].split()[0] == md5(text)
    assert context["after"].strip() == "after"
    assert context.get("kept", text) == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_million_bytes_go_to_another_machine(shared: Daemon, name: str, text: str) -> None:
    send(shared, name, "pass", text)
    assert shared.states(name) == ["done"]
    other = f"{name}-other"
    shared.send(other, "look", wait="settled")
    assert shared.states(other) == ["done"]
    assert shared.context(other)["kept"] == text
    assert shared.context(other)["seen"].split()[0] == md5(text)


def test_a_million_bytes_are_logged_whole(shared: Daemon, name: str) -> None:
    send(shared, name, "log", TEXTS["no ASCII"])
    assert shared.states(name) == ["done"]
    assert f"<{TEXTS['no ASCII']}>" in (shared.state / "logs" / f"{name}.log").read_text()


def test_a_payload_over_a_mebibyte_is_refused_however_it_is_written(shared: Daemon, name: str) -> None:
    for text in ("x" * ((1 << 20) + 1), "é" * (1 << 19), "\n" * (1 << 20), "x" * 10_000_000):
        with pytest.raises(ClientError) as error:
            send(shared, name, "keep", text)
        assert (error.value.status, error.value.code) == (413, "too_large")
        assert "1048576 bytes" in error.value.message
    assert shared.states(name) == ["idle"]


CROWD = """
machine: {name}
states:
  at:
    busy: queue
    on: {{work: at}}
    actions: [{{type: bash, command: "cat > /dev/null; sleep 1000", stdin: "{{payload.text}}"}}]
"""


def test_what_waits_beside_the_context_has_a_limit_of_its_own(shared: Daemon) -> None:
    """One large event may be put by in the snapshot; those behind it stay in the store, and the machine goes on."""
    name = shared.add(CROWD.format(name=f"crowd-{uuid4().hex[:8]}"))
    told = [shared.send(name, "work", {"text": "x" * SIZE})["disposition"] for _ in range(5)]
    assert told == ["deferred"] + ["queued"] * 4
    assert shared.get(path("machines", name))["status"] == "running"
