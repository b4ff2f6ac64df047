"""Rows in tables of their own, as their tricks differ, are explained in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.synthetic import make_spec, write_run

from regmix_bench.analysis.apart import MATCHED, tables_apart
from regmix_bench.grid.suite_files import packaged_suites
from regmix_bench.records.tricks import tricks_of
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.page import page
from regmix_bench.reporting.site.leaderboard import Rankings
from regmix_bench.specs import Recipe


def said(*rows: tuple[str, dict[str, Any]]) -> str | None:
    specs = [make_spec(name, recipe=Recipe(epochs=50, **recipe)) for name, recipe in rows]
    return tables_apart((spec, tricks_of(spec)) for spec in specs)


@pytest.mark.parametrize(
    ("rows", "kinds", "settings"),
    [
        (
            [("trades", {}), ("regmix", {})],
            "(none / mass 0.6)",
            "`--set recipe.true_class_mass=0.6`, or the suite matched-digits, trains",
        ),
        (
            [("pgd-at", {}), ("pgd-at", {"ema_decay": 0.98, "awp_gamma": 0.005})],
            "(none / EMA 0.98, AWP 0.005)",
            "`--set recipe.ema_decay=0.98 --set recipe.awp_gamma=0.005`, or",
        ),
        (
            [("fgsm-pgi", {}), ("fgsm-pgk", {"true_class_mass": 0.6})],
            "(mass 0.6 / mass 0.6, own EMA)",
            "`--set recipe.true_class_mass=0.6 --set recipe.ema_decay=none`, or",
        ),
        (
            [("pgd-at", {"gradient_clip": clip}) for clip in (None, 1.0, 2.0, 3.0)],
            "(4 kinds)",
            "`--set recipe.gradient_clip=1`, or",
        ),
    ],
)
def test_tricks_that_differ_are_said_with_what_makes_them_alike(
    rows: list[tuple[str, dict[str, Any]]], kinds: str, settings: str
) -> None:
    line = said(*rows)
    assert line is not None and "\n" not in line and "`--across tricks` joins them" in line
    assert kinds in line and settings in line


def test_nothing_is_said_where_tricks_are_alike_or_settings_differ_anyway() -> None:
    assert said(("trades", {}), ("pgd-at", {})) is None
    assert said(("fgsm-pgi", {}), ("trades", {"true_class_mass": 0.6})) is None
    assert said(("trades", {}), ("regmix", {"lr": 0.05})) is None
    assert said() is None


def test_labels_that_differ_are_said_where_tricks_are_alike() -> None:
    def rows(*labels: float | None) -> str | None:
        specs = [make_spec("trades", labelled=seen) for seen in labels]
        return tables_apart((spec, tricks_of(spec)) for spec in specs)

    assert rows(None, None) is None
    assert rows(None, 0.1, 500) == (
        "Rows that saw other labels (all labels / 10% of labels / 500 labels) stand in tables of"
        " their own: `--across labels` joins them."
    )
    assert "(4 kinds)" in (rows(None, 0.1, 0.2, 500) or "")


def test_the_report_says_it_before_its_first_table(tmp_path: Path) -> None:
    for name in ("trades", "regmix"):
        write_run(tmp_path, make_spec(name))
    contents = Contents.of(tmp_path)
    text = page(contents, with_figures=False)
    assert 0 < text.index("Rows whose tricks differ (none / mass 0.6)") < text.index("| ")
    assert Rankings.of(contents).apart == contents.apart != ""
    assert Contents.of(tmp_path, across=("tricks",)).apart == ""


def test_the_suites_that_it_names_are_there() -> None:
    assert set(MATCHED.values()) <= set(packaged_suites())
