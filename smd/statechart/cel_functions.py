"""What operators, functions and patterns of an expression do to JSON values.

Strict as CEL: operands of the wrong type are a `Failure`, never a conversion. One deviation: JSON does not
tell 1 from 1.0, so ints and doubles mix; and what JSON cannot hold, an infinity, is a failure.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NoReturn

from smd.statechart import cel_syntax
from smd.statechart.cel_syntax import INT_MAX, INT_MIN

MAX_TEXT = 1 << 20
MAX_ITEMS = 100_000
Closure = Callable[[Any, Any, Any], Any]
"""`(context, event, moment)` → value; see `expression`."""
NUMBERS: frozenset[Any] = frozenset((int, float))
_KINDS = {bool: "bool", int: "int", float: "double", str: "string", list: "list", dict: "map"}
_WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_BLANK = " \t\n\r\f\v"
_LOWER = {code: code + 32 for code in range(65, 91)}
_UPPER = {code: code - 32 for code in range(97, 123)}
_TRUTHS = dict.fromkeys(("true", "True", "TRUE", "t", "1"), True)
_TRUTHS |= dict.fromkeys(("false", "False", "FALSE", "f", "0"), False)
_INT = re.compile(r"[+-]?[0-9]{1,40}")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class Failure(Exception):  # noqa: N818 - never leaves the package: `expression` turns it into an ExpressionError
    """An operation has no answer; `&&`, `||`, `all` and `exists` may do without it."""


class Limit(Exception):  # noqa: N818 - as above
    """The evaluation costs too much; nothing may go on after it."""


def kind(value: object) -> str:
    """CEL's word for the type of a JSON value."""
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def no_overload(name: str, *values: object) -> Failure:
    """The failure of an operator or function that does not take these types."""
    return Failure(f"{name} does not take {' and '.join(map(kind, values))}")


def sized(value: Any) -> Any:
    """`value`, unless it is a string or list longer than an expression may make."""
    if len(value) > (MAX_TEXT if value.__class__ is str else MAX_ITEMS):
        raise Limit(f"a {kind(value)} of {len(value)} is longer than allowed")
    return value


def arithmetic(symbol: str, operate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operator on numbers that refuses bools, and results outside int64 and double."""

    def apply(a: Any, b: Any) -> Any:
        if a.__class__ is int and b.__class__ is int:
            result = operate(a, b)
            if INT_MIN <= result <= INT_MAX:
                return result
            raise Failure(f"{symbol} leaves the range of int")
        if a.__class__ not in NUMBERS or b.__class__ not in NUMBERS:
            raise no_overload(symbol, a, b)
        try:
            result = operate(a, b)
        except OverflowError:
            result = math.inf
        if -math.inf < result < math.inf:
            return result
        raise Failure(f"{symbol} leaves the range of double")

    return apply


def _divided(a: Any, b: Any) -> Any:
    if not b:
        raise Failure("division by zero")
    if a.__class__ is float or b.__class__ is float:
        return a / b
    return abs(a) // abs(b) * (1 if (a < 0) is (b < 0) else -1)


def _remainder(a: Any, b: Any) -> Any:
    if not b:
        raise Failure("remainder of a division by zero")
    if a.__class__ is float or b.__class__ is float:
        return math.fmod(a, b)
    if a == INT_MIN and b == -1:
        raise Failure("% leaves the range of int")
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


_sum = arithmetic("+", operator.add)


def add(a: Any, b: Any) -> Any:
    """`a + b` for two numbers, two strings or two lists."""
    if a.__class__ is b.__class__ and a.__class__ in {str, list}:
        return sized(a + b)
    return _sum(a, b)


def ordered(symbol: str, operate: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """A comparison of two numbers, two strings (by code point) or two bools."""

    def apply(a: Any, b: Any) -> bool:
        first, second = a.__class__, b.__class__
        if (first in NUMBERS and second in NUMBERS) or (first is second and (first is str or first is bool)):
            return operate(a, b)
        raise no_overload(symbol, a, b)

    return apply


def equal(a: Any, b: Any) -> bool:
    """Deep equality; values of different types differ, except an int and a double of the same value."""
    if a.__class__ is b.__class__ and a.__class__ not in {list, dict}:
        return bool(a == b)
    if not a == b:  # noqa: SIM201 - Python's `==` is never stricter, only blind to bool against number
        return False
    pairs = [(a, b)]
    for a_, b_ in pairs:
        if (a_.__class__ is bool) is not (b_.__class__ is bool):
            return False
        if a_.__class__ is dict:
            pairs.extend((value, b_[key]) for key, value in a_.items())
        elif a_.__class__ is list:
            pairs.extend(zip(a_, b_, strict=True))
        if len(pairs) > MAX_TEXT:
            raise Limit("values too large to compare")
    return True


def contained(item: Any, container: Any) -> bool:
    """`item in container`: an element of a list, a key of a map."""
    if container.__class__ is list:
        if item.__class__ is str or item is None:
            return item in container
        return any(equal(item, each) for each in container)
    if container.__class__ is dict and item.__class__ in {str, int, float, bool}:
        return item.__class__ is str and item in container
    raise no_overload("in", item, container)


def element(container: Any, key: Any) -> Any:
    """`container[key]`."""
    if container.__class__ is list and key.__class__ in NUMBERS and key % 1 == 0:
        if 0 <= key < len(container):
            return container[int(key)]
        raise Failure(f"index {key} of a list of {len(container)}")
    if container.__class__ is dict:
        if key.__class__ is str and key in container:
            return container[key]
        raise Failure(f"no key {key!r} in a map")
    raise no_overload("[]", container, key)


def _size(value: Any) -> int:
    if value.__class__ in {str, list, dict}:
        return len(value)
    raise no_overload("size()", value)


def _string(value: Any) -> str:
    if value.__class__ is str:
        return str(value)
    if value.__class__ is bool:
        return "true" if value else "false"
    if value.__class__ is float:
        return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)
    if value.__class__ is int and INT_MIN <= value <= INT_MAX:
        return str(value)
    raise no_overload("string()", value)


def _int(value: Any) -> int:
    if value.__class__ is str:
        if not _INT.fullmatch(value.strip(_BLANK)):
            raise Failure("int() of a string that is not a whole number")
    elif value.__class__ not in {int, float, bool}:
        raise no_overload("int()", value)
    number = int(value) if value.__class__ is not float or abs(value) < 1e19 else INT_MAX + 1
    if INT_MIN <= number <= INT_MAX:
        return number
    raise Failure("int() leaves the range of int")


def _double(value: Any) -> float:
    if value.__class__ is not str:
        return float(_sum(0.0, value))
    if not _DOUBLE.fullmatch(value.strip(_BLANK)):
        raise Failure("double() of a string that is not a number")
    return float(_sum(0.0, float(value)))


def _bool(value: Any) -> bool:
    if value.__class__ is str and value not in _TRUTHS:
        raise Failure("bool() of a string that is neither true nor false")
    return _TRUTHS[value] if value.__class__ is str else truth(value, "bool()")


def _texts(name: str, operate: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*values: Any) -> Any:
        for value in values:
            if value.__class__ is not str:
                raise no_overload(name, *values)
        return operate(*values)

    return apply


def _split(text: Any, separator: Any, limit: Any = -1) -> list[str]:
    if text.__class__ is not str or separator.__class__ is not str or limit.__class__ is not int:
        raise no_overload("split()", text, separator, limit)
    if limit == 0:
        return []
    if separator:
        return list(sized(text.split(separator, max(limit - 1, -1))))
    cut = max(len(text) - 1, 0) if limit < 0 else min(limit, len(text) or 1) - 1
    return list(sized([*text[:cut], text[cut:]]))


def _join(parts: Any, separator: Any = "") -> str:
    if parts.__class__ is not list or separator.__class__ is not str:
        raise no_overload("join()", parts, separator)
    if any(part.__class__ is not str for part in parts):
        raise Failure("join() takes a list of strings only")
    if sum(map(len, parts)) + len(separator) * len(parts) > MAX_TEXT:
        raise Limit("a joined string is longer than allowed")
    return str(separator.join(parts))


@lru_cache(maxsize=256)
def pattern(text: str) -> Callable[[str], bool]:
    """The search for a pattern, which fails for a text longer than the pattern allows."""
    try:
        source, longest = cel_syntax.pattern(text)
        search = re.compile(source, re.ASCII).search
    except (ValueError, re.error, OverflowError) as error:
        raise Failure(f"cannot read the pattern: {error}") from None

    def matches(subject: str) -> bool:
        if len(subject) > longest:
            raise Failure(f"matches() with this pattern reads at most {longest} characters")
        return search(subject) is not None

    return matches


def lost(label: str, value: Any, parts: Iterable[str]) -> NoReturn:
    """Raises the failure that says where a path ended."""
    for part in parts:
        if value.__class__ is not dict:
            raise Failure(f"{label} is a {kind(value)}, not a map")
        if part not in value:
            raise Failure(f"{label} has no key {part!r}")
        value, label = value[part], f"{label}.{part}"
    raise Failure(f"{label} cannot be read")


def fields(read: Closure, label: str, parts: tuple[str, ...]) -> Closure:
    """`read` followed by the fields `parts`; `label` names it in failures."""

    def follow(context: Any, event: Any, moment: Any) -> Any:
        value = first = read(context, event, moment)
        try:
            for part in parts:
                value = value[part]
        except (KeyError, TypeError):
            lost(label, first, parts)
        return value

    return follow if parts else read


def truth(value: Any, symbol: str) -> bool:
    """`value`, which must be a bool."""
    if value.__class__ is not bool:
        raise no_overload(symbol, value)
    return bool(value)


def chain(items: list[Closure], symbol: str, *, stop: bool) -> Closure:
    """`a && b ...` (stop is False) or `a || b ...` (True); a deciding operand makes up for failed ones."""
    go = not stop

    def run(context: Any, event: Any, moment: Any) -> Any:
        failure: Failure | None = None
        for item in items:
            try:
                value = item(context, event, moment)
            except Failure as fault:
                value = fault
            if value is stop:
                return stop
            if value is not go:
                failure = failure or (value if isinstance(value, Failure) else no_overload(symbol, value))
        if failure:
            raise failure
        return go

    return run


def spend(frame: list[Any], steps: int) -> None:
    """Takes steps from the budget of this evaluation."""
    frame[1] -= steps
    if frame[1] < 0:
        raise Limit("its loops take more steps than allowed")


def _drawn(source: Closure, context: Any, event: Any, frame: Any) -> list[Any]:
    value = source(context, event, frame)
    if value.__class__ not in {list, dict}:
        raise no_overload("a loop", value)
    spend(frame, len(value))
    return sorted(value) if value.__class__ is dict else list(value)


def quantifier(source: Closure, slot: int, test: Closure, *, stop: bool) -> Closure:
    """`all` (stop is False) or `exists` (stop is True): the chain of the tests of all items."""
    decide = chain([test], "a condition", stop=stop)

    def run(context: Any, event: Any, frame: Any) -> Any:
        failure: Failure | None = None
        for item in _drawn(source, context, event, frame):
            frame[slot] = item
            try:
                if decide(context, event, frame) is stop:
                    return stop
            except Failure as fault:
                failure = failure or fault
        if failure:
            raise failure
        return not stop

    return run


def selection(source: Closure, slot: int, keep: Closure | None, make: Closure | None) -> Closure:
    """`filter` and `map`: the items that `keep` lets pass, each as `make` turns it."""

    def run(context: Any, event: Any, frame: Any) -> list[Any]:
        made = []
        for item in _drawn(source, context, event, frame):
            frame[slot] = item
            if keep is None or truth(keep(context, event, frame), "a condition"):
                made.append(make(context, event, frame) if make else item)
        return made

    return run


Table = dict[str, tuple[Callable[..., Any], int, int]]
FUNCTIONS: Table = {
    name: (apply, 1, 1)
    for name, apply in {"size": _size, "string": _string, "int": _int, "double": _double, "bool": _bool}.items()
}
"""Global functions: what they do, least and most arguments."""
METHODS: Table = {
    "size": (_size, 1, 1),
    "contains": (_texts("contains()", operator.contains), 2, 2),
    "startsWith": (_texts("startsWith()", str.startswith), 2, 2),
    "endsWith": (_texts("endsWith()", str.endswith), 2, 2),
    "matches": (_texts("matches()", lambda text, wanted: pattern(wanted)(text)), 2, 2),
    "lowerAscii": (_texts("lowerAscii()", lambda text: text.translate(_LOWER)), 1, 1),
    "upperAscii": (_texts("upperAscii()", lambda text: text.translate(_UPPER)), 1, 1),
    "trim": (_texts("trim()", lambda text: text.strip(_WHITE)), 1, 1),
    "split": (_split, 2, 3),
    "join": (_join, 1, 2),
}
"""Methods, the receiver counted as an argument."""
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": add,
    "-": arithmetic("-", operator.sub),
    "*": arithmetic("*", operator.mul),
    "/": arithmetic("/", _divided),
    "%": arithmetic("%", _remainder),
    "<": ordered("<", operator.lt),
    "<=": ordered("<=", operator.le),
    ">": ordered(">", operator.gt),
    ">=": ordered(">=", operator.ge),
    "==": equal,
    "!=": lambda a, b: not equal(a, b),
    "in": contained,
    "[]": element,
}
