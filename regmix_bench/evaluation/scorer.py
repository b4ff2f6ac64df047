"""Scores of a model and the files that belong to them: what a run and an evaluation share."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import get_args

import torch
from torch import nn

from regmix_bench.data import EvalData
from regmix_bench.distributed.collectives import on_first
from regmix_bench.errors import UserError, reason
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import ThreatEvaluation, adversarial_images, evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.evaluation.masking import OtherModel, diagnose
from regmix_bench.evaluation.transfer import other_model
from regmix_bench.loading.checks import check_model
from regmix_bench.loading.model import LoadedModel
from regmix_bench.records.adversarial import write_adversarial
from regmix_bench.records.locks import run_lock
from regmix_bench.records.outcomes import write_outcomes
from regmix_bench.records.paths import (
    adversarial_path,
    artifacts_dir,
    find_record,
    outcomes_path,
    record_path,
)
from regmix_bench.records.schema import AnyRecord, Cost, EvalRecord, RobustEval, RunRecord
from regmix_bench.records.store import load_record, save_record
from regmix_bench.specs import EvalSpec, RunSpec
from regmix_bench.system.files import sweep
from regmix_bench.system.machine import environment, exact_float32
from regmix_bench.types import Checkpoint, Epsilon, ThreatModel

_TRACEBACK = "error.txt"

#: Hears ε, the name of an attack that is done, and the accuracy that it leaves.
OnAttack = Callable[[str, str, float], None]


@dataclass(frozen=True)
class Extras:
    """Extras to make beside the scores: the adversarial images, and the gradient-masking audit."""

    save_adversarial: bool = False
    diagnose: bool = False


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
    compile: bool = True,
) -> tuple[list[RobustEval], Cost]:
    """Score a model with weights ``sha256`` under each evaluation threat, and write its outcomes.

    The copy that is attacked may be compiled where ``compile`` says so.

    Goes on where an earlier call was killed; :func:`discard_journals` ends that. In a group the
    processes share the batches, and the first writes.
    """
    folder = artifacts_dir(results, spec.run_id)
    attacked = AttackedModel.of(model, test.x, compile)

    def journal(threat: ThreatModel) -> Journal:
        name = f"scoring-{checkpoint}-{threat.norm}-{threat.epsilon.slug}"
        return Journal(folder / name, _binding(sha256, test, threat, spec))

    def score(threat: ThreatModel, with_ensemble: bool) -> ThreatEvaluation:
        heard = partial(on_attack, str(threat.epsilon))
        return evaluate_threat(
            attacked, test, threat, spec.scoring, checkpoint, journal(threat), with_ensemble, heard
        )

    other = other_model(results, spec, test) if extras.diagnose else None
    scored = [score(threat, with_autoattack) for threat in spec.eval_threats]
    without = [score(threat, False) for threat in spec.pgd_threats]
    cost = sum((evaluation.cost for evaluation in [*scored, *without]), Cost())
    found = [evaluation.result for evaluation in scored]
    if extras.diagnose:
        asked = found
        found = on_first(lambda: [_diagnosed(result, model, test, other) for result in asked])
    if with_autoattack:
        digests = {}
        path = outcomes_path(record_path(results, spec), checkpoint)
        tables = [evaluation.outcomes for evaluation in scored]
        digests["outcomes_digest"] = on_first(lambda: write_outcomes(path, tables))
        images = adversarial_path(results, spec.run_id, checkpoint)
        if extras.save_adversarial:
            parts = chain.from_iterable(
                adversarial_images(test, e.threat, journal(e.threat), e.after_attack) for e in found
            )
            digests["adversarial_digest"] = on_first(lambda: write_adversarial(images, parts))
        found = [result.model_copy(update=digests) for result in found]
    return [*found, *(evaluation.result for evaluation in without)], cost


def discard_journals(results: Path, run_id: str) -> None:
    """Remove what :func:`score_checkpoint` keeps to go on after a kill."""
    for folder in artifacts_dir(results, run_id).glob("scoring-*"):
        shutil.rmtree(folder, ignore_errors=True)


def tidy(results: Path, record: RunRecord | EvalRecord) -> None:
    """Remove what a successful ``record``, which is written, has no use for.

    That is the journals of its scoring, all states of its training but the last, the traceback of
    an earlier failure, and adversarial images of an earlier scoring.
    """
    discard_journals(results, record.run_id)
    path = record_path(results, record.spec)
    sweep(path.parent, path.stem)
    for state in sorted(artifacts_dir(results, record.run_id).glob("state-*.pt"))[:-1]:
        state.unlink()
    (artifacts_dir(results, record.run_id) / _TRACEBACK).unlink(missing_ok=True)
    kept = {e.checkpoint for e in record.evaluations if e.adversarial_digest is not None}
    for checkpoint in set(get_args(Checkpoint)) - kept:
        adversarial_path(results, record.run_id, checkpoint).unlink(missing_ok=True)


def evaluate_model(
    source: LoadedModel,
    spec: EvalSpec,
    test: EvalData,
    results: Path,
    device: torch.device,
    *,
    extras: Extras | None = None,
    force: bool = False,
    compile: bool = True,
    on_attack: OnAttack = lambda epsilon, attack, accuracy: None,
    say: Callable[[str], None] = lambda line: None,
) -> EvalRecord:
    """Score a model that is given, and record it; returns what is recorded already.

    ``force`` discards that; ``say`` gets a line where a process that died had begun it. Raises
    :class:`UserError`, with nothing written, for a model that does not take these images or does
    not return as many finite logits as there are classes, and
    :class:`~regmix_bench.records.locks.Busy` where another process scores it.
    """
    extras = extras or Extras()
    existing = find_record(results, spec)
    recorded = None if existing is None or force else load_record(existing)
    if existing is not None and isinstance(recorded, EvalRecord):
        if _has(recorded, extras):
            tidy(results, recorded)
            return _labelled(recorded, existing, spec, results)
        extras = Extras(  # what was asked for earlier is kept
            extras.save_adversarial or any(e.adversarial_digest for e in recorded.evaluations),
            extras.diagnose or any(e.diagnoses for e in recorded.evaluations),
        )
    model = source.model.to(device)
    attacked = AttackedModel(model)
    attacked.chunks.fit(lambda: check_model(attacked.plain, test.x, test.num_classes))
    with run_lock(results, spec.run_id, say):
        if force:
            discard_journals(results, spec.run_id)
        try:
            with exact_float32():
                record = _scored(
                    model, spec, test, results, device, extras, recorded, on_attack, compile
                )
        except UserError:
            raise
        # A stranger's model may raise anything, however late.
        except (Exception, SystemExit) as error:
            kept = keep_traceback(artifacts_dir(results, spec.run_id))
            raise UserError(
                f"scoring failed: {reason(error)}; the traceback is in {kept}"
            ) from error
        path = save_record(results, record)
        if existing not in (None, path):
            _remove(existing)
        tidy(results, record)
        return _labelled(record, path, spec, results)


def _scored(
    model: nn.Module,
    spec: EvalSpec,
    test: EvalData,
    results: Path,
    device: torch.device,
    extras: Extras,
    recorded: AnyRecord | None,
    on_attack: OnAttack,
    compile: bool,
) -> EvalRecord:
    """The record of a scoring; of one ``recorded`` that lacks the diagnosis alone, it is kept."""
    if isinstance(recorded, EvalRecord) and _has(recorded, replace(extras, diagnose=False)):
        other = other_model(results, spec, test)
        asked = tuple(_diagnosed(e, model, test, other) for e in recorded.evaluations)
        return recorded.model_copy(update={"evaluations": asked})
    evaluations, cost = score_checkpoint(
        model,
        spec.model.sha256,
        test,
        spec,
        "given",
        results,
        with_autoattack=True,
        extras=extras,
        on_attack=on_attack,
        compile=compile,
    )
    return EvalRecord(
        run_id=spec.run_id,
        spec=spec,
        data_digest=test.digest,
        n_test=len(test.y),
        num_classes=test.num_classes,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        evaluations=tuple(evaluations),
        scoring_cost=cost,
        environment=environment(device),
    )


def keep_traceback(folder: Path) -> Path:
    """Write the traceback of the error at hand into a run's folder; returns the file's path."""
    path = folder / _TRACEBACK
    with contextlib.suppress(OSError):  # the disk may be what failed
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc(), encoding="utf-8")
    return path


def _diagnosed(
    result: RobustEval, model: nn.Module, test: EvalData, other: OtherModel | None
) -> RobustEval:
    plain = AttackedModel(model).plain
    diagnoses = plain.chunks.fit(
        lambda: diagnose(plain, test.x, test.y, result.threat, other=other)
    )
    return result.model_copy(update={"diagnoses": diagnoses})


def _labelled(record: EvalRecord, path: Path, spec: EvalSpec, results: Path) -> EvalRecord:
    """The record under the label of ``spec``, of which its file has the name."""
    if record.spec.label == spec.label:
        return record
    record = record.model_copy(update={"spec": spec})
    new = record_path(results, spec)
    outcomes = outcomes_path(path, "given")
    if new != path and outcomes.exists():
        shutil.copyfile(outcomes, outcomes_path(new, "given"))
    save_record(results, record)
    if new != path:
        _remove(path)
    return record


def _remove(path: Path) -> None:
    outcomes_path(path, "given").unlink(missing_ok=True)
    path.unlink()


def _has(record: EvalRecord, extras: Extras) -> bool:
    """Whether a record holds the extras that are asked for."""
    return all(
        (result.adversarial_digest or not extras.save_adversarial)
        and (result.diagnoses or not extras.diagnose)
        for result in record.evaluations
    )


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
        "screen": spec.scoring.screen,
        "pyautoattack": version("pyautoattack"),
        "torch": version("torch"),
    }
