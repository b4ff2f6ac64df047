"""The standard model of robust self-training (RST), which labels images that have no label.

Carmon et al., "Unlabeled Data Improves Adversarial Robustness", NeurIPS 2019. It is trained here on
the labelled images, by the recipe of the run without its tricks, and its last epoch gives every
other image its likeliest class, without a threshold. Labels stay as they are then: those of the
model in training would drift.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from regmix_bench.data import TrainingData
from regmix_bench.data.batches import as_float
from regmix_bench.distributed.collectives import on_first
from regmix_bench.errors import UserError
from regmix_bench.methods.configured import method_spec
from regmix_bench.models.predictions import BATCH_SIZE
from regmix_bench.records.progress import Progress, before_training
from regmix_bench.records.schema import Cost
from regmix_bench.specs import RunSpec
from regmix_bench.specs.tricks import without_tricks
from regmix_bench.training.pseudo_labels import PseudoLabels
from regmix_bench.training.trainer import Trainer

#: Makes the trainer of a specification on data, which goes on from what a folder holds.
MakeTrainer = Callable[[RunSpec, TrainingData, Path], Trainer]

FOLDER = "teacher"


def teacher_spec(spec: RunSpec) -> RunSpec:
    """Return the specification of the standard training whose model labels images for ``spec``."""
    plain = {"unlabelled": "none", "init": None, "selection": "last"}
    recipe = without_tricks(spec.recipe).model_copy(update=plain)
    method = method_spec("standard", {})
    return spec.model_copy(update={"method": method, "recipe": recipe, "extra": None})


def taught(
    spec: RunSpec,
    data: TrainingData,
    directory: Path,
    make: MakeTrainer,
    say: Callable[[str], None],
    tell: Callable[[Progress], None],
) -> PseudoLabels:
    """Return the pseudo-labels of a run, which ``directory`` keeps; a model is trained for them.

    ``tell`` hears how far that model is. A training that was cut off goes on. To be called by all
    processes of a group.
    """
    n = data.train.size - data.train.labelled
    found = on_first(lambda: PseudoLabels.read(directory, n, data.num_classes))
    if found is None:
        found = new = _teach(spec, data, directory / FOLDER, make, say, tell)
        on_first(lambda: new.write(directory))
    on_first(lambda: shutil.rmtree(directory / FOLDER, ignore_errors=True))
    return found


def _teach(
    spec: RunSpec,
    data: TrainingData,
    directory: Path,
    make: MakeTrainer,
    say: Callable[[str], None],
    tell: Callable[[Progress], None],
) -> PseudoLabels:
    known = dataclasses.replace(data, train=data.train.labelled_alone())
    say(f"a standard model is trained on {known.train.size:,} labelled images for pseudo-labels")
    trainer = make(teacher_spec(spec), known, directory)
    trainer.run(meter=before_training(tell))
    if trainer.progress.failure:
        raise UserError(f"no pseudo-labels: {trainer.progress.failure} of the standard model")
    model, images = trainer.evaluated_model().eval(), data.train.unlabelled_images()
    with torch.no_grad():
        parts = [model(as_float(part)).argmax(1) for part in images.split(BATCH_SIZE)]
    labels = tuple(torch.cat(parts).tolist())
    return PseudoLabels(
        labels=labels, cost=trainer.progress.cost + Cost(forward_images=len(images))
    )
