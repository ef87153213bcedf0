"""Payloads that an event's declaration describes are checked at the door, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from smd.errors import RequestError
from smd.statechart.cel_syntax import pattern
from smd.statechart.effects import Send
from smd.statechart.event import Event
from smd.statechart.model import Statechart
from smd.statechart.plan import COMMUNICATION

Validators = dict[str, Any]


def check_payload(chart: Statechart, event_type: str, payload: Any, validators: dict[str, Validators]) -> None:
    """Hold a payload against the JSON Schema its event declares, if it declares one.

    Args:
        validators: those made so far, by chart hash and event type; added to.

    Raises:
        RequestError: the payload does not fit, or the schema cannot be applied to it; says where and why.
    """
    spec = chart.events.get(event_type)
    if spec is None or spec.payload is None:
        return
    made = validators.setdefault(chart.hash, {})
    if event_type not in made:
        made[event_type] = _validator(spec.payload)
    try:
        error = next(iter(made[event_type].iter_errors(payload)), None)
    except Exception as broken:  # a schema may name what is not there, or hold an expression that is none
        raise RequestError(
            f"cannot take '{event_type}': the schema of its payload cannot be applied: {str(broken)[:300]}",
            code="invalid_chart", hint="the author of the chart must change it",
        ) from broken  # fmt: skip
    if error is not None:
        place = ".".join(["payload", *map(str, error.absolute_path)])
        raise RequestError(
            f"cannot take '{event_type}': {place}: {error.message[:300]}", code="invalid_payload",
            hint=f"the chart declares what '{event_type}' carries",
        )  # fmt: skip


def misfit(chart: Statechart, event: Event, validators: dict[str, Validators]) -> RequestError | None:
    """Why an event of another machine is not taken; None if it is. See `check_payload`."""
    try:
        check_payload(chart, event.type, event.payload, validators)
    except RequestError as error:
        return error
    return None


def unwanted(machine: str, life: int, version: int, event: Event, error: RequestError) -> list[Send]:
    """What the machine that sent it hears of an event that was not taken, as of one that reached nobody.

    Nothing of such words themselves: two machines that take none would tell each other for ever.

    Args:
        version: of the record that refuses it, which makes the id one of a kind.
    """
    if event.type == COMMUNICATION:
        return []
    told = {"target": machine, "type": event.type, "reason": error.message, "send_id": event.id}
    return [Send((event.source,), COMMUNICATION, told, f"{machine}/{life}/{version}/refused")]


def _validator(schema: Any) -> Any:
    from jsonschema import Draft202012Validator, validators  # noqa: PLC0415 - not all charts need it, and it is large

    extend: Callable[..., Any] = validators.extend
    rules = Draft202012Validator.VALIDATORS
    bounded = {word: _bounded(rules[word]) for word in ("pattern", "patternProperties", "additionalProperties")}
    return extend(Draft202012Validator, bounded)(schema)


def _bounded(rule: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    """The rule, after texts too long for its patterns were refused: a sender could hold up the daemon with them."""
    from jsonschema import ValidationError  # noqa: PLC0415

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        patterns = [value] if isinstance(value, str) else schema.get("patternProperties", ())
        texts = [instance] if isinstance(instance, str) else instance if isinstance(instance, dict) else ()
        longest = min(map(_longest, patterns), default=0)
        if patterns and any(len(text) > longest for text in texts):
            yield ValidationError(f"is too long: with this pattern at most {longest} characters are read")
        else:
            yield from rule(validator, value, instance, schema) or ()

    return check


@lru_cache(maxsize=256)
def _longest(text: str) -> int:
    return pattern(text)[1]
