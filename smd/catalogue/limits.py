"""The limits of a child process: their names, and amounts as charts write them."""

from __future__ import annotations

import re

from smd.errors import ChartError

LIMITS = ("cpu", "memory", "as", "nofile", "fsize", "nproc")
"""What `limits:` may name. `cpu` is a time, the others are amounts."""

_AMOUNT = re.compile(r"([0-9]{1,18})\s*([KMGT]?)(?:i?B)?\Z", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_HIGHEST = 2**63 - 1


def amount(value: object) -> int:
    """A number above 0, or a text like `256` or `64M` as one.

    Raises:
        ChartError: it is neither, or beyond what the kernel counts; the message fits behind a name.
    """
    number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if isinstance(value, str) and (found := _AMOUNT.match(value.strip())):
        number = int(found[1]) * _UNITS[found[2].upper()]
    if not 0 < number <= _HIGHEST:
        raise ChartError(f"must be a number above 0 (got {value!r:.40})", hint="write 256 or 64M")
    return number
