"""Reading what somebody names: regular files within a limit, and nothing that could keep the reader waiting."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from smd.errors import ChartError, SettingsError
from smd.files import LargeFileError, files_below, read_file
from smd.runtime.charts import Charts
from smd.settings import load_settings


def test_a_file_is_read_up_to_its_limit_and_a_larger_one_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"four")
    assert read_file(file, 4) == b"four"
    with pytest.raises(LargeFileError) as error:
        read_file(file, 3)
    assert error.value.strerror == "it has 4 bytes, more than 3"
    os.truncate(file, 1 << 40)
    with pytest.raises(LargeFileError):
        read_file(file, 1 << 20)


def test_a_file_that_hides_its_size_is_read_no_further_than_its_limit() -> None:
    assert read_file("/proc/self/status", 1 << 20)
    with pytest.raises(LargeFileError, match="more than 10 bytes"):
        read_file("/proc/self/status", 10)


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as it:
            it.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match=f"it is a {kind}, not a file"):
        read_file(path, 100)


def test_a_pipe_is_read_where_one_will_do() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"text")
    os.close(writer)
    assert read_file(f"/dev/fd/{reader}", 4, pipes=True) == b"text"
    os.close(reader)


def test_files_are_found_at_any_depth_and_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    missing: list[OSError] = []
    assert files_below(tmp_path, missing.append) == [str(tmp_path / "a" / "b" / "f")]
    assert files_below(tmp_path / "none", missing.append) == []
    assert [error.filename for error in missing] == [str(tmp_path / "none")]


def test_a_path_that_leads_nowhere_is_the_chart_s_mistake(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    charts = Charts(roots=[tmp_path])
    for path, why in (("loop", "in a circle"), ("a\0b", "no file can have this name")):
        with pytest.raises(ChartError, match=why):
            charts.resolve(path, tmp_path)


def test_a_chart_is_not_read_from_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "kid.yaml")
    with pytest.raises(ChartError, match=r"kid.yaml': it is a pipe"):
        Charts(roots=[tmp_path]).load(tmp_path / "kid.yaml")


def test_a_settings_file_is_not_read_from_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "smd.yaml")
    with pytest.raises(SettingsError, match=r"smd.yaml': it is a pipe"):
        load_settings((tmp_path / "smd.yaml",), {})
