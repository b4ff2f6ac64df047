"""What a comparison table says: its columns, marks, caption, footnotes; and the raw numbers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from regmix_bench.reporting.blocks import Block, Row, Stat
from regmix_bench.reporting.cells import Cell, Mark, Table, fixed
from regmix_bench.reporting.cohorts import Cohort
from regmix_bench.types import Recipe, ThreatModel

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


def comparison(block: Block) -> Table:
    """The comparison table of a block, with its caption, footnotes and failed runs."""
    columns = _columns(block)
    marks = {c.metric: _marks(block.rows, c) for c in columns if c.ranked}
    signs, footnotes = _footnotes(block.rows)
    rows = tuple(
        (
            Cell(row.label, signs=signs.get(row.label, "")),
            *(
                number(row.metrics.get(c.metric), c, marks.get(c.metric, {}).get(row.label, ""))
                for c in columns
            ),
            Cell(str(len(row.seeds))),
        )
        for row in block.rows
    )
    header = ("Method", *(column.header for column in columns), "Seeds")
    return Table(_caption(block), header, rows, (*_notes(block), *footnotes, *_failures(block)))


def number(stat: Stat | None, column: Column, mark: Mark = "") -> Cell:
    """A mean, with ± the standard deviation where there are several seeds."""
    if stat is None:
        return Cell(MISSING)
    shown = column.spread and stat.std is not None
    spread = f"± {fixed((stat.std or 0.0) * column.scale, column.decimals)}" if shown else ""
    return Cell(fixed(stat.mean * column.scale, column.decimals), spread, mark)


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
            }
            for block in blocks
            for row in block.rows
            for metric, stat in row.metrics.items()
        ],
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


def threat_words(threat: ThreatModel) -> str:
    """``L∞ 8/255``."""
    return f"{norm_words(threat.norm)} {threat.epsilon}"


def norm_words(norm: str) -> str:
    """``L∞`` or ``L2``."""
    return "L∞" if norm == "Linf" else norm


def recipe_words(recipe: Recipe) -> str:
    """A recipe as a reader would say it."""
    drops = ", ".join(f"{100 * milestone:.0f} %" for milestone in recipe.milestones)
    schedule = {
        "multistep": f"×{recipe.gamma:g} at {drops} of the epochs" if drops else "constant",
        "cosine": "cosine schedule",
        "onecycle": "one-cycle schedule",
    }[recipe.schedule]
    augmentation = {
        "none": "no augmentation",
        "crop": "random crop",
        "crop-flip": "random crop and flip",
    }[recipe.augmentation]
    words = [
        f"{recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''}",
        f"batch {recipe.batch_size}",
        f"SGD with {'Nesterov ' if recipe.nesterov else ''}momentum {recipe.momentum:g}",
        f"learning rate {recipe.lr:g} ({schedule})",
        f"weight decay {recipe.weight_decay:g}",
        augmentation,
    ]
    if recipe.gradient_clip is not None:
        words.append(f"gradient norm clipped at {recipe.gradient_clip:g}")
    if recipe.ema_decay is not None:
        words.append(f"weights averaged with decay {recipe.ema_decay:g}")
    return ", ".join([*words, recipe.precision])


def _columns(block: Block) -> tuple[Column, ...]:
    pgd = f"PGD-{block.cohort.setting.scoring.pgd_steps}"
    last = (
        Column("last_pgd_acc", f"{pgd} last", ranked=True),
        Column("pgd_drop", "Drop", spread=False),
    )
    return (
        Column("clean_acc", "Clean", ranked=True),
        Column("pgd_acc", pgd, ranked=True),
        Column("autoattack_acc", "AutoAttack", ranked=True),
        *(last if block.checkpoint == "selected" else ()),
        Column("training_seconds", "Train min", MINUTES, decimals=2, spread=False),
        Column("passes", "Passes", 1.0, spread=False),
        Column("scoring_seconds", "Score min", MINUTES, decimals=2, spread=False),
    )


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
        f"{setting.dataset}, {setting.arch}: trained under"
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
        f" {100 * math.sqrt(0.25 / n):.1f} points), mean ± sample standard deviation over seeds;"
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
        yield f"Minutes were measured on {', '.join(machines)}."


def _failures(block: Block) -> Iterator[str]:
    for run in block.cohort.failures:
        reason = next(iter((run.record.error or "").strip().splitlines()), "no reason recorded")
        yield f"Failed: {run.spec.method.label}, seed {run.spec.seed}: {reason}"


def _footnotes(rows: Sequence[Row]) -> tuple[dict[str, str], list[str]]:
    """The footnote signs of each row label, and the footnotes."""
    signs: dict[str, str] = defaultdict(str)
    notes = []
    everyone = {row.label: list(row.seeds) for row in rows}
    for sign, lead in (
        ("†", "Alarm in training"),
        ("‡", "Raised in scoring"),
        ("§", "Attacks replaced"),
    ):
        found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for row in rows:
            for run, score in row.scores:
                texts = {
                    "†": [
                        f"{alarm.kind.replace('-', ' ')} at epoch {alarm.epoch}"
                        for alarm in run.record.alarms
                    ],
                    "‡": score.checks,
                    "§": score.substitutions,
                }[sign]
                for text in dict.fromkeys(texts):
                    found[text][row.label].append(run.spec.seed)
        for label in dict.fromkeys(label for where in found.values() for label in where):
            signs[label] += sign
        if found:
            parts = (f"{text} ({_where(where, everyone)})" for text, where in found.items())
            notes.append(f"{sign} {lead}: {'; '.join(parts)}.")
    return signs, notes


def _where(where: Mapping[str, list[int]], everyone: Mapping[str, list[int]]) -> str:
    if where == everyone:
        return "all runs"
    return ", ".join(
        f"{label} {'seed' if len(seeds) == 1 else 'seeds'} {'+'.join(map(str, seeds))}"
        for label, seeds in where.items()
    )
