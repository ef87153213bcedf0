"""The words of the placeholder compiler: a placeholder's occurrence, a shell word and its parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum, auto

_NAME = r"[A-Za-z_](?:[A-Za-z0-9_]|\.(?!\.))*"
_PLACEHOLDER_TEXT = rf"\{{({_NAME}(?:\|{_NAME}(?::[^|{{}}\n]*)?)*)\}}"

PLACEHOLDER = re.compile(_PLACEHOLDER_TEXT)
"""A placeholder where a scanner already knows that neither `$` nor a backslash stands before it."""

PLACEHOLDER_IN_TEXT = re.compile(rf"(?:(?<!\\)(?:\\\\)+|(?<![\\$])){_PLACEHOLDER_TEXT}")
"""A placeholder anywhere in raw text: not after `$`, not after an odd number of backslashes."""

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\+?=")
_SUBSCRIPT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\[")
_ANY_EXPANSION = re.compile(r"[*?\[]|\{.*(?:,|\.\.)")


class Rule(StrEnum):
    """What a value must satisfy, by the place its placeholder stands in."""

    WORD = "word"
    REDIRECT = "redirect"
    INTEGER = "integer"


@dataclass(slots=True, eq=False)
class Hole:
    """One occurrence of a placeholder; `rule` stays None until a place allows it, and None is refused.

    With `variable`, it is that variable which stands there, and the placeholder gave it its value; `printed`
    says that a command in between printed what it holds. Outside shell text `line` is 0, and `item` counts the
    arguments after the program.
    """

    number: int
    placeholder: str
    line: int
    rule: Rule | None = None
    dash_checked: bool = False
    follows: tuple[int, ...] = ()
    leads: bool = False
    extended: bool = False
    variable: str = ""
    printed: bool = False
    item: int = 0

    @property
    def is_integer(self) -> bool:
        """True when the last filter is `int`, so that the value is rendered as an integer."""
        return self.placeholder.endswith("|int")


class Kind(Enum):
    """What a part of a word is."""

    TEXT = auto()
    HOLE = auto()
    EXPANSION = auto()


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a word: known text, a hole, or something the shell computes (`text` names a plain variable)."""

    kind: Kind
    text: str = ""
    quoted: bool = False
    hole: Hole | None = None


@dataclass(slots=True, eq=False)
class Word:
    """One shell word as far as it is known before it runs.

    `nested` holds the holes inside its `$( )`; `variables` the variables beside them that carry a value;
    `elements` the words of an array literal.
    """

    line: int
    parts: list[Part] = field(default_factory=list)
    nested: list[Hole] = field(default_factory=list)
    variables: list[Hole] = field(default_factory=list)
    elements: list[Word] = field(default_factory=list)

    def add_text(self, text: str, *, quoted: bool) -> None:
        """Append known text, joined to the last part where both are known and quoted alike."""
        if self.parts and (last := self.parts[-1]).kind is Kind.TEXT and last.quoted == quoted:
            self.parts[-1] = Part(Kind.TEXT, last.text + text, quoted)
        else:
            self.parts.append(Part(Kind.TEXT, text, quoted))

    def add_expansion(self, *, quoted: bool, name: str = "") -> None:
        """Append something only the running shell knows; `name` if it is the value of that variable."""
        self.parts.append(Part(Kind.EXPANSION, name, quoted))

    @property
    def holes(self) -> list[Hole]:
        """The holes that are parts of the word itself."""
        return [part.hole for part in self.parts if part.hole is not None]

    @property
    def tainted(self) -> Hole | None:
        """Any hole whose value may reach this word: directly, through a variable or through a substitution."""
        inner = (element.tainted for element in self.elements)
        found = self.holes + self.nested + self.variables
        return next(iter(found), None) or next((hole for hole in inner if hole), None)

    @property
    def written(self) -> Hole | None:
        """A hole that stands in this word itself or in a substitution, not one behind a variable."""
        inner = (element.written for element in self.elements)
        found = (hole for hole in self.holes + self.nested if not hole.variable)
        return next(found, None) or next((hole for hole in inner if hole), None)

    @property
    def carried(self) -> Hole | None:
        """A hole whose value a variable has after it is set to this word; a checked integer is none."""
        found = [hole for hole in self.holes + self.variables if not hole.is_integer]
        found += [hole for element in self.elements if (hole := element.carried)]
        found += [replace(hole, printed=True) for hole in self.nested]
        return min(found, key=lambda hole: hole.printed, default=None)

    @property
    def literal(self) -> str | None:
        """The word without its quotes, or None where the shell or a value decides."""
        if any(part.kind is not Kind.TEXT for part in self.parts) or self.elements:
            return None
        return "".join(part.text for part in self.parts)

    @property
    def plain(self) -> str | None:
        """The literal of a word written without any quote, as reserved words must be."""
        return None if any(part.quoted for part in self.parts) else self.literal

    @property
    def prefix(self) -> str:
        """The known text at the start, without quotes."""
        known = []
        for part in self.parts:
            if part.kind is not Kind.TEXT:
                break
            known.append(part.text)
        return "".join(known)

    @property
    def splits(self) -> bool:
        """True when the shell may make several words (or none) of it by splitting."""
        return any(part.kind is Kind.EXPANSION and not part.quoted for part in self.parts)

    @property
    def program(self) -> str | None:
        """The literal, if the word surely names one program and no pattern or brace list could change it."""
        if self.literal in {"[", "[["}:
            return self.literal
        loose = any(not part.quoted and _ANY_EXPANSION.search(part.text) for part in self.parts)
        return None if loose else self.literal

    def leading(self) -> Iterator[tuple[Hole, tuple[int, ...]]]:
        """The holes that may stand at the start of the word, each with the numbers of the holes before it."""
        before: tuple[int, ...] = ()
        for part in self.parts:
            if part.kind is Kind.TEXT and part.text:
                return
            if part.hole is not None:
                yield part.hole, before
                before += (part.hole.number,)

    def array_name(self) -> str | None:
        """The array's name where the word begins like `name[`, else None."""
        first = self.parts[0] if self.parts else None
        match = _SUBSCRIPT.match(first.text) if first is not None and not first.quoted else None
        return match.group(1) if match else None

    def assigned_name(self) -> str | None:
        """The variable's name where the word has the form `name=…` or `name+=…`, else None."""
        first = self.parts[0] if self.parts else None
        if first is None or first.kind is not Kind.TEXT or first.quoted:
            return None
        match = _ASSIGNMENT.match(first.text)
        return match.group(1) if match else None

    def subscript(self) -> list[Part] | None:
        """The parts up to `]=` where the word assigns to an array element (`name[i]=…`), else None."""
        if self.array_name() is None:
            return None
        for index, part in enumerate(self.parts):
            if part.kind is Kind.TEXT and not part.quoted and re.search(r"\]\+?=", part.text):
                return self.parts[: index + 1]
        return None


@dataclass(slots=True, eq=False)
class Input:
    """What a command reads: `word`, as far as it is known before it runs.

    A heredoc's is `known` only once its body was read, which follows the command.
    """

    word: Word
    known: bool = True
    _then: list[Callable[[], None]] = field(default_factory=list)

    def when_known(self, call: Callable[[], None]) -> None:
        """Call at once, or as soon as the word is known."""
        if self.known:
            call()
        else:
            self._then.append(call)

    def become_known(self) -> None:
        """Note that the word is complete."""
        self.known = True
        for call in self._then:
            call()


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A heredoc whose body is still to come. `tabs`: leading tabs are dropped; `expands`: the shell reads the body."""

    delimiter: str
    tabs: bool
    expands: bool
    given: Input
