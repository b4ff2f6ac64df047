"""Scored models as a table, one row for each record and score."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from regmix_bench.methods.declarations import display_name
from regmix_bench.records.accuracies import ACCURACIES, attack_words
from regmix_bench.records.alarms import alarms_of
from regmix_bench.records.checkpoints import epoch_of, weights_of
from regmix_bench.records.overfitting import Overfitting
from regmix_bench.records.schema import (
    CorruptionRecord,
    EvalRecord,
    RunRecord,
    Score,
    TransferRecord,
    UnionScore,
)
from regmix_bench.records.store import load_record, record_files, require_results
from regmix_bench.records.throughput import Throughput
from regmix_bench.records.tricks import seen_tricks, trained_with
from regmix_bench.specs import Scoring
from regmix_bench.specs.tricks import Tricks
from regmix_bench.system.signatures import typed
from regmix_bench.types import Epsilon

if TYPE_CHECKING:
    import pandas as pd


_ACCURACY_WORDS = {
    "clean_acc": "accuracy without an attack, 0 to 1",
    "pgd_acc": "accuracy under PGD-20, 0 to 1",
    "autoattack_acc": "accuracy under AutoAttack or what attacks names instead, 0 to 1",
    "screened_acc": "the same of what PGD-20 left, another number, 0 to 1",
}


class Typed(NamedTuple):
    """A column of :func:`load_results`: its type in pandas, and what its values are."""

    dtype: str
    words: str


#: In the order of the table; a folder without a scored model has them too.
COLUMNS: dict[str, Typed] = {
    "run_id": Typed("string", "identity of the run or evaluation"),
    "group_id": Typed("string", "that of the same run with any seed; none of corruptions"),
    "kind": Typed("category", "run, evaluation of a model that was given, or corruptions"),
    "status": Typed("category", "success or error"),
    "dataset": Typed("category", "data set"),
    "arch": Typed("category", "architecture"),
    "method": Typed("category", "method, as --methods takes it; none of a model that was given"),
    "name": Typed("category", "method with its parameters, as tables show it"),
    "label": Typed("category", "the same as --methods takes it"),
    "seed": Typed("Int64", "seed of the training, else of the attacks or the corruptions"),
    "norm": Typed("category", "norm of ε, such as Linf, or union"),
    "train_epsilon": Typed("category", "ε of the training as typed, in order of size"),
    "epochs": Typed("Int64", "epochs of the training"),
    "tricks": Typed("category", "all tricks that took effect in these weights, in words"),
    "labels": Typed("category", "the labels that were seen, and the use of images without one"),
    "true_class_mass": Typed("float64", "what labels gave the true class, 1 where hard"),
    "ema_decay": Typed("float64", "decay of the average of weights, where it has one"),
    "awp_gamma": Typed("float64", "size of the perturbation of weights, where they were"),
    "gradient_clip": Typed("float64", "largest norm of a gradient, where it was clipped"),
    "selected_epoch": Typed("Int64", "epoch of the checkpoint selected"),
    "alarms": Typed("string", "alarms of the training, by commas"),
    "overfitted": Typed("boolean", "whether catastrophic overfitting set in"),
    "onset_epoch": Typed("Int64", "epoch in which it did"),
    "val_pgd_drop": Typed("float64", "validation PGD-10 accuracy, the best less the last, 0 to 1"),
    "training_seconds": Typed("float64", "time of the training steps"),
    "preparation_seconds": Typed("float64", "time of compilation and of capturing CUDA graphs"),
    "scoring_seconds": Typed("float64", "time of scoring, all checkpoints and threats"),
    "images_per_second": Typed("float64", "images trained on in a second"),
    "flop_per_second": Typed("float64", "FLOP/s of the training"),
    "mfu": Typed("float64", "share of the FLOP/s of a large matrix product, 0 to 1"),
    "peak_memory": Typed("Int64", "largest memory of the training, in bytes"),
    "energy": Typed("float64", "energy of the training, in joules"),
    "record": Typed("string", "path of the record, relative to the folder"),
    "checkpoint": Typed("category", "selected, last, raw-selected, raw-last, or given"),
    "weights": Typed("category", "raw or averaged"),
    "checkpoint_epoch": Typed("Int64", "epoch of these weights"),
    "epsilon": Typed("category", "ε of the attack as typed, in order of size"),
    "epsilon_value": Typed("float64", "the same as a number, of a pixel from 0 to 1"),
    "threats": Typed("category", "that norm and ε; of a union all threats, by commas"),
    "n_examples": Typed("Int64", "images scored"),
    **{
        accuracy.id: Typed("float64", _ACCURACY_WORDS.get(accuracy.id, "share right, 0 to 1"))
        for accuracy in ACCURACIES
    },
    "corruptions": Typed("category", "common corruptions: made here, or cifar10c"),
    "corruption_acc": Typed("float64", "mean accuracy over these at all severities, 0 to 1"),
    "attacks": Typed("category", "what gave the robust accuracy, as apgd-ce + square"),
    "autoattack_version": Typed(
        "category", "version of AutoAttack; custom where attacks are named"
    ),
    "checks": Typed("string", "what scoring warned of, by commas"),
}
#: Budgets as typed: their categories are in order of size.
_BUDGETS = ("train_epsilon", "epsilon")


@typed
def load_results(results: str | Path = "results") -> pd.DataFrame:
    """Return all scored models below ``results``, one row for each record and evaluation.

    :data:`COLUMNS` says of each column its type and what it holds: categories, ``Int64``,
    ``float64`` and ``boolean``. A run that failed has one row with ``status`` "error" and no
    accuracies; a model that was not trained here has nothing of a training. What holds under all of
    several threats has ``norm`` "union", no ε, and all of them as ``threats``; what was asked under
    common corruptions has ``kind`` "corruptions", one row with their mean. Accuracies are 0 to 1.
    Raises :class:`UserError` for what is not there or no folder, and at the first unreadable
    record.
    """
    import pandas as pd

    folder = Path(results)
    require_results(folder)
    rows: list[dict[str, Any]] = []
    for path in record_files(folder):
        record = load_record(path)
        if not isinstance(record, TransferRecord):
            rows += _rows(record, path.relative_to(folder).as_posix())
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in _BUDGETS:
        typed = sorted(set(frame[name].dropna()), key=lambda text: (Epsilon(text), text))
        frame[name] = pd.Categorical(frame[name], categories=typed, ordered=True)
    return frame.astype({k: c.dtype for k, c in COLUMNS.items() if k not in _BUDGETS})


def _rows(record: RunRecord | EvalRecord | CorruptionRecord, path: str) -> Iterator[dict[str, Any]]:
    spec = record.spec
    model = {
        "run_id": record.run_id,
        "kind": record.kind,
        "status": record.status,
        "dataset": spec.dataset_words,
        "arch": spec.arch,
        "name": spec.label,
        "label": spec.label,
        "seed": spec.seed,
        "scoring_seconds": record.scoring_cost.seconds,
        "record": path,
    }
    if isinstance(record, CorruptionRecord):
        yield model | {
            "checkpoint": "given",
            "n_examples": record.n_examples,
            "clean_acc": record.clean_acc,
            "corruptions": record.spec.corruptions,
            "corruption_acc": record.mean_accuracy,
        }
        return
    model["group_id"] = record.spec.group_id
    if isinstance(record, RunRecord):
        model |= {
            "method": record.spec.method.name,
            "name": display_name(record.spec.method),
            "norm": record.spec.train_threat.norm,
            "train_epsilon": str(record.spec.train_threat.epsilon),
            "epochs": record.spec.recipe.epochs,
            **_tricks(trained_with(record)),
            "labels": str(record.spec.supervision),
            "selected_epoch": record.selected_epoch,
            "alarms": ", ".join(alarm.kind for alarm in alarms_of(record)),
            **_overfitting(record),
            "training_seconds": record.training_cost.seconds,
            "preparation_seconds": record.training_cost.preparation_seconds,
            **(vars(throughput) if (throughput := Throughput.of(record.history)) else {}),
        }
    if not record.evaluations:
        yield model
    for score in record.scores:
        if isinstance(record, RunRecord):
            model |= _tricks(seen_tricks(trained_with(record), score.checkpoint))
            model["weights"] = weights_of(record, score.checkpoint)
            model["checkpoint_epoch"] = epoch_of(record, score.checkpoint)
        yield model | {
            **_attacked(score, record.spec.scoring),
            **_under(score),
            "checkpoint": score.checkpoint,
            "n_examples": score.n_examples,
            **{accuracy.id: accuracy.read(score) for accuracy in ACCURACIES},
        }


def _attacked(score: Score, scoring: Scoring) -> dict[str, str]:
    """What gave a score its robust accuracy; of a union, that of each threat."""
    if score.robust_acc is None:
        return {}
    return {
        "attacks": attack_words(scoring),
        "autoattack_version": scoring.autoattack_version,
    }


def _under(score: Score) -> dict[str, Any]:
    """The threat of a score, and what scoring under it said; of a union each threat has said it."""
    if isinstance(score, UnionScore):
        return {"norm": "union", "threats": ", ".join(map(str, score.threats))}
    return {
        "norm": score.threat.norm,
        "epsilon": str(score.threat.epsilon),
        "epsilon_value": float(score.threat.epsilon),
        "threats": str(score.threat),
        "autoattack_version": score.autoattack_version,
        "checks": ", ".join(score.checks),
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
    if found is None:
        return {}
    return {
        "overfitted": found.onset is not None,
        "onset_epoch": found.onset,
        "val_pgd_drop": found.drop,
    }
