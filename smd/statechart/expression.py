"""Guards and values: an expression of the CEL subset, compiled once to Python closures.

A closure takes `(context, event, moment)`. Every shape that guards have in practice (`context.name` against a
constant, paths, `&&`) gets a closure of its own at compile time: nothing is looked up or allocated when it
runs. An expression with a macro (`all`, `map` ...) gets a frame instead of the moment: `[moment, steps
left, variable, ...]`, made once per evaluation; that keeps closures free of state and safe in any thread.

Deviations from CEL are those of `cel_functions`; maps have string keys only, as JSON has.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from smd.errors import ChartError, SmdError
from smd.statechart import cel_functions as cel
from smd.statechart import cel_syntax as syntax
from smd.statechart.cel_functions import Closure, Failure, Limit
from smd.statechart.cel_syntax import Node

MAX_STEPS = 10_000
ROOTS = frozenset(("context", "event", "machine", "job", "now"))
EVENT_FIELDS = ("type", "payload", "id", "source", "priority", "job_id")
_FAULTS = (Failure, Limit, RecursionError)


class ExpressionError(SmdError):
    """An expression has no answer for these values: a missing key, a wrong type, a limit."""

    code = "expression_failed"


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression.

    Attributes:
        text: the source.
        roots: which of `context event machine job now` it reads.
        states: the arguments of `in_state`, for the loader to check.
        evaluate: `(context, event, moment)` → a JSON value, or raises ExpressionError. `context` is a dict of
            JSON values, `event` has the attributes EVENT_FIELDS or is None. Of `moment`, `machine` (dict),
            `job` (dict or None), `now` (seconds since the epoch) and the method `in_state` are read when the
            expression names them. The value may share parts with its inputs.
        test: the same for a guard: the answer must be a bool.
    """

    text: str
    roots: frozenset[str]
    states: tuple[str, ...]
    evaluate: Callable[[dict[str, Any], Any, Any], Any]
    test: Callable[[dict[str, Any], Any, Any], bool]


def compile_expression(text: str) -> Expression:
    """Reads and compiles one expression (interfaces.md §1, "guards").

    Raises:
        ChartError: it cannot be read, or names an unknown root, function or field; with the column and, for
            names, the nearest known one as hint.
    """
    tree = syntax.parse(text)
    builder = _Builder(text, framed=tree.loops)
    inner = builder.build(tree.root)
    run = _framed(inner, builder.deepest) if tree.loops else inner
    value = _bounded(run) if tree.builds else run
    states = tuple(dict.fromkeys(builder.states))
    return Expression(text, frozenset(builder.roots), states, _evaluator(value, text), _tester(run, text))


def _failed(text: str, fault: Exception) -> ExpressionError:
    why = "values nested too deep" if isinstance(fault, RecursionError) else str(fault)
    return ExpressionError(f"cannot evaluate '{syntax.shown(text)}': {why}")


def _evaluator(run: Closure, text: str) -> Closure:
    def evaluate(context: Any, event: Any, moment: Any) -> Any:
        try:
            return run(context, event, moment)
        except _FAULTS as fault:
            raise _failed(text, fault) from None

    return evaluate


def _tester(run: Closure, text: str) -> Callable[[Any, Any, Any], bool]:
    def test(context: Any, event: Any, moment: Any) -> bool:
        try:
            verdict = run(context, event, moment)
        except _FAULTS as fault:
            raise _failed(text, fault) from None
        if verdict is True or verdict is False:
            return verdict
        raise _failed(text, Failure(f"a condition must be a bool, not a {cel.kind(verdict)}"))

    return test


def _framed(run: Closure, variables: int) -> Closure:
    blank = [None] * variables
    return lambda c, e, m: run(c, e, [m, MAX_STEPS, *blank])


def _bounded(run: Closure) -> Closure:
    """Refuses values larger than a context may be; a doubled list shares its items and only looks small."""

    def bounded(context: Any, event: Any, moment: Any) -> Any:
        value = run(context, event, moment)
        if value is None or value.__class__ in (int, float, bool):
            return value
        size, waiting = 0, [value]
        while waiting:
            each = waiting.pop()
            size += 1 + (len(each) if each.__class__ is str else 0)
            if each.__class__ is list:
                waiting.extend(each)
            elif each.__class__ is dict:
                size += sum(map(len, each))
                waiting.extend(each.values())
            if size + len(waiting) > cel.MAX_TEXT:
                raise Limit("the value is larger than allowed")
        return value

    return bounded


def _charged(run: Closure) -> Closure:
    """Counts a step per 256 items or characters of the value, so that loops over long values are bounded."""

    def charged(context: Any, event: Any, frame: Any) -> Any:
        value = run(context, event, frame)
        if value.__class__ in {str, list}:
            cel.spend(frame, len(value) >> 8)
        return value

    return charged


def _context_key(key: str) -> Closure:
    def read(context: Any, _e: Any, _m: Any) -> Any:
        try:
            return context[key]
        except (KeyError, TypeError):
            cel.lost("context", context, (key,))

    return read


def _event(attribute: str) -> Closure:
    get = operator.attrgetter(attribute)

    def read(_c: Any, event: Any, _m: Any) -> Any:
        if event is None:
            raise Failure("there is no event")
        return get(event)

    return read


def _whole_event(_c: Any, event: Any, _m: Any) -> Any:
    if event is None:
        raise Failure("there is no event")
    return {field: getattr(event, field) for field in EVENT_FIELDS}


_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_SAME = {"==": (operator.eq, operator.is_), "!=": (operator.ne, operator.is_not)}


def _threshold(read: Closure, key: str | None, op: str, limit: float) -> Closure:
    """A comparison with a constant number; `key` when it reads just `context.key`."""
    compare, strict = _ORDER[op], cel.OPERATORS[op]

    def of_key(context: Any, event: Any, moment: Any) -> Any:
        value = context[key] if key in context else read(context, event, moment)
        if value.__class__ is int or value.__class__ is float:
            return compare(value, limit)
        return strict(value, limit)

    def of_any(context: Any, event: Any, moment: Any) -> Any:
        value = read(context, event, moment)
        if value.__class__ is int or value.__class__ is float:
            return compare(value, limit)
        return strict(value, limit)

    return of_any if key is None else of_key


def _sameness(read: Closure, key: str | None, op: str, constant: Any) -> Closure:
    """`==` or `!=` with a constant scalar."""
    strict = cel.OPERATORS[op]
    if constant.__class__ in cel.NUMBERS:
        return lambda c, e, m: strict(read(c, e, m), constant)
    same = _SAME[op][constant.__class__ is not str]
    if key is None:
        return lambda c, e, m: same(read(c, e, m), constant)
    return lambda c, e, m: same(c[key] if key in c else read(c, e, m), constant)


class _Builder:
    """Tree → closures, and what the tree uses on the way. Method `_kind` builds the nodes of that kind."""

    def __init__(self, text: str, *, framed: bool) -> None:
        self.text, self.framed = text, framed
        self.scope: dict[str, int] = {}
        self.depth = self.deepest = 0
        self.roots: set[str] = set()
        self.states: list[str] = []

    def build(self, node: Node) -> Closure:
        closure: Closure = getattr(self, "_" + node.kind)(node)
        return closure

    def fault(self, at: int, why: str, hint: str = "") -> ChartError:
        return syntax.unreadable(self.text, at, why, hint)

    def unknown(self, at: int, what: str, name: str, known: Iterable[str]) -> ChartError:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean '{close[0]}'?" if close else "known are " + ", ".join(names)
        return self.fault(at, f"unknown {what} '{name}'", hint)

    def charged(self, closure: Closure) -> Closure:
        return _charged(closure) if self.framed else closure

    def _literal(self, node: Node) -> Closure:
        value = node.value
        return lambda _c, _e, _m: value

    def _name(self, node: Node) -> Closure:
        return self._member(node)

    def _member(self, node: Node) -> Closure:
        base, parts = _unwound(node)
        if base.kind != "name":
            return cel.fields(self.build(base), "the value", parts)
        if base.value in self.scope:
            slot = self.scope[base.value]
            return cel.fields(lambda _c, _e, frame: frame[slot], base.value, parts)
        if base.value not in ROOTS:
            raise self.unknown(base.at, "name", base.value, ROOTS | set(self.scope))
        self.roots.add(base.value)
        if base.value == "context" and len(parts) == 1:
            return _context_key(parts[0])
        if base.value == "context":
            return cel.fields(lambda context, _e, _m: context, "context", parts)
        if base.value == "event":
            return self.event_path(base.at, parts)
        get = operator.attrgetter(base.value)
        read: Closure = lambda _c, _e, moment: get(moment)  # noqa: E731
        return cel.fields((lambda _c, _e, frame: get(frame[0])) if self.framed else read, base.value, parts)

    def event_path(self, at: int, parts: tuple[str, ...]) -> Closure:
        if not parts:
            return _whole_event
        if parts[0] not in EVENT_FIELDS:
            raise self.unknown(at, "field of event", parts[0], EVENT_FIELDS)
        return cel.fields(_event(parts[0]), f"event.{parts[0]}", parts[1:])

    def _has(self, node: Node) -> Closure:
        target, name = node.parts[0], node.value
        if target.kind == "name" and target.value == "event" and "event" not in self.scope:
            self.event_path(target.at, (name,))
        read = self.build(target)

        def has(context: Any, event: Any, moment: Any) -> bool:
            value = read(context, event, moment)
            if value.__class__ is dict:
                return name in value
            raise Failure(f"has() looks into a map, not a {cel.kind(value)}")

        return has

    def _call(self, node: Node) -> Closure:
        if node.value == "in_state":
            return self.in_state(node)
        return self.called(node, "function", cel.FUNCTIONS, {"has", "in_state"})

    def _method(self, node: Node) -> Closure:
        pattern = node.parts[-1]
        if node.value == "matches" and pattern.kind == "literal":
            try:
                cel.pattern(str(pattern.value))
            except Failure as failure:
                raise self.fault(pattern.at, str(failure)) from None
        return self.called(node, "method", cel.METHODS, syntax.MACROS)

    def called(self, node: Node, what: str, table: cel.Table, macros: Iterable[str]) -> Closure:
        if node.value not in table:
            raise self.unknown(node.at, what, node.value, {*table, *macros})
        apply, least, most = table[node.value]
        if not least <= len(node.parts) <= most:
            raise self.fault(node.at, f"wrong number of arguments for {node.value}()")
        return self.charged(self.applied(apply, node.parts))

    def applied(self, apply: Callable[..., Any], args: tuple[Node, ...]) -> Closure:
        first, *rest = [self.build(arg) for arg in args]
        if not rest:
            return lambda c, e, m: apply(first(c, e, m))
        second = rest[0]
        if len(rest) == 2:
            third = rest[1]
            return lambda c, e, m: apply(first(c, e, m), second(c, e, m), third(c, e, m))
        if args[1].kind == "literal":
            constant = args[1].value
            return lambda c, e, m: apply(first(c, e, m), constant)
        return lambda c, e, m: apply(first(c, e, m), second(c, e, m))

    def in_state(self, node: Node) -> Closure:
        name = node.parts[0].value if [part.kind for part in node.parts] == ["literal"] else None
        if not isinstance(name, str):
            raise self.fault(node.at, "in_state() takes the name of one state, in quotes")
        self.states.append(name)
        if self.framed:
            return lambda _c, _e, frame: frame[0].in_state(name)
        return lambda _c, _e, moment: moment.in_state(name)

    def _unary(self, node: Node) -> Closure:
        read = self.build(node.parts[0])
        if node.value == "-":
            subtract = cel.OPERATORS["-"]
            return lambda c, e, m: subtract(0, read(c, e, m))
        return lambda c, e, m: not cel.truth(read(c, e, m), "!")

    def _binary(self, node: Node) -> Closure:
        op, (left, right) = node.value, node.parts
        if op in _SAME and left.kind == "literal":
            left, right = right, left
        if right.kind == "literal":
            base, parts = _unwound(left)
            own = base.kind == "name" and base.value == "context" and "context" not in self.scope
            key = parts[0] if own and len(parts) == 1 else None
            if op in _SAME:
                return _sameness(self.build(left), key, op, right.value)
            if op in _ORDER and right.value.__class__ in cel.NUMBERS:
                return _threshold(self.build(left), key, op, right.value)
        if op == "in":
            item, container = self.build(left), self.charged(self.build(right))
            return lambda c, e, m: cel.contained(item(c, e, m), container(c, e, m))
        closure = self.applied(cel.OPERATORS[op], (left, right))
        return self.charged(closure) if op == "+" else closure

    def _logic(self, node: Node) -> Closure:
        items = [self.build(part) for part in node.parts]
        return cel.chain(items, node.value, stop=node.value == "||")

    def _choice(self, node: Node) -> Closure:
        condition, yes, no = map(self.build, node.parts)
        return lambda c, e, m: (yes if cel.truth(condition(c, e, m), "?:") else no)(c, e, m)

    def _items(self, node: Node) -> Closure:
        items = [self.build(part) for part in node.parts]
        return lambda c, e, m: [item(c, e, m) for item in items]

    def _pairs(self, node: Node) -> Closure:
        for key in node.parts[::2]:
            if key.kind == "literal" and not isinstance(key.value, str):
                raise self.fault(key.at, "the keys of a map are strings, as in JSON")
        built = [self.build(part) for part in node.parts]
        pairs = list(zip(built[::2], built[1::2], strict=True))

        def made(context: Any, event: Any, moment: Any) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for read_key, read_value in pairs:
                key = read_key(context, event, moment)
                if key.__class__ is not str or key in found:
                    raise Failure("a map with a key that is no string, or twice the same key")
                found[key] = read_value(context, event, moment)
            return found

        return made

    def _loop(self, node: Node) -> Closure:
        (name, variable), outer = node.value, dict(self.scope)
        source, slot = self.build(node.parts[0]), 2 + self.depth
        self.scope[variable] = slot
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        first, *rest = [self.build(part) for part in node.parts[1:]]
        self.depth -= 1
        self.scope = outer
        if name in {"all", "exists"}:
            return cel.quantifier(source, slot, first, stop=name == "exists")
        if name == "map":
            return cel.selection(source, slot, first if rest else None, rest[0] if rest else first)
        chosen = cel.selection(source, slot, first, None)
        return chosen if name == "filter" else lambda c, e, m: len(chosen(c, e, m)) == 1


def _unwound(node: Node) -> tuple[Node, tuple[str, ...]]:
    """The node under a chain of fields, and the fields."""
    parts: list[str] = []
    while node.kind == "member":
        parts.append(node.value)
        node = node.parts[0]
    return node, tuple(reversed(parts))
