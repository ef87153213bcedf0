"""Charts in memory: one object per content hash, however many machines run it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import structlog

from smd.document import Problem, chart_from_plain, load_document, read_document
from smd.errors import ChartError, NotFoundError, PermissionDeniedError
from smd.statechart.model import Statechart

_log = structlog.get_logger("smd.charts")


class Charts:
    """Loads, remembers, and finds charts.

    Args:
        custom: types of the user's Python actions; see `load_document`.
        roots: folders outside of which no file is loaded on behalf of a machine or a request.
    """

    def __init__(self, custom: Collection[str] = (), roots: Iterable[Path] = ()) -> None:
        self._custom = custom
        self._roots = [root.resolve() for root in roots]
        self._known: dict[str, Statechart] = {}
        self._files: dict[tuple[str, int, int], Statechart] = {}

    def known(self, chart_hash: str) -> Statechart:
        """A chart seen before.

        Raises:
            NotFoundError: never seen in this process.
        """
        try:
            return self._known[chart_hash]
        except KeyError:
            raise NotFoundError(f"cannot find chart {chart_hash[:12]}: it was never loaded") from None

    def remember(self, chart: Statechart) -> Statechart:
        """The one object for this content."""
        return self._known.setdefault(chart.hash, chart)

    def restore(self, chart_hash: str, plain: Any) -> Statechart:
        """A chart from what the store kept."""
        known = self._known.get(chart_hash)
        return known or self.remember(chart_from_plain(plain, custom=None))

    def parse(self, text: str | bytes, name: str, machine: str | None = None) -> Statechart:
        """A chart from text; its warnings go to the log.

        Args:
            name: of the text, for messages.
            machine: see `load_document`.

        Raises:
            DocumentError: every mistake, with its place.
        """
        return self.remember(load_document(text, name, custom=self._custom, warned=_warned, machine=machine))

    def load(self, path: Path) -> tuple[Statechart, str]:
        """A chart from a file, and the file's name as the machine's origin.

        Raises:
            ChartError: unreadable file; DocumentError: every mistake in it.
        """
        try:
            status = path.stat()
            key = (str(path), status.st_mtime_ns, status.st_size)
            if key not in self._files:
                self._files[key] = self.parse(read_document(path), str(path))
            return self._files[key], str(path)
        except OSError as error:
            raise ChartError(f"cannot read '{path}': {error.strerror}") from error

    def resolve(self, path: str, work_folder: Path) -> Path:
        """A path given by a machine or a request, which must lie under a configured folder.

        Raises:
            PermissionDeniedError: it leads elsewhere, whether there is such a file or not. ChartError: it leads
                nowhere at all.
        """
        try:
            full = (work_folder / path).resolve()
        except (ValueError, RuntimeError) as error:
            why = "its links lead in a circle" if isinstance(error, RuntimeError) else "no file can have this name"
            raise ChartError(f"cannot read {path!r:.140}: {why}") from error
        if not any(full.is_relative_to(root) for root in self._roots):
            folders = ", ".join(map(str, self._roots)) or "none"
            told = f"cannot load '{path}': it lies outside the configured folders ({folders})"
            raise PermissionDeniedError(told, code="outside_folders")
        return full

    def allow(self, folder: Path) -> None:
        """Add a configured folder."""
        if folder.resolve() not in self._roots:
            self._roots.append(folder.resolve())


def _warned(warning: Problem) -> None:
    _log.warning("chart taken with a warning", why=str(warning), hint=warning.hint)


def check_name(name: str) -> None:
    """Refuse a name that no machine can have.

    Raises:
        ChartError: it is empty, `all`, over 128 bytes, or has a slash, a NUL or a line break.
    """
    if (
        len(name.encode("utf-8", "replace")) > 128
        or not name.strip()
        or any(c in name for c in "/\0\n\r")
        or name == "all"
    ):
        raise ChartError(f"cannot name a machine {name!r:.140}: at most 128 bytes, no slash or line break, not 'all'")
