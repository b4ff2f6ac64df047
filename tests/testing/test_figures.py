"""The contract of figures: one that keeps it, and many that break one rule each."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from support.synthetic import make_spec, write_run

from regmix_bench.reporting.figures import FIGURES
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.testing import check_figure

NUMBERS = itertools.count(1)


class Counts(ReportFigure):
    """Seeds behind each row."""

    name = "counts"

    @classmethod
    def of(cls, contents):
        for cohort in contents.cohorts:
            frame = pd.DataFrame({"label": g.label, "seeds": len(g.runs)} for g in cohort.groups)
            yield cls(subject=cohort.stem, frame=frame, caption="How many seeds each row has.")

    def draw(self, style: Style) -> Figure:
        figure = Figure(figsize=(2, 1))
        figure.subplots().bar(self.frame["label"], self.frame["seeds"])
        return figure


class Slashed(Counts):
    @classmethod
    def of(cls, contents):
        yield cls(subject="a/b", frame=pd.DataFrame({"x": [1]}), caption="One.")


class Speechless(Counts):
    @classmethod
    def of(cls, contents):
        yield cls(subject="all", frame=pd.DataFrame({"x": [1]}), caption=" ")


class Empty(Counts):
    @classmethod
    def of(cls, contents):
        yield cls(subject="all", frame=pd.DataFrame(), caption="None.")


class Absent(Counts):
    @classmethod
    def of(cls, contents):
        return ()


class Twice(Counts):
    @classmethod
    def of(cls, contents):
        return [*super().of(contents), *super().of(contents)]


class Unsteady(Counts):
    def draw(self, style: Style) -> Figure:
        return Figure(figsize=(1, 1 + next(NUMBERS) / 10))


class Attached(Counts):
    @classmethod
    def of(cls, contents):
        for picture in super().of(contents):
            object.__setattr__(picture, "look", lambda: None)
            yield picture


class Overdeclared(Counts):
    suffixes = (".png", ".pdf", ".points.csv")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_run(tmp_path / "results", make_spec("trades"))
    return tmp_path / "results"


def test_a_figure_that_keeps_the_contract_breaks_no_rule(results: Path) -> None:
    FIGURES.register("counts", Counts)
    assert check_figure("counts", results) == []


PICTURES = "a report has pictures of it"


@pytest.mark.parametrize(
    ("figure", "rule", "reason"),
    [
        (Slashed, PICTURES, "'counts-a/b' cannot be the name of a file"),
        (Speechless, PICTURES, "counts-all has no caption"),
        (Empty, PICTURES, "counts-all has no frame"),
        (Absent, PICTURES, "it has no picture of the records in"),
        (Twice, "pictures differ in their names", "two pictures are called"),
        (Unsteady, "the same numbers give the same picture", "its .png differs"),
        (Attached, "another process can draw it", "pickle"),
        (Overdeclared, "it draws the files that it declares", "declares ['.pdf', '.png', '.points"),
    ],
)
def test_a_figure_that_breaks_a_rule_is_told(
    results: Path, figure: Any, rule: str, reason: str
) -> None:
    FIGURES.register("counts", figure)
    found = {failure.rule: failure.reason for failure in check_figure("counts", results)}
    assert reason in found.get(rule, ""), found
