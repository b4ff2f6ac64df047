"""Methods under common corruptions: the table of runs whose models saw corrupted images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np

from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.cohorts import Cohort, short_digest
from regmix_bench.analysis.standings import Standings, standings
from regmix_bench.analysis.verdicts import differences_note, labels_named, names_of_reference
from regmix_bench.analysis.words import threat_words
from regmix_bench.records.accuracies import CORRUPTION_ACC
from regmix_bench.records.corrupted import read_image_means
from regmix_bench.records.paths import own_outcomes_path
from regmix_bench.records.schema import CorruptionRecord
from regmix_bench.records.words import CORRUPTED_BY
from regmix_bench.reporting.tables.comparison import SEEDS, difference_cell
from regmix_bench.reporting.tables.corruptions import CorruptionTerms, shown
from regmix_bench.reporting.values import Cell, Column, Table, averaged, counted
from regmix_bench.specs.corruptions import CORRUPTIONS, SEVERITIES

#: The record of each seed, with the file that holds it.
Found = tuple[tuple[Path, CorruptionRecord], ...]


@dataclass(frozen=True)
class MethodsPanel:
    """One table: the methods of a cohort of which runs were asked of the same corrupted images.

    ``rows`` are labels with the records of one ``checkpoint`` of their runs, by rising seed; the
    row of label ``reference`` is the one that others are compared with, if there is one.
    """

    terms: CorruptionTerms
    cohort: Cohort
    checkpoint: str
    rows: tuple[tuple[str, Found], ...]
    reference: str | None

    @property
    def stem(self) -> str:
        """The part of a file name that says which table it is."""
        return f"{self.terms.stem}-methods-{short_digest(self, ('_place',))}"

    @property
    def heading(self) -> str:
        """The line above the table: ``cifar10, resnet8, trained under L∞ 8/255: CIFAR-10-C``."""
        trained = threat_words(self.cohort.train_threat)
        by = CORRUPTED_BY[self.terms.corruptions]
        return f"{self.cohort.setting.words}, trained under {trained}: {by}"

    @property
    def files(self) -> list[Path]:
        """The files that hold the outcomes of its images."""
        return [own_outcomes_path(path) for _, found in self.rows for path, _ in found]

    @cached_property
    def standings(self) -> Standings:
        """The standings by the share of an image's versions that a model gets right.

        An image counts once: its versions are no independent images. Raises :class:`UserError`
        where outcomes are missing or disagree with their record.
        """
        shares = {
            label: np.stack([read_image_means(*each)[CORRUPTION_ACC] for each in found])
            for label, found in self.rows
        }
        means = {label: Stat.of([r.mean_accuracy for _, r in found]) for label, found in self.rows}
        return standings(means, shares, self.reference)

    @property
    def _place(self) -> tuple[str, str]:
        return self.cohort.stem, self.checkpoint


def methods_panels(
    cohorts: Iterable[Cohort],
    records: Mapping[Path, CorruptionRecord],
    reference: str | None = None,
) -> tuple[MethodsPanel, ...]:
    """Return a table for each cohort of which two methods or more were asked of corrupted images.

    A record belongs to the run whose weights it says it is of, as its name and their SHA-256 say.
    Of several on the same images, such as all of them and as many by number, the first is taken: a
    training is one seed. Methods are compared with ``reference``, or with the one label that their
    runs name.
    """
    asked = defaultdict[tuple[str, str], dict[CorruptionTerms, tuple[Path, CorruptionRecord]]](dict)
    for path, record in records.items():
        weights = record.spec.model.name, record.spec.model.sha256
        asked[weights].setdefault(CorruptionTerms.of(record), (path, record))
    panels = []
    for cohort in cohorts:
        tables = defaultdict[tuple[CorruptionTerms, str], dict[str, Found]](dict)
        for group in cohort.groups:
            for run in group.runs:
                for checkpoint, file in run.record.checkpoints.items():
                    name = f"{run.record.run_id}:{checkpoint}"
                    for terms, one in asked.get((name, file.sha256), {}).items():
                        rows = tables[terms, checkpoint]
                        rows[group.label] = (*rows.get(group.label, ()), one)
        panels += [
            MethodsPanel(
                terms, cohort, checkpoint, tuple(rows.items()), _reference(cohort, rows, reference)
            )
            for (terms, checkpoint), rows in tables.items()
            if len(rows) > 1
        ]
    return tuple(panels)


def _reference(cohort: Cohort, rows: Collection[str], asked: str | None) -> str | None:
    groups = [group for group in cohort.groups if group.label in rows]
    names = names_of_reference(run for group in groups for run in group.runs)
    named = names if asked is None else [asked]
    found = labels_named(named[0], groups) if len(named) == 1 else []
    return found[0] if len(found) == 1 else None


def methods_table(panel: MethodsPanel) -> Table:
    """Return the table of a panel: a method a row, with verdicts, and a corruption a column."""
    found, rows = panel.standings, [[r for _, r in each] for _, each in panel.rows]
    labels = [label for label, _ in panel.rows]

    def column(values: Iterable[list[float]]) -> list[Cell]:
        return [averaged(Stat.of(each, panel.terms.n_examples), "share") for each in values]

    columns = [
        (Column("method", "Method"), [Cell(label) for label in labels]),
        (
            Column("clean_acc", "Clean", "mean", "higher"),
            column([r.clean_acc for r in row] for row in rows),
        ),
        (
            Column(CORRUPTION_ACC, "Corrupted", "mean", "higher"),
            column([r.mean_accuracy for r in row] for row in rows),
        ),
    ]
    if found.verdicts:
        header = f"Corrupted − {found.reference}"
        differences = [difference_cell(label, found) for label in labels]
        columns.append((Column("difference", header, "difference", "higher"), differences))
    columns += [
        (
            Column(name, shown(name), "number", "higher"),
            [Cell(fmean(fmean(r.accuracy[name]) for r in row), "share") for row in rows],
        )
        for name in CORRUPTIONS
    ]
    columns.append((Column(SEEDS, "Seeds", "count"), [counted(len(row)) for row in rows]))
    return Table.of(f"{panel.heading}.", columns, tuple(_notes(panel, found)), panel.heading)


def _notes(panel: MethodsPanel, found: Standings) -> Iterator[str]:
    yield (
        f"Accuracy in percent on {panel.terms.n_examples:,} test images of the"
        f" {panel.checkpoint} weights, mean ± sample standard deviation over seeds. Corrupted:"
        f" over {len(CORRUPTIONS)} corruptions at {SEVERITIES} severities each; an image counts"
        " once, by the share of its versions that are right."
    )
    if found.verdicts:
        yield differences_note("Corrupted", found, str(found.reference))
