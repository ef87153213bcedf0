"""`smd.runtime.payloads`: no text of a sender keeps a pattern busy for longer than `matches` may be."""

from __future__ import annotations

from typing import Any

import pytest

from smd.document import load_document
from smd.errors import RequestError
from smd.runtime.payloads import Validators, check_payload

WORD = r"{properties: {a: {type: string, pattern: '^\S+@\S+\.\S+$'}}}"
KEYS = r"{additionalProperties: false, patternProperties: {'^\S+@\S+\.\S+$': {type: integer}}}"


def hold(schema: str, payload: Any) -> None:
    chart = load_document(f"states: {{a: }}\nevents: {{e: {{payload: {schema}}}}}", "f.yaml")
    made: dict[str, Validators] = {}
    check_payload(chart, "e", payload, made)
    assert made


@pytest.mark.parametrize(("schema", "payload"), [
    (WORD, {"a": "me@example.org"}), (KEYS, {"me@example.org": 1}), (WORD, {"b": "x" * 10_000}), (WORD, [1]),
])  # fmt: skip
def test_what_fits_the_patterns_passes(schema: str, payload: Any) -> None:
    hold(schema, payload)


@pytest.mark.parametrize(("schema", "payload", "told"), [
    (WORD, {"a": "me"}, "does not match"), (KEYS, {"me": 1}, "does not match"),
    (KEYS, {"me@example.org": "x"}, "not of type 'integer'"),
    (WORD, {"a": "x@" * 50_000}, "payload.a: is too long: with this pattern at most"),
    (KEYS, {"x@" * 50_000: 1}, "payload: is too long"),
])  # fmt: skip
def test_what_does_not_fit_or_would_take_too_long_is_refused(schema: str, payload: Any, told: str) -> None:
    with pytest.raises(RequestError, match=told) as caught:
        hold(schema, payload)
    assert caught.value.code == "invalid_payload"
