"""Records that look like those of a suite, with numbers drawn from a seeded generator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from regmix_bench.records import paths, store
from regmix_bench.records.schema import Cost, EpochLog, RobustEval, RunRecord
from regmix_bench.specs import MethodSpec, Recipe
from regmix_bench.types import ThreatModel
from support.synthetic import make_record, make_spec

PRIOR_GUIDED = ("fgsm-pgi", "fgsm-pgk", "regmix", "regmix-amr", "regmix-agr")


def trained_record(
    name: str = "pgd-at",
    *,
    label: str | None = None,
    seed: int = 0,
    eps: str = "32/255",
    eval_eps: tuple[str, ...] | None = None,
    dataset: str = "digits",
    clean: float = 0.9,
    pgd: float = 0.7,
    autoattack: float | None = 0.6,
    last_pgd: float = 0.65,
    params: dict | None = None,
    recipe: Recipe | None = None,
    evaluate: str = "selected",
    checks: tuple[str, ...] = (),
    substitutions: tuple[str, ...] = (),
    history: tuple[EpochLog, ...] | None = None,
    error: str | None = None,
    digest: str | None = "d" * 12,
    train_seconds: float = 90.0,
) -> RunRecord:
    """A record of a run from training to scores, which fall by 0.1 from threat to threat."""
    recipe = recipe or Recipe(epochs=4, milestones=(0.5, 0.75), augmentation="crop")
    start = {"clip_start": False} if name in PRIOR_GUIDED else {}
    threats = tuple(ThreatModel("Linf", text) for text in eval_eps or (eps,))
    params = {**start, **(params or {})}
    spec = make_spec(
        epsilon=eps,
        method=MethodSpec(name=name, version=1, params=params, label=label or name),
        dataset=dataset,
        eval_threats=threats,
        evaluate=evaluate,
        recipe=recipe,
        seed=seed,
    )
    if error is not None:
        return make_record(spec, status="error", error=error, data_digest=None)
    evaluations = []
    for step, threat in enumerate(threats):
        for checkpoint, robust in (("selected", pgd), ("last", last_pgd)):
            attacked = evaluate in (checkpoint, "both") and autoattack is not None
            evaluations.append(
                RobustEval(
                    threat=threat,
                    checkpoint=checkpoint,
                    n_examples=360,
                    clean_acc=clean,
                    pgd_acc=max(0.0, robust - 0.1 * step),
                    autoattack_acc=max(0.0, autoattack - 0.1 * step) if attacked else None,
                    checks=checks,
                    substitutions=substitutions,
                )
            )
    generator = np.random.default_rng(seed)
    drawn = tuple(
        EpochLog(
            epoch=epoch,
            lr=0.1,
            loss=1.0 / epoch,
            val_clean_acc=clean * (1 - 0.5 / epoch),
            val_fgsm_acc=pgd * (1 - 0.5 / epoch),
            val_pgd_acc=pgd * (1 - 0.6 / epoch) * float(generator.uniform(0.9, 1.0)),
            seconds=1.0,
        )
        for epoch in range(1, recipe.epochs + 1)
    )
    return make_record(
        spec,
        data_digest=digest,
        n_train=1000,
        n_validation=200,
        n_test=360,
        num_classes=10,
        selected_epoch=recipe.epochs - 1 if recipe.epochs > 1 else 1,
        history=drawn if history is None else history,
        evaluations=tuple(evaluations),
        training_cost=Cost(
            seconds=train_seconds,
            forward_images=11 * 1000 * recipe.epochs,
            backward_images=11 * 1000 * recipe.epochs,
        ),
        scoring_cost=Cost(seconds=60.0, forward_images=1, backward_images=1),
    )


def write_outputs(
    path: Path, seed: int, images: int = 60, classes: int = 10, pull: float = 4.0
) -> None:
    """Softmax outputs in half precision, the nearer to the truth, the larger ``pull``."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, images)

    def softmax(strength: float) -> list[np.ndarray]:
        logits = generator.normal(size=(images, classes))
        logits[np.arange(images), labels] += strength
        exp = np.exp(logits)
        return list((exp / exp.sum(axis=1, keepdims=True)).astype(np.float16))

    features = list(generator.normal(size=(images, 4)).astype(np.float16))
    frame = pd.DataFrame(
        {
            "index": np.arange(images),
            "label": labels,
            "probs_clean": softmax(pull),
            "probs_adv": softmax(pull / 2),
            "features_clean": features,
            "features_adv": features,
        }
    )
    store.write_parquet(path, frame)


@pytest.fixture
def record() -> Callable[..., RunRecord]:
    return trained_record


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Save records below one results folder; ``outputs`` adds softmax outputs beside each."""
    results = tmp_path / "results"

    def save_all(*records: RunRecord, outputs: bool = False) -> Path:
        for number, one in enumerate(records):
            path = store.save_record(results, one)
            if outputs and one.status == "success":
                write_outputs(paths.outputs_path(path), seed=number)
        return results

    return save_all
