"""What a limit counts: the text, not how JSON happens to write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smd.codec import canonical, dumps, size


@given(st.text())
def test_a_text_counts_as_its_bytes_and_two_quotes(text: str) -> None:
    assert size(dumps(text)) == len(text.encode()) + 2


@pytest.mark.parametrize("text", ["\\u0041", '\\"', "\\\\n", "\n\t\x00\x1f", "é€😀", "\\\n", "\x7f"])
def test_what_looks_like_an_escape_counts_as_what_it_is(text: str) -> None:
    assert size(dumps([text, {text: 1}])) == 2 * (len(text.encode()) + 2) + len("[,{:1}]")
    assert size(canonical(text)) == len(text.encode()) + 2
