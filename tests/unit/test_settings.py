"""Settings: where they come from, which of them wins, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from smd.errors import SettingsError
from smd.settings import Access, load_settings


def refused(*files: Path, **environ: str) -> str:
    """Why these settings are refused."""
    with pytest.raises(SettingsError) as error:
        load_settings(files, environ)
    return error.value.message


def test_flags_win_over_the_environment_and_that_over_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("state_dir: /one\nlogs: /one\nmachines: [a.yaml]\nlog_level: error\n")
    two.write_text("logs: /two\nlog_level: debug\n")
    environ = {"SMD_MACHINES": "b.yaml:c.yaml", "SMD_EPHEMERAL": "true", "SMD_LOG_LEVEL": "info", "PATH": "/bin"}
    settings = load_settings((one, two), environ, {"log_level": "warning", "store": None})
    assert (str(settings.state_dir), str(settings.logs), settings.log_level) == ("/one", "/two", "warning")
    assert ([*map(str, settings.machines)], settings.ephemeral) == (["b.yaml", "c.yaml"], True)
    assert settings.path("store") == Path("/one/smd.db")


def test_the_environment_gives_the_rule_of_access_as_json(tmp_path: Path) -> None:
    file = tmp_path / "smd.yaml"
    file.write_text("access: {observe: [users]}\n")
    assert load_settings((file,), {}).access == Access(observe=("users",))
    said = load_settings((file,), {"SMD_ACCESS": '{"operate": ["daemon"]}'})
    assert said.access == Access(operate=("daemon",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("daemon", "SMD_ACCESS: error[smd-E103]: must be a mapping (got 'daemon')"),
        ('{"operate": "daemon"}', "SMD_ACCESS: error[smd-E103]: operate: must be a list (got 'daemon')"),
        ('{"operate": [1]}', "SMD_ACCESS: error[smd-E103]: operate[0]: must be a text (got 1)"),
        ('{"oprate": ["daemon"]}', "did you mean 'operate'?"),
        ('{"operate": ["daemon"', "SMD_ACCESS:1:22: error[smd-E001]"),
        ('{"send": ["a"], "send": []}', "SMD_ACCESS:1:17: error[smd-E003]: the key 'send' stands twice"),
    ],
)
def test_a_rule_of_access_that_cannot_be_read_is_refused(text: str, told: str) -> None:
    assert told in refused(SMD_ACCESS=text)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("SMD_STATE_DR", "SMD_STATE_DIR"), ("SMD_SYNCHRONUS", "SMD_SYNCHRONOUS"), ("SMD_MACHINS", "SMD_MACHINES")],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(name: str, meant: str) -> None:
    assert refused(**{name: "x"}).endswith(
        f"{name}: error[smd-E101]: there is no such setting\nhint: did you mean '{meant}'?"
    )
    assert "hint: known are SMD_STATE_DIR, SMD_STORE," in refused(SMD_COLOUR_OF_MOON="x")


def test_what_others_and_smd_itself_put_into_the_environment_is_no_mistake() -> None:
    """A smd may be started by an action of another; an empty variable counts as none."""
    names = ["SMD_HOST", "SMD_ACTION", "SMD_MACHINE", "SMD_STATE", "SMD_KEY"]
    names += ["SMD_SERVICE_HOST", "SMD_WEB_SERVICE_PORT", "SMD_PORT", "SMD_PORT_3001_TCP_ADDR"]  # containers' programs
    environ = dict.fromkeys(names, "x")
    assert load_settings((), {**environ, "SMD_STATE_DIR": "", "SMD_MACHINES": ""}) == load_settings((), {})


WRONG = """\
sate_dir: x
machines: a.yaml
log_level: loud
ephemeral: maybe
store: 5
access:
  oprate: [a]
"""
TOLD = """\
cannot use the settings:

c.yaml:1:1: error[smd-E101]: sate_dir: unknown setting 'sate_dir'
    sate_dir: x
    ^
hint: did you mean 'state_dir'?

c.yaml:2:11: error[smd-E103]: machines: must be a list (got 'a.yaml')
    machines: a.yaml
              ^

c.yaml:3:12: error[smd-E102]: log_level: must be 'debug', 'info', 'warning' or 'error' (got 'loud')
    log_level: loud
               ^

c.yaml:4:12: error[smd-E103]: ephemeral: must be true or false (got 'maybe')
    ephemeral: maybe
               ^

c.yaml:5:8: error[smd-E103]: store: must be a path (got 5)
    store: 5
           ^

c.yaml:7:3: error[smd-E101]: access.oprate: unknown setting 'oprate'
      oprate: [a]
      ^
hint: did you mean 'operate'?

SMD_SYNCHRONOUS: error[smd-E102]: must be 'FULL' or 'NORMAL' (got 'full')
hint: did you mean 'FULL'?"""


def test_every_mistake_is_told_at_once_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(WRONG)
    assert refused(Path("c.yaml"), SMD_SYNCHRONOUS="full") == TOLD


def test_a_file_must_be_a_mapping_and_may_be_empty(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("# nothing yet\n")
    assert load_settings((file,), {}) == load_settings((), {})
    for text, code in (("- a\n", "smd-E100"), ("a: [\n", "smd-E001"), ("logs: a\nlogs: b\n", "2:1: error[smd-E003]")):
        file.write_text(text)
        assert code in refused(file)
    assert "cannot read" in refused(tmp_path / "none.yaml")
