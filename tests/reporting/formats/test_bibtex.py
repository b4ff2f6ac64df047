from __future__ import annotations

import re

import pytest
from support.hostile import HOSTILE

from regmix_bench.methods import METHODS, declared
from regmix_bench.methods.protocol import Citation
from regmix_bench.reporting.formats.bibtex import bibtex, suite_entry


def test_an_entry_says_what_the_citation_says() -> None:
    paper = Citation("doe2020fast", "Doe et al.", 2020, "2001.00001", "Fast & Free", "ICLR")
    assert bibtex(paper) == (
        "@misc{doe2020fast,\n"
        "  title         = {{Fast \\& Free}},\n"
        "  author        = {Doe and others},\n"
        "  year          = {2020},\n"
        "  howpublished  = {ICLR},\n"
        "  eprint        = {2001.00001},\n"
        "  archivePrefix = {arXiv}\n"
        "}\n"
    )


def test_what_a_citation_lacks_the_entry_lacks() -> None:
    assert "eprint" not in bibtex(Citation("a", "A", 2020)) and "title" not in bibtex(
        Citation("a", "A", 2020)
    )


@pytest.mark.parametrize("text", [*HOSTILE, "}", "a } b {", "\\end", "é%"])
def test_no_text_ends_an_entry(text: str) -> None:
    written = bibtex(Citation(text, text, 2020, text, text, text))
    plain = re.sub(r"\\[{}\\]", "", written)
    open_ = [plain[:at].count("{") - plain[:at].count("}") for at in range(len(plain))]
    assert open_[-1] == 0 and min(open_[plain.index("{") + 1 : -2]) > 0


def test_papers_of_our_methods_have_titles_and_venues_or_numbers() -> None:
    for name in METHODS.names():
        method = declared(name)
        assert method is not None
        if (paper := method.citation) is not None:
            assert paper.title and (paper.venue or paper.arxiv), name


def test_the_suite_has_an_entry() -> None:
    assert suite_entry().startswith("@misc{regmix-bench,") and "Version" in suite_entry()
