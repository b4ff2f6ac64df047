"""Cells as text, tables in Markdown, frames as CSV."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from support.tables import table_of as plain_table

from regmix_bench.analysis.blocks import Stat
from regmix_bench.reporting.formats import cells
from regmix_bench.reporting.values import Cell, averaged, counted, measured, significant


def test_markdown_escapes_pipes_and_brackets():
    text = cells.markdown(plain_table((Cell("a|b[c]*d_e<f>`g"),), header=("Method",)))
    assert r"a\|b\[c\]\*d\_e\<f\>\`g" in text


@pytest.mark.parametrize("label", ["=1+1", "+x", "-x", "@x"])
def test_csv_text_cannot_be_a_formula(label):
    text = cells.csv(pd.DataFrame({"label": [label], "mean": [-1.0]}))
    read = pd.read_csv(io.StringIO(text))
    assert read["label"][0] == f"'{label}"
    assert read["mean"][0] == -1.0


@pytest.mark.parametrize(("value", "text"), [(-0.01, "0.0"), (-1.26, "−1.3"), (100.0, "100.0")])
def test_numbers_have_a_true_minus_and_no_minus_zero(value, text):
    assert cells.fixed(value) == text


NEITHER = "0.0 [−1.0, 1.0] n.d."
STAT = Stat(0.805, 0.0057, 2, 0.754, 0.856)


@pytest.mark.parametrize(
    ("cell", "kind", "text"),
    [
        (averaged(STAT, "share"), "mean", "80.5 ± 0.6"),
        (averaged(STAT, "share"), "number", "80.5"),
        (averaged(STAT, "share"), "interval", "[75.4, 85.6]"),
        (averaged(STAT, "share"), "estimate", "80.5 [75.4, 85.6]"),
        (averaged(Stat(90.0, None, 1), "seconds"), "number", "1.5"),
        (averaged(None), "mean", "–"),
        (Cell(0.5, "share"), "interval", "–"),
        (
            Cell(0.0004, "points", interval=(-0.01, 0.01), word="n.d."),
            "difference",
            "0.0 [−1.0, 1.0] n.d.",
        ),
        (Cell(0.044, "points"), "difference", "+4.4"),
        (Cell(-0.044, "points"), "number", "−4.4"),
        (Cell("reference"), "difference", "reference"),
        (counted(10_000), "count", "10,000"),
        (measured(None, 360), "estimate", "–"),
        (significant(0.0123456), "number", "0.01235"),
        (significant(2345.6), "number", "2346"),
        (significant(float("inf")), "number", "inf"),
    ],
)
def test_a_column_shows_what_its_kind_says(cell, kind, text):
    assert cells.line(cell, kind) == text
