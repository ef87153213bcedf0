"""What an action left in its context becomes a patch: only what changed, and that must be JSON."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from smd.actions.values import copied, patch, plain
from smd.errors import ActionError
from smd.statechart.context import apply_patch

BEFORE: dict[str, Any] = {
    "text": "é", "n": 1, "x": 1.5, "yes": True, "none": None, "list": [1, [2, {"a": None}]], "map": {"a": {"b": 1, "c": []}},
}  # fmt: skip


class Level(enum.IntEnum):
    LOW = 1


class Words(str):
    __slots__ = ()


def test_a_copy_shares_nothing_that_can_change() -> None:
    made = copied(BEFORE)
    made["list"][1][1]["a"] = made["map"]["a"]["b"] = 2
    made["map"]["a"]["c"].append(1)
    assert BEFORE["list"] == [1, [2, {"a": None}]]
    assert BEFORE["map"] == {"a": {"b": 1, "c": []}}


def test_nothing_changed_is_no_patch() -> None:
    assert patch(BEFORE, copied(BEFORE), ()) == ()
    assert patch({}, {}, ()) == ()


@pytest.mark.parametrize(
    ("key", "value", "changes"),
    [
        ("n", 2, (("set", ("n",), 2),)),
        ("n", True, (("set", ("n",), True),)),
        ("n", 1.0, (("set", ("n",), 1.0),)),
        ("yes", 1, (("set", ("yes",), 1),)),
        ("none", 0, (("set", ("none",), 0),)),
        ("n", Level.LOW, ()),
        ("text", Words("é"), ()),
        ("list", (1, [2, {"a": None}]), ()),
        ("list", [1, [2, {"a": 0}]], (("set", ("list",), [1, [2, {"a": 0}]]),)),
        ("list", [True, [2, {"a": None}]], (("set", ("list",), [True, [2, {"a": None}]]),)),
        ("list", [1, [2.0, {"a": None}]], (("set", ("list",), [1, [2.0, {"a": None}]]),)),
        ("map", {"a": {"c": [], "b": 1}}, ()),
        ("map", {"a": {"b": 1.0, "c": []}}, (("set", ("map", "a", "b"), 1.0),)),
        ("map", {"a": {"c": [1]}}, (("unset", ("map", "a", "b")), ("set", ("map", "a", "c"), [1]))),
        ("map", {}, (("unset", ("map", "a")),)),
        ("new", {"deep": [Level.LOW]}, (("set", ("new",), {"deep": [1]}),)),
    ],
)
def test_what_changed_is_the_patch_in_plain_values(key: str, value: Any, changes: Any) -> None:
    after = {**copied(BEFORE), key: value}
    made = patch(BEFORE, after, ())
    assert made == changes
    assert repr(made) == repr(changes)  # which tells 1 from 1.0 and True
    assert apply_patch(BEFORE, made) == plain(after, "")


@pytest.mark.parametrize(
    ("before", "after"), [([{"x": 1}], [{"x": True}]), ([0.0], [-0.0]), ({"x": [1]}, {"x": [1.0]})]
)
def test_a_value_that_only_compares_equal_has_changed(before: Any, after: Any) -> None:
    kept = apply_patch({"k": before}, patch({"k": before}, {"k": after}, ()))
    assert repr(kept) == repr({"k": after})
    assert patch({"k": before}, {"k": copied(before)}, ()) == ()


def test_a_removed_key_is_unset_and_words_of_the_engine_are_neither_kept_nor_removed() -> None:
    before = {"a": 1, "own": 1, "gone": 2}
    assert patch(before, {"own": object(), "a": 1, "other": object()}, {"own", "other"}) == (("unset", ("gone",)),)
    assert patch(before, {"a": 1, "gone": 2}, {"own"}) == ()


@pytest.mark.parametrize("value", [object(), {1: 2}, float("nan"), 2**64, b"x", "\ud800", [{1}]])
def test_what_changed_must_be_json(value: Any) -> None:
    for key in ("n", "new"):
        with pytest.raises(ActionError, match=f"cannot keep context key '{key}"):
            patch(BEFORE, {**BEFORE, key: value}, ())


def test_a_value_that_holds_itself_is_refused() -> None:
    after = copied(BEFORE)
    after["list"].append(after["list"])
    with pytest.raises(ActionError, match="nested deeper"):
        patch(BEFORE, after, ())
