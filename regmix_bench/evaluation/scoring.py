"""The final evaluation of one checkpoint: accuracies, per-image outcomes, and outputs for plots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from regmix_bench.data.splits import balanced_sample
from regmix_bench.evaluation.accuracy import accuracy, correct, pgd_images, predict_logits
from regmix_bench.evaluation.autoattack import run_autoattack
from regmix_bench.models.base import ImageClassifier
from regmix_bench.records import RobustEval
from regmix_bench.types import Checkpoint, Scoring, ThreatModel

#: Images whose outputs are kept for plots.
OUTPUT_EXAMPLES = 500


@dataclass(frozen=True)
class TestSet:
    """Images (N, C, H, W) and labels (N,) to score.

    ``index`` (N,), on the CPU, are their positions in the test split.
    """

    x: Tensor
    y: Tensor
    index: Tensor


def evaluate(
    model: ImageClassifier,
    test: TestSet,
    threat: ThreatModel,
    scoring: Scoring,
    checkpoint: Checkpoint,
    with_autoattack: bool,
    on_attack: Callable[[str, float], None] = lambda attack, accuracy: None,
) -> tuple[RobustEval, pd.DataFrame]:
    """Score one checkpoint under one threat.

    The table has one row per image: ``norm``, ``epsilon``, ``index`` (position in the test split),
    ``label``, ``clean_correct``, ``pgd_correct`` (clean-correct too), ``broken_by`` ("" where the
    image held, or AutoAttack did not run), predictions and margins, clean and adversarial. A margin
    is the true logit minus the largest other one. The adversarial image is the one that broke the
    model, or else the end point of PGD.
    """
    logits = predict_logits(model, test.x)
    clean = logits.argmax(1) == test.y
    x_adv = pgd_images(model, test.x, test.y, threat, scoring.pgd_steps)
    pgd_correct = clean & correct(model, x_adv, test.y)
    n_examples = len(test.y)
    result = RobustEval(
        threat=threat,
        checkpoint=checkpoint,
        n_examples=n_examples,
        clean_acc=accuracy(clean),
        pgd_acc=accuracy(pgd_correct),
    )
    broken_by = [""] * n_examples
    if with_autoattack:
        outcome = run_autoattack(model, test.x, test.y, threat, scoring, on_attack)
        broken_by = outcome.broken_by
        broken = torch.tensor([bool(name) for name in broken_by], device=clean.device)
        x_adv[broken] = outcome.x_adv[broken]
        result = result.model_copy(
            update={
                "autoattack_acc": accuracy(clean & ~broken),
                "after_attack": outcome.after_attack,
                "autoattack_version": scoring.autoattack_version,
                "autoattack_seed": scoring.autoattack_seed,
                "autoattack_batch_size": scoring.autoattack_batch_size,
                "substitutions": outcome.substitutions,
                "checks": outcome.checks,
            }
        )
    adv_logits = predict_logits(model, x_adv)
    outcomes = pd.DataFrame(
        {
            "norm": threat.norm,
            "epsilon": str(threat.epsilon),
            "index": test.index.numpy(),
            "label": test.y.cpu().numpy(),
            "clean_correct": clean.cpu().numpy(),
            "pgd_correct": pgd_correct.cpu().numpy(),
            "broken_by": broken_by,
            "clean_pred": logits.argmax(1).cpu().numpy(),
            "adv_pred": adv_logits.argmax(1).cpu().numpy(),
            "clean_margin": _margin(logits, test.y).cpu().numpy(),
            "adv_margin": _margin(adv_logits, test.y).cpu().numpy(),
        }
    )
    return result, outcomes


def outputs_for_plots(
    model: ImageClassifier, test: TestSet, threat: ThreatModel, scoring: Scoring
) -> pd.DataFrame:
    """Softmax outputs and penultimate features of up to 500 images, clean and under PGD.

    Columns ``index``, ``label``, and as lists in half precision ``probs_clean``, ``probs_adv`` (K)
    and ``features_clean``, ``features_adv`` (F).
    """
    chosen = torch.from_numpy(balanced_sample(test.y.cpu().numpy(), OUTPUT_EXAMPLES))
    chosen = chosen.to(test.y.device)
    x, y = test.x[chosen], test.y[chosen]
    table: dict[str, Any] = {"index": test.index[chosen.cpu()].numpy(), "label": y.cpu().numpy()}
    x_adv = pgd_images(model, x, y, threat, scoring.pgd_steps)
    with torch.no_grad():
        for name, images in (("clean", x), ("adv", x_adv)):
            features = model.features(images)
            probabilities = model.classifier(features).softmax(1)
            table[f"probs_{name}"] = list(probabilities.half().cpu().numpy())
            table[f"features_{name}"] = list(features.half().cpu().numpy())
    return pd.DataFrame(table)


def _margin(logits: Tensor, y: Tensor) -> Tensor:
    true = logits.gather(1, y[:, None])
    others = logits.scatter(1, y[:, None], float("-inf"))
    return (true - others.max(1, keepdim=True).values).squeeze(1)
