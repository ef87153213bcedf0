"""Request bodies: bytes to checked values. pydantic's models are the rules; the hot way never refuses."""

from __future__ import annotations

import difflib
import json
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from smd import codec
from smd.errors import RequestError, TooLargeError
from smd.jobs import NewJob
from smd.statechart.event import NORMAL, PRIORITIES, Event

BODY_LIMIT = 1 << 20
BULK_LIMIT = 8 << 20
PAYLOAD_LIMIT = 1 << 20
EVENT_LIMIT = 6 * PAYLOAD_LIMIT + (64 << 10)
"""Bytes of one event's body: a sender may escape every character of a payload as six, and says more than that."""
YAML_LIMIT = 4 << 20
"""Bytes of a machine's YAML, which the document layer checks."""
MACHINE_LIMIT = 6 * YAML_LIMIT + BODY_LIMIT
"""Bytes of the body that adds a machine: its YAML, escaped as an event's payload may be, and the rest."""
DEPTH_LIMIT = 64
NAME_LIMIT = 255

_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHOWN_PROBLEMS = 5
_SHOULD = re.compile(r"^(?:Input|String) should ")
_WORDS = {
    "model_type": "must be an object", "model_attributes_type": "must be an object", "dict_type": "must be an object",
    "missing": "is missing", "string_type": "must be a string", "bool_type": "must be true or false",
    "int_type": "must be a whole number", "int_from_float": "must be a whole number",
}  # fmt: skip

Model = TypeVar("Model", bound=BaseModel)


def _deeper(value: Any, levels: int) -> bool:
    """Is the value nested more than so many levels? Level by level: depth costs no stack."""
    row = [value] if type(value) in {dict, list} else []
    for _ in range(levels):
        row = [
            child
            for parent in row
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
        if not row:
            return False
    return bool(row)


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else 1 << 64
    if not -(1 << 63) <= number < 1 << 64:
        raise RequestError(
            f"cannot accept the number {digits[:24]}: whole numbers have 64 bits", hint="send it as a string"
        )
    return number


def read_json(body: bytes, depth: int = DEPTH_LIMIT) -> Any:
    """Read JSON that every part of smd can keep without loss.

    Raises:
        RequestError: not JSON or not UTF-8 (code `invalid_json`), nested deeper than `depth` (`too_deep`), or
            a whole number beyond 64 bits, which JSON readers would silently round.
    """
    value = codec.loads(body)
    if body.count(b"[") + body.count(b"{") > depth and _deeper(value, depth):
        raise RequestError(f"cannot accept JSON nested deeper than {depth} levels", code="too_deep")
    if _LONG_NUMBER in body.translate(_DIGITS):
        json.loads(body, parse_int=_integer)
    return value


def word(text: str) -> str:
    """A name or id: 1 to 255 bytes, no control characters."""
    if not text:
        raise ValueError("must not be empty")
    if len(text) > NAME_LIMIT or len(text.encode()) > NAME_LIMIT:
        raise ValueError(f"must be at most {NAME_LIMIT} bytes")
    if _CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return text


def event_type(text: str) -> str:
    """An event type from outside: a word, and not one of smd's own."""
    if text.startswith("smd."):
        raise ValueError("must not begin with 'smd.': those are smd's own")
    return word(text)


Word = Annotated[str, AfterValidator(word)]


class Body(BaseModel):
    """Strict: no unknown fields, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class EventBody(Body):
    """One event."""

    type: Annotated[str, AfterValidator(event_type)]
    payload: Any = Field(default_factory=dict)
    id: Word | None = None
    source: Word | None = None
    job_id: Word | None = None
    priority: Literal["high", "normal", "low"] = "normal"


class AddressedEvent(EventBody):
    """One event of many, with its machine."""

    machine: Word


class JobBody(Body):
    """One job."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_by_name=True, validate_by_alias=True)

    job_type: Word = Field(validation_alias=AliasChoices("job_type", "type"))
    job_id: Word | None = None
    machine_type: Word | None = None
    payload: Any = Field(default=None, validation_alias=AliasChoices("payload", "data"))
    priority: int = Field(default=5, ge=-(1 << 31), lt=1 << 31)
    source_job_id: Word | None = None
    metadata: Any = None

    def job(self) -> NewJob:
        """The job to add."""
        return NewJob(
            self.job_type, self.job_id or "", self.machine_type, self.payload, self.priority,
            self.source_job_id, self.metadata,
        )  # fmt: skip


class MachineBody(Body):
    """A machine to add: a file under the configured folders, or the YAML itself."""

    path: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    yaml: str | None = None
    name: Word | None = None
    context: dict[str, Any] | None = None
    start: bool = True

    @model_validator(mode="after")
    def _one_source(self) -> MachineBody:
        if (self.path is None) == (self.yaml is None):
            raise ValueError("give either 'path' or 'yaml'")
        return self


class Nothing(Body):
    """A body that says nothing."""


class PauseBody(Body):
    """`now` cancels the running action, which is repeated on resume."""

    now: bool = False


class CompleteBody(Body):
    """What the job came to."""

    result: Any = None


class FailBody(Body):
    """Why the job failed."""

    reason: Annotated[str, Field(min_length=1, max_length=65536)]


def _known(model: type[BaseModel]) -> list[str]:
    names: list[str] = []
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        names += [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name]
    return names


def _in_words(kind: str, told: str) -> str:
    """What pydantic found wrong; its own words begin with a subject that says nothing to a client."""
    return _WORDS.get(kind) or _SHOULD.sub("must ", told.removeprefix("Value error, "))


def _explain(model: type[BaseModel], error: ValidationError) -> RequestError:
    problems, hint = [], ""
    for problem in error.errors(include_url=False, include_context=False)[:_SHOWN_PROBLEMS]:
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(place[:NAME_LIMIT], _known(model), n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(_known(model))}"
            problems.append(f"unknown field '{place[:80]}'")
        else:
            text = _in_words(problem["type"], problem["msg"])
            problems.append(f"{place[:80]}: {text}" if place else text)
    what = model.__name__.removesuffix("Body").replace("AddressedEvent", "Event").lower()
    return RequestError(f"cannot accept {what}: {'; '.join(problems)}", hint=hint)


def check(model: type[Model], data: Any) -> Model:
    """The checked form of a value.

    Raises:
        RequestError: with every place that is wrong (five at most).
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explain(model, error) from None


def one_key(in_body: str | None, in_header: str, what: str = "event", field: str = "id") -> str:
    """The id of the only thing in a body, which its body or a header gives.

    Raises:
        RequestError: both do, and they differ.
    """
    if in_body and in_header and in_body != in_header:
        raise RequestError(f"cannot accept {what}: '{field}' and the header Idempotency-Key differ")
    return in_body or in_header


def read_event(data: Any, *, source: str, now: float, key: str = "", addressed: bool = False) -> Event:
    """An event from a decoded body.

    The common form (a plain type, perhaps a payload) is taken by hand; all else goes through the model, which
    also writes the refusals.

    Args:
        data: the decoded body.
        source: who sends, unless the body says so.
        now: seconds since the epoch.
        key: the id given in a header, or made from it.
        addressed: it is one of many: the body also names its machine, and an id of its own goes before the key.

    Raises:
        RequestError: the body breaks a rule.
    """
    if type(data) is dict:
        kind, given = data.get("type"), "payload" in data
        machine = data.get("machine") if addressed else "-"
        if (
            len(data) == 1 + addressed + given and type(kind) is str and type(machine) is str
            and 0 < len(kind) <= NAME_LIMIT and 0 < len(machine) <= NAME_LIMIT
            and kind.isascii() and kind.isprintable() and not kind.startswith("smd.")
        ):  # fmt: skip
            return Event(kind, data["payload"] if given else {}, key, source, NORMAL, None, now)
    body = check(AddressedEvent if addressed else EventBody, data)
    name = body.id or key if addressed else one_key(body.id, key)
    return Event(
        body.type, body.payload, name, body.source or source, PRIORITIES[body.priority],
        body.job_id, now,
    )  # fmt: skip


def check_payload(payload: Any) -> None:
    """Refuse a payload over 1 MiB, however it was escaped.

    Raises:
        TooLargeError: it is.
    """
    data = codec.dumps(payload)
    if len(data) > PAYLOAD_LIMIT and codec.size(data) > PAYLOAD_LIMIT:
        raise too_large_payload()


def too_large_payload() -> TooLargeError:
    """The refusal of an event for what it carries."""
    return TooLargeError(
        f"cannot accept event: its payload is over {PAYLOAD_LIMIT} bytes",
        hint="keep large data in a file and send its name",
    )
