"""A command text compiled into constant shell text and the slots its values go into."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from smd.errors import ChartError
from smd.shell.commands import Commands
from smd.shell.grammar import Grammar
from smd.shell.refusal import refuse, refuse_input
from smd.shell.scan import Scanner
from smd.shell.values import MAX_ARGUMENT, check_argument, check_integer, check_no_dash, check_target
from smd.shell.words import PLACEHOLDER_IN_TEXT, Hole, Rule, Word

_ROUNDS = 10
_NOTHING: Mapping[str, str] = MappingProxyType({})
_SHELLS = {"sh": "/bin/sh", "bash": "bash"}


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one value.

    `number` counts from 1 and is the N of `_smdN`; `placeholder` is the text inside the braces. The dash
    rule holds only while the values of the slots in `follows`, which stand before it in the word, are empty.
    `leads` and `extended` say of a redirection target whether it begins with the value, and whether the
    same path component goes on behind it.
    """

    number: int
    placeholder: str
    rule: Rule
    dash_checked: bool = False
    follows: tuple[int, ...] = ()
    leads: bool = False
    extended: bool = False

    def check(self, text: str, roots: Sequence[str]) -> str:
        """Return the text by the rule of the place.

        Raises:
            ActionError: the value may not stand there.
        """
        what = f"{{{self.placeholder}}}"
        if self.rule is Rule.INTEGER:
            return check_integer(text, what)
        if self.rule is Rule.REDIRECT:
            check_target(text, what, roots, leads=self.leads, extended=self.extended)
        return text


@dataclass(frozen=True, slots=True)
class ShellProgram:
    """Constant shell text; values reach it as positional arguments and never as text."""

    shell: str
    text: str
    slots: tuple[Slot, ...] = ()

    def argv(self, values: Sequence[object], roots: Sequence[str] = ()) -> list[str]:
        """Build the argument list of one run.

        Args:
            values: one rendered value for each slot, in order.
            roots: folders that redirection targets may lie under.

        Raises:
            ActionError: a value breaks the rule of its place; nothing has started then.
            ValueError: there are more or fewer values than slots.
        """
        pairs = list(zip(self.slots, values, strict=True))
        texts = [slot.check(check_argument(value, f"{{{slot.placeholder}}}"), roots) for slot, value in pairs]
        for slot, text in zip(self.slots, texts, strict=True):
            if slot.dash_checked and not any(texts[number - 1] for number in slot.follows):
                check_no_dash(text, f"{{{slot.placeholder}}}")
        return [_SHELLS[self.shell], "-c", self._prelude() + self.text, "smd", *texts]

    def _prelude(self) -> str:
        if not self.slots:
            return ""
        assigned = "".join(f"_smd{n}=${n if n < 10 else f'{{{n}}}'}; " for n in range(1, len(self.slots) + 1))
        return f"{assigned}set --; "


def compile_shell(
    text: str, *, shell: str = "sh", allow_dash: bool = False, carried: Mapping[str, str] = _NOTHING, stdin: str = ""
) -> ShellProgram:
    """Compile a command text; a text without placeholders passes as it is, also one that cannot be read.

    A variable that the text sets to a placeholder's value may stand where any text may. As a program, in code and
    as a name it is refused like the placeholder, and also where bash, which may be /bin/sh, evaluates variables
    (`$(( ))`, `[[ -eq ]]`, subscripts), unless a command printed the value: `n=$(wc -l < {file})` is taken for a
    number. What `read` reads is followed (here-strings, heredocs, pipes, `stdin`); files and functions are not.

    Args:
        text: the command as its author wrote it, with `{name}` placeholders.
        shell: "sh" (POSIX grammar) or "bash".
        allow_dash: True to let values begin with `-` where the program is no interpreter or wrapper.
        carried: variables of the environment with values from data, each with the placeholder that gives it one.
        stdin: a placeholder that gives the standard input its value; a command that inherits it and runs what it
            reads is refused. Empty if none does.

    Raises:
        ChartError: a placeholder stands where a value could become a program, code or a name, or the text
            cannot be read well enough to tell. It names the placeholder, the place and what to write instead.
    """
    _check_text(text, shell)
    given = Hole(0, stdin, 0) if stdin else None
    used = {name: placeholder for name, placeholder in carried.items() if re.search(rf"\b{re.escape(name)}\b", text)}
    if not used and not PLACEHOLDER_IN_TEXT.search(text):
        if given is not None:
            _check_input(text, shell, given)
        return ShellProgram(shell, text)
    grammar = read_grammar(text, shell=shell, allow_dash=allow_dash, carried=used, stdin=given)
    if given is not None and grammar.runs_input:
        refuse_input(given)
    scanner = grammar.scan
    if not scanner.holes:
        return ShellProgram(shell, text)
    program = ShellProgram(shell, "".join(scanner.out), tuple(_slot(hole) for hole in scanner.holes))
    size = len((program._prelude() + program.text).encode())
    if size > MAX_ARGUMENT:
        raise ChartError(f"cannot run the command: its text has {size:,} bytes of {MAX_ARGUMENT:,}; use a script file")
    return program


def _check_input(text: str, shell: str, given: Hole) -> None:
    try:
        runs_input = read_grammar(text, shell=shell, allow_dash=True, stdin=given).runs_input
    except ChartError as error:
        if error.code == "shell_placeholder":
            raise
        return  # with no placeholder in it, a text need not be readable
    if runs_input:
        refuse_input(given)


def read_grammar(
    text: str, *, shell: str, allow_dash: bool, carried: Mapping[str, str] = _NOTHING, stdin: Hole | None = None
) -> Grammar:
    """Read a text that holds placeholders, and check what only the whole of it shows.

    It is read again while variables are found that carry values: a loop may use one above the line that sets it.

    Raises:
        ChartError: as compile_shell does.
    """
    known = {name: Hole(0, placeholder, 0) for name, placeholder in carried.items()}
    for _ in range(_ROUNDS):
        before = {name: hole.printed for name, hole in known.items()}
        grammar = _read(text, known, stdin, shell=shell, allow_dash=allow_dash)
        if {name: hole.printed for name, hole in known.items()} == before:
            return grammar
    raise ChartError("cannot read the shell command: variables hand values on in too many turns; use a script file")


def _read(text: str, carried: dict[str, Hole], stdin: Hole | None, *, shell: str, allow_dash: bool) -> Grammar:
    scanner = Scanner(text, bash=shell == "bash", carried=carried)
    commands = Commands(allow_dash=allow_dash, carried=carried)
    grammar = Grammar(scanner, commands)
    try:
        grammar.program(stdin)
    except RecursionError:
        raise ChartError("cannot read the shell command: it is nested too deeply; use a script file") from None
    if scanner.seen and commands.evaluates_assignments:
        why = "variables declared -i or -n evaluate what they are given"
        refuse(scanner.seen[0], "in this command", why, "declare the variable without -i and -n")
    if scanner.holes and commands.defines_aliases:
        refuse(scanner.holes[0], "beside an alias", "an alias may hide the program", "write a function")
    return grammar


def _check_text(text: str, shell: str) -> None:
    if shell not in _SHELLS:
        raise ChartError(f"cannot use shell {shell!r}: it is neither sh nor bash")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ChartError("cannot run the command: its text cannot be encoded as UTF-8") from None
    if "\0" in text or size > MAX_ARGUMENT:
        why = "holds a NUL character" if "\0" in text else f"has {size:,} bytes of {MAX_ARGUMENT:,}"
        raise ChartError(f"cannot run the command: its text {why}; use a script file")
    if (own := re.search(r"_smd[0-9]+", text)) and PLACEHOLDER_IN_TEXT.search(text):
        raise ChartError(f"cannot run the command: {own.group()} is smd's own variable; use another name")


def _slot(hole: Hole) -> Slot:
    if hole.rule is None:
        refuse(hole, "in this place", "no rule allows it there")
    return Slot(hole.number, hole.placeholder, hole.rule, hole.dash_checked, hole.follows, hole.leads, hole.extended)


def lint_shell(text: str, *, shell: str = "sh") -> list[str]:
    """Warn of what compiles but rarely does what its author means.

    A text that does not compile has no warnings: its error is what its author needs.

    Args:
        text: the command as its author wrote it.
        shell: "sh" or "bash".
    """
    try:
        compile_shell(text, shell=shell)
    except ChartError:
        return []
    grammar = read_grammar(text, shell=shell, allow_dash=False)
    return [*_unsplit(grammar.list_words), *_split(grammar.argument_words)]


def _unsplit(words: list[Word]) -> list[str]:
    text = "for … in {{{0}}} (line {1}) runs once: a value is never split; loop over lines of stdin: instead"
    bare = [word for word in words if len(word.parts) == 1 and word.holes]
    return [text.format(word.holes[0].placeholder, word.line) for word in bare]


def _split(words: list[Word]) -> list[str]:
    text = '$( ) with {{{0}}} (line {1}) is not quoted: its output is split and globbed; write "$( )"'
    loose = [(word, hole) for word in words if word.splits for hole in word.nested[:1] if not hole.variable]
    return [text.format(hole.placeholder, word.line) for word, hole in loose]
