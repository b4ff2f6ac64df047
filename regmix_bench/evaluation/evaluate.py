"""The final evaluation of one model under one threat: accuracies, and every image's outcome.

It is one loop of stages. What a stage is, an attack and its batches, and which images it sees
follows from the scoring: no attack and PGD, which see every image, and then the attacks of the
ensemble, of which each sees what those before it left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from regmix_bench.attacks.autoattack_checks import (
    check_behaviour,
    check_square,
    collected_warnings,
)
from regmix_bench.attacks.ensembles import ensemble
from regmix_bench.attacks.pgd import frozen
from regmix_bench.attacks.protocol import Attack
from regmix_bench.attacks.white_box import PGD, Clean
from regmix_bench.data import EvalData
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.journal import Journal
from regmix_bench.evaluation.stage import Stage, StageOutcome, run_stage
from regmix_bench.models.predictions import BATCH_SIZE, accuracy, require_eval_mode
from regmix_bench.records import outcomes
from regmix_bench.records.adversarial import SavedImages
from regmix_bench.records.progress import Part, ProgressMeter
from regmix_bench.records.schema import Cost, RobustEval
from regmix_bench.specs import Scoring
from regmix_bench.system.machine import arithmetic
from regmix_bench.types import Checkpoint, ThreatModel


class ThreatEvaluation(NamedTuple):
    """The accuracies under one threat, the table of outcomes, and what they took."""

    result: RobustEval
    outcomes: pd.DataFrame
    cost: Cost


def evaluate_threat(
    model: AttackedModel,
    test: EvalData,
    threat: ThreatModel,
    scoring: Scoring,
    checkpoint: Checkpoint = "given",
    journal: Journal | None = None,
    with_ensemble: bool = True,
    on_attack: Callable[[str, float], None] = lambda attack, accuracy: None,
    meter: ProgressMeter | None = None,
) -> ThreatEvaluation:
    """Score one model under one threat; what ``journal`` holds is not computed again.

    Without ``with_ensemble`` the clean accuracy and PGD's have to do. The outcomes are a table as
    :mod:`regmix_bench.records.outcomes` says; the images that broke the model are in the journal
    alone. What an attack did is what the model itself says of its images in exact float32, not the
    copy it ran on.
    ``on_attack`` hears the name of each finished attack of the ensemble and the accuracy that is
    left, and ``meter`` counts passes. An attack of the ensemble that fails is recorded as failed:
    the others' scores stand, and there is no robust accuracy. Raises ``RuntimeError`` for a model
    in training mode, and :class:`UserError` for logits that are not finite and for an attack that
    is not defined for the threat on these images.
    """
    require_eval_mode(model.plain)
    meter = meter or ProgressMeter(lambda progress: None)
    # Some attacks take views of images; the checks and attacks seed torch's global generator.
    x, y = test.x.contiguous(), test.y
    devices = [x.device] if x.device.type == "cuda" else []
    with (
        arithmetic("fp32"),
        frozen(model.attacked),
        torch.random.fork_rng(devices),
        torch.no_grad(),
    ):
        attacks: dict[str, Attack] = {}
        substitutions: tuple[str, ...] = ()
        checks: list[str] = []
        if with_ensemble:
            size, rand = scoring.autoattack_batch_size, scoring.autoattack_version == "rand"
            with collected_warnings() as checks:
                classes = model.chunks.fit(
                    lambda: check_behaviour(model.plain, x[:size], y[:size], rand)
                )
            attacks, substitutions = ensemble(
                scoring.autoattack_version, scoring.attacks, classes, threat.norm
            )
        stages = stages_of(scoring, attacks)
        for stage in stages:
            stage.attack.require(threat, test.attacked_data)
        right = standing = torch.zeros_like(y, dtype=torch.bool)
        found: dict[str, StageOutcome] = {}
        after_attack: dict[str, float] = {}
        failed: dict[str, str] = {}
        for stage in stages:
            seen = len(y) if stage.everywhere else int(standing.sum())
            meter.begin(Part(checkpoint, str(threat), stage.name), seen)
            outcome = run_stage(stage, model, x, y, right, standing, threat, journal, meter)
            if stage.name == outcomes.CLEAN:
                right = standing = outcome.pred.to(y.device) == y
            found[stage.name] = outcome
            if outcome.failure is not None:
                failed[stage.name] = outcome.failure
                continue
            if stage.spares:
                standing = standing & ~outcome.broke.to(y.device)
            if stage.counts:
                after_attack[stage.name] = accuracy(standing)
                on_attack(stage.name, after_attack[stage.name])
    clean, pgd = found[outcomes.CLEAN], found[outcomes.PGD]
    result = RobustEval(
        threat=threat,
        checkpoint=checkpoint,
        n_examples=len(y),
        clean_acc=accuracy(right),
        pgd_acc=accuracy(right.cpu() & ~pgd.broke),
        logits_dtype=model.logits_dtype(x),
        scored_copy=model.how,
    )
    if with_ensemble:
        before = result.pgd_acc if scoring.screen else result.clean_acc
        with collected_warnings() as raised:
            if not failed:  # where one is missing, Square may well be the strongest
                check_square({"before": before, **after_attack})
        meanwhile = [name for outcome in found.values() for name in outcome.checks]
        few = ["too-few-classes"] if substitutions else []
        broken_off = ["failed-attack"] if failed else []
        # What is left of an ensemble is another measurement, and not to be taken for it.
        robust = None if failed else accuracy(standing)
        result = result.model_copy(
            update={
                "screened_acc" if scoring.screen else "autoattack_acc": robust,
                "after_attack": after_attack,
                "failed_attacks": failed,
                "autoattack_version": scoring.autoattack_version,
                "autoattack_seed": scoring.autoattack_seed,
                "autoattack_batch_size": scoring.autoattack_batch_size,
                "substitutions": substitutions,
                "checks": tuple(dict.fromkeys([*checks, *meanwhile, *raised, *few, *broken_off])),
            }
        )
    table = _table(test, threat, right.cpu(), clean, pgd, stages, found)
    return ThreatEvaluation(
        result, table, sum((outcome.cost for outcome in found.values()), Cost())
    )


def adversarial_images(
    test: EvalData, threat: ThreatModel, journal: Journal, attacks: Iterable[str]
) -> Iterator[SavedImages]:
    """Read the images that broke a model under one threat, batch by batch as they were found."""
    for stage in dict.fromkeys((outcomes.PGD, *attacks)):
        for batch in journal.batches(stage):
            if batch.broke.any():
                yield SavedImages(threat, stage, test.index[batch.index[batch.broke]], batch.images)


def stages_of(scoring: Scoring, attacks: Mapping[str, Attack]) -> list[Stage]:
    """Return the stages of a scoring whose ensemble are ``attacks``; none of them runs twice.

    What is measured of every image counts for the ensemble too, where that names it. With a screen
    the ensemble is spared what PGD broke, which is another number.
    """
    everywhere = {outcomes.CLEAN: Clean(), outcomes.PGD: PGD.of(steps=scoring.pgd_steps)}
    stages = [
        Stage(
            name,
            attack,
            BATCH_SIZE,
            stride=1,  # each batch of PGD has a start of its own
            everywhere=True,
            counts=name in attacks,
            spares=name in attacks or (name == outcomes.PGD and scoring.screen and bool(attacks)),
        )
        for name, attack in everywhere.items()
    ]
    seed, size = scoring.autoattack_seed, scoring.autoattack_batch_size
    others = {name: attack for name, attack in attacks.items() if name not in everywhere}
    return [*stages, *(Stage(name, attack, size, seed) for name, attack in others.items())]


def _table(
    test: EvalData,
    threat: ThreatModel,
    right: Tensor,
    clean: StageOutcome,
    pgd: StageOutcome,
    stages: Sequence[Stage],
    found: Mapping[str, StageOutcome],
) -> pd.DataFrame:
    """The outcomes of all images, as :mod:`regmix_bench.records.outcomes` says."""
    adv_pred, adv_margin = pgd.pred.clone(), pgd.margin.clone()
    broken_by = np.full(len(right), outcomes.HELD, dtype=object)
    for stage in stages:
        if stage.spares:
            outcome = found[stage.name]
            broken_by[outcome.broke.numpy()] = stage.name
            adv_pred[outcome.broke] = outcome.pred[outcome.broke]
            adv_margin[outcome.broke] = outcome.margin[outcome.broke]
    columns: dict[str, Any] = {
        outcomes.NORM: threat.norm,
        outcomes.EPSILON: str(threat.epsilon),
        outcomes.INDEX: test.index.numpy(),
        outcomes.LABEL: test.y.cpu().numpy(),
        outcomes.CLEAN_CORRECT: right.numpy(),
        outcomes.PGD_CORRECT: (right & ~pgd.broke).numpy(),
        outcomes.BROKEN_BY: broken_by,
        outcomes.CLEAN_PRED: clean.pred.numpy(),
        outcomes.ADV_PRED: adv_pred.numpy(),
        outcomes.CLEAN_MARGIN: clean.margin.numpy(),
        outcomes.ADV_MARGIN: adv_margin.numpy(),
        outcomes.stage_column(outcomes.PGD, "norm"): pgd.norm.numpy(),
        outcomes.stage_column(outcomes.PGD, "margin"): pgd.margin.numpy(),
    }
    for stage in stages:
        outcome = found[stage.name]
        if stage.counts and outcome.failure is None:
            broke = pd.array(outcome.broke.numpy(), dtype="boolean")
            broke[~outcome.ran.numpy()] = pd.NA
            columns |= {
                outcomes.stage_column(stage.name, "broke"): broke,
                outcomes.stage_column(stage.name, "norm"): outcome.norm.numpy(),
                outcomes.stage_column(stage.name, "margin"): outcome.margin.numpy(),
            }
            if (counted := outcome.queries >= 0).any():
                queries = pd.array(outcome.queries.numpy(), dtype="Int64")
                queries[~counted.numpy()] = pd.NA
                columns[outcomes.stage_column(stage.name, "queries")] = queries
    return pd.DataFrame(columns)
