"""The lexical half: characters to words, with quoting, expansions, heredocs and comments.

The scanner reads the source once, from left to right, and writes the constant text as it goes: everything is copied
but comments (dropped) and placeholders (replaced by a variable in the quoting of their place). Where two shells would
read a text differently, it is refused: a wrong guess would put a value where code stands. Source: POSIX.1-2017 XCU
2.2 (quoting), 2.3 (token recognition), 2.6 (expansions); the bash manual, 3.1 and 3.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from smd.shell.cursor import Cursor
from smd.shell.evaluated import place_numbers, refuse_evaluated, refuse_parameter
from smd.shell.refusal import refuse, unreadable
from smd.shell.variables import Carried, use_of
from smd.shell.words import PLACEHOLDER, PLACEHOLDER_IN_TEXT, Heredoc, Hole, Input, Kind, Part, Word

META = frozenset(" \t\n;&|<>()")
_PLAIN = re.compile(r"[^\s;&|<>()\\'\"$`{]+|\s")
_VARIABLE = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IN_BACKTICKS = re.compile(r"\\([$`\\])")
_IN_QUOTED_BACKTICKS = re.compile(r"\\([$`\\\"])")
_TABS = re.compile(r"^\t+", re.MULTILINE)
_ARRAY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=\Z")

_BARE = '"${_smd%d}"'
_IN_DOUBLE = "${_smd%d}"
_IN_SINGLE = "'\"${_smd%d}\"'"
_IN_ARITHMETIC = "(${_smd%d})"


class Scanner(Cursor):
    """Reads words; the grammar asks for them.

    Args:
        text: the command as its author wrote it.
        bash: True for bash's grammar, False for POSIX sh.
        carried: variables that carry values.

    `seen` are the holes and the uses of such variables, in order. `commands` reads the commands inside `$( )` up
    to the closing parenthesis; the grammar sets it. `heredocs` are those whose bodies have not begun.
    """

    def __init__(self, text: str, *, bash: bool, carried: Carried) -> None:
        super().__init__(text)
        self.bash = bash
        self.carried = carried
        self.seen: list[Hole] = []
        self.holes: list[Hole] = []
        self.commands: Callable[[], None] = self._no_commands
        self.heredocs: list[Heredoc] = []
        self._escaped = False

    def _no_commands(self) -> None:
        unreadable(self.line, "a command stands where none can be read")

    def newline(self) -> None:
        """Copy a newline and the heredoc bodies that begin after it."""
        self.copy()
        pending, self.heredocs = self.heredocs, []
        for heredoc in pending:
            self._heredoc_body(heredoc)

    def space(self) -> None:
        """Skip blanks, comments and newlines."""
        self.blanks()
        while self.peek() == "\n":
            self.newline()
            self.blanks()

    # -- words ---------------------------------------------------------------------------------------------

    def word(self) -> Word:
        """Read one word; it is empty when an operator or the end stands at the cursor."""
        word = Word(self.line)
        while not self.done:
            if self.bash and self.peek(2) in {"<(", ">("}:
                self._substitution(word, 2, quoted=True)
            elif self.peek() == "(" and self._opens_array(word):
                self._array(word)
            elif self.peek() in META:
                break
            else:
                self._piece(word)
        return word

    def pattern(self) -> Word:
        """Read the right side of a comparison in `[[ ]]`, where parentheses and bars belong to the word."""
        word, depth = Word(self.line), 0
        while not self.done and (depth > 0 or self.peek() not in {" ", "\t", "\n", ")"}):
            char = self.peek()
            if depth == 0 and self.peek(2) in {"&&", "||"}:
                break
            depth += (char == "(") - (char == ")")
            if char in META:
                word.add_text(self.copy(), quoted=False)
            else:
                self._piece(word)
        return word

    def _piece(self, word: Word) -> None:
        match self.peek():
            case "\\":
                self._escape(word)
            case "'":
                self._single(word)
            case '"':
                self._double(word)
            case "$":
                self._dollar(word, quoted=False)
            case "`":
                self._backtick(word, quoted=False)
            case "{" if self._placeholder(word, _BARE, quoted=True):
                pass
            case "{":
                word.add_text(self.copy(), quoted=False)
            case _:
                run = _PLAIN.match(self.text, self.at)
                word.add_text(self.copy(len(run.group()) if run else 1), quoted=False)

    def _opens_array(self, word: Word) -> bool:
        return len(word.parts) == 1 and not word.parts[0].quoted and bool(_ARRAY.match(word.parts[0].text))

    def _array(self, word: Word) -> None:
        if not self.bash:
            unreadable(self.line, "an array needs bash", "set shell: bash")
        self.copy()
        self.space()
        while self.peek() != ")":
            element = self.word()
            if not element.parts:
                unreadable(self.line, "an array is not closed")
            word.elements.append(element)
            self.space()
        self.copy()

    def _placeholder(self, word: Word, form: str, *, quoted: bool) -> bool:
        match = PLACEHOLDER.match(self.text, self.at)
        if match is None or self._escaped or self.text[self.at - 1 : self.at] == "$":
            return False
        hole = Hole(len(self.holes) + 1, match.group(1), self.line)
        self.holes.append(hole)
        self.seen.append(hole)
        self.out.append(form % hole.number)
        self.at = match.end()
        word.parts.append(Part(Kind.HOLE, quoted=quoted, hole=hole))
        return True

    # -- quoting -------------------------------------------------------------------------------------------

    def _escape(self, word: Word) -> None:
        pair = self.copy(2)
        if pair != "\\\n":
            word.add_text(pair[1:], quoted=True)

    def _single(self, word: Word) -> None:
        start = self.line
        self.copy()
        word.add_text("", quoted=True)
        while self.peek() != "'":
            if self.done:
                unreadable(start, "a single quote is not closed")
            if self.peek() == "\\" and self.peek(2) != "\\'":
                word.add_text(self.copy(2), quoted=True)
            elif not self._placeholder(word, _IN_SINGLE, quoted=True):
                word.add_text(self.copy(), quoted=True)
        self.copy()

    def _double(self, word: Word) -> None:
        start = self.line
        self.copy()
        word.add_text("", quoted=True)
        while self.peek() != '"':
            if self.done:
                unreadable(start, "a double quote is not closed")
            self._in_double(word)
        self.copy()

    def _in_double(self, word: Word) -> None:
        char = self.peek()
        if char == "\\":
            pair = self.copy(2)
            kept = pair if pair[1:] not in {"$", "`", '"', "\\", "\n"} else pair[1:].strip("\n")
            word.add_text(kept, quoted=True)
        elif char == "$":
            self._dollar(word, quoted=True)
        elif char == "`":
            self._backtick(word, quoted=True)
        elif not self._placeholder(word, _IN_DOUBLE, quoted=True):
            word.add_text(self.copy(), quoted=True)

    def _ansi(self, word: Word) -> None:
        start, first = self.line, len(self.holes)
        self.copy(2)
        while self.peek() != "'":
            if self.done:
                unreadable(start, "$' is not closed")
            if not self.bash and self.peek(2) == "\\'":
                unreadable(self.line, "shells end $'…\\'…' at different places", "set shell: bash")
            if self.peek() == "\\":
                self.copy(2)
            elif not self._placeholder(word, "%d", quoted=True):
                self.copy()
        self.copy()
        if len(self.holes) > first:
            refuse(self.holes[first], "inside $'…'", "escapes of the value would be read there", "use '…'")
        word.add_expansion(quoted=True)

    # -- expansions ----------------------------------------------------------------------------------------

    def _dollar(self, word: Word, *, quoted: bool) -> None:
        following = self.text[self.at + 1 : self.at + 3]
        if following == "((":
            self.copy()
            self.arithmetic("$(( ))")
            word.add_expansion(quoted=quoted)
        elif following[:1] == "(":
            self._substitution(word, 2, quoted=quoted)
        elif following[:1] == "{":
            self._parameter(word, quoted=quoted)
        elif following[:1] == "[":
            unreadable(self.line, "$[ is arithmetic in some shells and text in others", "write $(( )) or \\$[")
        elif following == "\\\n":
            unreadable(self.line, "a line ends between $ and what follows it")
        elif following[:1] == "'" and not quoted:
            self._ansi(word)
        elif following[:1] == '"' and not quoted:
            self.copy()
            word.add_expansion(quoted=True)
        elif variable := _VARIABLE.match(self.text, self.at):
            name = self.copy(len(variable.group()))[1:]
            self._variable(word, name, quoted=quoted and name != "@")
        else:
            word.add_text(self.copy(), quoted=quoted)

    def _variable(self, word: Word, name: str, *, quoted: bool) -> None:
        if hole := use_of(name, self.carried, self.line):
            self.seen.append(hole)
            word.variables.append(hole)
        word.add_expansion(quoted=quoted, name=name)

    def _substitution(self, word: Word, opener: int, *, quoted: bool) -> None:
        start, first = self.line, len(self.seen)
        self.copy(opener)
        self.commands()
        if self.peek() != ")":
            unreadable(start, "a parenthesis is not closed")
        self.copy()
        word.nested.extend(self.seen[first:])
        word.add_expansion(quoted=quoted)

    def _parameter(self, word: Word, *, quoted: bool) -> None:
        start, begin, inner = self.line, self.at + 2, Word(self.line)
        self.copy(2)
        if self.peek() in {" ", "\t", "\n", "|"}:
            unreadable(start, "${ with a command inside is not read", "write $( )")
        many = "@" in self.text[self.at : self.at + 80].partition("}")[0]
        while self.peek() != "}":
            if self.done:
                unreadable(start, "${ is not closed")
            if self.peek() == "'" and quoted:
                unreadable(self.line, 'shells disagree about a single quote inside "${ }"')
            self._in_parameter(inner, quoted=quoted)
        inside = self.text[begin : self.at]
        self.copy()
        if hole := inner.written:
            refuse(hole, "inside ${ }", "the value would be read as a pattern or a subscript", "assign it first")
        refuse_parameter(inside, self.carried, start)
        word.variables.extend(inner.variables)
        word.nested.extend(inner.nested)
        name = found.group() if (found := _NAME.match(inside)) else ""
        self._variable(word, name, quoted=quoted and not many)

    def _in_parameter(self, inner: Word, *, quoted: bool) -> None:
        char = self.peek()
        if char == "$":
            self._dollar(inner, quoted=quoted)
        elif char == "`":
            self._backtick(inner, quoted=quoted, unsure=quoted)
        elif char in {"\\", "'", '"', "{"}:
            self._piece(inner)
        else:
            self.copy()

    def arithmetic(self, place: str) -> None:
        """Read `(( … ))` from its first parenthesis; only checked integers may stand in it.

        Raises:
            ChartError: a placeholder other than `{n|int}`, or text that may not be arithmetic.
        """
        start, depth, inner = self.line, 0, Word(self.line)
        self.copy(2)
        while depth > 0 or self.peek() != ")":
            if self.done:
                unreadable(start, f"{place} is not closed")
            char = self.peek()
            depth += (char == "(") - (char == ")")
            self._in_arithmetic(inner, char)
        if self.copy(2) != "))":
            unreadable(start, "(( may open arithmetic or two subshells", "write `( (` for two subshells")
        place_numbers(inner, place)
        refuse_evaluated(inner.parts, self.carried, start, f"in {place}")

    def _in_arithmetic(self, inner: Word, char: str) -> None:
        if char == "$":
            self._dollar(inner, quoted=True)
        elif char == "`":
            self._backtick(inner, quoted=True, unsure=True)
        elif char == "\\":
            self.copy(2)
        elif char == "'":
            unreadable(self.line, "shells disagree about a single quote in arithmetic")
        elif not self._placeholder(inner, _IN_ARITHMETIC, quoted=True):
            inner.add_text(self.copy(), quoted=True)

    def _backtick(self, word: Word, *, quoted: bool, unsure: bool = False) -> None:
        start, begin, first = self.line, self.at + 1, len(self.seen)
        self.copy()
        while self.peek() != "`":
            if self.done:
                unreadable(start, "a backtick is not closed")
            self.copy(2 if self.peek() == "\\" else 1)
        self._refuse_raw(begin, self.at, "inside backticks", "write $( ) instead of backticks")
        inside = self.text[begin : self.at]
        self.copy()
        if unsure and '\\"' in inside:
            unreadable(start, 'shells disagree about \\" inside backticks here', "write $( )")
        self._read_within((_IN_QUOTED_BACKTICKS if quoted else _IN_BACKTICKS).sub(r"\1", inside), start, self.commands)
        word.nested.extend(self.seen[first:])
        word.add_expansion(quoted=quoted)

    def _read_within(self, text: str, line: int, read: Callable[[], None]) -> None:
        """Read a text in which no placeholder stands: what looks like one there is the author's own."""
        outer = self.heredocs, self._escaped
        self.heredocs, self._escaped = [], True
        with self.within(text, line):
            read()
            if not self.done or self.heredocs:
                unreadable(self.line, f"{self.peek(2)!r} ends a command too early")
        self.heredocs, self._escaped = outer

    # -- heredocs ------------------------------------------------------------------------------------------

    def heredoc(self, *, tabs: bool) -> Input:
        """Read the delimiter of a heredoc; its body follows the next newline, and is known from then on.

        Raises:
            ChartError: the delimiter is not plain text.
        """
        delimiter = self.word()
        if hole := delimiter.tainted:
            refuse(hole, "as a heredoc delimiter", "the value would decide where code begins again")
        if delimiter.literal is None:
            unreadable(delimiter.line, "a heredoc delimiter is no plain text")
        given = Input(Word(delimiter.line), known=False)
        self.heredocs.append(Heredoc(delimiter.literal, tabs, delimiter.plain is not None, given))
        return given

    def _heredoc_body(self, heredoc: Heredoc) -> None:
        start, begin, continued = self.line, self.at, False
        while not self.done:
            end = self.text.find("\n", self.at)
            line = self.copy((len(self.text) if end < 0 else end + 1) - self.at).rstrip("\n")
            if (line.lstrip("\t") if heredoc.tabs else line) == heredoc.delimiter and not continued:
                fix = "give the text through stdin:, or write printf '%s\\n' with the placeholder as argument"
                self._refuse_raw(begin, self.at, "in a heredoc", fix)
                if heredoc.expands:
                    self._expanded(heredoc, self.text[begin : self.at - len(line) - 1], start)
                heredoc.given.become_known()
                return
            continued = heredoc.expands and (len(line) - len(line.rstrip("\\"))) % 2 == 1
        unreadable(start, f"the heredoc's last line {heredoc.delimiter!r} is missing")

    def _expanded(self, heredoc: Heredoc, body: str, line: int) -> None:
        text = _TABS.sub("", body) if heredoc.tabs else body
        self._read_within(text, line, lambda: self._body(heredoc.given.word))

    def _body(self, word: Word) -> None:
        while not self.done:
            if self.peek() == "`":
                self._backtick(word, quoted=True, unsure=True)
            else:
                self._in_double(word)

    def _refuse_raw(self, begin: int, end: int, place: str, fix: str) -> None:
        if found := PLACEHOLDER_IN_TEXT.search(self.text, begin, end):
            hole = Hole(0, found.group(1), self.line - self.text.count("\n", found.start(1), self.at))
            refuse(hole, place, "a value could become code there", fix)
