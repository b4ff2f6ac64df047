from __future__ import annotations

from dataclasses import dataclass

import pytest

from regmix_bench.system.shown import Shown, ShownTuple, Summary


@dataclass(frozen=True, repr=False)
class Word(Shown):
    text: str
    rows: int = 0

    def summary(self) -> Summary:
        return Summary(self.text, ("a", "b"), [(self.text, str(k)) for k in range(self.rows)])


def test_a_value_is_one_line_and_a_table() -> None:
    assert repr(Word("two words")) == str(Word("two words")) == "<Word two words>"
    assert repr(ShownTuple([Word("x")])) == "(<Word x>,)"
    page = ShownTuple([Word("x", 2), Word("y")])._repr_html_()
    assert page.count("<tr>") == 3 and page.endswith("<p>y</p>")


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a\x1b[2Jb\nc", 'x" onload="y'])
def test_text_of_a_file_is_no_markup_and_moves_no_terminal(text: str) -> None:
    page = Word(text, 1)._repr_html_()
    assert "<script" not in page and '"' not in page
    assert not {"\x1b", "\n"} & set(page + repr(Word(text)))


def test_what_is_long_is_cut_and_says_so() -> None:
    assert len(repr(Word("word " * 1000))) < 220
    assert "… 960 more" in Word("x", 1000)._repr_html_()
