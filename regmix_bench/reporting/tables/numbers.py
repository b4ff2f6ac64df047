"""The numbers of the comparison in long form, as CSV files hold them: raw, and nothing rounded."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.analysis.statistics import accuracy_interval
from regmix_bench.analysis.words import recipe_words
from regmix_bench.records.accuracies import ACCURACIES, attack_words


def averages(blocks: Sequence[Block]) -> pd.DataFrame:
    """Return all blocks in long form: one row per block, method and metric, in raw units."""
    return pd.DataFrame(
        [
            {
                "table": block.stem,
                "dataset": block.cohort.setting.title,
                "data_digest": block.cohort.setting.data_digest,
                "train_examples": block.cohort.setting.train_examples,
                "eval_examples": block.cohort.setting.eval_examples,
                "arch": block.cohort.setting.arch,
                "recipe": recipe_words(block.cohort.setting.recipe),
                **block.csv_columns,
                "method": row.group.method,
                "label": row.label,
                "tricks": str(row.group.tricks),
                "labels": str(row.group.spec.supervision),
                "group_id": row.group.spec.group_id,
                "attacks": attack_words(block.cohort.setting.scoring),
                "metric": metric,
                "mean": stat.mean,
                "std": stat.std,
                "n": stat.n,
                "low": stat.low,
                "high": stat.high,
            }
            for block in blocks
            for row in block.rows
            for metric, stat in row.metrics.items()
        ],
    )


def run_accuracies(cohorts: Sequence[Cohort]) -> pd.DataFrame:
    """Return every accuracy of every run, 0 to 1, with its 95 % interval over images (Wilson)."""
    return pd.DataFrame(
        [
            {
                **cohort.csv_columns,
                "label": group.label,
                "tricks": str(group.tricks),
                "labels": str(group.spec.supervision),
                "seed": run.spec.seed,
                "run_id": run.record.run_id,
                "checkpoint": score.checkpoint,
                "eval_norm": score.threat.norm,
                "eval_epsilon": str(score.threat.epsilon),
                "attacks": attack_words(run.spec.scoring),
                "metric": accuracy.id,
                "accuracy": share,
                "n_examples": score.n_examples,
                "low": low,
                "high": high,
            }
            for cohort in cohorts
            for group in cohort.groups
            for run in group.runs
            for score in run.record.evaluations
            for accuracy in ACCURACIES
            if (share := accuracy.read(score)) is not None
            for low, high in (accuracy_interval(share, score.n_examples),)
        ]
    )


_FAILED = (
    "run_id",
    "dataset",
    "arch",
    "train_norm",
    "train_epsilon",
    "label",
    "seed",
    "error",
)


def failed_runs(cohorts: Sequence[Cohort]) -> pd.DataFrame:
    """Return every failed run once, with the reason it gave."""
    rows = {
        run.record.run_id: (
            run.record.run_id,
            run.spec.dataset_words,
            run.spec.arch,
            run.spec.train_threat.norm,
            str(run.spec.train_threat.epsilon),
            run.spec.method.label,
            run.spec.seed,
            run.record.error,
        )
        for cohort in cohorts
        for run in cohort.failures
    }
    return pd.DataFrame(list(rows.values()), columns=list(_FAILED))
