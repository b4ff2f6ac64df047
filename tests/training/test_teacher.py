"""Trainings of which most images have no label: with all labels, cut off, and what is recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from regmix_bench.data import prepare
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.records.progress import Progress
from regmix_bench.records.schema import LabelUse, RunRecord
from regmix_bench.records.words import labels_words, progress_words
from regmix_bench.runs import runner
from regmix_bench.specs import Recipe, RunSpec
from regmix_bench.system.machine import Execution
from regmix_bench.training.pseudo_labels import FILE
from regmix_bench.training.setup import make_trainer
from regmix_bench.training.teacher import FOLDER, teacher_spec
from regmix_bench.training.trainer import Trainer

CPU = torch.device("cpu")

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


def trained(
    spec: RunSpec,
    folder: Path,
    say: Callable[[str], None] = lambda line: None,
    execution: Execution = Execution(),  # noqa: B008
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Trainer:
    trainer = make_trainer(spec, prepare(spec, CPU), folder, CPU, execution, say, tell)
    trainer.run()
    return trainer


def sums(trainer: Trainer) -> dict[str, str]:
    return {name: file.sha256 for name, file in trainer.progress.checkpoints.items()}


def record_of(spec: RunSpec, folder: Path) -> RunRecord:
    return runner.run_spec(spec, folder, device="cpu", graphs="off")


def test_with_all_labels_it_is_the_supervised_training(tmp_path: Path) -> None:
    supervised = trained(spec_of("regmix"), tmp_path / "all")
    assert supervised.data.train.size == 180
    for labelled, use in ((200, "rst"), (1.0, "consistency")):
        found = trained(spec_of("regmix", labelled, use), tmp_path / use)
        assert found.spec.run_id != supervised.spec.run_id
        assert found.progress.checkpoints == supervised.progress.checkpoints
        assert found.pseudo_labels is None and found.data.train.labelled == 180


@pytest.mark.parametrize(
    ("use", "cut"), [("rst", "teacher"), ("rst", "itself"), ("consistency", "itself")]
)
def test_a_run_that_is_cut_off_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str, cut: str
) -> None:
    spec = spec_of("regmix", "25%", use, methods=["regmix[reset=2]"])
    whole = trained(spec, tmp_path / "whole")
    notes: list[str] = []
    validate = Trainer.validate

    def interrupted(trainer: Trainer, epoch: int, *rest: Any) -> Any:
        found = validate(trainer, epoch, *rest)
        if epoch == 2 and (trainer.directory.name == FOLDER) == (cut == "teacher"):
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "validate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(spec, tmp_path / "cut")
    resumed = trained(spec, tmp_path / "cut", notes.append)
    assert sums(resumed) == sums(whole)
    assert resumed.pseudo_labels == whole.pseudo_labels or use == "rst"
    # A model that had given its labels is not trained again.
    assert any("a standard model is trained" in note for note in notes) == (cut == "teacher")
    assert not (tmp_path / "cut" / FOLDER).exists()
    if use == "rst":
        assert resumed.pseudo_labels is not None and whole.pseudo_labels is not None
        assert resumed.pseudo_labels.labels == whole.pseudo_labels.labels


def test_the_model_that_labels_sees_labelled_images_alone_and_no_trick(tmp_path: Path) -> None:
    tricks = {"true_class_mass": 0.7, "ema_decay": 0.9, "awp_gamma": 0.01}
    spec = spec_of("trades", 50, "rst", recipe=tricks)
    taught = teacher_spec(spec)
    assert taught.method.name == "standard" and taught.recipe.selection == "last"
    left = {"unlabelled": "none", **{name: Recipe.model_fields[name].default for name in tricks}}
    assert taught.recipe == spec.recipe.model_copy(update={**left, "selection": "last"})
    heard: list[Progress] = []
    trainer = trained(spec, tmp_path, tell=heard.append)
    assert [(p.stage, p.share) for p in heard[:1]] == [("pseudo-labels", 0)]
    assert {p.epoch for p in heard} == {1, 2, 3} and "standard model" in progress_words(heard[-1])
    found, data = trainer.pseudo_labels, trainer.data
    assert found is not None and len(found.labels) == len(data.hidden) == 150
    assert (
        found.agreement(data.hidden)
        == sum(a == b for a, b in zip(found.labels, data.hidden.tolist(), strict=True)) / 150
    )
    # As many steps as with all labels, each on the 40 images of the labelled half, and 150 others.
    assert found.cost.forward_images == found.cost.backward_images + 150 == 3 * 5 * 36 + 150


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"labels": [1], "cost": {}}'])
def test_pseudo_labels_that_are_not_whole_are_made_again(tmp_path: Path, damage: bytes) -> None:
    spec = spec_of("trades", 50, "rst", recipe={"epochs": 1})
    first = trained(spec, tmp_path).pseudo_labels
    (tmp_path / FILE).write_bytes(damage)
    again = trained(spec, tmp_path).pseudo_labels
    assert first is not None and again is not None and again.labels == first.labels


def test_a_record_says_how_many_labels_were_seen_and_what_others_cost(tmp_path: Path) -> None:
    record = record_of(spec_of("regmix", 50, "rst", recipe={"epochs": 1}), tmp_path)
    labels = record.labels
    assert labels is not None and (labels.labelled, labels.unlabelled) == (40, 150)
    assert (record.n_train, record.n_validation) == (190, 10)
    assert labels.pseudo_label_acc is not None and labels.pseudo_label_cost is not None
    assert record.visits == 180
    whole = record.whole_training_cost
    assert whole.passes == record.training_cost.passes + labels.pseudo_label_cost.passes
    words = labels_words(record)
    assert words.startswith("40 seen to train on, 10 to validate; 150 images without, by RST, ")
    with pytest.raises(ValueError, match="40 images with a label and 150 without are not the 191"):
        RunRecord.model_validate(record.model_dump() | {"n_train": 191})
    few = record_of(spec_of("regmix", 50, recipe={"epochs": 1}), tmp_path)
    assert few.labels == LabelUse(labelled=40, unlabelled=0) and few.n_train == 40


@pytest.mark.parametrize(
    ("labelled", "said"),
    [
        (9, "data.labelled = 9 is less than one for each of the 10 classes of digits"),
        (0.02, r"data.labelled = 2%, 4 images, is less than one for each of the 10 classes"),
        (12, "has one training image among the 12 that are labelled"),
        (201, "data.labelled = 201: digits has 200 training images"),
    ],
)
def test_too_few_and_too_many_labels_are_refused(labelled: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        prepare(spec_of("trades", labelled), CPU)


@pytest.mark.parametrize("use", ["rst", "consistency"])
def test_steps_on_partly_labelled_batches_can_be_replayed(tmp_path: Path, use: str) -> None:
    spec = spec_of("regmix", 50, use, recipe={"epochs": 2, "batch_size": 18})
    plain = trained(spec, tmp_path / "plain")
    notes: list[str] = []
    replayed = trained(spec, tmp_path / "replayed", notes.append, Execution(graphs=True))
    assert not [note for note in notes if "not replayed" in note]
    assert replayed.steps.described()["recordings"] > 0
    assert sums(replayed) == sums(plain)
