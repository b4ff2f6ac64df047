"""The sheet of recorded runs, and notes that add what no record knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.sheets import method_spec, record_runs
from support.synthetic import make_record, make_spec, write_run

from regmix_bench.analysis.cohorts import load_runs
from regmix_bench.errors import UserError
from regmix_bench.records import store
from regmix_bench.sheets.own import AS_AUTHORS, study_content, study_sheet
from regmix_bench.sheets.sheet import Sheet, SheetRow
from regmix_bench.specs import Recipe, Scoring


def sheet(results: Path) -> Sheet:
    return study_sheet(results, load_runs(results))


def rows(results: Path) -> dict[str, SheetRow]:
    (table,) = sheet(results).tables.values()
    return {row.method.partition("[")[0]: row for row in table.rows}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    record_runs(tmp_path)
    return tmp_path


def test_a_row_says_what_its_records_say(results: Path) -> None:
    row = rows(results)["trades"]
    assert (row.architecture, row.dataset, str(row.threat)) == ("smallcnn", "digits", "Linf 32/255")
    assert (row.train_images, row.extra_data) == (900, "none")
    assert (row.recipe.epochs, row.recipe.lr, row.recipe.last_lr) == (50, 0.1, 0.0001)
    assert (row.weights.kind, row.weights.epoch) == ("raw", "selected")
    assert (row.selection.rule, row.selection.images) == ("val-pgd10", 100)
    assert (row.selection.images_from, row.selection.trained_on) == ("training", False)
    measured = row.measurement
    assert (measured.images, measured.test_images, measured.autoattack) == (360, 360, "standard")
    assert (measured.package, measured.seed) == ("pyautoattack 0.2.0", 0)
    assert [run.seed for run in row.counted] == [0, 1, 2]
    assert row.numbers["autoattack"].mean == pytest.approx(100 * 301 / 360, abs=1e-3)
    assert row.runs[1].numbers["autoattack"] == pytest.approx(100 * 301 / 360, abs=1e-3)
    assert row.runs[1].record == make_spec(seed=1).run_id and row.runs[1].selected_epoch == 2


def test_tricks_are_those_that_took_effect(results: Path) -> None:
    found = rows(results)
    for name, mass in (("trades", 1.0), ("fgsm-pgi", 0.6)):
        tricks = found[name].tricks
        assert (tricks.true_class_mass, tricks.attack_mass, tricks.ema_decay) == (
            mass,
            mass,
            "none",
        )
    assert found["trades"].tricks.gradient_clip == "none"
    assert found["fgsm-pgi"].hyperparameters["lambda_"].authors == 10
    assert found["trades"].hyperparameters == {}


@pytest.mark.parametrize(
    ("name", "recipe", "expected"),
    [
        ("trades", {"ema_decay": 0.99}, (0.99, "averaged", 1.0, 1.0)),
        ("fgsm-pgk", {}, ("that of fgsm-pgk", "averaged", 0.5, 0.5)),
        ("fgsm-pgk", {"ema_decay": "none"}, ("none", "raw", 0.5, 0.5)),
        ("trades", {"true_class_mass": 0.7}, ("none", "raw", 0.7, 1.0)),
        ("pgd-at", {"true_class_mass": 0.7}, ("none", "raw", 0.7, 0.7)),
    ],
)
def test_a_trick_of_the_recipe_and_one_of_the_method_are_told_alike(
    name: str, recipe: dict[str, Any], expected: tuple[Any, ...], tmp_path: Path
) -> None:
    write_run(
        tmp_path, make_spec(name, method=method_spec(name), recipe=Recipe(epochs=3, **recipe))
    )
    row = rows(tmp_path)[name]
    tricks = row.tricks
    assert (tricks.ema_decay, row.weights.kind) == expected[:2]
    assert (tricks.true_class_mass, tricks.attack_mass) == expected[2:]


@pytest.mark.parametrize(
    ("recipe", "key", "expected"),
    [
        ({"awp_gamma": 0.01}, "awp_gamma", 0.01),
        ({"awp_gamma": 0.005, "awp_warmup": 2}, "awp_gamma", "0.005 after 2 epochs"),
        ({"ema_decay": 0.99, "ema_start": 3}, "ema_decay", "0.99 from epoch 3"),
        (
            {"ema_decay": 0.99, "ema_buffers": "live"},
            *("ema_decay", "0.99 of weights alone"),
        ),
        ({"gradient_clip": 10.0}, "gradient_clip", 10),
    ],
)
def test_tricks_that_are_tuned_otherwise_are_told_apart(
    recipe: dict[str, Any], key: str, expected: object, tmp_path: Path
) -> None:
    spec = make_spec("pgd-at", method=method_spec("pgd-at"), recipe=Recipe(epochs=5, **recipe))
    write_run(tmp_path, spec)
    assert getattr(rows(tmp_path)["pgd-at"].tricks, key) == expected


def test_what_is_left_to_authors_stands_together_too_and_nothing_else_that_differs(
    results: Path,
) -> None:
    for name in ("pgd-at", "fgsm-pgi"):  # with the same tricks, and one more that nobody else has
        for asked in ({"true_class_mass": 0.7}, {"true_class_mass": 0.7, "ema_decay": 0.9}):
            recipe = Recipe(epochs=50, **asked)
            write_run(results, make_spec(name, method=method_spec(name), recipe=recipe))
    tables = {
        name: sorted(row.method.partition("[")[0] for row in table.rows)
        for name, table in sheet(results).tables.items()
    }
    (together,) = (name for name in tables if name.endswith(AS_AUTHORS))
    assert tables.pop(together) == ["fgsm-pgi", "trades"]
    assert list(tables.values()) == [["fgsm-pgi", "pgd-at"]] * 2


def test_of_a_method_that_is_not_installed_the_attack_is_not_known(tmp_path: Path) -> None:
    write_run(tmp_path, make_spec("elsewhere", method=method_spec("elsewhere", gamma=3.0)))
    row = rows(tmp_path)["elsewhere"]
    assert (row.tricks.true_class_mass, row.tricks.attack_mass) == (1.0, None)
    assert row.hyperparameters == {}


def test_a_cycle_by_epoch_is_told_from_one_by_batch(tmp_path: Path) -> None:
    cycle = {"schedule": "onecycle", "cycle_momentum": True, "schedule_step": "epoch"}
    write_run(tmp_path, make_spec(recipe=Recipe(epochs=5, **cycle)))
    recipe = rows(tmp_path)["trades"].recipe
    assert (recipe.schedule, recipe.momentum) == ("onecycle by epoch", "one cycle")


def test_runs_that_overfitted_are_counted_whatever_was_selected(results: Path) -> None:
    found = rows(results)
    assert found["trades"].overfitting is None
    overfitted = found["fgsm-pgi"].overfitting
    assert overfitted is not None and (overfitted.runs, overfitted.by) == (1, 2)


def test_a_run_that_failed_is_one_that_is_left_out(results: Path) -> None:
    *_, last = rows(results)["trades"].runs
    assert (last.seed, last.counted, last.why_left_out) == (3, False, "no memory")


@pytest.mark.parametrize(
    ("scoring", "autoattack"),
    [
        (Scoring(autoattack_version="custom", attacks=("apgd-ce", "square")), "apgd-ce + square"),
        (Scoring(autoattack_version="rand"), "rand"),
        (Scoring(screen=True), "standard on what PGD-20 left"),
    ],
)
def test_another_ensemble_bears_its_own_name(
    scoring: Scoring, autoattack: str, tmp_path: Path
) -> None:
    write_run(tmp_path, make_spec(scoring=scoring))
    row = rows(tmp_path)["trades"]
    assert row.measurement.autoattack == autoattack and "autoattack" in row.numbers


def test_a_sample_of_the_test_images_does_not_pass_for_all_of_them(tmp_path: Path) -> None:
    write_run(tmp_path, make_spec(eval_examples=100), n=100, clean=90, pgd=80, autoattack=70)
    assert rows(tmp_path)["trades"].measurement.test_images is None


def test_runs_that_are_not_scored_make_no_sheet(tmp_path: Path) -> None:
    store.save_record(tmp_path, make_record(make_spec(), status="error", error="x"))
    assert study_content(tmp_path, load_runs(tmp_path)) is None
    with pytest.raises(UserError, match="is scored"):
        sheet(tmp_path)
