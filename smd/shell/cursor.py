"""The cursor over a command text, and the constant text written so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from smd.shell.refusal import unreadable


class Cursor:
    """Where a reader stands in its source; `out` holds the constant text that it wrote.

    Args:
        text: the command as its author wrote it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.out: list[str] = []
        self._lines_before = 0

    @property
    def line(self) -> int:
        """The line of the cursor, from 1."""
        return self._lines_before + self.text.count("\n", 0, self.at) + 1

    @property
    def done(self) -> bool:
        """True at the end of the source."""
        return self.at >= len(self.text)

    def peek(self, count: int = 1) -> str:
        """The next characters, fewer at the end."""
        return self.text[self.at : self.at + count]

    def copy(self, count: int = 1) -> str:
        """Copy the next characters to the output and return them."""
        taken = self.peek(count)
        self.out.append(taken)
        self.at += len(taken)
        return taken

    def operator(self, text: str) -> None:
        """Copy an operator; refuse one that a line continuation might lengthen.

        Raises:
            ChartError: a backslash and a newline stand between it and another operator character.
        """
        self.copy(len(text))
        if self.peek(2) == "\\\n" and self.text[self.at + 2 : self.at + 3] in set("<>&|;("):
            unreadable(self.line, "an operator is broken over two lines")

    def blanks(self) -> None:
        """Skip spaces, tabs and line continuations; drop a comment."""
        while True:
            if self.peek() in {" ", "\t"}:
                self.copy()
            elif self.peek(2) == "\\\n":
                self.copy(2)
            else:
                break
        if self.peek() == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end

    @contextmanager
    def within(self, text: str, line: int) -> Iterator[None]:
        """Read another text for a while, one that the source holds in an escaped form; nothing is written of it.

        Args:
            text: what the shell reads there.
            line: the line of the source in which it begins.
        """
        outer = self.text, self.at, self.out, self._lines_before
        self.text, self.at, self.out, self._lines_before = text, 0, [], line - 1
        yield
        self.text, self.at, self.out, self._lines_before = outer
