"""Transfer: how robust models are to images that were crafted on other models.

Papernot, McDaniel and Goodfellow, "Transferability in machine learning", 2016. The attack is the
PGD-20 of the scores, so that the diagonal, where source and target are one, is their PGD accuracy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import EvalData
from regmix_bench.errors import UserError
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.recorded import recorded_images
from regmix_bench.loading.runs import find_checkpoint
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.predictions import BATCH_SIZE, PassCounter, accuracy, correct
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.records.paths import (
    TRANSFER,
    own_outcomes_path,
    transfer_path,
)
from regmix_bench.records.progress import Part, ProgressMeter, uncounted
from regmix_bench.records.schema import CheckpointFile, RunRecord, TransferRecord, TransferSide
from regmix_bench.records.store import (
    check_own_outcomes,
    check_writable,
    load_record,
    record_files,
    save_record,
    write_parquet,
)
from regmix_bench.specs import RunSpec, Scoring
from regmix_bench.system.machine import Device, arithmetic, choose_device, environment
from regmix_bench.types import Epsilon, ThreatModel

STEPS = Scoring().pgd_steps
ATTACK = f"pgd-{STEPS}"
SEED = 0

_Side = tuple[RunRecord, CheckpointFile, Path]


def transfer_matrix(
    runs: Sequence[str],
    results: str | Path = "results",
    *,
    epsilon: str | None = None,
    data_dir: str | Path | None = None,
    device: Device = "auto",
    begin: Callable[[RunSpec], ProgressMeter] = uncounted,
) -> TransferRecord:
    """Attack each run with images crafted on each, and record the matrix and every outcome.

    ``runs`` are at least two paths or run_ids (or the start of one), of one dataset and selection
    of test images; their selected checkpoints are used. The threat has the norm of the first run's
    training, and its ε unless ``epsilon`` is given. ``begin`` hears of each run that images are
    crafted on, and returns what counts the passes of that. A transfer that is recorded is returned
    as it is, in whatever order its runs are named. Raises :class:`UserError`, with nothing written,
    for runs that are unknown, named twice, of the same weights or cannot be compared, for an ε that
    is larger than any two images differ by, and for weights, data or recorded outcomes that are not
    here or not the recorded ones.
    """
    results, target = Path(results), choose_device(device)
    sides = [find_checkpoint(run, results, "selected") for run in runs]
    _check_comparable(sides)
    first = sides[0][0]
    trained = first.spec.train_threat
    threat = trained if epsilon is None else ThreatModel(trained.norm, Epsilon(epsilon))
    run_id = _identity(sides, threat)
    for path in record_files(results):
        if path.stem.endswith(f"-{run_id}") and isinstance(
            record := load_record(path), TransferRecord
        ):
            check_own_outcomes(path, record)
            return record

    check_writable(results / first.spec.dataset / TRANSFER)
    models = [load_checkpoint(path, file.sha256).to(target) for _, file, path in sides]
    test = recorded_images(first, target, data_dir, f"run {first.run_id}")
    test.attacked_data.require(threat)
    names = [record.run_id for record, _, _ in sides]
    with arithmetic("fp32"):
        outcomes = _outcomes([record for record, _, _ in sides], models, test, threat, begin)
    record = TransferRecord(
        run_id=run_id,
        dataset=first.spec.dataset,
        data_names=first.spec.data_names,
        data_digest=test.digest,
        eval_examples=first.spec.eval_examples,
        n_examples=len(test.y),
        threat=threat,
        attack=ATTACK,
        seed=SEED,
        runs=tuple(
            TransferSide(
                run_id=run.run_id,
                label=run.spec.label,
                arch=run.spec.arch,
                seed=run.spec.seed,
                sha256=file.sha256,
            )
            for run, file, _ in sides
        ),
        clean_acc=tuple(accuracy(outcomes["", name]) for name in names),
        accuracy=tuple(tuple(accuracy(outcomes[a, b]) for b in names) for a in names),
        environment=environment(target),
    )
    path = own_outcomes_path(transfer_path(results, record))
    record = record.model_copy(
        update={"outcomes_digest": write_parquet(path, _table(outcomes, test))}
    )
    save_record(results, record)
    return record


def craft(model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> Tensor:
    """Return PGD-20 end points (N, C, H, W) on ``model``, with the scores' batches and starts."""
    attack = PGD.of(steps=STEPS)
    parts = zip(x.split(BATCH_SIZE), y.split(BATCH_SIZE), strict=True)
    return torch.cat(
        [
            attack.perturb(model, images, labels, threat, seed=SEED + number)
            for number, (images, labels) in enumerate(parts)
        ]
    )


def _check_comparable(sides: Sequence[_Side]) -> None:
    if len(sides) < 2:
        raise UserError(f"a transfer needs two runs or more, and {len(sides)} is named")
    first = sides[0][0]
    for number, (record, _, _) in enumerate(sides):
        if record.run_id in [earlier.run_id for earlier, _, _ in sides[:number]]:
            raise UserError(f"run {record.run_id} is named twice")
        for what, mine, its in (
            ("dataset", first.spec.dataset, record.spec.dataset),
            ("data's SHA-256", first.data_digest, record.data_digest),
            ("eval_examples", first.spec.eval_examples, record.spec.eval_examples),
        ):
            if mine != its:
                raise UserError(
                    f"run {record.run_id} cannot be compared with {first.run_id}:"
                    f" its {what} is {its}, not {mine}"
                )
    # The attack would be white-box, and the matrix that of whichever of both was named first.
    weights: dict[str, str] = {}
    for record, file, _ in sides:
        if (twin := weights.setdefault(file.sha256, record.run_id)) != record.run_id:
            raise UserError(
                f"run {record.run_id} has the weights of {twin}: nothing is transferred from one to"
                " the other"
            )


def _identity(sides: Sequence[_Side], threat: ThreatModel) -> str:
    """Twelve hex digits of all that decides the numbers; the order of the runs does not."""
    first = sides[0][0]
    content = {
        "weights": sorted(file.sha256 for _, file, _ in sides),
        "data": first.data_digest,
        "eval_examples": first.spec.eval_examples,
        "norm": threat.norm,
        "epsilon": threat.epsilon.as_integer_ratio(),
        "attack": ATTACK,
        "seed": SEED,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _outcomes(
    runs: Sequence[RunRecord],
    models: Sequence[nn.Module],
    test: EvalData,
    threat: ThreatModel,
    begin: Callable[[RunSpec], ProgressMeter],
) -> dict[tuple[str, str], Tensor]:
    """Which images (N,) hold, by source and target; the source "" leaves them as they are."""
    targets = {
        run.run_id: ChunkedModel(model, Chunks(run.spec.scoring.forward_batch_size))
        for run, model in zip(runs, models, strict=True)
    }
    clean = {name: correct(model, test.x, test.y) for name, model in targets.items()}
    held = {("", name): flags for name, flags in clean.items()}
    sources: dict[str, AttackedModel] = {}  # of one architecture, whose recordings they share
    part, n = Part("selected", str(threat), ATTACK), len(test.y)
    for run, model in zip(runs, models, strict=True):
        meter = begin(run.spec)
        meter.plan({part: (PGD.of(steps=STEPS).passes + len(runs)) * n})
        meter.begin(part, n)
        source = sources.get(run.spec.arch_words)
        if source is None or not source.refresh(model, test.x):
            scoring = Scoring(forward_batch_size=run.spec.scoring.forward_batch_size)
            source = sources[run.spec.arch_words] = AttackedModel.of(model, test.x, scoring)
        with PassCounter(source.attacked, meter.passed):
            images = craft(source.attacked, test.x, test.y, threat)
        for name, target in targets.items():
            held[run.run_id, name] = clean[name] & correct(target, images, test.y)
            meter.passed(n)
    return held


def _table(outcomes: dict[tuple[str, str], Tensor], test: EvalData) -> pd.DataFrame:
    return pd.concat(
        pd.DataFrame(
            {
                "source": source,
                "target": target,
                "index": test.index.numpy(),
                "correct": flags.cpu().numpy(),
            }
        )
        for (source, target), flags in outcomes.items()
    )
