"""Standard input on its way to the commands of a text that run it as code, or give it to variables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from smd.shell.commands import Commands
from smd.shell.refusal import refuse
from smd.shell.scan import Scanner
from smd.shell.words import Heredoc, Hole, Input, Word


class Readers:
    """The commands read so far that do something with their standard input, in order.

    `code` counts those that run it as code.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._found: list[list[Word]] = []
        self._shell: list[Input] = []
        self.code = 0

    @property
    def count(self) -> int:
        """How many commands give what they read to variables, as `read` does."""
        return len(self._found)

    def add(self, words: list[Word]) -> None:
        """Note a command, if it is one that gives what it reads to variables."""
        if self._commands.gives_input(words):
            self._found.append(words)

    def of_shell(self, inputs: Iterable[Input]) -> None:
        """Note what the shell itself is given to read (`exec <<< …`), and so all of its commands."""
        self._shell += inputs

    def drop(self, since: tuple[int, int]) -> None:
        """Forget the `count` noted since then: they read nothing else, from further out."""
        del self._found[since[0] :]

    def feed(self, since: tuple[int, int], given: Input) -> None:
        """Hand an input to the commands noted since then.

        Args:
            since: `count` and `code` of that time.
            given: what they read.

        Raises:
            ChartError: one of them runs it as code, and a value reaches it; at once, or when a heredoc is read.
        """
        found, runs = self._found[since[0] :], self.code > since[1]
        given.when_known(lambda: self._feed(found, given.word, runs=runs))

    def _feed(self, found: Sequence[list[Word]], text: Word, *, runs: bool) -> None:
        if runs and (hole := text.tainted):
            refuse_fed(hole)
        for words in found:
            self._commands.reads(words, text)

    def finish(self, stdin: Hole | None) -> None:
        """Hand on what the whole text reads.

        Args:
            stdin: stands for a standard input that comes from data.

        Raises:
            ChartError: see `feed`.
        """
        for given in self._shell:
            self.feed((0, 0), given)
        if stdin is not None:
            self.feed((0, self.code), printed(stdin))


def refuse_fed(hole: Hole) -> None:
    """Refuse a placeholder whose value an interpreter reads as code.

    Raises:
        ChartError: always.
    """
    why = "that program runs what it reads as code"
    refuse(hole, "in the input of an interpreter", why, "give the code as a file and the value as an argument")


def printed(hole: Hole) -> Input:
    """The output of a command in which the hole stands."""
    return Input(Word(hole.line, nested=[hole]))


def piped(scan: Scanner, first: int, earlier: Sequence[Heredoc]) -> list[Input]:
    """What a pipe may carry: of the holes from `first` on, and of heredocs that are not among the `earlier`."""
    waiting = [heredoc.given for heredoc in scan.heredocs if heredoc not in earlier]
    return [*map(printed, scan.seen[first : first + 1]), *waiting]
