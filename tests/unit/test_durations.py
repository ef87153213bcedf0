"""`smd.statechart.durations`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smd.errors import ChartError
from smd.statechart.durations import parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5.0),
        (0.25, 0.25),
        ("5", 5.0),
        ("2.5", 2.5),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("1m500ms", 60.5),
        ("1w2d", 777600.0),
        (" 5s ", 5.0),
        ("PT5M", 300.0),
        ("P1DT2H", 93600.0),
        ("PT0.5S", 0.5),
        ("P2W", 1209600.0),
    ],
)
def test_a_duration_is_seconds_amounts_with_units_or_iso_8601(value: object, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s",
        "5 m",
        "5 minutes",
        "1s1m",
        "1ms1s",
        "5M",
        "1e5",
        "P",
        "PT",
        "P1",
        "PT5",
        "P1Y",
        "P1M",
        "-1s",
        True,
        None,
        [5],
        "\u0665s",
        float("nan"),
    ],
)
def test_anything_else_is_refused_with_examples(value: object) -> None:
    with pytest.raises(ChartError, match="cannot read duration") as caught:
        parse_duration(value)
    assert "1h30m" in caught.value.hint


@pytest.mark.parametrize("value", [0, -5, "0", "-5", "0s", "PT0S"])
def test_a_duration_is_greater_than_zero(value: object) -> None:
    with pytest.raises(ChartError, match="must be > 0"):
        parse_duration(value)


@pytest.mark.parametrize("value", [1e300, float("inf"), 10**400, "9999999999s", "999999w"])
def test_a_duration_is_at_most_a_century(value: object) -> None:
    with pytest.raises(ChartError, match="at most 100 years"):
        parse_duration(value)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_amounts_add_up(hours: int, minutes: int, seconds: int) -> None:
    expected = hours * 3600 + minutes * 60 + seconds
    assert (
        parse_duration(f"{hours}h{minutes}m{seconds}s") == parse_duration(f"PT{hours}H{minutes}M{seconds}S") == expected
    )
