"""The table that a grid ends with."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len
from support.synthetic import make_spec, write_run

from regmix_bench.cli.results import result_lines
from regmix_bench.records.schema import RunRecord
from regmix_bench.records.store import load_run


@pytest.fixture
def records(tmp_path: Path) -> list[RunRecord]:
    """Two seeds of two methods, of which one warns of its score."""
    paths = [
        write_run(tmp_path, make_spec(label, seed=seed), autoattack=300)
        for label in ("mart", "pgd-at")
        for seed in (0, 1)
    ]
    raised = {"checks": ("zero-gradients",)}
    paths.append(write_run(tmp_path, make_spec("trades"), autoattack=300, scored=raised))
    return [load_run(path) for path in paths]


def test_each_run_has_a_row_with_scores_interval_cost_and_id(records: list[RunRecord]) -> None:
    lines = list(result_lines(records, None))
    assert lines[:2] == [
        "",
        "digits · smallcnn · Linf 32/255 · 360 images · robust: AutoAttack [95 %]",
    ]
    scores = ["clean", "PGD-20", "robust"]
    assert lines[2].split() == ["method", "seed", *scores, "passes", "time", "run"]
    first = lines[3]
    assert first.startswith("MART (β = 6)     0   94.4    86.1  83.3 [79.1, 86.8]")
    assert first.endswith(records[0].run_id[:8])


def test_a_warning_is_said_once_below_with_its_runs(records: list[RunRecord]) -> None:
    lines = list(result_lines(records, None))
    run = records[-1].run_id[:8]
    assert lines[-1] == f"! {run}: scoring raised zero-gradients"
    assert [line for line in lines if line.endswith(" !")] == [lines[-2]]


@pytest.mark.parametrize("width", [80, 60, 140])
def test_no_line_is_wider_than_the_terminal(records: list[RunRecord], width: int) -> None:
    lines = list(result_lines(records, width))
    assert max(map(cell_len, lines)) <= width
    assert all(any(record.run_id[:8] in line for line in lines) for record in records)


def test_a_failed_run_has_no_row(records: list[RunRecord]) -> None:
    failed = records[0].model_copy(update={"status": "error", "error": "out of luck"})
    assert list(result_lines([failed], 80)) == []


def test_runs_that_their_tricks_alone_tell_apart_have_tables_of_their_own(tmp_path: Path) -> None:
    spec = make_spec("trades")
    other = spec.recipe.model_copy(update={"true_class_mass": 0.6})
    pair = [spec, spec.model_copy(update={"recipe": other})]
    records = [load_run(write_run(tmp_path, each, autoattack=300)) for each in pair]
    headings = [line for line in result_lines(records, None) if line.startswith("digits")]
    assert [heading.rpartition("tricks: ")[2] for heading in headings] == ["none", "mass 0.6"]
