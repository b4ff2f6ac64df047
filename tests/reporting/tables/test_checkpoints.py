from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from support.checkpoints import write_checkpoints
from support.tables import bold, column, headers

from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.analysis.selection import Selected, selections_of
from regmix_bench.analysis.tricks import Axis
from regmix_bench.reporting.report import stale, write_report
from regmix_bench.reporting.tables.checkpoints import (
    checkpoints_table,
    run_checkpoints_table,
    selection_gains,
)
from regmix_bench.reporting.values import Table

FOUR = {
    "selected": range(12),
    "last": range(2, 8),
    "raw-selected": range(10),
    "raw-last": range(7, 19),
}


def table_of_results(results: Path, across: tuple[Axis, ...] = ()) -> Table:
    (cohort,) = sort_into_cohorts(load_runs(results), across)
    (found,) = selections_of(cohort)
    return checkpoints_table(found)


def test_the_tricks_of_its_rows_are_said_and_across_tricks_in_a_column(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, FOUR, (0.3, 0.6, 0.5), (0.6, 0.5, 0.2), ema_decay=0.9)
    table = table_of_results(tmp_path)
    assert table.caption.endswith(" Tricks: EMA 0.9.") and "Tricks" not in headers(table)
    assert column(table_of_results(tmp_path, ("tricks",)), "Tricks") == {"pgd-at": "EMA 0.9"}


def test_an_averaged_run_has_columns_of_four_checkpoints(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, FOUR, (0.3, 0.6, 0.5), (0.6, 0.5, 0.2), ema_decay=0.9)
    table = table_of_results(tmp_path)
    shown = {header: column(table, header)["pgd-at"] for header in headers(table)}
    assert shown == {
        "Method": "pgd-at",
        "Clean averaged selected": "100.0",
        "Clean averaged last": "100.0",
        "PGD-20 averaged selected": "60.0",
        "PGD-20 averaged last": "30.0",
        "AutoAttack averaged selected": "60.0",
        "Gain val. averaged": "+10.0",
        "Gain test averaged": "+30.0",
        "Optimism averaged": "−20.0",
        "p averaged": "0.031",
        "Clean raw selected": "100.0",
        "Clean raw last": "100.0",
        "PGD-20 raw selected": "50.0",
        "PGD-20 raw last": "60.0",
        "Gain val. raw": "+40.0",
        "Gain test raw": "−10.0",
        "Optimism raw": "+50.0",
        "p raw": "0.804",
        "Seeds": "1",
    }


def test_autoattack_stands_where_it_was_measured(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, FOUR, (0.6, 0.5), (0.6, 0.5), ema_decay=0.9, robust=FOUR)
    attacked = [name for name in headers(table_of_results(tmp_path)) if "AutoAttack" in name]
    assert attacked == [
        f"AutoAttack {w} {c}" for w in ("averaged", "raw") for c in ("selected", "last")
    ]


def test_a_run_without_an_average_has_two_checkpoints(tmp_path: Path) -> None:
    two = {"selected": range(10), "last": range(8)}
    for seed in range(2):
        write_checkpoints(tmp_path, two, (0.7, 0.5), seed=seed)
    table = table_of_results(tmp_path)
    assert [name for name in headers(table) if name.startswith("PGD-20")] == [
        "PGD-20 selected",
        "PGD-20 last",
    ]
    assert column(table, "Gain test") == {"pgd-at": "+10.0 [10.0, 10.0]"}
    assert column(table, "Seeds") == {"pgd-at": "2"}


def test_columns_and_their_marks_never_mix_weights_or_choices(tmp_path: Path) -> None:
    write_checkpoints(
        tmp_path, FOUR, (0.3, 0.6, 0.5), (0.6, 0.5, 0.2), label="fgsm-pgk"
    )  # whose average is its own
    write_checkpoints(tmp_path, {"selected": range(11), "last": range(9)}, (0.3, 0.6, 0.5))
    write_checkpoints(
        tmp_path, {"selected": range(2), "last": range(19)}, (0.3, 0.6, 0.5), label="trades"
    )
    table = table_of_results(tmp_path, across=("tricks",))
    assert column(table, "PGD-20 averaged selected") == {
        "pgd-at": "–",
        "trades": "–",
        "fgsm-pgk": "60.0",
    }
    assert not bold(table)


def test_the_note_says_by_which_rule_it_was_selected(tmp_path: Path) -> None:
    two = {"selected": range(8), "last": range(8)}
    write_checkpoints(tmp_path, two, (0.7, 0.5), selection="last")
    table = table_of_results(tmp_path)
    assert "Selected: last checkpoint," in table.notes[0]
    assert column(table, "Gain test") == {"pgd-at": "0.0"}
    assert column(table, "Gain val.") == {"pgd-at": "0.0"}


def test_rows_selected_by_other_rules_stand_in_tables_of_their_own(tmp_path: Path) -> None:
    for rule in ("last", "val-pgd10"):
        write_checkpoints(
            tmp_path, {"selected": range(8), "last": range(8)}, (0.7, 0.5), selection=rule
        )
    assert len(sort_into_cohorts(load_runs(tmp_path))) == 2


def test_one_run_has_a_row_for_each_kind_of_weights(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, FOUR, (0.3, 0.6, 0.5), (0.6, 0.5, 0.2), ema_decay=0.9)
    (run,) = load_runs(tmp_path)
    found = [Selected.of(run, weights, run.spec.train_threat) for weights in ("averaged", "raw")]
    table = run_checkpoints_table([each for each in found if each])
    assert column(table, "Selected epoch") == {"averaged": "2", "raw": "1"}
    assert column(table, "Validation PGD-10, selected") == {"averaged": "60.0", "raw": "60.0"}
    assert column(table, "Gain test") == {"averaged": "+30.0 p = 0.031", "raw": "−10.0 p = 0.8"}


def test_the_report_has_them_in_every_format(tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "out"
    write_checkpoints(results, FOUR, (0.3, 0.6, 0.5), (0.6, 0.5, 0.2), ema_decay=0.9, robust=FOUR)
    formats = ("latex", "markdown", "csv", "json", "html")
    names = {path.name for path in write_report(results, out, formats)}
    (tex,) = (n for n in names if n.startswith("table-checkpoints-") and n.endswith(".tex"))
    assert "Which weights are scored" in (out / "report.md").read_text()
    assert (
        tex.removeprefix("table-").removesuffix(".tex")
        in json.loads((out / "tables.json").read_text())["tables"]
    )
    frame = pd.read_csv(out / "checkpoints.csv").set_index("weights")
    assert frame["test_gain"].to_dict() == {"averaged": 0.3, "raw": -0.1}
    assert frame[["lost", "gained"]].to_numpy().tolist() == [[0, 6], [9, 7]]
    (page,) = (out / "site" / "runs").glob("*.html")
    assert "the optimism of selection" in page.read_text()
    assert not stale(results, out)
    (file,) = results.glob("*/*/*.raw-last.outcomes.parquet")
    assert file.name in (out / "manifest.csv").read_text()


def test_the_frame_has_a_row_for_each_run_and_kind_of_weights(tmp_path: Path) -> None:
    for seed in range(2):
        write_checkpoints(tmp_path, FOUR, (0.6, 0.5), (0.6, 0.5), seed=seed, ema_decay=0.9)
    (cohort,) = sort_into_cohorts(load_runs(tmp_path))
    frame = selection_gains(selections_of(cohort))
    assert frame[["seed", "weights"]].to_numpy().tolist() == [
        [0, "averaged"],
        [1, "averaged"],
        [0, "raw"],
        [1, "raw"],
    ]
    assert frame["optimism"].tolist() == pytest.approx(
        (frame["validation_gain"] - frame["test_gain"]).tolist()
    )
