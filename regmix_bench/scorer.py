"""Scores of a model and the files that belong to them: what a run and an evaluation share."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import pandas as pd
from torch import nn

from regmix_bench.data import EvalData
from regmix_bench.evaluation.adversarial import write_adversarial
from regmix_bench.evaluation.journal import Journal
from regmix_bench.evaluation.scoring import adversarial_images, evaluate
from regmix_bench.records import Cost, RobustEval
from regmix_bench.store import (
    adversarial_path,
    artifacts_dir,
    outcomes_path,
    record_path,
    write_parquet,
)
from regmix_bench.types import Checkpoint, Epsilon, EvalSpec, RunSpec, ThreatModel

#: Hears ε, the name of an attack that is done, and the accuracy that it leaves.
OnAttack = Callable[[str, str, float], None]


@dataclass(frozen=True)
class Extras:
    """What to make beside the scores: the adversarial images."""

    save_adversarial: bool = False


def score_checkpoint(
    model: nn.Module,
    sha256: str,
    test: EvalData,
    spec: RunSpec | EvalSpec,
    checkpoint: Checkpoint,
    results: Path,
    *,
    with_autoattack: bool,
    extras: Extras,
    on_attack: OnAttack,
) -> tuple[list[RobustEval], Cost]:
    """Score a model with weights ``sha256`` under each evaluation threat, and write its outcomes.

    Goes on where an earlier call was killed; :func:`discard_journals` ends that.
    """
    folder = artifacts_dir(results, spec.run_id)
    journals = [
        Journal(
            folder / f"scoring-{checkpoint}-{threat.norm}-{threat.epsilon.slug}",
            _binding(sha256, test, threat, spec),
        )
        for threat in spec.eval_threats
    ]
    found, tables, cost = [], [], Cost()
    for threat, journal in zip(spec.eval_threats, journals, strict=True):
        result, table, spent = evaluate(
            model,
            test,
            threat,
            spec.scoring,
            checkpoint,
            journal,
            with_autoattack,
            partial(on_attack, str(threat.epsilon)),
        )
        found.append(result)
        tables.append(table)
        cost += spent
    if with_autoattack:
        digests = {}
        path = outcomes_path(record_path(results, spec), checkpoint)
        digests["outcomes_digest"] = write_parquet(path, pd.concat(tables))
        if extras.save_adversarial:
            parts = chain.from_iterable(
                adversarial_images(test, result.threat, journal, result.after_attack)
                for result, journal in zip(found, journals, strict=True)
            )
            path = adversarial_path(results, spec.run_id, checkpoint)
            digests["adversarial_digest"] = write_adversarial(path, parts)
        found = [result.model_copy(update=digests) for result in found]
    return found, cost


def discard_journals(results: Path, run_id: str) -> None:
    """Remove what :func:`score_checkpoint` keeps to go on after a kill."""
    for folder in artifacts_dir(results, run_id).glob("scoring-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _binding(
    sha256: str, test: EvalData, threat: ThreatModel, spec: RunSpec | EvalSpec
) -> dict[str, object]:
    """What the outcome of a batch depends on."""
    numerator, denominator = Epsilon(threat.epsilon).as_integer_ratio()
    return {
        "weights' SHA-256": sha256,
        "data's SHA-256": test.digest,
        "selection of images": hashlib.sha256(test.index.numpy().tobytes()).hexdigest(),
        "norm": threat.norm,
        "epsilon": f"{numerator}/{denominator}",
        "AutoAttack version": spec.scoring.autoattack_version,
        "list of attacks": ", ".join(spec.scoring.attacks),
        "seed": spec.scoring.autoattack_seed,
        "batch size": spec.scoring.autoattack_batch_size,
        "number of PGD steps": spec.scoring.pgd_steps,
    }
