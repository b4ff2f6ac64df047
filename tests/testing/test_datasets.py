"""The contract of data sets: those that keep it, and many that break one rule each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import plug_ins

from regmix_bench.data import DATASETS, Dataset
from regmix_bench.errors import UserError
from regmix_bench.testing import check_dataset

calls = iter(range(10_000))


def broken_rules(**members: Any) -> dict[str, str]:
    """Check the stripes with other members, ``change`` being a function of the loaded data."""
    plug_ins.register()
    change = members.pop("change", lambda data: data)

    def load(self: Any, data_dir: Path, download: bool) -> Dataset:
        return change(plug_ins.Stripes.load(self, data_dir, download))

    changed = type("Changed", (plug_ins.Stripes,), {"__doc__": "S.", "load": load, **members})
    DATASETS.register("stripes", changed)
    return {failure.rule: failure.reason for failure in check_dataset("stripes")}


@pytest.mark.parametrize("name", ["digits", "stripes[size=30]"])
def test_a_data_set_that_keeps_the_contract_breaks_no_rule(name: str) -> None:
    plug_ins.register()
    assert check_dataset(name) == []


IMAGES = "images and labels are what a run takes"


@pytest.mark.parametrize(
    ("change", "rule", "reason"),
    [
        (lambda d: (d.train_images, d.train_labels), IMAGES, "it is a tuple, not a Dataset"),
        (
            lambda d: replace(d, test_images=d.test_images.astype(np.float64)),
            IMAGES,
            "test_images are float64, not uint8 or float32",
        ),
        (
            lambda d: replace(d, train_images=2 * d.train_images),
            IMAGES,
            "train_images span",
        ),
        (lambda d: replace(d, test_images=d.test_images[:, 0]), IMAGES, "not (N, C, H, W)"),
        (
            lambda d: replace(d, test_images=d.test_images[..., :5]),
            IMAGES,
            "test_images are (1, 6, 5), and those of training (1, 6, 6)",
        ),
        (
            lambda d: replace(d, train_labels=d.train_labels + 1),
            IMAGES,
            "train_labels span 1 to 3, and there are 3 classes",
        ),
        (
            lambda d: replace(d, test_labels=d.test_labels.astype(np.int32)),
            IMAGES,
            "test_labels are int32 (60,), not int64 (60,)",
        ),
        (
            lambda d: replace(d, validation=(d.test_images, d.test_labels[:3])),
            IMAGES,
            "val_labels are int64 (3,), not int64 (60,)",
        ),
        (lambda d: replace(d, name="bars"), "it is called by its name", "themselves 'bars'"),
        (
            lambda d: replace(d, classes=("a", "b", "c")),
            "it is called by its name",
            "its source says ('top', 'middle', 'bottom'), and the data ('a', 'b', 'c')",
        ),
        (
            lambda d: replace(d, train_labels=np.where(d.train_labels == 1, 0, d.train_labels)),
            "every class can be trained and held out",
            "class 'middle' has 0 training images",
        ),
        (
            lambda d: replace(d, train_images=d.train_images * np.float32(1 - next(calls) / 1e5)),
            "it is the same at every load",
            "its digest differs",
        ),
        (
            lambda d: replace(d, train_images=d.train_images * np.float32(np.random.rand())),
            "it is the same at every load",
            "its digest differs",
        ),
        (
            lambda d: replace(d, test_images=d.train_images),
            "the test images are not trained on",
            "60 of 60 test images",
        ),
    ],
)
def test_data_that_break_a_rule_are_told(change: Any, rule: str, reason: str) -> None:
    found = broken_rules(change=change)
    assert reason in found.get(rule, ""), found


@pytest.mark.parametrize(
    ("members", "rule", "reason"),
    [
        ({"recipe": {"epoch": 3}}, "its recipe and architecture exist", "'epoch': did you mean"),
        ({"arch": "two-layer"}, "its recipe and architecture exist", "unknown architecture"),
        ({"name": "bars"}, "it says what it is", "its name is 'bars'"),
        ({"version": 0}, "it says what it is", "its version is 0"),
        ({"load": lambda *arguments: 1 / 0}, IMAGES, "ZeroDivisionError"),
    ],
)
def test_a_source_that_breaks_a_rule_is_told(members: Any, rule: str, reason: str) -> None:
    found = broken_rules(**members)
    assert reason in found.get(rule, ""), found


def test_what_cannot_be_asked_for_is_no_broken_rule() -> None:
    plug_ins.register()
    with pytest.raises(UserError, match="unknown dataset 'stripe': did you mean 'stripes'"):
        check_dataset("stripe")
