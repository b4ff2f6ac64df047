"""The audit of a record by its saved adversarial images: all is recomputed from images and weights.

No stored result is believed. A saved image counts where it lies in the threat model and fools the
loaded model; from these images every accuracy and every image's outcome follows anew, and is
compared with what is recorded. What has no saved images is made anew from the weights, the data and
the history (:mod:`regmix_bench.evaluation.claims`), and named where there is no evidence of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import pandas as pd
import torch
from torch import Tensor, nn

from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import EvalData
from regmix_bench.data.corruptions import corrupted
from regmix_bench.errors import UserError
from regmix_bench.evaluation.claims import audit_transfer, score_findings, training_findings
from regmix_bench.evaluation.corruptions import audit_corruptions
from regmix_bench.evaluation.evidence import SHOWN, evaluation_findings, examine
from regmix_bench.evaluation.findings import Audit, Finding
from regmix_bench.evaluation.recorded import recorded_images
from regmix_bench.evaluation.transfer import ATTACK, STEPS
from regmix_bench.loading.checks import check_model
from regmix_bench.loading.runs import find_checkpoint
from regmix_bench.loading.sources import load_any_model
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.logits import Float32Logits, depend_on_batch
from regmix_bench.models.predictions import BATCH_SIZE, PassCounter, correct
from regmix_bench.models.weights import load_checkpoint, state_digest
from regmix_bench.records.adversarial import SavedImages, read_adversarial
from regmix_bench.records.outcomes import read_images, read_measured, recorded_outcomes
from regmix_bench.records.paths import adversarial_path, outcomes_path, results_of
from regmix_bench.records.progress import Part, ProgressMeter, uncounted
from regmix_bench.records.schema import (
    CorruptionRecord,
    EvalRecord,
    RobustEval,
    RunRecord,
    TransferRecord,
)
from regmix_bench.records.store import load_record
from regmix_bench.records.unions import require_unions
from regmix_bench.specs import AnySpec
from regmix_bench.system.files import NoSuchFile, file_digest
from regmix_bench.system.machine import Device, arithmetic, choose_device
from regmix_bench.types import DEFAULT_NORM, Checkpoint, ThreatModel


def audit_record(
    record: str | Path,
    *,
    model: str | None = None,
    weights: Path | None = None,
    data_dir: str | Path | None = None,
    device: Device = "auto",
    begin: Callable[[AnySpec], ProgressMeter] = uncounted,
) -> Audit:
    """Audit a record, given by its path; of a transfer, its accuracies by their outcomes.

    The model is the one that the record names. Of one that was given from outside, ``model`` and
    ``weights`` say where it lies now, as they do for
    :func:`~regmix_bench.loading.sources.load_any_model`. ``begin`` hears of the record and returns
    what counts the passes. A file whose digest differs is a finding
    and is read all the same, so that the guilty image is found as well. Raises :class:`UserError`
    for a record of a model without saved images, for data that is not the record's, and for a file
    that is missing or unreadable.
    """
    path = Path(record).absolute()
    found = load_record(path)
    if isinstance(found, TransferRecord):
        return audit_transfer(path, found)
    if isinstance(found, CorruptionRecord):
        return _audit_corrupted(path, found, model, weights, data_dir, choose_device(device), begin)
    if isinstance(found, RunRecord) and (model or weights):
        raise UserError(
            f"{record} is a training, whose weights are known: leave out --model and --weights"
        )
    saved = [e for e in found.evaluations if e.adversarial_digest is not None]
    if not saved:
        saves = (
            f"`regmix-bench eval {found.run_id[:4]} --save-adversarial` scores its model again and"
            " saves them"
            if isinstance(found, RunRecord)
            else "the command that made it saves them with --save-adversarial --force"
        )
        raise UserError(f"{record} has no saved adversarial images: {saves}")
    target = choose_device(device)
    chunks = Chunks(found.spec.scoring.forward_batch_size)
    test = recorded_images(found, target, data_dir, str(record))
    meter = begin(found.spec)
    meter.plan(_planned(found.evaluations, len(test.y)))
    findings = list(training_findings(found)) if isinstance(found, RunRecord) else []
    for checkpoint in dict.fromkeys(e.checkpoint for e in found.evaluations):
        scores = [e for e in found.evaluations if e.checkpoint == checkpoint]
        about = partial(Finding, checkpoint=checkpoint)
        try:
            if isinstance(found, RunRecord):
                network, altered = _trained(found, checkpoint, path)
            else:
                network, altered = _given(found, model, weights, test, path)
        except UserError as error:
            if any(e in saved for e in scores):
                raise
            findings.append(about(f"nothing bears out its scores: {error}", unproven=True))
            continue
        if altered:
            findings.append(about("the SHA-256 of the weights is not the recorded one"))
        parameters = sum(parameter.numel() for parameter in network.parameters())
        if found.n_parameters not in (None, parameters):
            findings.append(
                about(f"n_parameters is {found.n_parameters} in the record, {parameters} counted")
            )
        with arithmetic("fp32"):
            audited = ChunkedModel(Float32Logits(network.to(target)), chunks)
            if depend_on_batch(audited, test.x):
                findings.append(about("the logits of an image depend on the rest of its batch"))
            with PassCounter(audited, meter.passed):
                findings += _audit_checkpoint(path, found.run_id, scores, test, audited, meter)
    try:
        require_unions(path, found)
    except UserError as error:
        findings.append(Finding(str(error)))
    images = set(test.index.tolist())
    failed = {(f.checkpoint, f.threat, f.index) for f in findings if f.index in images}
    n_images = len(saved) * len(images)
    return Audit(n_images, n_images - len(failed), tuple(findings))


def _planned(scores: Sequence[RobustEval], n: int) -> dict[Part, float]:
    """The passes of each part of an audit on ``n`` test images, if the record is right."""
    again = (PGD.of(steps=STEPS).passes + 1) * n
    return {
        _part(score): again if score.adversarial_digest is None else _n_saved(score, n)
        for score in scores
    }


def _part(score: RobustEval) -> Part:
    what = ATTACK if score.adversarial_digest is None else "saved images"
    return Part(score.checkpoint, str(score.threat), what)


def _n_saved(score: RobustEval, n: int) -> int:
    """How many images were saved of a score: those that PGD, or one of the ensemble, broke."""
    left = [score.pgd_acc, score.robust_acc if score.robust_acc is not None else score.clean_acc]
    return max(1, sum(round((score.clean_acc - share) * n) for share in left))


def _audit_corrupted(
    path: Path,
    record: CorruptionRecord,
    model: str | None,
    weights: Path | None,
    data_dir: str | Path | None,
    device: torch.device,
    begin: Callable[[AnySpec], ProgressMeter],
) -> Audit:
    """Make the corrupted images of a record again, and ask its model of each."""
    test = recorded_images(record, device, data_dir, str(path))
    network, altered = _given(record, model, weights, test, path)
    folder = None if data_dir is None else Path(data_dir)
    images = corrupted(record.spec.corruptions, record.spec.dataset, test, record.spec.seed, folder)
    audit = audit_corruptions(path, record, network.to(device), test, images, begin(record.spec))
    other = Finding("the SHA-256 of the weights is not the recorded one")
    return replace(audit, findings=(other, *audit.findings)) if altered else audit


def _trained(record: RunRecord, checkpoint: Checkpoint, path: Path) -> tuple[nn.Module, bool]:
    """The model of a run, and whether its weights are others than those that were recorded."""
    _, file, weights = find_checkpoint(str(path), results_of(path), checkpoint)
    if not weights.is_file():  # where the last epoch is the selected one, one file may do
        alike = (name for name, same in record.checkpoints.items() if same.sha256 == file.sha256)
        places = (find_checkpoint(str(path), results_of(path), name)[2] for name in alike)
        weights = next((place for place in places if place.is_file()), weights)
    digest = _digest(weights)
    return load_checkpoint(weights, digest), digest != file.sha256


def _given(
    record: EvalRecord | CorruptionRecord,
    model: str | None,
    weights: Path | None,
    test: EvalData,
    path: Path,
) -> tuple[nn.Module, bool]:
    """The same of a model from outside."""
    recorded = record.spec.model
    name, checkpoint = recorded.name, "selected"
    norm, forward = DEFAULT_NORM, None
    if isinstance(record, EvalRecord):
        norm = record.spec.eval_threats[0].norm
        forward = record.spec.scoring.forward_batch_size
    if recorded.kind == "robustbench":
        name = f"robustbench:{name}"
    elif recorded.kind == "run":
        name, _, checkpoint = name.partition(":")
    elif recorded.kind == "module" and model is None:
        cls, _, _ = name.partition(":")
        raise UserError(f"the record is of a live {cls}: say by --model where to load it from")
    source = load_any_model(
        model or name,
        results=results_of(path),
        weights=weights,
        arch=record.spec.arch_words if recorded.kind == "weights" else None,
        checkpoint=cast(Checkpoint, checkpoint),
        dataset=record.spec.dataset,
        norm=norm,
        image_shape=test.image_shape,
        num_classes=test.num_classes,
    )
    chunks = Chunks(forward)
    check_model(ChunkedModel(source.model, chunks), test.x.cpu(), test.num_classes)
    live = recorded.kind == "module"
    digest = state_digest(source.model) if live else source.source.sha256
    return source.model, digest != recorded.sha256


def _audit_checkpoint(
    path: Path,
    run_id: str,
    scores: list[RobustEval],
    test: EvalData,
    model: nn.Module,
    meter: ProgressMeter,
) -> Iterator[Finding]:
    right = correct(model, test.x, test.y)
    saved = [score for score in scores if score.adversarial_digest is not None]
    for score in scores:
        if score not in saved:
            meter.begin(_part(score), len(test.y))
            yield from score_findings(score, model, test, right)
            yield from _outcomes_findings(path, score)
    if not saved:
        return
    checkpoint = saved[0].checkpoint
    images = adversarial_path(results_of(path), run_id, checkpoint)
    outcomes = outcomes_path(path, checkpoint)
    for file, recorded in (
        (images, {e.adversarial_digest for e in saved}),
        (outcomes, {e.outcomes_digest for e in saved}),
    ):
        if recorded != {_digest(file)}:
            yield Finding(f"the SHA-256 of {file} is not the recorded one", checkpoint)
    bare = {e.threat for e in scores} - {e.threat for e in saved}
    shown = _examine_all(model, test, right, images, saved, bare, meter)
    tables = read_measured(outcomes, saved, test.index.numpy())
    for score in saved:
        threat = score.threat
        yield from evaluation_findings(score, test, right.cpu(), shown[threat], tables[threat])


def _outcomes_findings(path: Path, score: RobustEval) -> Iterator[Finding]:
    """Yield what is wrong with the outcomes of a score that no saved image bears out."""
    try:
        file = recorded_outcomes(path, score)
        if file is not None:
            read_images(file, score)
    except UserError as error:
        yield Finding(str(error), score.checkpoint, score.threat)


def _digest(file: Path) -> str:
    try:
        return file_digest(file)
    except NoSuchFile as error:
        raise UserError(f"no {file}: it stays on the machine that made it") from error


def _examine_all(
    model: nn.Module,
    test: EvalData,
    right: Tensor,
    path: Path,
    saved: list[RobustEval],
    bare: set[ThreatModel],
    meter: ProgressMeter,
) -> dict[ThreatModel, pd.DataFrame]:
    """What the saved images show under each threat, save those ``bare``; see :func:`examine`."""
    shown: dict[ThreatModel, list[pd.DataFrame]] = {score.threat: [] for score in saved}
    scores = {score.threat: score for score in saved}
    for part in read_adversarial(path, len(test.y)):
        if part.threat in bare:
            continue
        if part.threat not in shown:
            raise UserError(f"{path} holds images under {part.threat}, where nothing is recorded")
        if part.images.shape[1:] != test.x.shape[1:]:
            shape = tuple(part.images.shape[1:])
            raise UserError(f"{path} holds images of shape {shape}, not {test.image_shape}")
        if (score := scores.pop(part.threat, None)) is not None:  # the first of this threat
            meter.begin(_part(score), _n_saved(score, len(test.y)))
        for index, images in zip(
            part.index.split(BATCH_SIZE), part.images.split(BATCH_SIZE), strict=True
        ):
            batch = SavedImages(part.threat, part.attack, index, images)
            shown[part.threat].append(examine(model, test, right, batch))
            meter.judged(len(index))
    return {
        threat: pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=SHOWN)
        for threat, tables in shown.items()
    }
