"""smctl validate and schema: offline, with the real checker."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.unit.calling import Smctl, smctl_fixture  # noqa: F401

GOOD = """\
machine: worker
initial: waiting
states:
  waiting: {on: {go: working}}
  working: {on: {done: waiting}}
"""
BAD = GOOD.replace("go: working", "go: wroking")
CUSTOM = GOOD.replace("waiting: {", "waiting: {actions: [{type: resize}], ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "custom.yaml").write_text(CUSTOM)
    (tmp_path / "actions").mkdir()
    (tmp_path / "actions/resize_action.py").write_text(
        "raise SystemExit('checking runs no code')\nclass ResizeAction: ...\n"
    )
    return tmp_path


def test_a_good_file_has_no_problems_and_asks_no_daemon(smctl: Smctl, folder: Path) -> None:
    result = smctl("validate", str(folder / "good.yaml"))
    assert result == (0, "", "1 file: 0 errors, 0 warnings\n")
    assert smctl.server.asked == []


def test_an_error_is_shown_with_its_place_and_exits_8(smctl: Smctl, folder: Path) -> None:
    """One bad file of two: the line, the nearest name, and the count on stderr."""
    result = smctl("lint", str(folder / "good.yaml"), str(folder / "bad.yaml"))
    assert result.code == 8
    assert result.out.splitlines() == [
        f"{folder}/bad.yaml:4:22: error[smd-E202]: states.waiting.on.go: unknown state 'wroking'",
        "      waiting: {on: {go: wroking}}",
        "                         ^",
        "hint: did you mean 'working'?",
    ]
    assert result.err.startswith("2 files: 1 error,")


def test_two_files_of_one_machine_are_an_error_in_the_second_s_report(smctl: Smctl, folder: Path) -> None:
    (folder / "twin.yaml").write_text(GOOD)
    first, second = json.loads(smctl("validate", f"{folder}/good.yaml", f"{folder}/twin.yaml", "--json").out)
    assert (first["error_count"], second["error_count"]) == (0, 1)
    [issue] = second["issues"]
    assert (issue["code"], issue["path"], issue["line"], issue["column"]) == ("smd-E107", "machine", 1, 10)
    assert f"'{folder}/good.yaml'" in issue["message"]


def test_findings_as_json_are_one_report_a_file(smctl: Smctl, folder: Path) -> None:
    result = smctl("validate", str(folder / "bad.yaml"), "--json")
    [report] = json.loads(result.out)
    assert (result.code, report["file"], report["error_count"]) == (8, f"{folder}/bad.yaml", 1)
    [issue] = [issue for issue in report["issues"] if issue["severity"] == "error"]
    assert (issue["line"], issue["code"].startswith("smd-E")) == (4, True)
    assert smctl("validate", str(folder / "bad.yaml"), "--format", "json").out == result.out


def test_custom_actions_are_known_by_their_file_names(smctl: Smctl, folder: Path) -> None:
    """With --actions-dir the type is known, and its code is not run."""
    file = str(folder / "custom.yaml")
    without = smctl("validate", file, "--strict")
    assert (without.code, "resize" in without.out, "--actions-dir DIR" in without.out) == (8, True, True)
    assert smctl("validate", file, "--strict", "--actions-dir", str(folder / "actions")).code == 0


def test_a_file_that_cannot_be_read_does_not_hide_the_others(smctl: Smctl, folder: Path) -> None:
    missing = str(folder / "none.yaml")
    result = smctl("validate", missing, str(folder / "good.yaml"))
    assert result.code == 4
    assert result.err.splitlines() == [f"error: cannot read '{missing}': no such file", "1 file: 0 errors, 0 warnings"]
    assert smctl("validate", missing, str(folder / "bad.yaml")).code == 8


def test_validate_takes_folders_as_the_daemon_does(smctl: Smctl, folder: Path) -> None:
    deeper = folder / "machines" / "deeper"
    deeper.mkdir(parents=True)
    for place in (deeper.parent, deeper):
        (place / "good.yml").write_text(GOOD.replace("worker", place.name))
    assert smctl("validate", str(deeper.parent)).err.splitlines() == ["2 files: 0 errors, 0 warnings"]
    (deeper / "bad.yaml").write_text((folder / "bad.yaml").read_text())
    assert smctl("validate", str(deeper.parent)).code == 8
    (folder / "empty").mkdir()
    nothing = smctl("validate", str(folder / "empty"))
    assert (nothing.code, nothing.err.splitlines()[0]) == (
        4, f"error: cannot find a machine in '{folder / 'empty'}': no *.yaml or *.yml there",
    )  # fmt: skip


def test_a_machine_is_checked_from_stdin(smctl: Smctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(BAD.encode())))
    result = smctl("validate", "-")
    assert (result.code, "<stdin>:4:" in result.out) == (8, True)


def test_the_schema_is_json_schema(smctl: Smctl) -> None:
    result = smctl("schema")
    schema = json.loads(result.out)
    assert result.code == 0
    assert "states" in schema["properties"]
