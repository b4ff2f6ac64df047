"""What a comparison table says: its columns, marks, caption, footnotes; and the raw numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from regmix_bench.analysis.blocks import Block, Row, Stat
from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.analysis.statistics import accuracy_interval
from regmix_bench.analysis.verdicts import Judgement
from regmix_bench.analysis.words import recipe_words, threat_words
from regmix_bench.records.accuracies import ACCURACIES, attack_words, robust_metric
from regmix_bench.reporting.formats.cells import Cell, Mark, Table, fixed
from regmix_bench.reporting.tables.footnotes import Remark, footnotes, remarks_on

MISSING = "–"
MINUTES = 1 / 60
PERCENT = 100.0


class Column(NamedTuple):
    """How a metric is shown: ``scale`` turns the raw number into the unit of the header."""

    metric: str
    header: str
    scale: float = PERCENT
    decimals: int = 1
    ranked: bool = False
    spread: bool = True


def comparison(block: Block, judgement: Judgement) -> Table:
    """The comparison table of a block, with its verdicts, caption, footnotes and failed runs."""
    columns = _columns(block)
    robust = robust_metric(block.cohort.setting.scoring)
    marks = {c.metric: _marks(block.rows, c) for c in columns if c.ranked}
    signs, signed = footnotes(
        (
            remark
            for row in block.rows
            for run, score in row.scores
            for remark in (
                *remarks_on(row.label, run.spec.seed, score),
                *(
                    Remark(row.label, run.spec.seed, "alarm", f"{kind} at epoch {alarm.epoch}")
                    for alarm in run.record.alarms
                    for kind in (alarm.kind.replace("-", " "),)
                ),
            )
        ),
        {row.label: row.seeds for row in block.rows},
    )
    judged = bool(judgement.comparisons)
    header: list[str] = ["Method"]
    for column in columns:
        header.append(column.header)
        if column.metric == robust:
            header.append("95 % interval")
            header += [f"{column.header} − {judgement.reference}"] if judged else []
    rows = []
    for row in block.rows:
        cells = [Cell(row.label, signs=signs.get(row.label, ""))]
        for column in columns:
            stat = row.metrics.get(column.metric)
            cells.append(number(stat, column, marks.get(column.metric, {}).get(row.label, "")))
            if column.metric == robust:
                cells.append(_interval(stat))
                cells += [_difference(row.label, judgement)] if judged else []
        rows.append((*cells, Cell(str(len(row.seeds)))))
    notes = (*_notes(block), *judgement.notes, *signed, *_failures(block))
    return Table(_caption(block), (*header, "Seeds"), tuple(rows), notes)


def number(stat: Stat | None, column: Column, mark: Mark = "") -> Cell:
    """A mean, with ± the standard deviation where there are several seeds."""
    if stat is None:
        return Cell(MISSING)
    shown = column.spread and stat.std is not None
    spread = f"± {fixed((stat.std or 0.0) * column.scale, column.decimals)}" if shown else ""
    return Cell(fixed(stat.mean * column.scale, column.decimals), spread, mark)


def accuracy(share: float | None, n: int) -> Cell:
    """An accuracy of ``n`` images (0 to 1), with its 95 % interval (Wilson)."""
    if share is None:
        return Cell(MISSING)
    return Cell(fixed(PERCENT * share), _between(*accuracy_interval(share, n)))


def numbers(blocks: Sequence[Block]) -> pd.DataFrame:
    """All blocks in long form: one row per block, method and metric, in raw units."""
    return pd.DataFrame(
        [
            {
                "table": block.stem,
                "dataset": block.cohort.setting.dataset,
                "data_digest": block.cohort.setting.data_digest,
                "train_examples": block.cohort.setting.train_examples,
                "eval_examples": block.cohort.setting.eval_examples,
                "arch": block.cohort.setting.arch,
                "recipe": recipe_words(block.cohort.setting.recipe),
                **describe(block.cohort),
                "eval_norm": block.eval_threat.norm,
                "eval_epsilon": str(block.eval_threat.epsilon),
                "checkpoint": block.checkpoint,
                "method": row.group.method,
                "label": row.label,
                "group_id": row.group.spec.group_id,
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


def models(cohorts: Sequence[Cohort]) -> pd.DataFrame:
    """Every accuracy of every run, 0 to 1, with its 95 % interval over images (Wilson)."""
    return pd.DataFrame(
        [
            {
                **describe(cohort),
                "label": group.label,
                "seed": run.spec.seed,
                "run_id": run.record.run_id,
                "checkpoint": score.checkpoint,
                "eval_norm": score.threat.norm,
                "eval_epsilon": str(score.threat.epsilon),
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


FAILED_COLUMNS = (
    "run_id",
    "dataset",
    "arch",
    "train_norm",
    "train_epsilon",
    "label",
    "seed",
    "error",
)


def failed(cohorts: Sequence[Cohort]) -> pd.DataFrame:
    """Every failed run once, with the reason it gave."""
    rows = {
        run.record.run_id: (
            run.record.run_id,
            run.spec.dataset,
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
    return pd.DataFrame(list(rows.values()), columns=list(FAILED_COLUMNS))


def describe(cohort: Cohort) -> dict[str, object]:
    """The columns that name a cohort in a CSV file; ``setting`` stands in the file names too."""
    return {
        "setting": cohort.setting_stem,
        "train_norm": cohort.train_threat.norm,
        "train_epsilon": str(cohort.train_threat.epsilon),
    }


def _columns(block: Block) -> tuple[Column, ...]:
    scoring = block.cohort.setting.scoring
    pgd = f"PGD-{scoring.pgd_steps}"
    last = (
        Column("last_pgd_acc", f"{pgd} last", ranked=True),
        Column("pgd_drop", "Drop", spread=False),
    )
    return (
        Column("clean_acc", "Clean", ranked=True),
        Column("pgd_acc", pgd, ranked=True),
        Column(robust_metric(scoring), attack_words(scoring), ranked=True),
        *(last if block.checkpoint == "selected" else ()),
        Column("training_seconds", "Train min", MINUTES, spread=False),
        Column("passes", "Passes", 1.0, spread=False),
        Column("scoring_seconds", "Score min", MINUTES, spread=False),
    )


def _interval(stat: Stat | None) -> Cell:
    if stat is None or stat.low is None or stat.high is None:
        return Cell(MISSING)
    return Cell(_between(stat.low, stat.high))


def _difference(label: str, judgement: Judgement) -> Cell:
    if label == judgement.reference:
        return Cell("reference")
    found = judgement.comparisons.get(label)
    if found is None:
        return Cell(MISSING)
    text = fixed(PERCENT * found.difference.value)
    sign = "+" if found.difference.value > 0 and float(text) else ""
    word = "n.d." if found.verdict == "not distinguishable" else found.verdict
    return Cell(sign + text, f"{_between(*found.difference.interval())} {word}")


def _between(low: float, high: float) -> str:
    return f"[{fixed(PERCENT * low)}, {fixed(PERCENT * high)}]"


def _marks(rows: Sequence[Row], column: Column) -> Mapping[str, Mark]:
    """Best and second by what is printed, so that numbers that look equal are marked alike."""
    shown = {
        row.label: float(f"{stat.mean * column.scale:.{column.decimals}f}")
        for row in rows
        if (stat := row.metrics.get(column.metric))
    }
    if len(shown) < 2:
        return {}
    places: tuple[Mark, Mark] = ("best", "second")
    ranks = dict(zip(sorted(set(shown.values()), reverse=True), places, strict=False))
    return {label: ranks.get(value, "") for label, value in shown.items()}


def _caption(block: Block) -> str:
    setting = block.cohort.setting
    checkpoint = {
        "selected": "checkpoint of highest validation PGD-10",
        "last": "last checkpoint",
    }[block.checkpoint]
    return (
        f"{setting.words}: trained under"
        f" {threat_words(block.cohort.train_threat)}, attacked under"
        f" {threat_words(block.eval_threat)}, {checkpoint}. Recipe: {recipe_words(setting.recipe)}."
    )


def _notes(block: Block) -> Iterator[str]:
    if not block.rows:
        return
    run, score = block.rows[0].scores[0]
    n = score.n_examples
    trained = f"{run.record.n_train:,} training and " if run.record.n_train else ""
    drop = "Drop: points of PGD accuracy that the last checkpoint has less."
    yield (
        f"Accuracy in percent, {trained}{n:,} test images (one standard error at most"
        f" {100 * math.sqrt(0.25 / n):.1f} points), mean ± sample standard deviation over seeds"
        " and 95 % interval of the mean over seeds (Student's t; of a single seed Wilson's, over"
        " images);"
        f" best bold, second underlined. {drop + ' ' if block.checkpoint == 'selected' else ''}"
        "Passes: images through the network, forwards and backwards, per training image and epoch."
        " Scoring covers every threat and checkpoint of a run."
    )
    machines = dict.fromkeys(
        f"{where['device']} (CPU threads: {where.get('threads', '?')})"
        for row in block.rows
        for where in (run.record.environment for run, _ in row.scores)
        if "device" in where
    )
    if machines:
        yield (
            f"Minutes were measured on {', '.join(machines)}; other work there lengthens them, and"
            " passes not."
        )
    if block.checkpoint == "selected":
        yield from filter(None, map(_selected_early, block.rows))


def _selected_early(row: Row) -> str:
    """What training went on to, where the checkpoint is from before it had well begun."""
    epochs = [run.record.selected_epoch or 0 for run, _ in row.scores]
    totals = {run.spec.recipe.epochs for run, _ in row.scores}
    lasts = [last for run, _ in row.scores if (last := run.record.evaluation("last", row.threat))]
    if not lasts or max(epochs) > min(totals) / 10:
        return ""
    clean, pgd = (
        fixed(PERCENT * statistics.fmean(getattr(last, metric) for last in lasts))
        for metric in ("clean_acc", "pgd_acc")
    )
    chosen = " and ".join(map(str, sorted({min(epochs), max(epochs)})))
    return (
        f"Selected after {'epochs' if ' ' in chosen else 'epoch'} {chosen} of {max(totals)}:"
        f" {row.label}, which after the last has {clean} clean and {pgd} under PGD."
    )


def _failures(block: Block) -> Iterator[str]:
    for run in block.cohort.failures:
        reason = next(iter((run.record.error or "").strip().splitlines()), "no reason recorded")
        yield f"Failed: {run.spec.method.label}, seed {run.spec.seed}: {reason}"
