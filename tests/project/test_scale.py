"""Thousands of records: each further one costs what the last did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.copies import copy_runs
from support.sites import site_files
from support.synthetic import make_spec, write_run
from support.work import grows_linearly

from regmix_bench import check, report
from regmix_bench.reporting.contents import Contents


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[int], Path]:
    """Return a results folder with so many records of two methods, made once."""
    for label in ("trades", "pgd-at"):
        write_run(tmp_path / "source", make_spec(label))

    def folder(number: int) -> Path:
        results = tmp_path / str(number)
        if not results.exists():
            copy_runs(tmp_path / "source", results, number)
        return results

    return folder


def test_each_further_record_costs_a_check_the_same(folders: Callable[[int], Path]) -> None:
    for number in (40, 80, 120):
        check(results=folders(number), update=True)
    assert grows_linearly(lambda number: check(results=folders(number)), 40)


def test_each_further_record_costs_a_report_the_same(folders: Callable[[int], Path]) -> None:
    def write(number: int) -> None:
        results = folders(number)
        report(results=results, out=results.with_name(f"out-{number}"), format="csv")
        dict(site_files(Contents.of(results)))

    assert grows_linearly(write, 60)


def test_a_page_links_to_the_seeds_next_to_its_own(folders: Callable[[int], Path]) -> None:
    out = folders(100).with_name("out")
    report(results=folders(100), out=out, format="html")
    for page in (out / "site/runs").iterdir():
        assert page.read_text().count('aria-label="Seed ') <= 24
        assert "more are among" in page.read_text()
