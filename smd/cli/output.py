r"""The only place that prints. Data goes to stdout, words for people to stderr.

Text from outside (names, payloads, log lines, server messages) may hold escape sequences that drive a
terminal. Every line printed here has its control characters made visible; JSON stays JSON, with the same
characters written as `\u` escapes.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from smd.errors import SmdError

FORMS = ("table", "wide", "json", "yaml", "ndjson", "name")
Row = dict[str, Any]

_HOSTILE = [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
VISIBLE = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _HOSTILE}
VISIBLE |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
IN_JSON = {code: f"\\u{code:04x}" for code in _HOSTILE if code >= 0x7F}


class Column:
    """One column of a table: its heading, what it shows of a row, and whether only `-o wide` shows it.

    A longer text than `cut`, if that is not 0, is cut in a table on a terminal, but for `-o wide`.
    """

    # No NamedTuple: building one class of it costs as much as a hundred of these.
    __slots__ = ("cut", "show", "title", "wide")

    def __init__(self, title: str, show: str | Callable[[Row], object], *, wide: bool = False, cut: int = 0) -> None:
        self.title = title
        self.show = show
        self.wide = wide
        self.cut = cut

    def text(self, row: Row) -> str:
        """The cell as one line of plain text; nothing is shown as `-`."""
        value = row.get(self.show) if isinstance(self.show, str) else self.show(row)
        return cell(value)


class Output:
    """Where a command writes to, and in which form.

    Attributes:
        form: one of `FORMS`.
        color: False never colours; True does if stderr is a terminal and NO_COLOR is not set.
    """

    def __init__(self) -> None:
        self.form = "table"
        self.color = True
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")

    @property
    def is_text(self) -> bool:
        """True when the reader is a person: table or wide."""
        return self.form in {"table", "wide"}

    def line(self, text: str = "") -> None:
        """One line of data as text."""
        _write(sys.stdout, visible(text) + "\n")

    def flush(self) -> None:
        """Hand over what is written, so that an error shows now and not at exit."""
        if sys.stdout is not None:
            sys.stdout.flush()

    def value(self, whole: Any, lines: Iterable[str], *, name: str = "") -> None:
        """One thing.

        Args:
            whole: its JSON value, for json, ndjson and yaml.
            lines: its text, for table and wide.
            name: its name, for `-o name`.
        """
        if self.is_text:
            for line in lines:
                self.line(line)
        elif self.form == "name":
            self.line(name)
        else:
            self._structure(whole)

    def rows(self, rows: Sequence[Row], columns: Sequence[Column], *, whole: Any, key: str, nothing: str) -> None:
        """A list of things.

        Args:
            rows: one mapping each.
            columns: of the table.
            whole: the JSON value for json and yaml; ndjson writes one row a line.
            key: the member that names a row, for `-o name`.
            nothing: words for an empty table, written to stderr.
        """
        if self.form == "name":
            for row in rows:
                self.line(cell(row.get(key)))
        elif self.form == "ndjson":
            for row in rows:
                self._structure(row)
        elif not self.is_text:
            self._structure(whole)
        elif rows:
            self._table(rows, [column for column in columns if not column.wide or self.form == "wide"])
        else:
            self.note(nothing)

    def note(self, text: str) -> None:
        """Words for a person."""
        _write(sys.stderr, visible(text) + "\n")

    def warning(self, text: str) -> None:
        """Words that ask for attention."""
        self.note_as("warning", "33", text)

    def error(self, error: SmdError) -> None:
        """A deliberate error and its next step; of a document every mistake, with its lines."""
        lines = error.message.split("\n") if error.code == "invalid_document" else [error.message]
        self.failure(lines[0])
        for line in lines[1:]:
            _write(sys.stderr, f"  {visible(line)}".rstrip() + "\n")
        if error.hint:
            self.note_as("hint", "36", error.hint)

    def failure(self, message: str, hint: str = "") -> None:
        """One line of what went wrong, and the next step where there is one."""
        self.note_as("error", "31;1", message)
        if hint:
            self.note_as("hint", "36", hint)

    def note_as(self, word: str, style: str, text: str) -> None:
        """`word: text` on stderr, the word in a style (SGR numbers) if colours are wanted."""
        wanted = self.color and not os.environ.get("NO_COLOR") and sys.stderr is not None and sys.stderr.isatty()
        head = f"\x1b[{style}m{word}:\x1b[0m" if wanted else f"{word}:"
        _write(sys.stderr, f"{head} {visible(text)}\n")

    def _structure(self, value: Any) -> None:
        if self.form == "yaml":
            from smd.yaml_source import dump_yaml  # noqa: PLC0415  PyYAML costs too much where it is not asked for

            _write(sys.stdout, dump_yaml(value))
        else:
            _write(sys.stdout, as_json(value, indent=2 if self.form == "json" else None) + "\n")

    def _table(self, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        cut = self.form == "table" and sys.stdout.isatty()
        lines = [[column.title for column in columns]]
        for row in rows:
            texts = [(column.text(row), cut and column.cut) for column in columns]
            lines.append([shortened(text, most) if most else text for text, most in texts])
        widths = [max(map(_width, texts)) for texts in zip(*lines, strict=True)]
        for line in lines:
            padded = [text + " " * (width - _width(text)) for text, width in zip(line, widths, strict=True)]
            _write(sys.stdout, "  ".join(padded).rstrip() + "\n")


def visible(text: str) -> str:
    """The text with control and bidirectional characters written as escapes."""
    return text if text.isascii() and text.isprintable() else text.translate(VISIBLE)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON for people and programs: no ASCII escapes but those that protect a terminal."""
    import json  # noqa: PLC0415  not on the way of --help

    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, ensure_ascii=False, indent=indent, separators=separators).translate(IN_JSON)


def cell(value: object) -> str:
    """A value as one line of text: strings as they are, lists joined with commas, the rest as JSON."""
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return visible(",".join(value))
    return visible(as_json(value))


def when(seconds: object) -> str:
    """Seconds since the epoch as local time; what is no time is shown as it is."""
    import time  # noqa: PLC0415

    if not isinstance(seconds, int | float):
        return cell(seconds)
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return cell(seconds)


def shortened(text: str, length: int) -> str:
    """The text, cut to a length and marked where it was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def text_width() -> int:
    """Columns to write help in: those of the terminal, 100 at most, 80 without one."""
    # shutil.get_terminal_size() says the same, but brings the compression modules with it.
    try:
        columns = int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError, AttributeError):
        columns = 80
    return max(40, min(columns, 100))


def silence() -> None:
    """Send the rest of stdout nowhere: its reader has gone, and the flush at exit would complain."""
    if sys.stdout is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _write(stream: io.TextIOBase | Any, text: str) -> None:
    if stream is not None:
        stream.write(text)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415

    return sum(0 if combining(char) else 2 if east_asian_width(char) in {"W", "F"} else 1 for char in text)
