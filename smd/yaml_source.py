"""YAML text → plain values, each with its place. The only importer of PyYAML.

Stricter than YAML where YAML hurts: the words of the YAML 1.2 core schema only (`on`, `no`, `12:30` are
texts), keys are texts and stand once, values are JSON, tags other than the core ones are refused, and size,
depth and the number of nodes after expanding aliases are bounded. The text is read event by event without
recursion, so that no document can exhaust the stack. Sources: YAML 1.2.2, chapters 6.9 and 10.3; merge keys
from the YAML 1.1 type repository.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import yaml

from smd.problems import ERROR, LINE_BREAK, DocumentError, Problem, shown

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 100
MAX_NODES = 100_000
MAX_PROBLEMS = 1000
"""Problems reported of one document; more help nobody."""

Path = Sequence[str | int]
Place = tuple[int, int]
Takes = Callable[[tuple[str | int, ...]], bool]

_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufeff\uff00-\ufffd\U00010000-\U0010ffff]")
_TAG = "tag:yaml.org,2002:"
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class _Node:
    """A scalar, list or mapping of the text. `size` counts its nodes with aliases expanded."""

    __slots__ = ("anchor", "depth", "entries", "items", "kind", "place", "plain", "size", "tag", "text")

    def __init__(self, kind: str, place: Place, tag: str | None, anchor: str | None) -> None:
        self.kind = kind
        self.place = place
        self.tag = tag
        self.anchor = anchor
        self.text = ""
        self.plain = False
        self.items: list[tuple[_Node, Place]] = []
        self.entries: dict[str, _Entry] = {}
        self.size = 1
        self.depth = 1


class _Entry(NamedTuple):
    """One key of a mapping: the places of key and value, the value's node, and whether the key is a bare number."""

    key_place: Place
    place: Place
    node: _Node
    number: bool = False


class Source:
    """A text read.

    Attributes:
        name: of the file, for messages.
        text: as written, without byte order mark.
        lines: the text's lines.
        value: plain mapping, list or scalar.
    """

    def __init__(self, name: str, text: str, value: Any, root: _Node | None = None) -> None:
        self.name = name
        self.text = text
        self.lines = LINE_BREAK.split(text)
        self.value = value
        self._root = root

    def place(self, path: Path) -> Place:
        """Line and column, from 1, of the value at `path`; of the part above it where it is absent."""
        return self._find(path)[0]

    def place_of_key(self, path: Path) -> Place:
        """Line and column, from 1, of the key that ends `path`; of the value for list items."""
        return self._find(path)[1]

    def _find(self, path: Path) -> tuple[Place, Place]:
        node, place, key_place = self._root, *((self._root.place,) * 2 if self._root else ((0, 0), (0, 0)))
        for part in path:
            if node is not None and isinstance(part, str) and part in node.entries:
                key_place, place, node, _ = node.entries[part]
            elif node is not None and isinstance(part, int) and part < len(node.items):
                node, place = node.items[part]
                key_place = place
            else:
                return key_place, key_place
        return place, key_place


def read_yaml(text: str | bytes, name: str) -> Source:
    """Read one YAML document.

    Args:
        text: as read from the file; bytes must be UTF-8.
        name: of the file, for messages.

    Raises:
        DocumentError: with every problem found.
    """
    source, problems = scan_yaml(text, name)
    if problems:
        raise DocumentError(problems, source.text)
    return source


def scan_yaml(text: str | bytes, name: str, takes_numbers: Takes = lambda _: False) -> tuple[Source, list[Problem]]:
    """Read one YAML document as far as possible; the value is None where nothing could be read.

    In mappings at whose paths `takes_numbers` says so, keys may be bare numbers; they become texts, as written.
    """
    reader = _Reader(name, takes_numbers)
    decoded = reader.decode(text)
    root = reader.compose(decoded) if not reader.problems else None
    source = Source(name, decoded, reader.construct(root, ()) if root is not None else None, root)
    return source, reader.problems


class _Reader:
    """Reads one text; collects what is wrong with it."""

    def __init__(self, name: str, takes_numbers: Takes) -> None:
        self.name = name
        self.takes_numbers = takes_numbers
        self.problems: list[Problem] = []
        self.anchors: dict[str, _Node] = {}
        self.nodes = 0

    def report(self, code: str, place: Place, message: str, hint: str = "") -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(f"smd-{code}", ERROR, self.name, *place, "", message, hint))

    # --- text -----------------------------------------------------------------------------------------------

    def decode(self, text: str | bytes) -> str:
        """The text, checked for encoding, size and control characters; reports what is wrong."""
        if isinstance(text, bytes):
            text = self._utf8(text)
        text = text.removeprefix("\ufeff")
        size = len(text.encode(errors="surrogatepass"))
        if size > MAX_BYTES:
            self.report("E006", (1, 1), f"the text has {size} bytes, more than {MAX_BYTES}")
            return ""
        bad = _CONTROL.search(text)
        if bad:
            message = f"the character U+{ord(bad.group()):04X} may not stand here"
            hint = 'write it as an escape in double quotes, e.g. "\\u0007"'
            self.report("E002", _place_at(text, bad.start()), message, hint)
        return text

    def _utf8(self, data: bytes) -> str:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self.report("E002", (1, 1), "the text is UTF-16 or UTF-32, not UTF-8", "save the file as UTF-8")
            return ""
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            before = data[: error.start].decode(errors="replace")
            message = f"the byte 0x{data[error.start]:02x} is not UTF-8"
            self.report("E002", _place_at(before, len(before)), message, "save the file as UTF-8")
            return ""

    # --- events to nodes ------------------------------------------------------------------------------------

    def compose(self, text: str) -> _Node | None:
        """The root node; None where nothing stands, or the text is broken."""
        try:
            return self._compose(yaml.parse(text, Loader=yaml.CSafeLoader))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            why = " ".join(part for part in (error.context, error.problem) if part)
            self.report("E001", _marked(text, mark), why, _advice(why))
        except yaml.YAMLError as error:
            self.report("E001", (1, 1), str(error).splitlines()[0])
        return None

    def _compose(self, events: Iterator[yaml.Event]) -> _Node | None:
        root: _Node | None = None
        stack: list[tuple[_Node, list[tuple[_Node, Place]]]] = []
        for event in events:
            mark = event.start_mark
            place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self.report("E001", place, "a second document begins", "keep one document in a file")
                return None
            if isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                stack.append((self._open(event, place), []))
                if not self._within(len(stack), place):
                    return None
                continue
            closes = isinstance(event, yaml.CollectionEndEvent)
            node = self._close(*stack.pop()) if closes else self._leaf(event, place)
            if node is None:
                continue
            if not self._counted(node, place):
                return None
            if stack:
                stack[-1][1].append((node, node.place if closes else place))
            else:
                root = node
        return root

    def _within(self, depth: int, place: Place) -> bool:
        if depth > MAX_DEPTH:
            self.report("E006", place, f"nested deeper than {MAX_DEPTH} levels")
        return depth <= MAX_DEPTH

    def _counted(self, node: _Node, place: Place) -> bool:
        self.nodes += 1
        if max(node.size, self.nodes) > MAX_NODES:
            self.report("E006", place, f"more than {MAX_NODES} values, each alias counted as what it stands for")
            return False
        return self._within(node.depth - 1, place)

    def _open(self, event: Any, place: Place) -> _Node:
        kind = "list" if isinstance(event, yaml.SequenceStartEvent) else "mapping"
        node = _Node(kind, place, event.tag, event.anchor)
        if event.anchor:
            self.anchors.pop(event.anchor, None)
        if event.tag not in {None, "!", _TAG + ("seq" if kind == "list" else "map")}:
            self._unknown_tag(event.tag, place)
        return node

    def _leaf(self, event: yaml.Event, place: Place) -> _Node | None:
        if isinstance(event, yaml.AliasEvent):
            known = self.anchors.get(event.anchor or "")
            if known is None:
                hint = "put a text that begins with * in quotes"
                self.report("E005", place, f"the alias *{event.anchor} has no anchor before it", hint)
            return known or _Node("scalar", place, None, None)
        if not isinstance(event, yaml.ScalarEvent):
            return None
        node = _Node("scalar", place, event.tag, event.anchor)
        node.text = event.value
        node.plain = event.implicit[0] and event.tag is None
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _close(self, node: _Node, parts: list[tuple[_Node, Place]]) -> _Node:
        node.size += sum(part.size for part, _ in parts)
        node.depth += max((part.depth for part, _ in parts), default=0)
        if node.kind == "list":
            node.items = parts
        else:
            self._fill(node, parts)
        if node.anchor:
            self.anchors[node.anchor] = node
        return node

    def _fill(self, node: _Node, parts: list[tuple[_Node, Place]]) -> None:
        merged: _Node | None = None
        for (key, key_place), (value, place) in zip(parts[::2], parts[1::2], strict=True):
            if key.kind == "scalar" and key.plain and key.text == "<<":
                if merged is not None:
                    self.report("E003", key_place, "the key '<<' stands twice", "write <<: [*a, *b]")
                merged = value
                continue
            name = self._key(key, key_place)
            if name is None:
                continue
            if name in node.entries:
                hint = f"it stands first in line {node.entries[name].key_place[0]}"
                self.report("E003", key_place, f"the key {shown(name)} stands twice", hint)
            else:
                node.entries[name] = _Entry(key_place, place, value, _is_number(key))
        if merged is not None:
            self._merge(node, merged)

    def _key(self, key: _Node, place: Place) -> str | None:
        if key.kind != "scalar":
            self.report("E004", place, f"a key must be a text, not a {key.kind}", "put a text with braces in quotes")
            return None
        if isinstance(self.scalar(key), str) or _is_number(key):
            return key.text
        self._no_text(place, key.text or "null")
        return None

    def _no_text(self, place: Place, text: str) -> None:
        self.report("E004", place, f"a key must be a text, not {text:.60}", f"write '{text}': in quotes")

    def _merge(self, node: _Node, merged: _Node) -> None:
        sources = [part for part, _ in merged.items] if merged.kind == "list" else [merged]
        for source in sources:
            if source.kind != "mapping":
                self.report("E005", merged.place, "the key '<<' takes a mapping or a list of mappings")
                return
            for name, entry in source.entries.items():
                node.entries.setdefault(name, entry)

    def _unknown_tag(self, tag: str, place: Place) -> None:
        name = "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
        self.report("E005", place, f"unknown tag {name!r:.60}", "leave the tag away")

    # --- nodes to values ------------------------------------------------------------------------------------

    def construct(self, node: _Node, path: tuple[str | int, ...]) -> Any:
        """The plain value of a node at a path; recursion is bounded by MAX_DEPTH."""
        if node.kind == "list":
            return [self.construct(item, (*path, index)) for index, (item, _) in enumerate(node.items)]
        if node.kind == "mapping":
            return {
                name: self.construct(entry.node, (*path, name))
                for name, entry in node.entries.items()
                if not entry.number or self._stands(entry, name, path)
            }
        return self.scalar(node)

    def _stands(self, number: _Entry, name: str, path: tuple[str | int, ...]) -> bool:
        if not (stands := self.takes_numbers(path)):
            self._no_text(number.key_place, name)
        return stands

    def scalar(self, node: _Node) -> Any:
        """The value of a scalar by the core schema (YAML 1.2.2, 10.3.2); reports what JSON cannot hold."""
        text = node.text
        if node.plain:
            return self._resolved(node)
        if node.tag in {None, "!", _TAG + "str"}:
            if "\0" in text:
                self.report("E002", node.place, "the character U+0000 may not stand in a text")
            return text
        wanted = _TAGGED.get(str(node.tag))
        if wanted is None:
            self._unknown_tag(str(node.tag), node.place)
            return text
        value = self._resolved(node)
        if not wanted(value):
            self.report("E005", node.place, f"{shown(text)} is not a !!{str(node.tag).removeprefix(_TAG)}")
        return value

    def _resolved(self, node: _Node) -> Any:
        text = node.text
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _INT.fullmatch(text):
            number = int(text[:4000], 0 if text[:2] in {"0o", "0x"} else 10)
            if not -(2**63) <= number < 2**63:
                self.report("E007", node.place, "the number does not fit in 64 bits", "write it in quotes")
                return 0
            return number
        if _FLOAT.fullmatch(text) and abs(float(text)) != float("inf"):
            return float(text)
        if _NOT_FINITE.fullmatch(text) or _FLOAT.fullmatch(text):
            self.report("E007", node.place, f"JSON has no number {text:.60}", "write it in quotes")
            return 0.0
        return text


_TAGGED: dict[str, Callable[[Any], bool]] = {
    _TAG + "null": lambda v: v is None,
    _TAG + "bool": lambda v: isinstance(v, bool),
    _TAG + "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    _TAG + "float": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
}


def _is_number(node: _Node) -> bool:
    return node.plain and bool(_INT.fullmatch(node.text) or _FLOAT.fullmatch(node.text))


def _place_at(text: str, offset: int) -> Place:
    lines = LINE_BREAK.split(text[:offset])
    return len(lines), len(lines[-1]) + 1


def _marked(text: str, mark: Any) -> Place:
    """The place of a parser's mark; the end of the text for marks beyond it."""
    end = _place_at(text, len(text))
    return min((mark.line + 1, mark.column + 1), end) if mark else (1, 1)


def _advice(why: str) -> str:
    if "mapping values are not allowed" in why:
        return "put a text with ': ' in it in quotes"
    if "cannot start any token" in why:
        return "put a text that begins with @, ` or a tab in quotes; indent with spaces"
    return ""


def dump_yaml(value: Any) -> str:
    """A JSON value as YAML. Control and bidirectional characters are escaped, so that they cannot drive a terminal."""
    text: str = yaml.dump(value, Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=False)
    return text
