"""Text of an expression → syntax tree: CEL's grammar (cel-spec, "Syntax") without bytes and unsigned numbers.

One pass of a regular expression makes tokens, a Pratt parser makes nodes. Macros (`has`, `all`, `map` ...)
are told from calls here, as CEL asks. Source length and tree height are bounded, which bounds the stack of
everything that walks the tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from smd.errors import ChartError

MAX_SOURCE = 8192
MAX_NESTING = 100
MAX_PATTERN = 1000
_MAX_SUBJECT = 1 << 16
INT_MIN, INT_MAX = -(2**63), 2**63 - 1


class Node(NamedTuple):
    """One node of the tree.

    kind     value              parts
    literal  the constant       -
    name     the name           -
    member   the field          target
    has      the field          target
    call     function           arguments
    method   method             target, arguments
    loop     (macro, variable)  source, body expressions
    items    -                  items of a list
    pairs    -                  key, value, key, value ...
    unary    `!` or `-`         operand
    binary   operator or `[]`   left, right
    logic    `&&` or `||`       every operand of the chain (both are associative)
    choice   -                  condition, yes, no
    """

    kind: str
    at: int
    value: Any = None
    parts: tuple[Node, ...] = ()
    height: int = 1


class Tree(NamedTuple):
    """The root node; whether the tree loops, and whether it can build values larger than its inputs."""

    root: Node
    loops: bool
    builds: bool


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n\f]+|//[^\n]*)
    |(?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
    |(?P<int>0x[0-9a-fA-F]+|[0-9]+)
    |(?P<raw>[rR](?:\"{3}(?s:.*?)\"{3}|'{3}(?s:.*?)'{3}|"[^"\r\n]*"|'[^'\r\n]*'))
    |(?P<string>\"{3}(?s:(?:[^\\]|\\.)*?)\"{3}|'{3}(?s:(?:[^\\]|\\.)*?)'{3}
        |"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*')
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<op>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"""\\(?:[xX](?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})"""
    r"""|U(?P<U>[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2})|(?P<plain>.?))""",
    re.DOTALL,
)
_PLAIN = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))
_CONSTANTS = {"true": True, "false": False, "null": None}
_RESERVED = re.compile(
    "as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return|var|void|while|in"
)
_LEVELS = {"||": 1, "&&": 2} | dict.fromkeys(("<", "<=", ">", ">=", "==", "!=", "in"), 3)
_LEVELS |= {"+": 4, "-": 4, "*": 5, "/": 5, "%": 5}
MACROS = {"all": (2,), "exists": (2,), "exists_one": (2,), "map": (2, 3), "filter": (2,)}


def unreadable(text: str, at: int, why: str, hint: str = "") -> ChartError:
    """The error for an unreadable expression; `at` is the offset of the fault, told as a column from 1."""
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    place = f"column {column}" if "\n" not in text else f"line {line}, column {column}"
    return ChartError(f"cannot read expression '{shown(text)}': {place}: {why}", hint=hint)


def shown(text: str) -> str:
    """An expression short enough for a message."""
    return text if len(text) <= 120 else text[:117] + "..."


def parse(text: str) -> Tree:
    """The syntax tree of `text`.

    Raises:
        ChartError: it is not an expression, or longer or deeper than allowed; with the column.
    """
    if len(text.encode(errors="replace")) > MAX_SOURCE:
        raise unreadable(text, 0, f"it is longer than {MAX_SOURCE} bytes")
    return _Parser(text).whole()


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            why = "a string without an end" if text[at] in "'\"" else f"unexpected {text[at]!r}"
            raise unreadable(text, at, why)
        if match.lastgroup != "space":
            found.append(_Token(match.lastgroup, match.group(), at))
        at = match.end()
    return [*found, _Token("end", "", len(text))]


def _unescape(match: re.Match[str]) -> str:
    kind, digits = match.lastgroup, match.group(match.lastgroup or 0)
    if kind == "plain":
        return _PLAIN[digits]
    code = int(digits, 8 if kind == "octal" else 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise KeyError(match.group()[1:])
    return chr(code)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.position = self.depth = 0
        self.loops = self.builds = False

    @property
    def here(self) -> _Token:
        return self.tokens[self.position]

    def fault(self, why: str, token: _Token | None = None) -> ChartError:
        return unreadable(self.text, (token or self.here).at, why)

    def unexpected(self, wanted: str) -> ChartError:
        found = "the end" if self.here.kind == "end" else f"'{self.here.text}'"
        return self.fault(f"expected {wanted}, found {found}")

    def take(self) -> _Token:
        token = self.here
        self.position += 1
        return token

    def at_op(self, *ops: str) -> bool:
        return self.here.kind == "op" and self.here.text in ops

    def need(self, op: str) -> None:
        if not self.at_op(op):
            raise self.unexpected(f"'{op}'")
        self.take()

    def node(self, kind: str, at: int, value: Any = None, parts: Iterable[Node] = ()) -> Node:
        """A node; refuses a tree that grows too high."""
        parts = tuple(parts)
        height = 1 + max((part.height for part in parts), default=0)
        if height > MAX_NESTING:
            raise unreadable(self.text, at, f"it is nested deeper than {MAX_NESTING}")
        return Node(kind, at, value, parts, height)

    def whole(self) -> Tree:
        root = self.expression()
        if self.here.kind != "end":
            raise self.unexpected("an operator or the end")
        return Tree(root, self.loops, self.builds or self.loops)

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.fault(f"it is nested deeper than {MAX_NESTING}")
        node = self.binary(1)
        if self.at_op("?"):
            at = self.take().at
            yes = self.binary(1)
            self.need(":")
            no = self.expression()
            node = self.node("choice", at, None, (node, yes, no))
        self.depth -= 1
        return node

    def binary(self, least: int) -> Node:
        left = self.unary()
        while self.here.kind in {"op", "name"} and (level := _LEVELS.get(self.here.text, 0)) >= least:
            token = self.take()
            right = self.binary(level + 1)
            left = self.joined(token, left, right)
        return left

    def joined(self, token: _Token, left: Node, right: Node) -> Node:
        op = token.text
        if op not in {"&&", "||"}:
            self.builds |= op == "+"
            return self.node("binary", token.at, op, (left, right))
        chain = left.parts if left.kind == "logic" and left.value == op else (left,)
        return self.node("logic", token.at, op, (*chain, right))

    def unary(self) -> Node:
        signs = []
        op = self.here.text
        while self.at_op("!" if op == "!" else "-") and not self.at_negative_number():
            signs.append(self.take())
        node = self.postfix(self.primary())
        for sign in reversed(signs):
            node = self.node("unary", sign.at, sign.text, (node,))
        return node

    def at_negative_number(self) -> bool:
        return self.at_op("-") and self.tokens[self.position + 1].kind in {"int", "float"}

    def postfix(self, node: Node) -> Node:
        while self.at_op(".", "["):
            token = self.take()
            if token.text == ".":
                node = self.member(node)
            else:
                key = self.expression()
                self.need("]")
                node = self.node("binary", token.at, "[]", (node, key))
        return node

    def member(self, target: Node) -> Node:
        if self.here.kind != "name" or self.here.text in _CONSTANTS or self.here.text == "in":
            raise self.unexpected("a field name")
        token = self.take()
        if not self.at_op("("):
            return self.node("member", token.at, token.text, (target,))
        args = self.arguments()
        if token.text in MACROS:
            return self.macro(token, target, args)
        return self.node("method", token.at, token.text, (target, *args))

    def macro(self, token: _Token, source: Node, args: tuple[Node, ...]) -> Node:
        variable = args[0] if len(args) in MACROS[token.text] else None
        if variable is None or variable.kind != "name":
            raise self.fault(f"{token.text}() takes the name of a variable and an expression", token)
        self.loops = True
        return self.node("loop", token.at, (token.text, variable.value), (source, *args[1:]))

    def primary(self) -> Node:
        if self.here.kind in {"int", "float"} or self.at_negative_number():
            return self.number()
        if self.here.kind in {"string", "raw"}:
            return self.string()
        if self.here.kind == "name":
            return self.named()
        if self.at_op("["):
            at, self.builds = self.take().at, True
            return self.node("items", at, None, self.listed("]"))
        if self.at_op("{"):
            return self.mapping()
        if not self.at_op("("):
            raise self.unexpected("a value")
        self.take()
        node = self.expression()
        self.need(")")
        return node

    def number(self) -> Node:
        start = self.take()
        token = self.take() if start.text == "-" else start
        sign, exact = "-" if token is not start else "", token.kind == "int"
        # Python limits the digits it converts; zeros in front do not count, and 20 others are over 64 bits anyhow.
        digits = sign + (token.text.lstrip("0x")[:20] or "0" if exact else token.text)
        value: float = int(digits, 16 if "x" in token.text else 10) if exact else float(digits)
        if not (INT_MIN <= value <= INT_MAX if exact else abs(value) < float("inf")):
            raise self.fault(f"the number {sign}{token.text[:64]} is too large", token)
        return self.node("literal", start.at, value)

    def string(self) -> Node:
        token = self.take()
        body = token.text[1:] if token.kind == "raw" else token.text
        quotes = 3 if body[:3] in {"'''", '"""'} else 1
        body = body[quotes:-quotes]
        if token.kind == "string":
            try:
                body = _ESCAPE.sub(_unescape, body)
            except KeyError as fault:
                raise self.fault(f"the escape \\{fault.args[0]} is not a character", token) from None
        return self.node("literal", token.at, body)

    def named(self) -> Node:
        token = self.take()
        if token.text in _CONSTANTS:
            return self.node("literal", token.at, _CONSTANTS[token.text])
        if _RESERVED.fullmatch(token.text):
            raise self.fault(f"'{token.text}' is a reserved word", token)
        if not self.at_op("("):
            return self.node("name", token.at, token.text)
        args = self.arguments()
        if token.text != "has":
            return self.node("call", token.at, token.text, args)
        if len(args) != 1 or args[0].kind != "member":
            raise self.fault("has() takes one field, like has(context.a)", token)
        return self.node("has", token.at, args[0].value, args[0].parts)

    def arguments(self) -> tuple[Node, ...]:
        self.need("(")
        return tuple(self.listed(")", trailing=False))

    def mapping(self) -> Node:
        at, self.builds = self.take().at, True
        return self.node("pairs", at, None, self.listed("}", paired=True))

    def listed(self, end: str, *, paired: bool = False, trailing: bool = True) -> list[Node]:
        """Nodes up to the closing bracket, which is taken; a comma may trail where CEL allows it."""
        found: list[Node] = []
        while not self.at_op(end):
            found.append(self.expression())
            if paired:
                self.need(":")
                found.append(self.expression())
            if not self.at_op(","):
                break
            self.take()
            if not trailing and self.at_op(end):
                raise self.unexpected("a value")
        self.need(end)
        return found


_PIECE = re.compile(
    r"""(?P<open>\((?:\?(?:P?<[A-Za-z_][A-Za-z0-9_]*>|[is]*[:)])|(?!\?)))|(?P<close>\))|(?P<bar>\|)
    |(?P<repeat>(?:[*+?]|\{(?P<least>[0-9]{1,4})(?P<range>,(?P<most>[0-9]{0,4}))?\})\??)|(?P<edge>[$^]|\\[AzbB])
    |(?P<single>\\(?:[dDsSwWnrtfav]|x[0-9a-fA-F]{2}|[^0-9A-Za-z])|\[\^?\]?(?:[^\]\\\[&|~-]|\\.|-(?!-)
        |&(?!&)|~(?!~)|\|(?!\|))*\]|[^\\\[()|*+?$^])""",
    re.VERBOSE | re.DOTALL,
)


class _Cost:
    """An upper bound of the ways a backtracking matcher can read a pattern: `ways * length ** loops`."""

    def __init__(self) -> None:
        self.ways = self.loops = 1
        self.groups = [False]
        self.last: bool | None = False

    def piece(self, found: re.Match[str]) -> None:
        if found.lastgroup == "open" and not found.group().endswith(")"):
            self.groups.append(False)
            self.last = False
        elif found.lastgroup == "close" and len(self.groups) > 1:
            self.last = self.groups.pop()
            self.groups[-1] |= bool(self.last)
        elif found.lastgroup == "bar":
            self.ways, self.groups[-1] = self.ways * 2, True
        elif found.group("repeat"):
            self.repeat(found)
        else:
            self.last = False

    def repeat(self, found: re.Match[str]) -> None:
        sign, least = found.group()[0], int(found["least"] or 0)
        if self.last is None:
            raise ValueError("a pattern must not repeat a repetition")
        if sign != "?" and self.last:
            raise ValueError("a pattern must not repeat a group that holds a repetition or a choice")
        if sign in "*+" or (found["range"] and not found["most"]):
            self.loops += 1
        else:
            self.ways *= 2 if sign == "?" else max(1, int(found["most"] or least) - least + 1)
        self.groups[-1], self.last = True, None

    def longest(self) -> int:
        """The length of text that keeps the bound under 30 million, about a second."""
        return int(min(_MAX_SUBJECT, (3e7 / self.ways) ** (1 / self.loops)))


def pattern(text: str) -> tuple[str, int]:
    """A pattern of RE2 that Python reads the same way: its Python form, and the longest text it may read.

    Python backtracks where RE2 does not, so a sender's text could hold up the daemon. Patterns that may take
    exponential time are refused; the degree of the others bounds the text. Raises ValueError with the reason.
    """
    if len(text) > MAX_PATTERN:
        raise ValueError(f"a pattern is at most {MAX_PATTERN} characters long")
    cost, at, pieces = _Cost(), 0, []
    while at < len(text):
        found = _PIECE.match(text, at)
        if not found:
            raise ValueError(f"the pattern has {text[at : at + 3]!r} (no backreferences, no looking around)")
        cost.piece(found)
        pieces.append({"$": r"\Z", r"\z": r"\Z", "{": r"\{"}.get(found.group(), found.group()))
        at = found.end()
    cost.loops -= text.startswith("^") and "|" not in text and cost.loops > 1
    return "".join(pieces).replace("(?<", "(?P<"), cost.longest()
