"""Records of trainings whose checkpoints get the images right that a test plants."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from regmix_bench.records import paths, store
from regmix_bench.records.schema import CheckpointFile, EpochLog, RobustEval
from regmix_bench.records.selection import chosen_epochs
from regmix_bench.specs import Recipe
from regmix_bench.specs.tricks import Tricks
from regmix_bench.types import TrainedCheckpoint
from support.synthetic import make_record, make_spec

IMAGES = 20


def write_checkpoints(
    results: Path,
    right: Mapping[TrainedCheckpoint, Collection[int]],
    val: Sequence[float],
    raw_val: Sequence[float | None] = (),
    *,
    label: str = "pgd-at",
    seed: int = 0,
    robust: Collection[TrainedCheckpoint] = ("selected",),
    outcomes: bool = True,
    tricks: Tricks | None = None,
    **recipe: object,
) -> Path:
    """Save a run whose checkpoints get ``right`` of 20 images under PGD, and all without it.

    ``val`` and ``raw_val`` are validation accuracies under PGD-10 by epoch; ``robust`` are the
    checkpoints that AutoAttack scored, which breaks nothing more.
    """
    made = Recipe.model_validate({"epochs": len(val), "milestones": (), **recipe})
    spec = make_spec(label, recipe=made, seed=seed)
    history = tuple(
        EpochLog(
            **{"epoch": epoch, "lr": 0.1, "loss": 1.0, "seconds": 1.0},
            **dict.fromkeys(("val_clean_acc", "val_fgsm_acc", "val_pgd_acc"), one),
            **dict.fromkeys(("raw_val_clean_acc", "raw_val_fgsm_acc", "raw_val_pgd_acc"), two),
        )
        for epoch, one, two in zip(
            range(1, len(val) + 1), val, raw_val or [None] * len(val), strict=True
        )
    )
    epochs = chosen_epochs(history, made.selection)
    path, index = paths.record_path(results, spec), np.arange(IMAGES)
    scores = []
    for name, images in right.items():
        flags = np.isin(index, list(images))
        frame = pd.DataFrame(
            {
                **{"norm": "Linf", "epsilon": "32/255", "index": index, "label": index % 10},
                **{"clean_correct": True, "pgd_correct": flags},
                "broken_by": np.where(flags | (name not in robust), "", "apgd-ce"),
            }
        )
        file = paths.outcomes_path(path, name)
        scores.append(
            RobustEval(
                threat=spec.train_threat,
                checkpoint=name,
                n_examples=IMAGES,
                clean_acc=1.0,
                pgd_acc=len(images) / IMAGES,
                autoattack_acc=len(images) / IMAGES if name in robust else None,
                outcomes_digest=store.write_parquet(file, frame) if outcomes else None,
            )
        )
    record = make_record(
        spec,
        tricks=tricks,
        n_train=100,
        n_validation=50,
        n_test=IMAGES,
        history=history,
        selected_epoch=epochs["selected"],
        evaluations=tuple(scores),
        checkpoints={
            name: CheckpointFile(epoch=epochs[name], file=f"{name}.safetensors", sha256="0" * 64)
            for name in right
        },
    )
    return store.save_record(results, record)
