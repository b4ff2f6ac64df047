"""Scores of a model and the files that belong to them: what a run and an evaluation share."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import NamedTuple, get_args

from torch import nn

from regmix_bench.data import EvalData
from regmix_bench.distributed.collectives import on_first
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import ThreatEvaluation, adversarial_images, evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.evaluation.masking import Surrogate, diagnose
from regmix_bench.evaluation.surrogates import load_surrogate
from regmix_bench.models.logits import depend_on_batch
from regmix_bench.models.predictions import PassCounter
from regmix_bench.records.adversarial import write_adversarial
from regmix_bench.records.outcomes import REQUIRED, write_outcomes
from regmix_bench.records.paths import (
    PROGRESS,
    adversarial_path,
    artifacts_dir,
    outcomes_path,
    record_path,
)
from regmix_bench.records.progress import Part, ProgressMeter, told
from regmix_bench.records.schema import (
    Cost,
    Diagnosis,
    EvalRecord,
    RobustEval,
    RunRecord,
    UnionScore,
)
from regmix_bench.records.unions import union_of
from regmix_bench.specs import EvalSpec, RunSpec, Scoring
from regmix_bench.system.files import CannotWrite, atomic_write, sweep
from regmix_bench.types import Checkpoint, Epsilon, ThreatModel

_TRACEBACK = "error.txt"

#: Hears ε, with its norm where there are several, the name of an attack that is done, and the
#: accuracy that it leaves.
OnAttack = Callable[[str, str, float], None]


@dataclass(frozen=True)
class Extras:
    """Extras to make beside the scores: the adversarial images, and the gradient-masking audit."""

    save_adversarial: bool = False
    diagnose: bool = False


class Scores(NamedTuple):
    """The scores of each checkpoint that weights are, the unions of their threats, and the cost."""

    of: dict[Checkpoint, list[RobustEval]]
    unions: dict[Checkpoint, UnionScore]
    cost: Cost


def score_weights(
    attacked: AttackedModel,
    sha256: str,
    test: EvalData,
    spec: RunSpec | EvalSpec,
    asked: Mapping[Checkpoint, bool],
    results: Path,
    *,
    extras: Extras,
    on_attack: OnAttack,
    meter: ProgressMeter | None = None,
) -> Scores:
    """Score a model with weights ``sha256`` under each evaluation threat, and write its outcomes.

    ``asked`` are the checkpoints that these weights are, each with whether AutoAttack scores it.
    Each has scores and a file of its own, and nothing is measured or counted as cost twice. Goes on
    where an earlier call was killed; :func:`discard_journals` ends that. In a group the processes
    share the batches, and the first writes. ``meter`` counts the passes of what it has planned.
    """
    meter = meter or ProgressMeter(lambda progress: None)
    folder = artifacts_dir(results, spec.run_id)
    first = next(iter(asked))
    other = load_surrogate(results, spec, test, sha256) if extras.diagnose else None
    costs: dict[ThreatModel, list[Cost]] = defaultdict(list)

    def journal(threat: ThreatModel) -> Journal:
        name = f"scoring-{first}-{threat.norm}-{threat.epsilon.slug}"
        return Journal(folder / name, _binding(sha256, test, threat, spec))

    def score(checkpoint: Checkpoint, threat: ThreatModel, with_ensemble: bool) -> ThreatEvaluation:
        heard = partial(on_attack, told(str(threat), map(str, spec.eval_threats)))
        found = evaluate_threat(
            *(attacked, test, threat, spec.scoring, checkpoint, journal(threat), with_ensemble),
            on_attack=heard,
            meter=meter,
        )
        costs[threat].append(found.cost)
        return found

    @cache
    def findings(threat: ThreatModel) -> _Findings:
        meter.begin(Part(first, str(threat)), len(test.y))
        return on_first(
            lambda: _diagnosed(attacked.model, test, threat, other, spec.scoring, meter.passed)
        )

    unions: dict[Checkpoint, UnionScore] = {}

    def score_as(checkpoint: Checkpoint, with_autoattack: bool) -> list[RobustEval]:
        scored = [score(checkpoint, threat, with_autoattack) for threat in spec.eval_threats]
        without = [score(checkpoint, threat, False) for threat in spec.pgd_threats]
        found = [evaluation.result for evaluation in scored]
        if extras.diagnose:
            found = [_with(result, findings(result.threat)) for result in found]
        path = outcomes_path(record_path(results, spec), checkpoint)
        tables = [evaluation.outcomes for evaluation in scored]
        if (union := union_of(found, tables)) is not None:
            unions[checkpoint] = union
        if not with_autoattack:
            tables = [table[list(REQUIRED)] for table in tables]
        digests = {"outcomes_digest": on_first(lambda: write_outcomes(path, tables))}
        if with_autoattack and extras.save_adversarial:
            images = adversarial_path(results, spec.run_id, checkpoint)
            parts = chain.from_iterable(
                adversarial_images(test, e.threat, journal(e.threat), e.after_attack) for e in found
            )
            digests["adversarial_digest"] = on_first(lambda: write_adversarial(images, parts))
        found = [result.model_copy(update=digests) for result in found]
        return [*found, *(evaluation.result for evaluation in without)]

    found = {checkpoint: score_as(checkpoint, attack) for checkpoint, attack in asked.items()}
    # Whoever asks for more under a threat has measured, or read, all that the others ask for.
    largest = (max(of_one, key=lambda cost: cost.forward_images) for of_one in costs.values())
    return Scores(found, unions, sum(largest, Cost()))


def discard_journals(results: Path, run_id: str) -> None:
    """Remove what :func:`score_weights` keeps to go on after a kill."""
    for folder in artifacts_dir(results, run_id).glob("scoring-*"):
        shutil.rmtree(folder, ignore_errors=True)


def tidy(results: Path, record: RunRecord | EvalRecord) -> None:
    """Remove what a successful ``record``, which is written, has no use for.

    That is the journals of its scoring, unless an attack is to be tried again, all states of its
    training but the last, the traceback of an earlier failure, the progress of a process that was
    killed, and adversarial images of an earlier scoring.
    """
    if not record.has_failed_attacks:
        discard_journals(results, record.run_id)
    path = record_path(results, record.spec)
    sweep(path.parent, path.stem)
    for state in sorted(artifacts_dir(results, record.run_id).glob("state-*.pt"))[:-1]:
        state.unlink()
    for name in (_TRACEBACK, PROGRESS):
        (artifacts_dir(results, record.run_id) / name).unlink(missing_ok=True)
    kept = {e.checkpoint for e in record.evaluations if e.adversarial_digest is not None}
    for checkpoint in set(get_args(Checkpoint)) - kept:
        adversarial_path(results, record.run_id, checkpoint).unlink(missing_ok=True)


def keep_traceback(folder: Path) -> Path:
    """Write the traceback of the error at hand into a run's folder; returns the file's path."""
    path = folder / _TRACEBACK
    with contextlib.suppress(CannotWrite), atomic_write(path) as stream:  # the disk may have failed
        stream.write(traceback.format_exc().encode(errors="replace"))
    return path


def with_diagnoses(
    result: RobustEval,
    model: nn.Module,
    test: EvalData,
    other: Surrogate | None,
    scoring: Scoring,
    meter: ProgressMeter,
) -> RobustEval:
    """Return ``result`` with what :func:`diagnose` finds; ``other`` is a model to attack from.

    It has the check ``batch-dependent-model`` too, where the model is one. ``meter`` counts.
    """
    meter.begin(Part(result.checkpoint, str(result.threat)), len(test.y))
    return _with(result, _diagnosed(model, test, result.threat, other, scoring, meter.passed))


class _Findings(NamedTuple):
    diagnoses: tuple[Diagnosis, ...]
    depends_on_batch: bool


def _diagnosed(
    model: nn.Module,
    test: EvalData,
    threat: ThreatModel,
    other: Surrogate | None,
    scoring: Scoring,
    heard: Callable[[int], None] = lambda images: None,
) -> _Findings:
    plain = AttackedModel(model, forward_batch_size=scoring.forward_batch_size).plain
    with PassCounter(plain, heard):
        diagnoses = plain.chunks.fit(lambda: diagnose(plain, test.x, test.y, threat, other=other))
    return _Findings(diagnoses, plain.chunks.fit(lambda: depend_on_batch(plain, test.x)))


def _with(result: RobustEval, findings: _Findings) -> RobustEval:
    checks = dict.fromkeys(result.checks)
    if findings.depends_on_batch:
        checks["batch-dependent-model"] = None
    return result.model_copy(update={"diagnoses": findings.diagnoses, "checks": tuple(checks)})


def _binding(
    sha256: str, test: EvalData, threat: ThreatModel, spec: RunSpec | EvalSpec
) -> dict[str, object]:
    """What the outcome of a batch depends on."""
    numerator, denominator = Epsilon(threat.epsilon).as_integer_ratio()
    precision = spec.scoring.search_precision
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
        "screen": spec.scoring.screen,
        "pyautoattack": version("pyautoattack"),
        "torch": version("torch"),
        # Journals are older than it.
        **({} if precision == "fp32" else {"search precision": precision}),
    }
