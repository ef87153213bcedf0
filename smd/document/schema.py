"""The shape of a document, as pydantic models: what `check.py` validates and `smctl schema` publishes.

Only shape is said here; what needs a second place of the document (targets, names, rules between states) is
`build.py`'s, and the parameters of actions are the catalogue's.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from smd.errors import ChartError
from smd.problems import shown
from smd.statechart.durations import parse_duration

STATE_TYPES = ("atomic", "compound", "parallel", "final", "history")
_TAGS = {
    str: "<text>",
    dict: "<mapping>",
    list: "<list>",
    bool: "<boolean>",
    int: "<number>",
    float: "<number>",
    type(None): "<null>",
}
_DURATION_SCHEMA = {
    "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}],
    "examples": ["500ms", "30s", "1h30m", "PT5M"],
}


def tag_of(value: object) -> str | None:
    """Which member of a union a value belongs to; also found in the places of pydantic's errors."""
    return _TAGS.get(type(value)) if not isinstance(value, BaseModel) else "<mapping>"


_BY_TYPE = Discriminator(tag_of)


class ShapeError(ValueError):
    """What a validator of this file finds: the problem's message, hint and code."""

    def __init__(self, message: str, hint: str = "", code: str = "E102") -> None:
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code


def checked_name(value: str) -> str:
    """The name itself.

    Raises:
        ShapeError: it is none.
    """
    if not value or not value.isprintable() or len(value.encode()) > 255:
        raise ShapeError(f"must be one line of 1 to 255 bytes (got {shown(value)})")
    return value


def _duration(value: object) -> float:
    try:
        return parse_duration(value)
    except ChartError as error:
        raise ShapeError(duration_fault(error.message, value), error.hint, "E105") from error


def duration_fault(why: str, value: object) -> str:
    """What is wrong with a duration, as a problem says it: `must be > 0 (got -5)`."""
    _, separator, rule = why.rpartition(": must be ")
    return f"must be {rule if separator else 'a duration'} (got {shown(value)})"


def _limit(value: str) -> str:
    burst, separator, interval = value.partition(" in ")
    if not separator or not burst.isdecimal() or not 0 < len(burst) < 10 or int(burst) < 1:
        raise ShapeError(f"must be a number of starts and a duration (got {shown(value)})", "write 5 in 1m")
    _duration(interval)
    return value


def takes_numbers(path: tuple[str | int, ...]) -> bool:
    """May keys of the mapping at this path be written as bare numbers: `after` of a state, `error_mappings`?"""
    *above, last = path or ("",)
    if last == "after":
        return len(above) > 1 and len(above) % 2 == 0 and all(part == "states" for part in above[::2])
    if above[-1:] == ["params"]:
        above.pop()
    lists = [n for n, part in enumerate(above) if isinstance(part, int) and _holds_actions(above[:n])]
    return last == "error_mappings" and lists == [len(above) - 1]


def _holds_actions(path: list[str | int]) -> bool:
    return bool(path) and (path[-1] in {"actions", "entry", "exit"} or (len(path) == 2 and path[0] == "actions"))


Name = Annotated[str, AfterValidator(checked_name)]
Duration = Annotated[Any, AfterValidator(_duration), Field(json_schema_extra=_DURATION_SCHEMA)]
SomeNames = Annotated[list[Name], Field(min_length=1), Tag("<list>")]
Names = Annotated[Annotated[Name, Tag("<text>")] | SomeNames, _BY_TYPE]


class Part(BaseModel):
    """Base of all parts: no unknown keys, no conversions, never changed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ActionPart(Part):
    """One action. Its other keys are the parameters of its type, flat or under `params`."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    type: Name


Actions = list[ActionPart]


class TransitionPart(Part):
    """A transition: where to, under which condition, and what to do on the way."""

    to: Annotated[Names | None, Field(description="target; without it only the actions run")] = None
    if_: Annotated[str | None, Field(alias="if", description="guard, an expression")] = None
    actions: Actions | None = None
    internal: Annotated[bool, Field(description="do not leave the source when the target lies in it")] = False
    description: str | None = None


Target = Annotated[
    Annotated[Name, Tag("<text>")]
    | Annotated[TransitionPart, Tag("<mapping>")]
    | Annotated[
        list[Annotated[Annotated[Name, Tag("<text>")] | Annotated[TransitionPart, Tag("<mapping>")], _BY_TYPE]],
        Field(min_length=1),
        Tag("<list>"),
    ],
    _BY_TYPE,
]


class AfterPart(TransitionPart):
    """A transition taken after a time in the state."""

    on_restart: Annotated[
        Literal["deadline", "remaining", "restart"],
        Field(description="what a restart of the machine does to the deadline"),
    ] = "deadline"


After = Annotated[
    Annotated[Name, Tag("<text>")]
    | Annotated[AfterPart, Tag("<mapping>")]
    | Annotated[
        list[Annotated[Annotated[Name, Tag("<text>")] | Annotated[AfterPart, Tag("<mapping>")], _BY_TYPE]],
        Field(min_length=1),
        Tag("<list>"),
    ],
    _BY_TYPE,
]


class RowPart(TransitionPart):
    """A transition of the flat form."""

    from_: Annotated[Names, Field(alias="from", description="a state, a list, or * for each top-level state")]
    event: Annotated[Names, Field(description="event type; timeout(5) fires after five seconds in the state")]


class InitialPart(Part):
    """An initial or default transition with content."""

    to: Names
    actions: Actions | None = None


Initial = Annotated[Annotated[Name, Tag("<text>")] | SomeNames | Annotated[InitialPart, Tag("<mapping>")], _BY_TYPE]


class StatePart(Part):
    """One state with everything below it."""

    type: Literal["atomic", "compound", "parallel", "final", "history"] | None = None
    description: str | None = None
    initial: Initial | None = None
    states: dict[Name, StatePart | None] | None = None
    entry: Actions | None = None
    exit: Actions | None = None
    actions: Annotated[Actions | None, Field(description="the sequence, run while in the state")] = None
    on: dict[Name, Target | None] | None = None
    always: Target | None = None
    after: dict[Name, After] | None = None
    busy: Annotated[
        Literal["restart", "queue", "ignore"] | None, Field(description="what re-entry does to a running action")
    ] = None
    deep: bool = False
    default: Initial | None = None
    output: Annotated[Any, Field(description="payload of the done event of a final state, a template")] = None


class EventPart(Part):
    """A declared event."""

    description: str | None = None
    payload: Annotated[dict[str, Any] | None, Field(description="JSON Schema of the payload")] = None
    priority: Literal["high", "normal", "low"] = "normal"
    context_map: Annotated[dict[Name, Name] | None, Field(description="context key to dotted path in the event")] = None


class RestartPart(Part):
    """Restart policy, in systemd's words."""

    policy: Literal["no", "on-failure", "always"] = "no"
    delay: Duration = 1.0
    max_delay: Duration = 60.0
    limit: Annotated[str, AfterValidator(_limit), Field(examples=["5 in 1m"])] = "5 in 60"


class ContractPart(Part):
    """A condition that must hold after every step."""

    always: str | None = None
    invariant: str | None = None
    description: str | None = None


class MetadataPart(Part):
    """The predecessor's block of descriptions; only the machine's name means something."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    machine_name: Name | None = None
    name: Any = None


class RetryPart(Part):
    """How often a failed action is tried again."""

    max: Annotated[int, Field(ge=1, le=1_000_000)]
    delay: Duration = 1.0
    factor: Annotated[float, Field(ge=1, le=1000)] = 2.0
    max_delay: Duration = 60.0


Events = Annotated[
    Annotated[list[Name], Tag("<list>")] | Annotated[dict[Name, EventPart | None], Tag("<mapping>")], _BY_TYPE
]
States = Annotated[
    Annotated[list[Name], Tag("<list>")] | Annotated[dict[Name, StatePart | None], Tag("<mapping>")], _BY_TYPE
]


class DocumentPart(Part):
    """A machine: a statechart with its surroundings."""

    name: Annotated[str | None, Field(description="label for people")] = None
    description: str | None = None
    machine: Annotated[Name | None, Field(description="default machine name")] = None
    metadata: MetadataPart | None = None
    template: bool = False
    initial: Initial | None = None
    initial_state: Name | None = None
    context: Annotated[dict[str, Any] | None, Field(description="first context, JSON values")] = None
    known_context: Any = None
    events: Events | None = None
    state_groups: dict[Name, list[Name]] | None = None
    states: States | None = None
    transitions: list[RowPart] | None = None
    actions: dict[Name, Actions | None] | None = None
    actions_root: str | None = None
    restart: RestartPart | None = None
    contracts: list[ContractPart] | None = None
