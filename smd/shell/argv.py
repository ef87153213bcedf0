"""`run`: an argument list without a shell, held to the rules of a simple command (P9)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from smd.shell.commands import Commands
from smd.shell.refusal import refuse, refuse_input
from smd.shell.words import Hole, Kind, Part, Word

_BRACES = re.compile(r"(\{[^{}]*\})")
_ASSIGNED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def check_argv(items: Sequence[object], is_placeholder: Callable[[str], bool], *, stdin: str = "") -> tuple[int, ...]:
    """Check where the placeholders of an argument list stand.

    The program, a program that another one runs, and code are the author's own: a placeholder there is refused.
    Elsewhere an item is exactly one argument and may hold any text; but where an interpreter, `find` or a
    program that runs another one takes options, a value that begins with `-` could be such an option.

    Args:
        items: the program and its arguments as their author wrote them.
        is_placeholder: tells of text in braces, with them, whether it is a placeholder.
        stdin: a placeholder that gives the standard input its value; empty if none does.

    Returns:
        The indexes of the items that may not begin with `-` when they are given.

    Raises:
        ChartError: a placeholder stands where a value could become a program or code. It names the placeholder,
            the argument and what to write instead.
    """
    words = [_word(str(item), number, is_placeholder) for number, item in enumerate(items)]
    given = Hole(0, stdin, 0) if stdin else None
    commands = Commands(allow_dash=True, carried={}, builtins=False, given=given)
    runs_input = commands.simple(words)
    if given is not None and runs_input:
        refuse_input(given)
    for word in words:
        if unplaced := next((hole for hole in word.holes if hole.rule is None), None):
            refuse(unplaced, "in this place", "no rule allows it there")
    return tuple(number for number, word in enumerate(words) if any(hole.dash_checked for hole in word.holes))


def _word(text: str, number: int, is_placeholder: Callable[[str], bool]) -> Word:
    """An item as a word: all of it quoted but a `NAME=` at its start, which env and sudo read."""
    word = Word(0)
    name = found.group() if (found := _ASSIGNED.match(text)) else ""
    if name:
        word.add_text(name, quoted=False)
    for piece in _BRACES.split(text[len(name) :]):
        if piece.startswith("{") and piece.endswith("}") and is_placeholder(piece):
            word.parts.append(Part(Kind.HOLE, quoted=True, hole=Hole(number, piece[1:-1], 0, item=number)))
        elif piece:
            word.add_text(piece, quoted=True)
    return word
