"""The load errors of the placeholder compiler, in one form: what stands where, why not, what to write."""

from __future__ import annotations

from typing import NoReturn

from smd.errors import ChartError
from smd.shell.words import Hole, Word

USUAL_FIX = "pass it as an argument, through env: or through stdin:"
"""The fix that fits most places."""

_CARRIES = "a variable whose value comes from {{{0}|int}} holds a checked integer and may stand there"
_NOT_MEANT = "if the braces are no placeholder, write a space after the opening one: `{{ {0}}}`"


def refuse(hole: Hole, place: str, why: str, fix: str = USUAL_FIX) -> NoReturn:
    """Raise the ChartError for a placeholder in a forbidden place.

    Args:
        hole: the occurrence.
        place: where it stands, e.g. "in command position".
        why: what a value could do there.
        fix: what to write instead.

    Raises:
        ChartError: always.
    """
    what = f"${hole.variable}, which holds {{{hole.placeholder}}}," if hole.variable else f"{{{hole.placeholder}}}"
    hint = (_CARRIES if hole.variable else _NOT_MEANT).format(hole.placeholder)
    where = f" (line {hole.line})" if hole.line else f" (argument {hole.item})" if hole.item else ""
    raise ChartError(f"cannot use {what} {place}{where}: {why}; {fix}", code="shell_placeholder", hint=hint)


def refuse_tainted(words: list[Word], place: str, why: str, fix: str = USUAL_FIX) -> None:
    """Refuse the first placeholder whose value may reach one of the words, itself or in a variable.

    Raises:
        ChartError: if there is one.
    """
    for word in words:
        if hole := word.tainted:
            refuse(hole, place, why, fix)


def refuse_written(words: list[Word], place: str, why: str, fix: str = USUAL_FIX) -> None:
    """Refuse the first placeholder that stands in one of the words; a variable with its value may stand there.

    Raises:
        ChartError: if there is one.
    """
    for word in words:
        if hole := word.written:
            refuse(hole, place, why, fix)


def refuse_input(hole: Hole) -> NoReturn:
    """Refuse a standard input that comes from data and that the command runs as code.

    Raises:
        ChartError: always.
    """
    why = "the program runs what it reads there as code"
    refuse(hole, "through stdin", why, "give it the code as a file, and the value as an argument or through env:")


def unreadable(line: int, why: str, fix: str = "write it plainly, or move it into a script file") -> NoReturn:
    """Raise the ChartError for shell text that cannot be read well enough to place its placeholders.

    Raises:
        ChartError: always.
    """
    raise ChartError(f"cannot read the shell command (line {line}): {why}; {fix}", code="shell_syntax")
