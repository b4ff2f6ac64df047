"""Accuracy on test images with common corruptions: each corruption at each severity, by image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from regmix_bench.data import EvalData
from regmix_bench.data.corruptions import Corrupted
from regmix_bench.errors import UserError, reason
from regmix_bench.evaluation.findings import Audit, Finding
from regmix_bench.evaluation.journal import Journal
from regmix_bench.evaluation.verdict import BatchOutcome, UnusableOutcome
from regmix_bench.loading.checks import check_model
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.logits import Float32Logits, depend_on_batch
from regmix_bench.models.predictions import PassCounter, margins, predict_logits
from regmix_bench.records.corrupted import WITHOUT, accuracies_of, read_corrupted
from regmix_bench.records.locks import run_lock
from regmix_bench.records.paths import artifacts_dir, corruption_path, own_outcomes_path
from regmix_bench.records.progress import Part, Progress, ProgressMeter
from regmix_bench.records.schema import CorruptionRecord, Cost
from regmix_bench.records.store import check_own_outcomes, load_record, save_record, write_parquet
from regmix_bench.specs import CorruptionSpec
from regmix_bench.specs.corruptions import CORRUPTIONS, SEVERITIES
from regmix_bench.system.machine import arithmetic, environment

if TYPE_CHECKING:
    import pandas as pd


def evaluate_corruptions(
    model: nn.Module,
    spec: CorruptionSpec,
    test: EvalData,
    corrupted: Corrupted,
    results: Path | None,
    device: torch.device,
    *,
    force: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[CorruptionRecord, pd.DataFrame]:
    """Score a model on corrupted images; returns the record, and the outcome of every image.

    Without a folder ``results`` nothing is written. With one, what is recorded there is returned,
    under the label of ``spec``, unless ``force`` discards it, and a scoring that was killed goes on
    after its last corruption and severity. Raises :class:`UserError` for a model that does not take
    these images, and :class:`~regmix_bench.records.locks.Busy` where another process scores it.
    """
    meter = ProgressMeter(on_progress)
    if results is None:
        return _scored(model.to(device), spec, test, corrupted, None, device, meter)
    path = corruption_path(results, spec)
    if path.exists() and not force:
        record = load_record(path)
        assert isinstance(record, CorruptionRecord)
        check_own_outcomes(path, record)
        if record.spec.label != spec.label:  # its files keep the names that they got
            record = record.model_copy(update={"spec": spec})
            save_record(results, record)
        return record, read_corrupted(own_outcomes_path(path))
    with run_lock(results, spec.run_id, say):
        folder = artifacts_dir(results, spec.run_id) / "corrupted"
        if force:
            _discard(folder)
        binding = {
            "weights' SHA-256": spec.model.sha256,
            "data's SHA-256": test.digest,
            "number of images": len(test.y),
            "source of corruptions": spec.corruptions,
            "seed": spec.seed,
            **corrupted.origin,
        }
        journal = Journal(folder, binding)
        record, outcomes = _scored(model.to(device), spec, test, corrupted, journal, device, meter)
        digest = write_parquet(own_outcomes_path(path), outcomes)
        record = record.model_copy(update={"outcomes_digest": digest})
        save_record(results, record)
        _discard(folder)
    return record, outcomes


def audit_corruptions(
    path: Path,
    record: CorruptionRecord,
    model: nn.Module,
    test: EvalData,
    corrupted: Corrupted,
    meter: ProgressMeter,
) -> Audit:
    """Audit a record at ``path``: the model is asked of every image again.

    Raises :class:`UserError` where the file of outcomes is missing, or not one.
    """
    findings = []
    file = own_outcomes_path(path)
    try:
        check_own_outcomes(path, record)
    except UserError as error:
        findings.append(Finding(str(error)))
    if record.outcomes_digest is None:
        findings.append(Finding("its accuracies name no outcomes", unproven=True))
    recorded = read_corrupted(file)
    audited = ChunkedModel(Float32Logits(model), Chunks(None))
    with arithmetic("fp32"):
        if depend_on_batch(audited, test.x):
            findings.append(Finding("the logits of an image depend on the rest of its batch"))
        outcomes = dict(_cells(audited, test, corrupted, None, meter))
    table = _table(test, outcomes)
    keys = ["corruption", "severity", "index"]
    both = table.merge(recorded, on=keys, how="left", suffixes=("", "_recorded"))
    wrong = both[both["correct"] != both["correct_recorded"]]
    for row in wrong.to_dict("records"):
        where = f"{row['corruption'] or 'no corruption'}, severity {row['severity']}"
        words = {True: "right", False: "wrong"}
        was = words.get(row["correct_recorded"], "missing")
        reason_ = f"{where}: {was} in the outcomes, {words[row['correct']]} by the model"
        findings.append(Finding(reason_, index=int(row["index"])))
    clean, shares = accuracies_of(table)
    for name, stored, now in (
        ("clean_acc", record.clean_acc, clean),
        *((name, record.accuracy[name], shares[name]) for name in CORRUPTIONS),
    ):
        if stored != now:
            findings.append(Finding(f"{name} is {stored} in the record, {now} by the images"))
    return Audit(len(table), len(table) - len(wrong), tuple(findings))


def _scored(
    model: nn.Module,
    spec: CorruptionSpec,
    test: EvalData,
    corrupted: Corrupted,
    journal: Journal | None,
    device: torch.device,
    meter: ProgressMeter,
) -> tuple[CorruptionRecord, pd.DataFrame]:
    plain = ChunkedModel(Float32Logits(model), Chunks(None))
    try:
        with arithmetic("fp32"):
            plain.chunks.fit(lambda: check_model(plain, test.x, test.num_classes))
            outcomes = dict(_cells(plain, test, corrupted, journal, meter))
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's model may raise anything, however late
        raise UserError(f"scoring failed: {reason(error)}") from error
    table = _table(test, outcomes)
    clean, shares_by_name = accuracies_of(table)
    record = CorruptionRecord(
        run_id=spec.run_id,
        spec=spec,
        data_digest=test.digest,
        n_examples=len(test.y),
        num_classes=test.num_classes,
        clean_acc=clean,
        accuracy=shares_by_name,
        scoring_cost=sum((one.cost for one in outcomes.values()), Cost()),
        environment={**environment(device), **corrupted.origin},
    )
    return record, table


def _cells(
    model: ChunkedModel,
    test: EvalData,
    corrupted: Corrupted,
    journal: Journal | None,
    meter: ProgressMeter,
) -> Iterator[tuple[tuple[str, int], BatchOutcome]]:
    """Yield what the model says without a corruption, and of each at each severity."""
    n = len(test.y)
    meter.plan({_part(name): SEVERITIES * n for name in CORRUPTIONS})
    cells = [(WITHOUT, 0), *((name, s) for name in CORRUPTIONS for s in range(1, SEVERITIES + 1))]
    for corruption, severity in cells:
        stage = corruption or "clean"
        if severity < 2:
            meter.begin(_part(corruption), SEVERITIES * n)
        found = None if journal is None else journal.read(stage, severity)
        again = found is not None
        if found is None:
            started = time.perf_counter()
            images = corrupted.images(corruption, severity) if corruption else test.x
            found = _judged(model, images, test.y, started)
            if journal is not None:
                journal.write(stage, severity, found)
        meter.passed(n, again=again)
        meter.judged(n)
        yield (corruption, severity), found


def _part(corruption: str) -> Part:
    return Part("given", "", corruption.replace("_", " "))


def _judged(model: ChunkedModel, images: Tensor, y: Tensor, started: float) -> BatchOutcome:
    with PassCounter(model) as passes:
        logits = model.chunks.fit(lambda: predict_logits(model, images))
    if not logits.isfinite().all():
        raise UnusableOutcome("the model returns logits that are not finite for corrupted images")
    pred = logits.argmax(1)
    nothing = torch.full_like(y, -1).cpu()
    return BatchOutcome(
        index=torch.arange(len(y)),
        pred=pred.cpu(),
        margin=margins(logits, y).cpu(),
        norm=nothing.double(),
        broke=(pred != y).cpu(),
        images=images[:0].cpu(),
        queries=nothing,
        cost=Cost(
            seconds=time.perf_counter() - started,
            forward_images=passes.forward_images,
        ),
    )


def _table(test: EvalData, outcomes: dict[tuple[str, int], BatchOutcome]) -> pd.DataFrame:
    """One row for each image, corruption and severity."""
    import pandas as pd

    labels = test.y.cpu()
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "corruption": corruption,
                    "severity": severity,
                    "index": test.index.numpy(),
                    "label": labels.numpy(),
                    "correct": (one.pred == labels).numpy(),
                    "pred": one.pred.numpy(),
                    "margin": one.margin.numpy(),
                }
            )
            for (corruption, severity), one in outcomes.items()
        ],
        ignore_index=True,
    )


def _discard(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
