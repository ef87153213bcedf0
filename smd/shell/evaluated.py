"""What bash evaluates again after expansion: a variable that carries a value may not stand there.

In `$(( ))`, subscripts and offsets the text `a[$(command)]` runs the command, whether it stands there or in a
variable that is named there. dash does not, but /bin/sh is bash on some systems, so the rules hold for both.
Source: the bash manual, 6.5 (arithmetic), 3.5.3 (parameters).
"""

from __future__ import annotations

import re
from typing import NoReturn

from smd.shell.refusal import refuse
from smd.shell.variables import Carried, use_of
from smd.shell.words import Hole, Kind, Part, Rule, Word

_NAMED = re.compile(r"(?<![\w#])[A-Za-z_]\w*", re.ASCII)
_PARAMETER = re.compile(
    r"(?P<sign>[!#]?)(?P<name>[A-Za-z_]\w*)(?:\[(?P<subscript>.*?)\])?(?::(?![-=+?])(?P<offset>.*)|(?P<rest>.*))\Z",
    re.ASCII | re.DOTALL,
)
_FIX = "give the variable a checked integer, {{{0}|int}}, or compare with [ ]"


def place_numbers(inner: Word, place: str) -> None:
    """Allow the holes of an arithmetic text: checked integers only.

    Raises:
        ChartError: another placeholder, or output of a command that holds one.
    """
    for hole in inner.holes:
        if not hole.is_integer:
            refuse(hole, f"in {place}", "a value is evaluated there", f"write {{{hole.placeholder}|int}}")
        hole.rule = Rule.INTEGER
    if written := next((hole for hole in inner.nested if not hole.variable), None):
        refuse(written, f"in {place}", "output is evaluated there", "compute it in a step before")


def refuse_evaluated(parts: list[Part], carried: Carried, line: int, place: str) -> None:
    """Refuse a variable that carries a value in an evaluated text, read in parts.

    Raises:
        ChartError: if one stands there, with or without `$`.
    """
    refuse_named(" ".join(part.text for part in parts if part.kind is not Kind.HOLE), carried, line, place)


def refuse_number(hole: Hole, place: str) -> NoReturn:
    """Refuse a variable where bash evaluates what it holds.

    Raises:
        ChartError: always.
    """
    why = "bash, which is /bin/sh on some systems, evaluates what the variable holds, also a[$(command)]"
    refuse(hole, place, why, _FIX.format(hole.placeholder.removesuffix("|int")))


def refuse_named(text: str, carried: Carried, line: int, place: str) -> None:
    """Refuse an evaluated text that names a variable with a value; `${#name}` is a length and may stand there.

    Raises:
        ChartError: if it does.
    """
    for name in _NAMED.findall(text):
        hole = use_of(name, carried, line)
        if hole is not None and not hole.printed:
            refuse_number(hole, place)


def refuse_parameter(inside: str, carried: Carried, line: int) -> None:
    """Refuse what bash evaluates in `${…}`: subscripts, offsets, `${!name}` and `${name@P}`.

    Raises:
        ChartError: a variable that carries a value stands there.
    """
    found = _PARAMETER.match(inside)
    if found is None:
        return
    refuse_named(found["subscript"] or "", carried, line, "in a subscript")
    refuse_named(found["offset"] or "", carried, line, "in the offset of ${ }")
    hole = use_of(found["name"], carried, line)
    if hole is None:
        return
    if found["sign"] == "!" and found["subscript"] not in {"@", "*"} and found["rest"] not in {"@", "*"}:
        refuse(hole, "in ${! }", "the value would be a name", "write the name, or choose it with case")
    if found["rest"] == "@P":
        refuse(hole, "in ${ @P}", "bash runs commands in a prompt", "use the variable itself")
