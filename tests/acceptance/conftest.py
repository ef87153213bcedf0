"""Daemons for the tests: one for all that do not disturb each other, one of its own for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon, running, short_folder
from tests.acceptance.trees import Whisper


@pytest.fixture(scope="session")
def shared() -> Iterator[Daemon]:
    """One daemon for the session; a test adds machines under names of its own."""
    with short_folder() as folder, running(folder / "state") as daemon:
        yield daemon


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the test's own."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts a daemon of the test's own, on `folder/state`, with these further words."""
    with ExitStack() as stack:
        yield lambda *words: stack.enter_context(running(folder / "state", *words))


@pytest.fixture
def whisper(folder: Path) -> Iterator[Whisper]:
    """A pipe in `folder` through which commands tell how far they have come."""
    with closing(Whisper(folder)) as pipe:
        yield pipe
