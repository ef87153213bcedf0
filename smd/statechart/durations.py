"""Durations: bare seconds, `1h30m`, ISO 8601."""

from __future__ import annotations

import math
import re

from smd.errors import ChartError

LONGEST = 100 * 366 * 86400.0
"""Seconds; a century. Beyond it a deadline is a mistake, and dates overflow."""

_UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_AMOUNT = r"(?:([0-9]{{1,18}}(?:\.[0-9]{{1,18}})?){0})?"
_WORDS = re.compile("".join(_AMOUNT.format(unit) for unit in ("w", "d", "h", "m(?!s)", "s", "ms")), re.ASCII)
_ISO = re.compile(
    f"P{_AMOUNT.format('W')}{_AMOUNT.format('D')}(?:T{_AMOUNT.format('H')}{_AMOUNT.format('M')}{_AMOUNT.format('S')})?",
    re.ASCII,
)
_HINT = "write 500ms, 30s, 5m, 1h30m, PT5M or a number of seconds"


def parse_duration(value: object) -> float:
    """Seconds of a duration.

    Args:
        value: a number of seconds, or a text: such a number, amounts with the units `w d h m s ms` in
            falling order (`1h30m`), or an ISO 8601 duration without years and months (`PT5M`).

    Returns:
        Seconds, greater than 0 and at most a century.

    Raises:
        ChartError: anything else.
    """
    seconds = _seconds(value)
    if seconds is None:
        raise ChartError(f"cannot read duration {value!r:.60}", hint=_HINT)
    if not 0 < seconds <= LONGEST:
        why = "must be > 0" if not seconds > 0 else "must be at most 100 years"
        raise ChartError(f"cannot use duration {value!r:.60}: {why}", hint=_HINT)
    return seconds


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return None if value != value else float(min(max(value, -1), LONGEST * 2))  # noqa: PLR0124 - nan
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    words = _WORDS.fullmatch(text)
    if words is not None and text:
        return _sum(words.groups(), tuple(_UNITS.values()))
    iso = _ISO.fullmatch(text)
    if iso is None or not text[-1].isalpha() or text[-1] in "PT":
        return None
    return _sum(iso.groups(), tuple(_UNITS.values())[:5])


def _sum(amounts: tuple[str | None, ...], units: tuple[float, ...]) -> float:
    return math.fsum(float(amount) * unit for amount, unit in zip(amounts, units, strict=True) if amount)
