"""The comparison table of a block: its columns, marks, caption and footnotes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from regmix_bench.analysis.blocks import Block, Row
from regmix_bench.analysis.standings import Standings
from regmix_bench.analysis.targets import Target
from regmix_bench.analysis.words import checkpoint_words, recipe_words, threat_words
from regmix_bench.records.accuracies import ROBUST, accuracies
from regmix_bench.records.schema import parts_of
from regmix_bench.reporting.formats.cells import fixed
from regmix_bench.reporting.tables.footnotes import Remark, footnotes, remarks_on, search_note
from regmix_bench.reporting.tables.labels import labels_column
from regmix_bench.reporting.tables.overfitting import (
    overfitting_columns,
    overfitting_note,
    overfitting_remarks,
)
from regmix_bench.reporting.tables.race import race_columns, race_note
from regmix_bench.reporting.tables.throughput import throughput_columns, throughput_notes
from regmix_bench.reporting.tables.tricks import tricks_column, tricks_said
from regmix_bench.reporting.tables.tuning import effort_note
from regmix_bench.reporting.values import Cell, Column, Scale, Table, averaged, counted

#: Columns that the site treats in its own way, as their ids say.
INTERVAL = "robust_interval"
DIFFERENCE = "robust_difference"
SEEDS = "seeds"

Filled = tuple[Column, list[Cell]]


def comparison_table(
    block: Block,
    standings: Standings,
    target: Target | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    """Return the table of a block, with its verdicts, caption, footnotes and failed runs.

    With a ``target`` it says what each row spent on the way there. Its notes call rows by their
    ``names``, or else by their labels; its cells hold labels.
    """
    signs, signed = footnotes(_remarks(block), {row.label: row.seeds for row in block.rows}, names)
    labels = [Cell(row.label, signs=signs.get(row.label, "")) for row in block.rows]
    groups = [row.group for row in block.rows]
    filled: list[Filled] = [
        (Column("method", "Method"), labels),
        *_accuracies(block, standings),
        *_after_training(block),
        *overfitting_columns(block),
        *(
            (Column(metric, header, "number", "lower"), _cells(block, metric, scale))
            for metric, header, scale in _COSTS
        ),
        *race_columns(block, target),
        *throughput_columns(block),
        *tricks_column(block.cohort.setting, groups, block.checkpoint),
        *labels_column(block.cohort.setting, groups),
        (Column(SEEDS, "Seeds", "count"), [counted(len(row.seeds)) for row in block.rows]),
    ]
    searched = search_note(block.cohort.setting.scoring)
    said = (
        *_notes(block, names),
        *effort_note(block, names),
        *race_note(block, target, names),
        *searched,
    )
    notes = (*said, *standings.notes, *signed, *_failures(block, names))
    return Table.of(_caption(block), filled, notes, block.cohort.setting.words)


_COSTS: tuple[tuple[str, str, Scale], ...] = (
    ("training_seconds", "Train min", "seconds"),
    ("passes", "Passes", "plain"),
    ("scoring_seconds", "Score min", "seconds"),
)


def _accuracies(block: Block, standings: Standings) -> Iterator[Filled]:
    """The accuracies, the robust one with its interval and the verdicts on it."""
    scoring = block.cohort.setting.scoring
    for accuracy in accuracies(scoring):
        cells = _cells(block, accuracy.id, "share")
        header = accuracy.header(scoring)
        column = Column(accuracy.id, header, "mean", "higher")
        if accuracy.title != ROBUST:
            yield column, cells
        else:
            best = (row.label in standings.best for row in block.rows)
            yield column, [replace(c, best=b) for c, b in zip(cells, best, strict=True)]
            yield Column(INTERVAL, "95 % interval", "interval"), cells
            if standings.verdicts:
                column = Column(
                    DIFFERENCE, f"{header} − {standings.reference}", "difference", "higher"
                )
                yield column, [difference_cell(row.label, standings) for row in block.rows]


def _after_training(block: Block) -> Iterator[Filled]:
    """What became of the selected checkpoint by the end of training."""
    if block.checkpoint == "selected":
        header = f"PGD-{block.cohort.setting.scoring.pgd_steps} last"
        last = _cells(block, "last_pgd_acc", "share")
        yield Column("last_pgd_acc", header, "mean", "higher"), last
        yield Column("pgd_drop", "Drop", "number", "lower"), _cells(block, "pgd_drop", "points")


def _cells(block: Block, metric: str, scale: Scale) -> list[Cell]:
    return [averaged(row.metrics.get(metric), scale) for row in block.rows]


def difference_cell(label: str, standings: Standings) -> Cell:
    """Return a row's difference to the reference, with its interval and a word on it."""
    if label == standings.reference:
        return Cell("reference")
    found = standings.verdicts.get(label)
    if found is None:
        return Cell()
    word = "n.d." if found.relation == "not distinguishable" else found.relation
    # An end that looks like 0 would not tell on which side of it the interval lies.
    ends = found.interval or ()
    telling = (d for d in (1, 2, 3) if all(round(100 * abs(end), d) for end in ends))
    return Cell(found.difference, "points", next(telling, 4), interval=found.interval, word=word)


def _remarks(block: Block) -> Iterator[Remark]:
    for row in block.rows:
        for run, score in row.scores:
            for evaluation in parts_of(score, run.record.evaluations):
                yield from remarks_on(row.label, run.spec.seed, evaluation)
    yield from overfitting_remarks(block)


def _caption(block: Block) -> str:
    setting = block.cohort.setting
    checkpoint = checkpoint_words(block.checkpoint, setting.recipe)
    return (
        f"{setting.words}: trained under"
        f" {threat_words(block.cohort.train_threat)}, attacked under"
        f" {threat_words(block.eval_threat)}, {checkpoint}. Recipe: {recipe_words(setting.recipe)}."
        f" {tricks_said(setting, block.checkpoint)}"
    )


def _notes(block: Block, names: Mapping[str, str]) -> Iterator[str]:
    if not block.rows:
        return
    run, score = block.rows[0].scores[0]
    n = score.n_examples
    labels, n_train = run.record.labels, run.record.n_train
    seen = f" ({labels.labelled:,} with their label)" if labels is not None else ""
    shown = n_train and block.cohort.setting.supervision is not None
    trained = f"{n_train:,} training{seen} and " if shown else ""
    drop = "Drop: points of PGD accuracy that the last checkpoint has less."
    yield (
        f"Accuracy in percent, {trained}{n:,} test images (one standard error at most"
        f" {100 * math.sqrt(0.25 / n):.1f} points), mean ± sample standard deviation over seeds"
        " and 95 % interval of the mean over seeds (Student's t; of a single seed Wilson's, over"
        " images)."
        f" {drop + ' ' if block.checkpoint == 'selected' else ''}"
        "Passes: images through the network, forwards and backwards, per training image and epoch."
        " Scoring covers every threat and checkpoint of a run."
    )
    yield from overfitting_note(block)
    yield from throughput_notes(block)
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
        yield from filter(None, (_selected_early(row, names) for row in block.rows))


def _selected_early(row: Row, names: Mapping[str, str]) -> str:
    """What training went on to, where the checkpoint is from before it had well begun."""
    epochs = [run.record.selected_epoch or 0 for run, _ in row.scores]
    totals = {run.spec.recipe.epochs for run, _ in row.scores}
    lasts = [last for run, _ in row.scores if (last := run.record.score("last", row.threat))]
    if not lasts or max(epochs) > min(totals) / 10:
        return ""
    clean, pgd = (
        fixed(100 * statistics.fmean(getattr(last, metric) for last in lasts))
        for metric in ("clean_acc", "pgd_acc")
    )
    chosen = " and ".join(map(str, sorted({min(epochs), max(epochs)})))
    return (
        f"Selected after {'epochs' if ' ' in chosen else 'epoch'} {chosen} of {max(totals)}:"
        f" {names.get(row.label, row.label)}, which after the last has {clean} clean and"
        f" {pgd} under PGD."
    )


def _failures(block: Block, names: Mapping[str, str]) -> Iterator[str]:
    for run in block.cohort.failures:
        reason = next(iter((run.record.error or "").strip().splitlines()), "no reason recorded")
        label = run.spec.method.label
        yield f"Failed: {names.get(label, label)}, seed {run.spec.seed}: {reason}"
