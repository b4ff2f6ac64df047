from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import write_checkpoints
from support.synthetic import make_record, make_spec

from regmix_bench.records.checkpoints import (
    checkpoint_of,
    epoch_of,
    last_beside,
    validation_accuracy,
    weights_of,
)
from regmix_bench.records.frame import load_results
from regmix_bench.records.store import load_run
from regmix_bench.specs import Recipe
from regmix_bench.specs.tricks import Tricks

FOUR = dict.fromkeys(("selected", "last", "raw-selected", "raw-last"), (0, 1))
TWO = dict.fromkeys(("selected", "last"), (0, 1))


@pytest.mark.parametrize(
    ("label", "recipe", "weights"),
    [
        ("pgd-at", {}, "raw"),
        ("pgd-at", {"ema_decay": 0.9}, "averaged"),
        ("fgsm-pgk", {}, "averaged"),  # which has an average of its own
        ("fgsm-pgk", {"ema_decay": "none"}, "raw"),
        ("fgsm-pgk", {"ema_decay": 0.9}, "averaged"),
        ("not-installed", {}, "raw"),
    ],
)
def test_older_records_say_by_their_specification_what_was_scored(
    label: str, recipe: dict[str, Any], weights: str
) -> None:
    record = make_record(make_spec(label, recipe=Recipe(epochs=4, **recipe)))
    assert weights_of(record, "selected") == weights_of(record, "last") == weights


def test_a_method_that_is_gone_averaged_where_its_record_says_so(tmp_path: Path) -> None:
    path = write_checkpoints(
        tmp_path,
        FOUR,
        (0.4, 0.5),
        (0.6, 0.3),
        label="not-installed",
        tricks=Tricks(average="not-installed"),
    )
    record = load_run(path)
    assert [weights_of(record, name) for name in record.checkpoints] == [
        "averaged",
        "averaged",
        "raw",
        "raw",
    ]


def test_each_checkpoint_has_its_epoch_and_its_validation_accuracy(tmp_path: Path) -> None:
    path = write_checkpoints(tmp_path, FOUR, (0.4, 0.5, 0.2), (0.6, 0.3, 0.1), ema_decay=0.9)
    record = load_run(path)
    found = {name: (epoch_of(record, name), validation_accuracy(record, name)) for name in FOUR}
    assert found == {
        "selected": (2, 0.5),
        "last": (3, 0.2),
        "raw-selected": (1, 0.6),
        "raw-last": (3, 0.1),
    }
    assert checkpoint_of(record, "averaged", "last") == "last"
    assert checkpoint_of(record, "raw", "selected") == "raw-selected"
    assert (last_beside("raw-selected"), last_beside("selected")) == ("raw-last", "last")
    plain = load_run(write_checkpoints(tmp_path, TWO, (0.4, 0.5)))
    assert checkpoint_of(plain, "raw", "selected") == "selected"
    assert epoch_of(plain, "raw-selected") is validation_accuracy(plain, "raw-selected") is None


def test_the_frame_of_results_names_weights_and_epochs(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, FOUR, (0.4, 0.5, 0.2), (0.6, 0.3, 0.1), ema_decay=0.9)
    frame = load_results(tmp_path).set_index("checkpoint")
    assert frame["weights"].to_dict() == {
        "selected": "averaged",
        "last": "averaged",
        "raw-selected": "raw",
        "raw-last": "raw",
    }
    assert frame["checkpoint_epoch"].tolist() == [2, 3, 1, 3]


def test_the_frame_of_results_has_the_tricks_of_its_weights(tmp_path: Path) -> None:
    averaged = {"true_class_mass": 0.6, "awp_gamma": 0.005, "gradient_clip": 10.0}
    write_checkpoints(tmp_path, FOUR, (0.4, 0.5, 0.2), (0.6, 0.3, 0.1), ema_decay=0.9, **averaged)
    frame = load_results(tmp_path).set_index("checkpoint")
    assert frame["tricks"].to_dict() == {
        **dict.fromkeys(("selected", "last"), "mass 0.6, EMA 0.9, AWP 0.005, clip 10"),
        **dict.fromkeys(("raw-selected", "raw-last"), "mass 0.6, AWP 0.005, clip 10"),
    }
    numbers = frame[["true_class_mass", "ema_decay", "awp_gamma", "gradient_clip"]]
    assert numbers.loc["last"].tolist() == [0.6, 0.9, 0.005, 10.0]
    assert numbers.loc["raw-last"].isna().tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("label", "tricks"), [("pgd-at", "none"), ("fgsm-pgk", "mass 0.5, own EMA")]
)
def test_tricks_without_a_number_are_numbers_in_the_frame_too(
    tmp_path: Path, label: str, tricks: str
) -> None:
    write_checkpoints(tmp_path, TWO, (0.4, 0.5), label=label)
    frame = load_results(tmp_path)
    assert set(frame["tricks"]) == {tricks}
    numbers = frame[["ema_decay", "awp_gamma", "gradient_clip"]]
    assert numbers.isna().all(axis=None) and set(numbers.dtypes.astype(str)) == {"float64"}
