"""Trainings of which most images have no label: with all labels, cut off, and what is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regmix_bench.grid.plan import plan
from regmix_bench.records.schema import RunRecord
from regmix_bench.runs import runner
from regmix_bench.specs import RunSpec

#: AutoAttack is over at once where nothing holds: at half the range of a pixel.
QUICK: dict[str, Any] = {
    "eps": ["16/255"],
    "eval_eps": ["128/255"],
    "eval_examples": 10,
    "recipe": {"epochs": 3, "batch_size": 40, "schedule": "cosine", "augmentation": "none"},
}


def spec_of(method: str, labelled: object = None, unlabelled: str = "none", **more: Any) -> RunSpec:
    recipe = QUICK["recipe"] | {"unlabelled": unlabelled} | more.pop("recipe", {})
    data = {"train_examples": 200, "labelled": labelled}
    return plan([{**QUICK, "methods": [method], "data": data, "recipe": recipe, **more}])[0]


def record_of(spec: RunSpec, folder: Path) -> RunRecord:
    return runner.run_spec(spec, folder, device="cpu", graphs="off")


@pytest.mark.parametrize("use", ["rst", "consistency"])
def test_with_all_labels_it_is_the_supervised_training(tmp_path: Path, use: str) -> None:
    supervised = record_of(spec_of("regmix"), tmp_path)
    for labelled in (200, 1.0):
        found = record_of(spec_of("regmix", labelled, use), tmp_path)
        assert found.run_id != supervised.run_id
        assert {k: f.sha256 for k, f in found.checkpoints.items()} == {
            k: f.sha256 for k, f in supervised.checkpoints.items()
        }
        assert found.labels is not None and found.labels.unlabelled == 0
        assert found.labels.labelled == found.n_train == supervised.n_train == 180
