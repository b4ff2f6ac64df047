"""Characters that a terminal would obey, or that hide, are shown by their numbers."""

from __future__ import annotations

import pytest

from regmix_bench.system.text import one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("RegMix, ε = 8/255 · 北京 ±1", "RegMix, ε = 8/255 · 北京 ±1"),
        ("a\x1b[31mb\x07", "a\\u001b[31mb\\u0007"),
        ("\x9b2J\x7f", "\\u009b2J\\u007f"),
        ("\u202eabc\u2066\u200f", "\\u202eabc\\u2066\\u200f"),
        ("a\rb\u2028", "a\\u000db\\u2028"),
        ("\udc80", "\\udc80"),
        ("x\U000e0041", "x\\udb40\\udc41"),
        ("a\tb\nc", "a\tb\nc"),
    ],
)
def test_what_is_shown_by_its_number(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_a_text_of_several_lines_is_one() -> None:
    assert one_line("a\nb\r\nc\u2028d") == "a b c d"
