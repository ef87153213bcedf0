"""The words in which the catalogue describes an action type."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """When and where an action is decided (architecture: blocks and sequences)."""

    INSTANT = "instant"
    """By snapshot and event alone, inside the step."""
    STORE = "store"
    """By the store, inside the transaction of the step that reaches it; an empty answer may wait."""
    TIMED = "timed"
    """By a durable timer of the snapshot."""
    WORKING = "working"
    """Outside, after the commit; its outcome comes back as an event."""


class Value(StrEnum):
    """What a parameter holds. All but those marked literal may be, or contain, placeholders."""

    ANY = "any"
    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    """Literal; also the words true/1/yes/on and false/0/no/off."""
    DURATION = "duration"
    """Seconds, `30s`, `1h30m`, ISO 8601, or a placeholder that becomes one."""
    MAPPING = "mapping"
    LIST = "list"
    NAMES = "names"
    """A text or a list of texts."""
    ARGV = "argv"
    """A list, one argument an item; the first is literal."""
    SHELL = "shell"
    """Shell text; its placeholders become variables."""
    EXPRESSIONS = "expressions"
    """Literal map of context key to expression."""
    EVENT = "event"
    """An event type the action may answer with. Literal."""
    EVENTS = "events"
    """Literal map of exit code to event type."""
    PATHS = "paths"
    """Literal list of folders."""
    WORD = "word"
    """Literal text, one of `Parameter.choices` where given."""


class Parameter(NamedTuple):
    """One parameter of an action type.

    `default` is what the action sees when the key is absent. `aliases` are other spellings users know. `choices` are
    all that a literal text may be, in small letters or not.
    """

    name: str
    value: Value
    default: object = None
    required: bool = False
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


class ActionType(NamedTuple):
    """One row of the catalogue.

    `success` and `empty` are the event types answered when the chart names none (`None`: no event).
    In files of the flat form `flat_success` replaces `success`, and where `flat_empty_is_success` the event that
    a chart names for `success` is that for `empty` too. `watch` says what an empty answer waits for.
    """

    name: str
    kind: Kind
    doc: str
    parameters: tuple[Parameter, ...]
    success: str | None = None
    empty: str | None = None
    flat_success: str | None = None
    flat_empty_is_success: bool = False
    watch: str | None = None

    def parameter(self, name: str) -> Parameter | None:
        """The parameter spelled `name`, aliases included."""
        return next((p for p in self.parameters if name == p.name or name in p.aliases), None)
