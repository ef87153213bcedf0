"""Which argument is an option, its value, code, or an operand: getopt's rules over words known in part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import takewhile

from smd.shell.words import Word


class Role(Enum):
    """What an argument is to its program."""

    FLAG = auto()
    UNKNOWN = auto()
    VALUE = auto()
    NAMED = auto()
    CODE = auto()
    SETTING = auto()
    END = auto()
    OPERAND = auto()


@dataclass(frozen=True, slots=True)
class Options:
    """The option grammar of a program.

    Letters are short options by what follows them: nothing (`flags`), a plain value (`values`), a
    `name=value` (`named`), code or a program (`code`), anything else that must not come from data
    (`settings`), or text that belongs to the same word (`attached`). `long` maps long names, with their
    dashes, to role and count of values.
    """

    flags: str = ""
    values: str = ""
    named: str = ""
    code: str = ""
    settings: str = ""
    attached: str = ""
    long: Mapping[str, tuple[Role, int]] = field(default_factory=dict)
    single_dash: bool = False
    permutes: bool = False
    ends_at_code: bool = False

    def flags_of(self, word: Word) -> str:
        """The letters without a value that an option word begins with."""
        text = word.prefix
        if not text.startswith("-") or text.startswith("--"):
            return ""
        return "".join(takewhile(lambda letter: letter in self.flags, text[1:]))

    def role(self, letter: str) -> Role:
        """The role of what a short option takes."""
        table = (
            (self.values, Role.VALUE),
            (self.named, Role.NAMED),
            (self.code, Role.CODE),
            (self.settings, Role.SETTING),
            (self.flags, Role.FLAG),
        )
        return next((role for letters, role in table if letter in letters), Role.UNKNOWN)


def classify(words: list[Word], options: Options) -> Iterator[tuple[int, Role, Word]]:
    """Yield each argument with its index and role.

    An option word that carries its own value has the role of the value. After `--`, or the first operand
    unless the program permutes, or the code where `ends_at_code`, everything is an operand.
    """
    index, ended = 0, False
    while index < len(words):
        word = words[index]
        if ended or not word.prefix.startswith("-") or word.literal == "-":
            yield index, Role.OPERAND, word
            ended = ended or not options.permutes
            index += 1
        elif word.literal == "--":
            yield index, Role.END, word
            ended = True
            index += 1
        else:
            role, values = _option(word, options)
            taken = words[index + 1 : index + 1 + values]
            yield index, _own_role(role, values), word
            for offset, value in enumerate(taken, start=1):
                yield index + offset, role, value
            ended = role is Role.CODE and options.ends_at_code
            index += 1 + len(taken)


def _own_role(role: Role, values: int) -> Role:
    return Role.FLAG if values else role


def _option(word: Word, options: Options) -> tuple[Role, int]:
    text = word.prefix
    if text.startswith("--") or options.single_dash:
        name, assigned, _ = text.partition("=")
        role, values = options.long.get(name, (Role.UNKNOWN, 0))
        return (Role.FLAG if role is Role.UNKNOWN and assigned else role), (0 if assigned else values)
    for position, letter in enumerate(text[1:], start=2):
        if letter in options.attached:
            return Role.FLAG, 0
        role = options.role(letter)
        if role is Role.UNKNOWN:
            return role, 0
        if role is not Role.FLAG:
            return role, int(position == len(text) and word.literal is not None)
    return Role.FLAG, 0
