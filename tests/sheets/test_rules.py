"""Each rule finds its planted violation, and nothing in a sheet that keeps it."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest
from pydantic import BaseModel
from support.rules_page import HEADING, PAGE, rules_text
from support.sheets import clean_content, planted, table_of

from regmix_bench.notation import read_yaml
from regmix_bench.sheets.reader import make_sheet
from regmix_bench.sheets.rule import Rule
from regmix_bench.sheets.rules import RULES
from regmix_bench.sheets.sheet import SheetRow, SheetTable
from regmix_bench.sheets.verification import hold_to_rules

#: Rule → what is planted in the last of three rows, and words that are said of it.
PLANTED: dict[str, list[tuple[str, object, str]]] = {
    "checkpoint-chosen-on-test": [("selection.images_from", "test", "selected on test images")],
    "test-as-validation": [
        (
            "",
            {"weights": {"kind": "raw", "epoch": "last"}, "selection": {"images_from": "test"}},
            "validation images are test images",
        )
    ],
    "hyperparameters-chosen-on-test": [("tuned_on", "test", "chosen on test images")],
    "validation-images-trained-on": [("selection.trained_on", True, "trained on its validation")],
    "better-of-raw-and-averaged": [("weights.kind", "mixed", "whichever were better")],
    "unlike-scored-weights": [
        ("weights.kind", "averaged", "averaged, where 2 of 3 rows have raw"),
        ("weights.kind", "mixed", "mixed, where 2 of 3"),
    ],
    "unlike-scored-epoch": [("weights.epoch", "last", "last, where 2 of 3 rows have selected")],
    "unlike-selection": [
        ("selection.rule", "val-pgd20", "val-pgd20"),
        ("selection.images", 2000, "2000, where 2 of 3 rows have 1000"),
    ],
    "overfitting-hidden-by-selection": [
        (
            "overfitting",
            {"runs": 2, "by": 17},
            "2 of 3 runs overfitted catastrophically by epoch 17",
        )
    ],
    "hyperparameter-far-from-authors": [
        ("hyperparameters.lambda_", {"value": 1, "authors": 10_000}, "is 1, and 10000"),
        ("hyperparameters.lambda_", {"value": 0, "authors": 6}, "is 0, and 6 by its"),
        ("hyperparameters.lambda_", {"value": -6, "authors": 6}, "is -6, and 6"),
        ("hyperparameters.lambda_", {"value": 101, "authors": 10}, "is 101, and 10"),
    ],
    "fact-not-said": [
        ("tricks.ema_decay", None, "not said: tricks.ema_decay"),
        ("tuned_on", None, "not said: tuned_on"),
    ],
    "unlike-label-smoothing": [("tricks.true_class_mass", 1.0, "1, where 2 of 3 rows have 0.6")],
    "unlike-attack-labels": [("tricks.attack_mass", 1.0, "1, where 2 of 3 rows have 0.6")],
    "unlike-weight-average": [("tricks.ema_decay", 0.9995, "0.9995, where 2 of 3 rows have none")],
    "unlike-awp": [("tricks.awp_gamma", 0.01, "0.01, where 2 of 3 rows have none")],
    "unlike-gradient-clip": [("tricks.gradient_clip", 10, "10, where 2 of 3 rows have none")],
    "unlike-architecture": [("architecture", "wrn-34-10", "wrn-34-10, where")],
    "unlike-data": [
        ("dataset", "cifar100", "cifar100, where"),
        ("train_images", 50_000, "50000, where"),
    ],
    "unlike-labels": [("labelled_images", 4000, "labels 4000, where 2 of 3 rows have all")],
    "unlike-extra-data": [("extra_data", "1M generated", "1M generated, where 2 of 3")],
    "unlike-augmentation": [("recipe.augmentation", "autoaugment", "autoaugment, where")],
    "unlike-budget": [("recipe.epochs", 200, "200, where 2 of 3 rows have 30")],
    "unlike-recipe": [
        ("recipe.weight_decay", 2e-4, "0.0002, where 2 of 3 rows have 0.0005"),
        ("recipe.schedule", "multistep", "multistep, where"),
    ],
    "unlike-precision": [
        ("recipe.precision", "bf16", "bf16, where"),
        ("measurement.precision", "tf32", "tf32, where"),
    ],
    "rate-not-annealed": [
        ("recipe.last_lr", 0.0934, "0.0934 at the end, and 0.1 at its highest"),
        ("recipe.last_lr", 0.0101, "0.0101 at the end"),
    ],
    "unlike-threat": [
        ("threat", {"norm": "Linf", "epsilon": "16/255"}, "Linf 16/255, where"),
        ("threat", {"norm": "L2", "epsilon": "8/255"}, "L2 8/255, where"),
    ],
    "threat-not-as-said": [
        ("trained_under", {"norm": "Linf", "epsilon": 0.031}, "trained under Linf 0.031"),
        ("attacked_under", {"norm": "Linf", "epsilon": 0.031}, "which is 0.9881 of what"),
        ("attacked_under", {"norm": "L2", "epsilon": "8/255"}, "attacked under L2 8/255"),
    ],
    "test-subset-scored": [("measurement.images", 1000, "1,000 of 10,000 test images: ± 3.1")],
    "no-autoattack": [("measurement.autoattack", "none", "did not run")],
    "attacks-not-autoattack": [("measurement.autoattack", "apgd-ce + square", "in the place of")],
    "autoattack-version-missing": [
        ("measurement.package", None, "package not said"),
        ("measurement.autoattack", None, "autoattack not said"),
    ],
    "autoattack-seed-missing": [("measurement.seed", None, "without a seed")],
    "unlike-autoattack": [
        ("measurement.seed", 7, "measurement.seed 7, where 2 of 3 rows have 0"),
        ("measurement.autoattack", "rand", "rand, where"),
    ],
    "ranked-by-weak-attack": [
        ("table.ranked_by", "pgd-20", "ranked by pgd-20"),
        ("table.ranked_by", None, "does not say by which attack"),
    ],
    "masked-gradients": [
        ("numbers.pgd-20.mean", 55.5, "pgd-20 leaves 6.5 points more than AutoAttack, and 3.0"),
        ("runs.2.numbers.pgd-20", 57.0, "7.0 points more than AutoAttack at seed 2"),
        ("numbers.cr", {"mean": 59.5}, "cr leaves 10.5 points more"),
    ],
    "square-stronger-than-gradients": [
        ("runs.0.warnings", ["square-stronger-than-white-box"], "in 1 of 3 runs")
    ],
    "single-step-stronger": [
        ("numbers.fgsm", {"mean": 51.0}, "FGSM leaves 51.0 %, PGD 52.0 %"),
        ("runs.1.numbers.fgsm", 40.0, "FGSM leaves 40.0 %, PGD 52.0 % at seed 1"),
    ],
    "unlike-seeds": [
        ("runs.2.seed", 7, "it lacks 2, and has 7 beyond"),
        ("runs", [{"seed": 0}], "it lacks 1, 2, and has none beyond"),
    ],
    "run-left-out": [
        (
            "runs.2",
            {"seed": 2, "counted": False, "why_left_out": "collapsed to 10 %"},
            "1 of 3 runs are not in its numbers: seed 2 (collapsed to 10 %)",
        )
    ],
    "too-few-seeds": [
        ("runs", [{"seed": 0}], "1 seed, which"),
        ("runs", [], "0 seeds"),
    ],
    "no-deviation": [("numbers.clean.deviation", None, "no deviation or interval of clean")],
    "numbers-without-file": [("files", [], "no file or record")],
    "number-not-borne-out": [
        ("numbers.autoattack.mean", 49.2, "autoattack 49.20, and 49.00 by its runs"),
        ("numbers.clean.deviation", 0.5, "clean ± 0.50, and ± 1.00 by its runs"),
        ("runs.0.numbers.autoattack", 40.0, "autoattack 49.00, and 46.33"),
    ],
    "impossible-number": [
        ("numbers.pgd-20.mean", 82.1, "pgd-20 leaves 82.10 %, where 82.00 % are right without it"),
        ("numbers.cr", {"mean": 90.0}, "cr leaves 90.00 %, where"),
        ("runs.1.numbers.autoattack", 90.0, "autoattack leaves 90.00 %, where 82.00 % are right"),
        ("runs.1.numbers.clean", 20.0, "where 20.00 % are right without it at seed 1"),
        ("numbers.clean.interval", [60.0, 81.9], "clean 82.00 lies outside of its interval, 60.00"),
        ("numbers.autoattack.interval", [49.1, 50], "lies outside of its interval, 49.10 to 50.00"),
    ],
}


def broken(content: dict[str, Any], name: str) -> list[tuple[str | None, str]]:
    return [(found.row, found.said) for found in RULES[name].breaches(table_of(content))]


def spoiled(path: str, value: object) -> dict[str, Any]:
    if path:
        return planted(path, value)
    content = clean_content()
    assert isinstance(value, dict)
    content["tables"]["cifar10"]["rows"][2].update(value)
    return content


CASES = [(name, *case) for name, cases in PLANTED.items() for case in cases]


@pytest.mark.parametrize(("name", "path", "value", "said"), CASES)
def test_a_planted_violation_is_found_in_its_row(
    name: str, path: str, value: object, said: str
) -> None:
    (found,) = broken(spoiled(path, value), name)
    assert found[0] == (None if path.startswith("table.") else "regmix")
    assert said in found[1]


@pytest.mark.parametrize("name", RULES)
def test_a_sheet_that_keeps_all_rules_passes(name: str) -> None:
    assert name in PLANTED
    assert broken(clean_content(), name) == []


#: What comes near a violation and is none.
@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("hyperparameter-far-from-authors", "hyperparameters.steps.value", 100),
        ("hyperparameter-far-from-authors", "hyperparameters.steps", {"value": 0, "authors": 0}),
        ("rate-not-annealed", "recipe.last_lr", 0.01),
        ("rate-not-annealed", "recipe.last_lr", None),
        ("unlike-budget", "recipe.epochs", None),
        ("threat-not-as-said", "trained_under", {"norm": "Linf", "epsilon": 8 / 255}),
        ("masked-gradients", "numbers.pgd-20.mean", 54.9),
        ("masked-gradients", "numbers.cr", {"mean": 58.9}),
        ("number-not-borne-out", "numbers.autoattack.mean", 49.005),
        ("unlike-seeds", "runs", []),
        ("unlike-seeds", "runs.2.counted", False),
        ("too-few-seeds", "numbers", {}),
        ("single-step-stronger", "numbers.fgsm", {"mean": 60.0}),
        ("no-autoattack", "measurement.autoattack", None),
        ("no-deviation", "numbers.clean", {"mean": 82.0, "interval": [80.0, 84.0]}),
        ("no-deviation", "numbers.pgd-20.deviation", None),
        ("impossible-number", "numbers.pgd-20.mean", 82.0),
        ("impossible-number", "numbers.clean", {"mean": 100.0, "interval": [99.0, 100.0]}),
        ("impossible-number", "numbers.clean.interval", [82.0, 82.0]),
    ],
)
def test_what_comes_near_is_no_violation(name: str, path: str, value: object) -> None:
    if path == "trained_under":
        value = {"norm": "Linf", "epsilon": "16/510"}
    assert broken(planted(path, value), name) == []


def test_overfitting_that_the_table_shows_is_not_hidden() -> None:
    content = planted("overfitting", {"runs": 1, "by": 17})
    content["tables"]["cifar10"]["overfitting_shown"] = True
    assert broken(content, "overfitting-hidden-by-selection") == []


def calls(rule: Rule, table: SheetTable) -> int:
    """Count the functions that are called while a rule is asked of a table."""
    count = 0

    def counted(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        list(rule.breaches(table))
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture(scope="module")
def tables() -> tuple[SheetTable, SheetTable]:
    """A table of 40 rows that share next to nothing, and one of four times as many."""

    def unlike(number: int) -> dict[str, Any]:
        row = clean_content()["tables"]["cifar10"]["rows"][0]
        for part, key in [("recipe", "lr"), ("recipe", "batch_size"), ("selection", "images")]:
            row[part][key] = number + 1
        for key in ("dataset", "architecture", "extra_data", "method"):
            row[key] = f"x{number}"
        row["threat"] = {"norm": "Linf", "epsilon": f"{number + 1}/255"}
        row["runs"] = [{"seed": number}]
        row["numbers"] = {"clean": {"mean": 90 - number / 10}, "autoattack": {"mean": number / 5}}
        return row

    def table(size: int) -> SheetTable:
        return SheetTable.model_validate_json(json.dumps({"rows": [*map(unlike, range(size))]}))

    return table(40), table(160)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_takes_as_much_longer_as_a_table_is_longer(
    name: str, tables: tuple[SheetTable, SheetTable]
) -> None:
    few, many = (calls(RULES[name], table) for table in tables)
    assert many <= 4.5 * few + 100


def test_names_are_kebab_case_and_every_rule_says_why() -> None:
    assert len(RULES) >= 20
    for name, rule in RULES.items():
        assert name == rule.name and re.fullmatch(r"[a-z]+(-[a-z]+)+", name)
        for words in (rule.title, rule.why):
            assert not words.endswith(".") and "\n" not in words and "  " not in words
        assert len(rule.why) > len(rule.title) > 10


def test_every_rule_looks_at_facts_that_a_sheet_has() -> None:
    for rule in RULES.values():
        assert rule.reads
        for path in rule.reads:
            model: object = SheetTable if path.startswith("table.") else SheetRow
            for key in path.removeprefix("table.").split("."):
                assert isinstance(model, type) and issubclass(model, BaseModel), path
                model = model.model_fields[key].annotation


def test_the_page_lists_the_rules_as_they_are() -> None:
    _, heading, listed = PAGE.read_text("utf-8").partition(HEADING)
    assert heading and listed.strip() == rules_text().strip()


def test_the_sheet_of_the_page_is_one() -> None:
    text = PAGE.read_text("utf-8").partition("## A sheet\n\n```yaml\n")[2].partition("```")[0]
    sheet = make_sheet(read_yaml(text))
    assert list(hold_to_rules(sheet).sheet.tables) == ["cifar10"]
