"""The claims of a record that no saved image bears out: made anew from weights, data and history.

A score without AutoAttack is measured again; what PGD leaves may differ where rounding does, by as
many images as :data:`PGD_ROUNDING` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
from torch import Tensor, nn

from regmix_bench.data import EvalData
from regmix_bench.errors import UserError
from regmix_bench.evaluation.findings import Audit, Finding
from regmix_bench.evaluation.transfer import craft
from regmix_bench.models.predictions import accuracy, correct
from regmix_bench.records.parquet import read_columns
from regmix_bench.records.paths import own_outcomes_path
from regmix_bench.records.schema import RobustEval, RunRecord, TransferRecord
from regmix_bench.records.selection import chosen_epochs
from regmix_bench.records.store import check_own_outcomes

#: Share of the images that another device, or a fused batch norm, may let PGD break or not.
PGD_ROUNDING = 0.02


def training_findings(record: RunRecord) -> Iterator[Finding]:
    """Yield what the history of a training contradicts: selected epoch, checkpoints, costs."""
    history, cost = list(record.history), record.training_cost
    if not history:
        reason = "there is no history, which the selected epoch and the costs follow from"
        yield Finding(reason, unproven=True)
        return
    last = len(history)
    epochs = chosen_epochs(history, record.spec.recipe.selection)
    counted = {
        "selected_epoch": (record.selected_epoch, epochs["selected"]),
        "recipe.epochs": (record.spec.recipe.epochs, last),
    }
    for name, (recorded, now) in counted.items():
        if recorded != now:
            yield Finding(f"{name} is {recorded} in the record, {now} by the history")
    for checkpoint, file in record.checkpoints.items():
        if file.epoch != (epoch := epochs.get(checkpoint)):
            reason = f"its epoch is {file.epoch} in the record, {epoch} by the history"
            yield Finding(reason, checkpoint)
    seconds = sum(log.seconds for log in history)
    if not math.isclose(cost.seconds, seconds, rel_tol=1e-6):
        yield Finding(f"training took {cost.seconds:g} s in the record, {seconds:g} by the history")
    least = record.visits * last
    for name in ("forward_images", "backward_images"):
        if (images := getattr(cost, name)) < least:
            yield Finding(f"training_cost.{name} is {images}, and {last} epochs take {least}")


def score_findings(
    score: RobustEval, model: nn.Module, test: EvalData, right: Tensor
) -> Iterator[Finding]:
    """Yield what does not hold of a score without saved images, by attacking ``model`` again.

    ``right`` (N,) bool says which clean images it gets right.
    """
    about = partial(Finding, checkpoint=score.checkpoint, threat=score.threat)
    claims = ("autoattack_acc", "screened_acc", "after_attack")
    if claimed := [name for name in claims if getattr(score, name) not in (None, {})]:
        bare = f"no saved adversarial image bears out {' and '.join(claimed)}"
        yield about(bare, unproven=True)
    n, clean = len(test.y), accuracy(right)
    if score.n_examples != n:
        yield about(f"n_examples is {score.n_examples} in the record, {n} by the data")
    if score.clean_acc != clean:
        yield about(f"clean_acc is {score.clean_acc} in the record, {clean} by the weights")
    images = craft(model, test.x, test.y, score.threat)
    pgd = accuracy(right & correct(model, images, test.y))
    if abs(score.pgd_acc - pgd) > max(PGD_ROUNDING, 1.5 / n):
        yield about(f"pgd_acc is {score.pgd_acc} in the record, {pgd} by the weights")


def audit_transfer(path: Path, record: TransferRecord) -> Audit:
    """Audit the transfer recorded at ``path`` by its outcomes, accuracy by accuracy.

    Raises :class:`UserError` where their file is missing, or another one than was recorded.
    """
    names = [side.run_id for side in record.runs]
    claims = {("", target): record.clean_acc[j] for j, target in enumerate(names)}
    claims |= {
        (source, target): record.accuracy[i][j]
        for i, source in enumerate(names)
        for j, target in enumerate(names)
    }
    if record.outcomes_digest is None:
        reason = f"{len(claims)} accuracies name no outcomes, which they would follow from"
        return Audit(len(claims), 0, (Finding(reason, unproven=True),))
    check_own_outcomes(path, record)
    shown = _transferred(own_outcomes_path(path), record.n_examples, len(claims))
    findings = tuple(
        Finding(
            f"accuracy of {target} under {f'images crafted on {source}' if source else 'no attack'}"
            f" is {recorded} in the record, {shown.get((source, target))} by the outcomes"
        )
        for (source, target), recorded in claims.items()
        if shown.get((source, target)) != recorded
    )
    return Audit(len(claims), len(claims) - len(findings), findings)


def _transferred(file: Path, n: int, pairs: int) -> dict[tuple[str, str], float]:
    """Accuracies by source and target, of those pairs that have ``n`` images."""
    types = {
        "source": pa.string(),
        "target": pa.string(),
        "index": pa.int64(),
        "correct": pa.bool_(),
    }
    try:
        frame = read_columns(file, types, n * pairs).to_pandas()
    except (OSError, ValueError) as error:
        raise UserError(f"{file} does not hold the outcomes of a transfer: {error}") from error
    grouped = frame.groupby(["source", "target"])
    return {
        (str(source), str(target)): int(rows["correct"].sum()) / n
        for (source, target), rows in grouped
        if len(rows) == rows["index"].nunique() == n
    }
