"""Scored models as a table, one row for each record and evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regmix_bench.records.accuracies import ACCURACIES
from regmix_bench.records.alarms import alarms_of
from regmix_bench.records.checkpoints import epoch_of, weights_of
from regmix_bench.records.overfitting import Overfitting
from regmix_bench.records.schema import EvalRecord, RunRecord, TransferRecord
from regmix_bench.records.store import load_record, record_files
from regmix_bench.records.throughput import Throughput
from regmix_bench.records.tricks import seen_tricks, trained_with
from regmix_bench.specs.tricks import Tricks

if TYPE_CHECKING:
    import pandas as pd


#: Columns of :func:`load_results`; a folder without a scored model has them too.
COLUMNS = (
    *("run_id", "group_id", "status", "dataset", "arch", "method", "label", "seed", "norm"),
    *("train_epsilon", "epochs"),
    *("tricks", "true_class_mass", "ema_decay", "awp_gamma", "gradient_clip"),
    *("selected_epoch", "alarms"),
    *("onset_epoch", "val_pgd_drop"),
    *("training_seconds", "preparation_seconds", "scoring_seconds"),
    *(field.name for field in fields(Throughput)),
    "record",
    *("checkpoint", "weights", "checkpoint_epoch", "epsilon", "epsilon_value", "n_examples"),
    *(accuracy.id for accuracy in ACCURACIES),
    *("autoattack_version", "checks"),
)


def load_results(results: str | Path = "results") -> pd.DataFrame:
    """Return all scored models below ``results``, one row for each record and evaluation.

    Failed runs have one row with ``status`` "error" and no accuracies; a model that was not trained
    here has no ``method`` and nothing of a training. ``tricks`` are all that took effect in these
    weights, by recipe or method, in the words of tables, and ``true_class_mass`` to
    ``gradient_clip`` the numbers of those that have one, NaN where there is none: an average by a
    method's own rule has no decay. ``weights`` says whether a checkpoint
    is of raw weights or of an average. Accuracies are 0 to 1, ``epsilon`` is text as
    typed and ``epsilon_value`` its float. ``onset_epoch`` and ``val_pgd_drop`` are those of
    :class:`~regmix_bench.records.overfitting.Overfitting`. Rates, bytes and joules are those of
    :class:`~regmix_bench.records.throughput.Throughput`. ``record`` is the file's path, relative to
    ``results``. Raises :class:`UserError` at the first unreadable record.
    """
    import pandas as pd

    results = Path(results)
    rows: list[dict[str, Any]] = []
    for path in record_files(results):
        record = load_record(path)
        if not isinstance(record, TransferRecord):
            rows += _rows(record, path.relative_to(results).as_posix())
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(record: RunRecord | EvalRecord, path: str) -> Iterator[dict[str, Any]]:
    spec = record.spec
    model = {
        "run_id": record.run_id,
        "group_id": spec.group_id,
        "status": record.status,
        "dataset": spec.dataset,
        "arch": spec.arch,
        "label": spec.label,
        "seed": spec.seed,
        "scoring_seconds": record.scoring_cost.seconds,
        "record": path,
    }
    if isinstance(record, RunRecord):
        model |= {
            "method": record.spec.method.name,
            "norm": record.spec.train_threat.norm,
            "train_epsilon": str(record.spec.train_threat.epsilon),
            "epochs": record.spec.recipe.epochs,
            **_tricks(trained_with(record)),
            "selected_epoch": record.selected_epoch,
            "alarms": ", ".join(alarm.kind for alarm in alarms_of(record)),
            **_overfitting(record),
            "training_seconds": record.training_cost.seconds,
            "preparation_seconds": record.training_cost.preparation_seconds,
            **(vars(throughput) if (throughput := Throughput.of(record.history)) else {}),
        }
    if not record.evaluations:
        yield model
    for evaluation in record.evaluations:
        if isinstance(record, RunRecord):
            model |= _tricks(seen_tricks(trained_with(record), evaluation.checkpoint))
            model["weights"] = weights_of(record, evaluation.checkpoint)
            model["checkpoint_epoch"] = epoch_of(record, evaluation.checkpoint)
        yield model | {
            "norm": evaluation.threat.norm,
            "checkpoint": evaluation.checkpoint,
            "epsilon": str(evaluation.threat.epsilon),
            "epsilon_value": float(evaluation.threat.epsilon),
            "n_examples": evaluation.n_examples,
            **{accuracy.id: accuracy.read(evaluation) for accuracy in ACCURACIES},
            "autoattack_version": evaluation.autoattack_version,
            "checks": ", ".join(evaluation.checks),
        }


def _tricks(tricks: Tricks) -> dict[str, str | float]:
    decay = tricks.average if isinstance(tricks.average, float) else None
    return {
        "tricks": str(tricks),
        "true_class_mass": tricks.true_class_mass,
        "ema_decay": _number(decay),
        "awp_gamma": _number(tricks.awp_gamma),
        "gradient_clip": _number(tricks.gradient_clip),
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _overfitting(record: RunRecord) -> dict[str, float | None]:
    found = Overfitting.of(record.history, record.n_validation)
    return {"onset_epoch": found.onset, "val_pgd_drop": found.drop} if found else {}
