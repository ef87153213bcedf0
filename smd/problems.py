"""What is wrong with a document, and where: one value per mistake, the table of codes, the rendering."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

from smd.errors import ChartError

CODES = {
    "smd-E001": "the text is not YAML",
    "smd-E002": "the text is not plain UTF-8, or holds control characters",
    "smd-E003": "a key stands twice in one mapping",
    "smd-E004": "a key is not a text",
    "smd-E005": "a tag, anchor or merge that cannot be used",
    "smd-E006": "too large, too deep, or too many nodes",
    "smd-E007": "a value that JSON cannot hold",
    "smd-E100": "the document is not a mapping",
    "smd-E101": "unknown key",
    "smd-E102": "a value outside its range or choices",
    "smd-E103": "a value of the wrong type",
    "smd-E104": "a required key is missing",
    "smd-E105": "not a duration",
    "smd-E106": "not supported by this version",
    "smd-E107": "said twice, or two keys that exclude each other",
    "smd-E201": "a state name stands twice",
    "smd-E202": "unknown state",
    "smd-E203": "a state that cannot have this, or lacks what it needs",
    "smd-E204": "a history state against its rules",
    "smd-E205": "an initial state outside its parent",
    "smd-E206": "targets that cannot be active together",
    "smd-E301": "unknown action type",
    "smd-E302": "unknown parameter",
    "smd-E303": "a required parameter is missing",
    "smd-E304": "a parameter with a wrong value",
    "smd-E305": "a lasting action where only instant ones may stand",
    "smd-E306": "shell text that cannot be made safe",
    "smd-E307": "the program of `run` is not literal, or data could choose what runs",
    "smd-E401": "not an expression",
    "smd-W101": "accepted for the predecessor's sake, and without effect",
    "smd-W102": "taken for an action's own parameter, though it has the name of a common key",
    "smd-W103": "a custom action whose file cannot be loaded",
    "smd-W104": "an event of smd's own that never comes",
}
"""Every code with its meaning. Codes are stable: a meaning may get wider, never different."""

ERROR, WARNING = "error", "warning"
LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_PLAIN_PART = re.compile(r"[\w*-]+")
_SHOWN = 120
_COMPARED = 100
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that drive a terminal or turn its text around; in an excerpt each is shown as one replacement."""
_TOLD = re.compile(r".*?:(\d{1,9}):(\d{1,9}): (?:error|warning)\[")


class Problem(NamedTuple):
    """One mistake.

    Attributes:
        code: a key of `CODES`, or a linter's own.
        severity: `error` or `warning`.
        line, column: from 1; 0 when the document has no text (it came from the store).
        path: where in the document, dotted (`states.busy.timeout`); empty for the whole.
        message: what is wrong. `hint` is the next step, or empty.
    """

    code: str
    severity: str
    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        path = f"{self.path}: " if self.path else ""
        return f"{place}: {self.severity}[{self.code}]: {path}{self.message}"

    def render(self, source_line: str = "") -> str:
        """The problem, its source line with a caret under the place, and the hint."""
        parts = [str(self)]
        if self.line and source_line.strip():
            parts.append(_excerpt(source_line, self.column))
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join(parts)


class DocumentError(ChartError):
    """A document with mistakes, all of them; the message tells each with its hint.

    Args:
        problems: in the order of their places.
        text: the document, to show its lines.
    """

    code = "invalid_document"

    def __init__(self, problems: Iterable[Problem], text: str = "") -> None:
        self.problems = arranged(problems)
        self.text = text
        first = self.problems[0]
        count = f"{len(self.problems)} problems" if len(self.problems) > 1 else "1 problem"
        told = "\n".join(problem.render() for problem in self.problems)
        super().__init__(f"cannot load {first.file}: {count}\n{told}", hint=first.hint)

    def render(self) -> str:
        """All problems with their source lines, carets and hints."""
        return render_problems(self.problems, self.text)


def arranged(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, by place."""
    return sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line, p.column, p.code, p.path, p.message))


def render_problems(problems: Iterable[Problem], text: str | bytes = "") -> str:
    """Problems of one document in compiler style, an empty line between them."""
    lines = _lines(text)
    return "\n\n".join(p.render(lines[p.line - 1] if 0 < p.line <= len(lines) else "") for p in problems)


def with_excerpts(told: str, text: str | bytes) -> str:
    """A `DocumentError`'s message as another process told it, with the source line and a caret at each problem.

    Args:
        told: the message.
        text: the document it is about; a place that is not in it is left as it is.
    """
    lines, parts = _lines(text), []
    for line in told.split("\n"):
        parts.append(line)
        if place := _TOLD.match(line):
            number, column = map(int, place.groups())
            source_line = lines[number - 1] if 0 < number <= len(lines) else ""
            if source_line.strip() and column <= len(source_line) + 1:
                parts.append(_excerpt(source_line, column))
    return "\n".join(parts)


def _lines(text: str | bytes) -> list[str]:
    return LINE_BREAK.split(text.decode("utf-8-sig", "replace") if isinstance(text, bytes) else text)


def dotted(path: Iterable[str | int]) -> str:
    """A path as people write it: `transitions[2].to`, `states.'in review'.on`."""
    told = ""
    for part in path:
        if isinstance(part, int):
            told += f"[{part}]"
            continue
        word = part if _PLAIN_PART.fullmatch(part) else repr(part)
        told += f".{word}" if told else word
    return told


def did_you_mean(word: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A hint with the nearest known name, or empty if none is as like as `cutoff` asks, from 0 to 1."""
    if not isinstance(word, str):
        return ""
    names = {name[:_COMPARED].lower(): name for name in known}
    nearest = difflib.get_close_matches(word[:_COMPARED].lower(), names, n=1, cutoff=cutoff)
    return f"did you mean {names[nearest[0]]!r}?" if nearest else ""


def shown(value: object) -> str:
    """A value short enough for a message, in the words of YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _excerpt(line: str, column: int) -> str:
    """The source line and a caret; long lines are cut around the place, tabs keep their width."""
    start = max(0, column - 1 - _SHOWN // 2) if len(line) > _SHOWN else 0
    piece = _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", line[start : start + _SHOWN])
    lead = "".join(c if c == "\t" else " " for c in piece[: column - 1 - start])
    return f"    {piece}\n    {lead}^"
