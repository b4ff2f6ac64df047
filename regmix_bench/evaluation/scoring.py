"""The final evaluation of one model under one threat: accuracies, and every image's outcome."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from regmix_bench.attacks.white_box import pgd_images
from regmix_bench.data import EvalData
from regmix_bench.data.splits import balanced_sample
from regmix_bench.evaluation.attacked_model import Scored
from regmix_bench.evaluation.autoattack import run_autoattack
from regmix_bench.evaluation.journal import Journal, Part, Trace, judge, run_stage
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.predictions import BATCH_SIZE, accuracy
from regmix_bench.records.adversarial import PGD, Saved
from regmix_bench.records.schema import Cost, RobustEval
from regmix_bench.specs import Scoring
from regmix_bench.types import Checkpoint, ThreatModel

#: Images whose outputs are kept for plots.
OUTPUT_EXAMPLES = 500


def evaluate(
    scored: Scored,
    test: EvalData,
    threat: ThreatModel,
    scoring: Scoring,
    checkpoint: Checkpoint,
    journal: Journal,
    with_autoattack: bool,
    on_attack: Callable[[str, float], None] = lambda attack, accuracy: None,
) -> tuple[RobustEval, pd.DataFrame, Cost]:
    """Score one model under one threat; what ``journal`` holds is not computed again.

    The table has one row per image: ``norm``, ``epsilon``, ``index`` (position in the test split),
    ``label``, ``clean_correct``, ``pgd_correct`` (clean-correct too), ``broken_by`` ("" where the
    image held, or AutoAttack did not run), predictions and margins, clean and adversarial. A margin
    is the true logit minus the largest other one. The adversarial image is the one that broke the
    model, or else the end point of PGD. For PGD and each attack of AutoAttack there are the
    ``_norm`` of the perturbation and the ``_margin`` after it, for the latter also whether it
    ``_broke`` the image; an attack that fails gives the clean image back. All three are missing
    where the attack was spared, because the image was misclassified or broken before.

    What an attack did is what the model itself says of its images, not the copy it ran on. A
    screened AutoAttack is spared the images that PGD broke, of which ``broken_by`` says ``pgd``.
    """
    right = torch.zeros_like(test.y, dtype=torch.bool)

    def attack_pgd(number: int, index: Tensor) -> Part:
        x, y = test.x[index], test.y[index]
        # Each batch has a start of its own, whether or not those before it were made just now.
        with _seeded(number, x.device):
            x_adv = pgd_images(scored.attacked, x, y, threat, scoring.pgd_steps, seed=number)
            return judge(scored.plain, index, x, y, x_adv, right[index], threat.norm)

    def look(number: int, index: Tensor) -> Part:
        x, y = test.x[index], test.y[index]
        with _seeded(number, x.device):
            return judge(scored.plain, index, x, y, x, right[index], threat.norm)

    n_examples = len(test.y)
    batches = torch.arange(n_examples, device=test.y.device).split(BATCH_SIZE)
    clean = run_stage(journal, "clean", scored, batches, look, n_examples)
    right |= clean.pred.to(test.y.device) == test.y
    pgd = run_stage(journal, "pgd", scored, batches, attack_pgd, n_examples)
    cost = clean.cost + pgd.cost
    survived = right & ~pgd.broke.to(right.device)
    result = RobustEval(
        threat=threat,
        checkpoint=checkpoint,
        n_examples=n_examples,
        clean_acc=accuracy(right),
        pgd_acc=accuracy(survived),
        scored_copy=scored.how,
    )
    attacks: dict[str, Trace] = {}
    if with_autoattack:
        start = survived if scoring.screen else right
        outcome = run_autoattack(scored, test.x, test.y, start, threat, scoring, journal, on_attack)
        attacks, cost = outcome.attacks, cost + outcome.cost
        robust_acc = "screened_acc" if scoring.screen else "autoattack_acc"
        result = result.model_copy(
            update={
                robust_acc: accuracy(outcome.robust),
                "after_attack": outcome.after_attack,
                "autoattack_version": scoring.autoattack_version,
                "autoattack_seed": scoring.autoattack_seed,
                "autoattack_batch_size": scoring.autoattack_batch_size,
                "substitutions": outcome.substitutions,
                "checks": outcome.checks,
            }
        )
    screen = {PGD: pgd} if with_autoattack and scoring.screen else {}
    return result, _outcomes(test, threat, right.cpu(), clean, pgd, attacks, screen), cost


def adversarial_images(
    test: EvalData, threat: ThreatModel, journal: Journal, attacks: Iterable[str]
) -> Iterator[Saved]:
    """The images that broke a model under one threat, batch by batch as they were found."""
    for stage in ("pgd", *attacks):
        for part in journal.parts(stage):
            if part.broke.any():
                yield Saved(threat, stage, test.index[part.index[part.broke]], part.images)


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global generator as a model with noise of its own finds it, whatever came before."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _outcomes(
    test: EvalData,
    threat: ThreatModel,
    right: Tensor,
    clean: Trace,
    pgd: Trace,
    attacks: Mapping[str, Trace],
    screen: Mapping[str, Trace],
) -> pd.DataFrame:
    """The table of :func:`evaluate`."""
    adv_pred, adv_margin = pgd.pred.clone(), pgd.margin.clone()
    broken_by = np.full(len(right), "", dtype=object)
    for name, trace in {**screen, **attacks}.items():
        broken_by[trace.broke.numpy()] = name
        adv_pred[trace.broke], adv_margin[trace.broke] = (
            trace.pred[trace.broke],
            trace.margin[trace.broke],
        )
    columns: dict[str, Any] = {
        "norm": threat.norm,
        "epsilon": str(threat.epsilon),
        "index": test.index.numpy(),
        "label": test.y.cpu().numpy(),
        "clean_correct": right.numpy(),
        "pgd_correct": (right & ~pgd.broke).numpy(),
        "broken_by": broken_by,
        "clean_pred": clean.pred.numpy(),
        "adv_pred": adv_pred.numpy(),
        "clean_margin": clean.margin.numpy(),
        "adv_margin": adv_margin.numpy(),
        "pgd_norm": pgd.norm.numpy(),
        "pgd_margin": pgd.margin.numpy(),
    }
    for name, trace in attacks.items():
        broke = pd.array(trace.broke.numpy(), dtype="boolean")
        broke[~trace.ran.numpy()] = pd.NA
        columns |= {
            f"{name}_broke": broke,
            f"{name}_norm": trace.norm.numpy(),
            f"{name}_margin": trace.margin.numpy(),
        }
    return pd.DataFrame(columns)


def outputs_for_plots(
    model: ImageClassifier,
    test: EvalData,
    threat: ThreatModel,
    scoring: Scoring,
    chunks: Chunks | None = None,
) -> pd.DataFrame:
    """Softmax outputs and penultimate features of up to 500 images, clean and under PGD.

    Forward passes take as many images at once as ``chunks`` find room for.

    Columns ``index``, ``label``, and as lists in half precision ``probs_clean``, ``probs_adv`` (K)
    and ``features_clean``, ``features_adv`` (F).
    """
    chosen = torch.from_numpy(balanced_sample(test.y.cpu().numpy(), OUTPUT_EXAMPLES))
    chosen = chosen.to(test.y.device)
    x, y = test.x[chosen], test.y[chosen]
    table: dict[str, Any] = {"index": test.index[chosen.cpu()].numpy(), "label": y.cpu().numpy()}
    chunks = chunks or Chunks()
    logits, features_of = ChunkedModel(model, chunks), ChunkedModel(model.features, chunks)
    x_adv = chunks.fit(lambda: pgd_images(logits, x, y, threat, scoring.pgd_steps))
    with torch.no_grad():
        for name, images in (("clean", x), ("adv", x_adv)):
            features = chunks.fit(partial(features_of, images))
            probabilities = model.classifier(features).softmax(1)
            table[f"probs_{name}"] = list(probabilities.half().cpu().numpy())
            table[f"features_{name}"] = list(features.half().cpu().numpy())
    return pd.DataFrame(table)
