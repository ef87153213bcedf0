"""What the readers of a document share: where mistakes are collected, and fingerprints of its parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from smd.errors import ChartError
from smd.problems import ERROR, WARNING, Problem, did_you_mean, dotted
from smd.yaml_source import MAX_PROBLEMS, Source

_T = TypeVar("_T")
Path = tuple[str | int, ...]
MAX_COMPARED = 1_000_000
"""Letters of names compared for the hints of one document: each costs about half a microsecond."""
_LONGEST = 100


def fingerprint(value: Any) -> str:
    """SHA-256, in hex, of a plain value. The order of keys counts: it is the document order of a chart."""
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()


class Report:
    """The problems of one source.

    `warnings` are kept apart: they keep no document from loading, and no error from being told.

    `back` leads from a path of the value being built to the path in the source, when parts were cut out.
    `lost_states` is true when `states` as a whole was wrong, so that every name would seem unknown.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.back: Callable[[Path], Path] | None = None
        self.lost_states = False
        self._letters = MAX_COMPARED

    def add(self, code: str, path: Sequence[str | int], message: str, hint: str = "", *, key: bool = False) -> None:
        """Note a problem at the value at `path`, or at its key; beyond `MAX_PROBLEMS` they are dropped."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(self._problem(ERROR, code, path, message, hint, key=key))

    def warn(self, code: str, path: Sequence[str | int], message: str, hint: str = "") -> None:
        """Note, at the key that ends `path`, what is accepted and yet not what it seems; bounded like problems."""
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(self._problem(WARNING, code, path, message, hint, key=True))

    def _problem(
        self, severity: str, code: str, path: Sequence[str | int], message: str, hint: str, *, key: bool
    ) -> Problem:
        path = self._original(path)
        place = self.source.place_of_key(path) if key else self.source.place(path)
        return Problem(f"smd-{code}", severity, self.source.name, *place, dotted(path), message, hint)

    def nearest(self, word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
        """`did_you_mean` as long as the letters to compare last: among thousands of names each costs milliseconds."""
        compared = []
        for name in known if len(self.problems) < MAX_PROBLEMS else ():
            letters = min(len(word), _LONGEST) + min(len(name), _LONGEST)
            if letters > self._letters:
                break
            self._letters -= letters
            compared.append(name)
        return did_you_mean(word[:_LONGEST], compared, cutoff)

    def attempt(self, code: str, path: Sequence[str | int], make: Callable[[], _T]) -> _T | None:
        """What `make` makes, or None with its ChartError noted."""
        try:
            return make()
        except ChartError as error:
            self.add(code, path, error.message, error.hint)
            return None

    def says(self, path: Sequence[str | int]) -> bool:
        """The source has a value at `path`, if only a wrong one that was cut out."""
        value = self.source.value
        for part in self._original(path):
            if not (part in value if isinstance(value, dict) else isinstance(value, list)):
                return False
            value = value[part]
        return value is not None

    def at(self, path: Sequence[str | int]) -> str:
        """`file:line:column` of what stands at a path (of its key, if it has one), for messages at run time."""
        line, column = self.source.place_of_key(self._original(path))
        return f"{self.source.name}:{line}:{column}" if line else self.source.name

    def _original(self, path: Sequence[str | int]) -> Path:
        return self.back(tuple(path)) if self.back else tuple(path)
