"""`--initial-context`: a new life takes the one that is given, a life under way keeps its own and the daemon says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hosting import Host, hosting
from tests.integration.running import Listener, running

pytestmark = pytest.mark.asyncio

CHART = "machine: m\ncontext: {c: 0}\nstates: {a: {on: {end: z}}, z: {type: final}}\n"


async def place(host: Host, context: dict[str, Any] | None) -> dict[str, Any]:
    """The context of `m` once its file was given with this context."""
    await host.supervisor.hosting.place(host.supervisor.charts.parse(CHART, "test"), "test", context=context)
    await host.quiet()
    return host.context("m")


def warned(told: str) -> bool:
    return "kept the context" in told and "smctl restart m" in told


async def test_a_finished_machine_begins_with_the_context_given_now(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s.db") as host:
        assert await place(host, {"a": 1}) == {"a": 1, "c": 0}
        await host.send("m", "end")
    async with hosting(tmp_path / "s.db") as host:
        assert await place(host, {"a": 2, "b": 3}) == {"a": 2, "b": 3, "c": 0}
        await host.send("m", "end")
    async with hosting(tmp_path / "s.db") as host:
        assert await place(host, None) == {"a": 2, "b": 3, "c": 0}
        await host.send("m", "end")
    async with hosting(tmp_path / "s.db") as host:
        assert await place(host, {}) == {"c": 0}


async def test_a_life_under_way_keeps_its_context_and_this_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with hosting(tmp_path / "s.db") as host:
        await place(host, {"a": 1})
    for _ in range(2):
        async with hosting(tmp_path / "s.db") as host:
            capfd.readouterr()
            assert await place(host, {"a": 2}) == {"a": 1, "c": 0}
            assert warned("".join(capfd.readouterr()))
            await place(host, {"a": 1})
            assert not warned("".join(capfd.readouterr())), "its life began with just that"
            await place(host, {"a": 2})
    async with hosting(tmp_path / "s.db") as host:
        capfd.readouterr()
        await place(host, None)
        assert not warned("".join(capfd.readouterr()))
        await host.supervisor.restart("m")
        assert host.context("m") == {"a": 2, "c": 0}
        capfd.readouterr()
        await place(host, {"a": 2})
        assert not warned("".join(capfd.readouterr()))


async def test_the_command_line_gives_it_and_a_run_without_it_changes_nothing(tmp_path: Path) -> None:
    text = "machine: m\nstates: {a: {entry: [{type: log, message: 'began {a}'}], always: z}, z: {type: final}}\n"
    (tmp_path / "m.yaml").write_text(text)
    (tmp_path / "n.yaml").write_text("machine: n\nstates: {a: {}}\n")
    listener = Listener(tmp_path / "e.sock")
    for words, began in (({"a": 1}, "began 1"), ({"a": 2}, "began 2"), (None, "began 2")):
        given = [] if words is None else ["--initial-context", json.dumps(words)]
        async with running(tmp_path, "m.yaml", "--event-socket-path", "e.sock", *given):
            assert (await listener.named("log"))["payload"]["message"] == began
    listener.sock.close()
    async with running(tmp_path, "n.yaml", "--initial-context", '{"a": 1}') as lines:
        assert not any("kept the context" in line for line in lines)
    async with running(tmp_path, "n.yaml", "--initial-context", '{"a": 2}') as lines:
        assert [json.loads(line)["level"] for line in lines if "kept the context" in line] == ["warning"]
