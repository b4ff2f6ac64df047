"""Scoring a model that is given: recorded in a results folder, or in memory alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from regmix_bench.data import EvalData
from regmix_bench.errors import UserError, reason
from regmix_bench.evaluation.attacked_model import AttackedModel, require_searchable
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.evaluation.planned import planned_scoring
from regmix_bench.evaluation.scorer import (
    Extras,
    OnAttack,
    discard_journals,
    keep_traceback,
    score_weights,
    tidy,
    with_diagnoses,
)
from regmix_bench.evaluation.surrogates import load_surrogate
from regmix_bench.evaluation.verdict import UnusableOutcome
from regmix_bench.loading.checks import check_model
from regmix_bench.loading.model import LoadedModel
from regmix_bench.records.given import remove_given, with_label
from regmix_bench.records.locks import run_lock
from regmix_bench.records.paths import LOCK, artifacts_dir, find_record
from regmix_bench.records.progress import Part, Progress, ProgressMeter, told
from regmix_bench.records.schema import AnyRecord, Cost, EvalRecord, RobustEval, UnionScore
from regmix_bench.records.store import load_record, save_record
from regmix_bench.records.unions import union_of
from regmix_bench.specs import EvalSpec, Scoring
from regmix_bench.system.machine import Execution, arithmetic, environment
from regmix_bench.types import Checkpoint

if TYPE_CHECKING:
    import pandas as pd


def evaluate_model(
    source: LoadedModel,
    spec: EvalSpec,
    test: EvalData,
    results: Path,
    device: torch.device,
    *,
    extras: Extras | None = None,
    force: bool = False,
    execution: Execution | None = None,
    on_attack: OnAttack = lambda epsilon, attack, accuracy: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> EvalRecord:
    """Score a model that is given, and record it; returns what is recorded already.

    Attacks that failed in that are tried again, and ``force`` discards it; ``say`` gets a line
    where a process that died had begun it. Raises :class:`UserError`, with nothing written, for a
    model that does not take these images or does not return as many finite logits as there are
    classes, and :class:`~regmix_bench.records.locks.Busy` where another process scores it.
    """
    extras = extras or Extras()
    existing = find_record(results, spec)
    recorded = None if existing is None or force else load_record(existing)
    if existing is not None and isinstance(recorded, EvalRecord):
        if _has(recorded, extras):
            tidy(results, recorded)
            return with_label(recorded, existing, spec, results)
        extras = Extras(  # what was asked for earlier is kept
            extras.save_adversarial or any(e.adversarial_digest for e in recorded.evaluations),
            extras.diagnose or any(e.diagnoses for e in recorded.evaluations),
        )
    model = _checked(source, test, device, spec.scoring)
    with _nothing_left_of_unusable(results, spec.run_id), run_lock(results, spec.run_id, say):
        if force:
            discard_journals(results, spec.run_id)
        try:
            with arithmetic("fp32"):
                record = _scored(
                    model,
                    spec,
                    test,
                    results,
                    device,
                    extras,
                    recorded,
                    on_attack,
                    ProgressMeter(on_progress),
                    execution,
                    say,
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
            remove_given(existing)
        tidy(results, record)
        return with_label(record, path, spec, results)


def score_in_memory(
    source: LoadedModel,
    spec: EvalSpec,
    test: EvalData,
    device: torch.device,
    *,
    with_diagnosis: bool = False,
    execution: Execution | None = None,
    on_attack: OnAttack = lambda epsilon, attack, accuracy: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[EvalRecord, pd.DataFrame]:
    """Score a model that is given and write nothing; returns the record and the outcomes.

    These are a table of :mod:`regmix_bench.records.outcomes`, all threats together. Raises as
    :func:`evaluate_model` does.
    """
    import pandas as pd

    model = _checked(source, test, device, spec.scoring)
    try:
        with arithmetic("fp32"):
            attacked = AttackedModel.of(model, test.x, spec.scoring, execution, say)
            meter = ProgressMeter(on_progress)
            meter.plan(_planned(spec, test, with_diagnosis))
            scored = [
                evaluate_threat(
                    attacked,
                    test,
                    threat,
                    spec.scoring,
                    on_attack=partial(on_attack, told(str(threat), map(str, spec.eval_threats))),
                    meter=meter,
                )
                for threat in spec.eval_threats
            ]
            evaluations = [evaluation.result for evaluation in scored]
            if with_diagnosis:
                evaluations = [
                    with_diagnoses(e, model, test, None, spec.scoring, meter) for e in evaluations
                ]
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's model may raise anything, however late
        raise UserError(f"scoring failed: {reason(error)}") from error
    cost = sum((evaluation.cost for evaluation in scored), Cost())
    outcomes = pd.concat([evaluation.outcomes for evaluation in scored], ignore_index=True)
    union = union_of(evaluations, [evaluation.outcomes for evaluation in scored])
    return _record(spec, test, model, evaluations, union, cost, device), outcomes


@contextlib.contextmanager
def _nothing_left_of_unusable(results: Path, run_id: str) -> Iterator[None]:
    """Leave nothing written of a model that turns out unusable once it is attacked."""
    folder = artifacts_dir(results, run_id)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except UnusableOutcome:
        discard_journals(results, run_id)
        if folder in new:  # whoever else holds the lock finds the same of this model
            (folder / LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # where others have written meanwhile
            for path in new:
                path.rmdir()
        raise


def _checked(
    source: LoadedModel, test: EvalData, device: torch.device, scoring: Scoring
) -> nn.Module:
    """Return the model on ``device``, which can be scored on these images."""
    model = source.model.to(device)
    require_searchable(model, scoring)
    attacked = AttackedModel(model, forward_batch_size=scoring.forward_batch_size)
    attacked.chunks.fit(lambda: check_model(attacked.plain, test.x, test.num_classes))
    return model


def _record(
    spec: EvalSpec,
    test: EvalData,
    model: nn.Module,
    evaluations: Sequence[RobustEval],
    union: UnionScore | None,
    cost: Cost,
    device: torch.device,
) -> EvalRecord:
    return EvalRecord(
        run_id=spec.run_id,
        spec=spec,
        data_digest=test.digest,
        n_test=len(test.y),
        num_classes=test.num_classes,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        evaluations=tuple(evaluations),
        unions=() if union is None else (union,),
        scoring_cost=cost,
        environment=environment(device),
    )


def _scored(
    model: nn.Module,
    spec: EvalSpec,
    test: EvalData,
    results: Path,
    device: torch.device,
    extras: Extras,
    recorded: AnyRecord | None,
    on_attack: OnAttack,
    meter: ProgressMeter,
    execution: Execution | None,
    say: Callable[[str], None],
) -> EvalRecord:
    """The record of a scoring; of one ``recorded`` that lacks the diagnosis alone, it is kept."""
    if isinstance(recorded, EvalRecord) and _has(recorded, replace(extras, diagnose=False)):
        other = load_surrogate(results, spec, test, spec.model.sha256)
        planned = _planned(spec, test, True)
        meter.plan({part: n for part, n in planned.items() if part.attack is None})
        asked = tuple(
            with_diagnoses(e, model, test, other, spec.scoring, meter) for e in recorded.evaluations
        )
        return recorded.model_copy(update={"evaluations": asked})
    meter.plan(_planned(spec, test, extras.diagnose))
    scored = score_weights(
        AttackedModel.of(model, test.x, spec.scoring, execution, say),
        spec.model.sha256,
        test,
        spec,
        {"given": True},
        results,
        extras=extras,
        on_attack=on_attack,
        meter=meter,
    )
    union = scored.unions.get("given")
    return _record(spec, test, model, scored.of["given"], union, scored.cost, device)


def _planned(spec: EvalSpec, test: EvalData, diagnosed: bool) -> dict[Part, float]:
    """The passes of each part of a scoring."""
    asked: dict[Checkpoint, bool] = {"given": True}
    return planned_scoring(spec, [asked], len(test.y), test.num_classes, diagnosed=diagnosed)


def _has(record: EvalRecord, extras: Extras) -> bool:
    """Whether a record holds the extras that are asked for, and no attack to be tried again."""
    return not record.has_failed_attacks and all(
        (result.adversarial_digest or not extras.save_adversarial)
        and (result.diagnoses or not extras.diagnose)
        for result in record.evaluations
    )
