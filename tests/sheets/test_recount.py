"""Numbers made anew from the files of a folder: what they bear out, and what they do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.sheets import record_runs
from support.synthetic import make_spec

from regmix_bench.analysis.cohorts import load_runs
from regmix_bench.errors import UserError
from regmix_bench.records import paths, store
from regmix_bench.sheets.own import study_content
from regmix_bench.sheets.reader import make_sheet
from regmix_bench.sheets.recount import hold_to_files
from regmix_bench.sheets.verification import Verification
from regmix_bench.system.files import file_digest


@pytest.fixture
def results(tmp_path: Path) -> Path:
    record_runs(tmp_path)
    return tmp_path


def about(found: Verification, *names: str) -> list[tuple[str, str | None, str]]:
    kept = names or ("number-not-borne-out", "numbers-without-file")
    return [(v.rule.name, v.row, v.said) for v in found.broken if v.rule.name in kept]


Change = Callable[[dict[str, Any], dict[str, Any]], object]


def change_record(results: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = paths.record_path(results, make_spec(seed=1))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_numbers_that_the_files_bear_out_are_not_named(results: Path) -> None:
    assert about(hold_to_files(results)) == []


def test_outcomes_that_say_otherwise_are_named(results: Path) -> None:
    """The record and the file are changed alike, so that nothing but the outcomes tells."""
    file = paths.outcomes_path(paths.record_path(results, make_spec(seed=1)), "selected")
    frame = pd.read_parquet(file)
    frame.loc[:9, "broken_by"] = "square"
    store.write_parquet(file, frame)
    ((rule, row, said),) = about(hold_to_files(results))
    assert (rule, row) == ("number-not-borne-out", "trades")
    assert "seed 1: " in said and "SHA-256 differs" in said

    def redigest(content: dict[str, Any]) -> None:
        content["evaluations"][0]["outcomes_digest"] = file_digest(file)

    change_record(results, redigest)
    ((rule, _, said),) = about(hold_to_files(results))
    assert rule == "number-not-borne-out" and "outcomes that its record counts" in said


def test_a_selected_epoch_that_the_history_does_not_select_is_named(results: Path) -> None:
    change_record(results, lambda content: content.update(selected_epoch=3))
    (found,) = about(hold_to_files(results))
    assert found[2] == "seed 1: selected epoch 3, and 2 by its history"


def test_a_score_without_outcomes_is_named(results: Path) -> None:
    file = paths.outcomes_path(paths.record_path(results, make_spec(seed=1)), "selected")
    file.unlink()

    def forget(content: dict[str, Any]) -> None:
        content["evaluations"][0]["outcomes_digest"] = None

    change_record(results, forget)
    (found,) = about(hold_to_files(results))
    assert found[:2] == ("numbers-without-file", "trades") and "no outcomes" in found[2]


def claimed(results: Path, change: Change) -> Verification:
    """Hold the sheet of the records, one row of which is changed, to their files."""
    content = study_content(results, load_runs(results))
    assert content is not None
    (table,) = content["tables"].values()
    change(table["shared"], next(row for row in table["rows"] if row["method"] == "trades"))
    return hold_to_files(results, make_sheet(content))


def test_the_sheet_of_the_records_is_borne_out(results: Path) -> None:
    assert about(claimed(results, lambda shared, row: None)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda shared, row: row["runs"][1]["numbers"].update(autoattack=84.0),
            "autoattack 84.00, and 83.61 by the outcomes of its images",
        ),
        (
            lambda shared, row: row["runs"][1]["numbers"].update({"pgd-20": 90.0}),
            "pgd-20 90.00, and 86.11 by the outcomes",
        ),
        (
            lambda shared, row: row["runs"][1].update(selected_epoch=1),
            "selected epoch 1, and 2 by its history",
        ),
        (lambda shared, row: row["runs"][1].update(seed=9), "its record is of seed 1"),
        (lambda shared, row: shared["recipe"].update(epochs=30), "recipe.epochs 30, and 50 by"),
        (
            lambda shared, row: shared["tricks"].update(ema_decay=0.9),
            "tricks.ema_decay 0.9, and none by its records",
        ),
        (
            lambda shared, row: shared["selection"].update(images=1000),
            "selection.images 1000, and 100 by its records",
        ),
        (lambda shared, row: shared.update(architecture="resnet18"), "architecture resnet18, and"),
        (
            lambda shared, row: shared["measurement"].update(autoattack="plus"),
            "measurement.autoattack plus, and standard by",
        ),
    ],
)
def test_a_claim_that_the_records_do_not_bear_out_is_named(
    change: Change, said: str, results: Path
) -> None:
    found = about(claimed(results, change), "number-not-borne-out")
    assert any(row == "trades" and said in words for _, row, words in found), found


def without_numbers(row: dict[str, Any]) -> dict[str, Any]:
    for run in row["runs"]:
        run.pop("numbers", None)
    return row


def test_means_are_made_anew_where_runs_name_their_records_alone(results: Path) -> None:
    assert about(claimed(results, lambda shared, row: without_numbers(row))) == []
    change = {"mean": 99.0}
    found = claimed(
        results, lambda shared, row: without_numbers(row)["numbers"]["autoattack"].update(change)
    )
    ((rule, row, said),) = about(found)
    assert (rule, row) == ("number-not-borne-out", "trades")
    assert said == "autoattack 99.00, and 83.61 by its runs"


@pytest.mark.parametrize("name", ["cr", "fgsm"])
def test_an_attack_of_which_no_file_speaks_is_named(name: str, results: Path) -> None:
    found = claimed(results, lambda shared, row: row["runs"][1]["numbers"].update({name: 70.0}))
    assert (
        "numbers-without-file",
        "trades",
        f"seed 1: the outcomes of its images say nothing of {name}",
    ) in about(found)


def test_a_row_whose_runs_are_those_of_several_is_named(results: Path) -> None:
    """One seed each of two variants of a method are no row of two seeds."""
    for name in ("trades", "fgsm-pgi"):
        for path in store.record_files(results):
            record = store.load_run(path)
            if record.spec.method.name == name and record.spec.seed != (name == "trades"):
                path.unlink()
    content = study_content(results, load_runs(results))
    assert content is not None
    (table,) = content["tables"].values()
    trades, other = table["rows"]
    trades["runs"] += other["runs"]
    found = about(hold_to_files(results, make_sheet({**content})), "number-not-borne-out")
    assert any("recorded as those of several rows: " in said for _, _, said in found), found


def test_a_seed_that_is_recorded_and_not_in_the_sheet_is_named(results: Path) -> None:
    found = claimed(results, lambda shared, row: row["runs"].pop(1))
    left_out = about(found, "run-left-out")
    assert any("seed 1 is recorded as" in said for _, _, said in left_out)


def test_a_record_that_there_is_not_bears_nothing_out(results: Path) -> None:
    found = claimed(results, lambda shared, row: row["runs"][0].update(record="0123456789ab"))
    ((rule, _, said),) = about(found)
    assert (rule, said) == ("numbers-without-file", "seed 0: there is no record 0123456789ab")


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no records"):
        hold_to_files(tmp_path)
