"""The SQL of the store, kept in files: numbered migrations, and named queries of one purpose each.

A query reads `-- name: purpose`, then its text up to a semicolon at the end of a line. `/*@name*/` stands for the
text of another query (a list of columns, a table); `/*list*/` is filled by `with_list`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")
FOLDER = Path(__file__).parent
_VALUES = re.compile(r"^(\([?, ]+\))", re.MULTILINE)
_INCLUDED = re.compile(r"/\*@(\w+)\*/")


class Query(NamedTuple):
    """A named query and what it is for."""

    purpose: str
    text: str


def read_queries(folder: Path = FOLDER) -> dict[str, Query]:
    """Every named query of a folder's `*.sql` files, with what it includes put in."""
    found: dict[str, Query] = {}
    for file in sorted(folder.glob("*.sql")):
        for block in re.split(r"\n\n+(?=-- )", file.read_text(encoding="utf-8").strip()):
            head, _, text = block.partition("\n")
            name, _, purpose = head.removeprefix("-- ").partition(": ")
            found[name] = Query(purpose, text.strip().removesuffix(";"))
    return {name: query._replace(text=_included(query.text, found)) for name, query in found.items()}


def _included(text: str, found: dict[str, Query]) -> str:
    return _INCLUDED.sub(lambda match: _included(found[match[1]].text, found), text)


QUERIES = read_queries()
SQL = {name: query.text for name, query in QUERIES.items()}
"""Name to text."""


@lru_cache(maxsize=256)
def with_list(sql: str, size: int) -> str:
    """A query whose list takes `size` values; the text is the same object each time, for the statement cache."""
    return sql.replace("/*list*/", ", ".join("?" * size))


def many(name: str, most: int) -> dict[int, str]:
    """The texts of a query for 1, 2, 4 … `most` rows: its line of question marks is repeated."""
    head, values, tail = _VALUES.split(SQL[name])
    sizes = [1 << power for power in range(most.bit_length())]
    return {size: f"{head}{', '.join([values] * size)}{tail}" for size in sizes}


def padded(values: list[T]) -> list[T]:
    """Values repeated up to the next power of two, so that lists of every length share a few statements."""
    return values + values[-1:] * ((1 << (len(values) - 1).bit_length()) - len(values))
