"""The grammatical half: lists, pipelines and compound commands, each word handed to the rule of its place.

A recursive descent over the shell grammar. No place is allowed by default: a hole keeps no rule until the
construct that holds it grants one. Source: POSIX.1-2017 XCU 2.9 and 2.10; the bash manual, 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from smd.shell.commands import Commands
from smd.shell.conditions import read_condition
from smd.shell.input import names_input
from smd.shell.inputs import Readers, piped, refuse_fed
from smd.shell.refusal import refuse, refuse_tainted, refuse_written, unreadable
from smd.shell.scan import Scanner
from smd.shell.words import Hole, Input, Kind, Rule, Word

_REDIRECT = re.compile(r"[0-9]*(?:<<<|<<-|<<|<&|<>|<(?!\()|>>|>&|>\||>(?!\())|&>>|&>")
_PIPE = re.compile(r"\|(?!\|)&?")
_SEPARATOR = re.compile(r"&&|\|\||;(?![;&])|&(?!>)")
_CASE_END = re.compile(r";;&|;;|;&")
_NO_STOPS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirection read from the source.

    `fed` are the holes that name the file it reads from; `given` is what it gives to read instead of a file;
    `reads` says that it replaces the standard input.
    """

    fed: tuple[Hole, ...] = ()
    given: Input | None = None
    reads: bool = False


class Grammar:
    """Reads one command text, places every hole, and leaves the constant text in the scanner's output.

    `runs_input` tells afterwards that a command runs the standard input of the text as code.
    """

    def __init__(self, scanner: Scanner, commands: Commands) -> None:
        self.scan = scanner
        self.commands = commands
        self.list_words: list[Word] = []
        self.argument_words = commands.argument_words
        self._readers = Readers(commands)
        self.runs_input = False
        scanner.commands = self._substituted
        self._compounds: dict[str, Callable[[], None]] = {
            "{": self._group,
            "if": self._if,
            "while": self._while,
            "until": self._while,
            "for": self._for,
            "select": self._select,
            "case": self._case,
            "function": self._function,
            "coproc": self._coproc,
            "[[": self._condition,
        }

    def program(self, stdin: Hole | None = None) -> None:
        """Read the whole source.

        Args:
            stdin: stands for a standard input that comes from data.

        Raises:
            ChartError: a placeholder in a forbidden place, or text that cannot be read.
        """
        self._list(_NO_STOPS)
        if not self.scan.done:
            unreadable(self.scan.line, f"{self.scan.peek(2)!r} stands where a command is expected")
        self._readers.finish(stdin)

    def _substituted(self) -> None:
        self._list(_NO_STOPS)

    # -- lists ---------------------------------------------------------------------------------------------

    def _list(self, stops: frozenset[str]) -> str:
        while True:
            self._separators()
            if self.scan.done or self.scan.peek() == ")" or _CASE_END.match(self.scan.text, self.scan.at):
                return ""
            before = self.scan.at
            if stop := self._pipeline(stops):
                return stop
            if self.scan.at == before:
                unreadable(self.scan.line, f"{self.scan.peek(2)!r} stands where a command is expected")

    def _separators(self) -> None:
        self.scan.space()
        while found := _SEPARATOR.match(self.scan.text, self.scan.at):
            self.scan.operator(found.group())
            self.scan.space()

    def _pipeline(self, stops: frozenset[str]) -> str:
        first, earlier = len(self.scan.seen), tuple(self.scan.heredocs)
        inputs: list[Input] = []
        runs_input = None
        while True:
            since = self._since()
            if stop := self._command(stops):
                return stop
            runs_input = self.runs_input = self.runs_input if runs_input is None else runs_input
            for given in inputs:
                self._readers.feed(since, given)
            self.scan.blanks()
            pipe = _PIPE.match(self.scan.text, self.scan.at)
            if pipe is None:
                return ""
            self._bash_only(pipe.group() == "|&", "|&")
            self.scan.operator(pipe.group())
            self.scan.space()
            inputs = piped(self.scan, first, earlier)

    def _since(self) -> tuple[int, int]:
        return self._readers.count, self._readers.code

    def _bash_only(self, used: object, what: str) -> None:
        if used and not self.scan.bash:
            unreadable(self.scan.line, f"{what} needs bash", "set shell: bash")

    # -- commands ------------------------------------------------------------------------------------------

    def _command(self, stops: frozenset[str]) -> str:
        self.scan.blanks()
        if self.scan.peek() == "(":
            self._compound(self._parenthesis)
            return ""
        begun, start, first = self._since(), self.scan.at, len(self.scan.seen)
        item = self._item()
        name = item.plain if isinstance(item, Word) else None
        if name is not None and name in stops:
            return name
        if name == "!" or (name == "time" and self._times_pipeline()):
            return self._command(_NO_STOPS)
        if compound := self._compounds.get(name or ""):
            self._bash_only(name in {"function", "coproc", "[["}, name or "")
            self._compound(compound)
        elif item is not None:
            self._simple(item)
            if self.scan.bash and ">(" in self.scan.text[start : self.scan.at]:
                for given in piped(self.scan, first, self.scan.heredocs):
                    self._readers.feed(begun, given)
        return ""

    def _times_pipeline(self) -> bool:
        self.scan.blanks()
        return self.scan.peek() != "-"

    def _item(self) -> Word | Redirect | None:
        self.scan.blanks()
        self._bash_only(self.scan.peek(2) in {"<(", ">(", "&>"}, f"{self.scan.peek(2)!r}")
        if found := _REDIRECT.match(self.scan.text, self.scan.at):
            return self._redirect(found.group())
        word = self.scan.word()
        return word if word.parts else None

    def _redirect(self, operator: str) -> Redirect:
        self.scan.operator(operator)
        self.scan.blanks()
        reads = operator[0] in "0<" and not operator.endswith("&")
        operator = operator.lstrip("0123456789")
        if operator in {"<<", "<<-"}:
            return Redirect(given=self.scan.heredoc(tabs=operator == "<<-"), reads=reads)
        self._bash_only(operator == "<<<", "a here-string")
        piped = self.scan.peek(2) in {"<(", ">("}
        target = self.scan.word()
        if not target.parts:
            unreadable(self.scan.line, "a redirection has no target")
        if operator == "<<<" or (piped and len(target.parts) == 1):
            self._value(target)
            return Redirect(given=Input(target) if operator[0] == "<" else None, reads=reads)
        if operator in {"<&", ">&"}:
            refuse_written([target], f"after {operator}", "the value could name a descriptor", f"write {operator[0]}")
        self._target(target)
        fed = tuple(target.holes) if operator.startswith("<") else ()
        return Redirect(fed, reads=reads and not names_input(target))

    def _target(self, word: Word) -> None:
        if nested := next((hole for hole in word.nested if not hole.variable), None):
            why = "the output would name the file unchecked"
            refuse(nested, "inside $( ) in a redirection target", why, "use the placeholder itself")
        for index, part in enumerate(word.parts):
            if part.hole is not None:
                following = word.parts[index + 1 :]
                rest = "".join(p.text if p.kind is Kind.TEXT else "?" for p in following)
                part.hole.rule = Rule.REDIRECT
                part.hole.leads = index == 0 or not any(p.text or p.kind is not Kind.TEXT for p in word.parts[:index])
                part.hole.extended = not (rest == "" or rest.startswith("/"))

    def _value(self, word: Word) -> None:
        for hole in word.holes:
            hole.rule = Rule.WORD

    def _simple(self, item: Word | Redirect | None) -> None:
        words: list[Word] = []
        redirects: list[Redirect] = []
        while item is not None:
            if isinstance(item, Redirect):
                redirects.append(item)
            elif words or not self.commands.assignment(item, bash=self.scan.bash):
                words.append(item)
            item = self._item()
        since = self._since()
        if self.scan.peek() == "(":
            self._definition(words)
        elif words and self.commands.simple(words):
            self._readers.code += 1
            self.runs_input = self.runs_input or not any(item.reads for item in redirects)
        self._readers.add(words)
        if len(words) == 1 and words[0].literal == "exec":
            self._readers.of_shell(item.given for item in redirects if item.given)
        self._redirected(since, redirects)

    def _redirected(self, since: tuple[int, int], redirects: Sequence[Redirect]) -> None:
        if self._readers.code > since[1] and (fed := next((hole for item in redirects for hole in item.fed), None)):
            refuse_fed(fed)
        inputs = [item.given for item in redirects if item.given]
        for given in inputs:
            self._readers.feed(since, given)
        if any(item.reads for item in redirects):
            self._readers.drop(since)

    # -- compound commands ---------------------------------------------------------------------------------

    def _compound(self, read: Callable[[], None]) -> None:
        since, runs_input = self._since(), self.runs_input
        redirects: list[Redirect] = []
        read()
        while (item := self._item()) is not None:
            if isinstance(item, Word):
                unreadable(item.line, f"{item.prefix!r} stands after the end of a compound command")
            redirects.append(item)
        self.runs_input = runs_input if any(item.reads for item in redirects) else self.runs_input
        self._redirected(since, redirects)

    def _expect(self, stops: str, opened: str, line: int) -> str:
        stop = self._list(frozenset(stops.split()))
        if not stop:
            unreadable(line, f"{opened} is not followed by {stops.replace(' ', ' or ')}")
        return stop

    def _parenthesis(self) -> None:
        start = self.scan.line
        if self.scan.peek(2) == "((":
            self._bash_only(True, "((")
            self.scan.arithmetic("(( ))")
            return
        self.scan.copy()
        self._list(_NO_STOPS)
        if self.scan.peek() != ")":
            unreadable(start, "a parenthesis is not closed")
        self.scan.copy()

    def _group(self) -> None:
        self._expect("}", "{", self.scan.line)

    def _if(self) -> None:
        line = self.scan.line
        self._expect("then", "if", line)
        while (stop := self._expect("elif else fi", "then", line)) != "fi":
            if stop == "elif":
                self._expect("then", "elif", line)

    def _while(self) -> None:
        line = self.scan.line
        self._expect("do", "a loop", line)
        self._expect("done", "do", line)

    def _select(self) -> None:
        self._for()
        answer = Word(self.scan.line)
        answer.add_text("read", quoted=False)
        self._readers.add([answer])

    def _for(self) -> None:
        self.scan.blanks()
        if self.scan.peek(2) == "((":
            self._bash_only(True, "for ((")
            self.scan.arithmetic("for (( ))")
            self._while()
            return
        name = self.scan.word()
        refuse_tainted([name], "as the name of a loop variable", "data must not choose a name", "write the name")
        self.scan.space()
        if self.scan.peek(2) == "in" and not self.scan.peek(3)[2:].strip(" \t\n;\\"):
            self.scan.copy(2)
            self._for_words(name)
        self._while()

    def _for_words(self, name: Word) -> None:
        self.scan.blanks()
        while (word := self.scan.word()).parts:
            self.list_words.append(word)
            self.commands.permit(word)
            self.commands.gives(name.literal or "", word)
            self.scan.blanks()

    def _case(self) -> None:
        line = self.scan.line
        self.scan.blanks()
        self._value(self.scan.word())
        self.scan.space()
        if self.scan.word().plain != "in":
            unreadable(line, "case is not followed by in")
        while self._case_arm(line):
            if self._list(frozenset({"esac"})):
                return
            end = _CASE_END.match(self.scan.text, self.scan.at)
            if end is None:
                unreadable(line, "case is not closed by esac")
            self.scan.copy(len(end.group()))

    def _case_arm(self, line: int) -> bool:
        self.scan.space()
        opened = self.scan.peek() == "("
        if opened:
            self.scan.copy()
        while True:
            self.scan.blanks()
            pattern = self.scan.word()
            if pattern.plain == "esac" and not opened:
                return False
            why = "the value would be read as a pattern"
            refuse_written([pattern], "in a case pattern", why, "put it in the subject, or compare with [ = ]")
            self.scan.blanks()
            mark = self.scan.copy()
            if mark == ")":
                return True
            if mark != "|":
                unreadable(line, "a case pattern is not closed by a parenthesis")

    def _condition(self) -> None:
        read_condition(self.scan)

    def _coproc(self) -> None:
        unreadable(self.scan.line, "coproc is not read", "use a pipe")

    def _function(self) -> None:
        self.scan.blanks()
        name = self.scan.word()
        self.scan.blanks()
        self._definition([name])

    def _definition(self, words: list[Word]) -> None:
        refuse_tainted(words[:1], "as the name of a function", "data must not choose a name", "write the name")
        if self.scan.peek() == "(":
            self.scan.copy()
            self.scan.blanks()
            if len(words) != 1 or self.scan.copy() != ")":
                unreadable(self.scan.line, "a parenthesis stands after a word", "quote it")
        self.scan.space()
        self._command(_NO_STOPS)
