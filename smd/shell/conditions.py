"""`[[ … ]]` of bash: some operands are compared as text, others are evaluated.

Source: the bash manual, 3.2.5.2 (conditional constructs) and 6.4 (conditional expressions).
"""

from __future__ import annotations

from smd.shell.evaluated import refuse_evaluated, refuse_named
from smd.shell.refusal import refuse_tainted, refuse_written, unreadable
from smd.shell.scan import Scanner
from smd.shell.words import Rule, Word

_ARITHMETIC = frozenset({"-eq", "-ne", "-lt", "-le", "-gt", "-ge"})
_NAMING = frozenset({"-v", "-R", "-o"})
_COMPARING = frozenset({"=", "==", "!=", "=~"})
_OPERATORS = ("&&", "||", "(", ")", "<", ">")


def read_condition(scan: Scanner) -> None:
    """Read a condition after its `[[`, through its `]]`.

    Raises:
        ChartError: a placeholder where bash evaluates a number, a name or a regular expression.
    """
    start = scan.line
    words: list[Word | str] = []
    while True:
        scan.space()
        item = _item(scan, words)
        if item is None:
            unreadable(start, "[[ is not closed by ]]")
        if isinstance(item, Word) and item.plain == "]]":
            break
        words.append(item)
    for index, item in enumerate(words):
        if isinstance(item, Word):
            _check_operator(scan, words, index, item.plain or "")
    for item in words:
        if isinstance(item, Word):
            for hole in item.holes:
                hole.rule = Rule.WORD


def _item(scan: Scanner, before: list[Word | str]) -> Word | str | None:
    last = before[-1] if before else None
    if isinstance(last, Word) and last.plain in _COMPARING and len(before) > 1:
        return scan.pattern()
    for operator in _OPERATORS:
        if scan.peek(len(operator)) == operator and scan.peek(2) not in {"<(", ">("}:
            return scan.copy(len(operator))
    word = scan.word()
    return word if word.parts else None


def _check_operator(scan: Scanner, words: list[Word | str], index: int, operator: str) -> None:
    around = [item for item in words[max(index - 1, 0) : index + 2] if isinstance(item, Word)]
    after = [item for item in words[index + 1 : index + 2] if isinstance(item, Word)]
    if operator in _ARITHMETIC:
        for word in around:
            refuse_evaluated(word.parts, scan.carried, word.line, f"beside {operator} in [[ ]]")
        refuse_written(
            around, f"beside {operator} in [[ ]]", "the value is evaluated there", f"write [ … {operator} … ]"
        )
    elif operator in _NAMING:
        refuse_tainted(after, f"after {operator} in [[ ]]", "data must not choose a name", "write the name")
        for word in after:
            refuse_named(word.prefix.partition("[")[2], scan.carried, word.line, "in a subscript")
    elif operator == "=~":
        why = "the value would be a regular expression"
        refuse_written(after, "on the right of =~", why, "compare with ==, or give the expression through env:")
