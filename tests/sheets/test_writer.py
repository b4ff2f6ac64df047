"""What is written is read as it was meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regmix_bench.notation import read_yaml
from regmix_bench.sheets.writer import sheet_text


@pytest.mark.parametrize(
    "text",
    ["1e5", "123e45678901", "8/255", "true", "null", "~", "", "0.031", "no", "2024-01-01", "a: b"],
)
def test_a_text_is_read_as_a_text(text: str) -> None:
    content = {"title": text, "list": [text], text or "key": {"deep": text}}
    assert read_yaml(sheet_text(content)) == content


@pytest.mark.parametrize("number", [0, 1, -3, 1e-7, 1e20, 0.1, 98.7037, 1.0, 5e-324, 10**15])
def test_a_number_is_read_as_that_number(number: float) -> None:
    found = read_yaml(sheet_text({"a": number}))["a"]
    assert found == number and type(found) is type(number)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_whatever_json_holds_comes_back(content: dict[str, Any]) -> None:
    assert read_yaml(sheet_text(content)) == content


def test_what_is_short_stands_on_one_line() -> None:
    text = sheet_text({"a": {"b": 1, "c": [1, 2]}, "long": ["x" * 80, "y" * 80]})
    assert text == f"a: {{b: 1, c: [1, 2]}}\nlong:\n- {'x' * 80}\n- {'y' * 80}\n"
