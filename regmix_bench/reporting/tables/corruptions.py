"""Models on common corruptions: their tables and numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import pandas as pd

from regmix_bench.analysis.cohorts import short_digest
from regmix_bench.analysis.statistics import accuracy_interval
from regmix_bench.records.schema import CorruptionRecord
from regmix_bench.records.words import CORRUPTED_BY
from regmix_bench.reporting.values import Cell, Column, Table, measured
from regmix_bench.specs.corruptions import ARRAYS, CORRUPTIONS, SEVERITIES, CorruptionSource


@dataclass(frozen=True)
class CorruptionTerms:
    """All that models must share before their accuracies under corruptions stand side by side."""

    dataset: str
    words: str
    data_digest: str
    n_examples: int
    corruptions: CorruptionSource
    seed: int
    arrays: str | None = None

    @classmethod
    def of(cls, record: CorruptionRecord) -> CorruptionTerms:
        """Return the terms of a record."""
        return cls(
            dataset=record.spec.dataset,
            words=record.spec.dataset_words,
            data_digest=record.data_digest,
            n_examples=record.n_examples,
            corruptions=record.spec.corruptions,
            seed=record.spec.seed,
            arrays=str(found) if (found := record.environment.get(ARRAYS)) else None,
        )

    @cached_property
    def stem(self) -> str:
        """The part of a file name that follows from the terms alone."""
        names = ("data_digest", "n_examples", "seed", *(["arrays"] if self.arrays else []))
        short = short_digest(self, names)
        return f"corruptions-{self.dataset}-{short}-{self.corruptions}"


@dataclass(frozen=True)
class CorruptionPanel:
    """One table of records by their rows' labels, the highest mean first."""

    terms: CorruptionTerms
    rows: tuple[tuple[str, CorruptionRecord], ...]

    @property
    def heading(self) -> str:
        """The line above the table: ``cifar10: CIFAR-10-C``."""
        return f"{self.terms.words}: {CORRUPTED_BY[self.terms.corruptions]}"


def corruption_panels(records: Iterable[CorruptionRecord]) -> tuple[CorruptionPanel, ...]:
    """Sort records into tables, by data set and source of corruptions."""
    found: dict[CorruptionTerms, list[CorruptionRecord]] = defaultdict(list)
    for record in records:
        found[CorruptionTerms.of(record)].append(record)
    return tuple(
        CorruptionPanel(terms, _rows(found[terms]))
        for terms in sorted(found, key=lambda t: (t.dataset, t.corruptions, t.stem))
    )


def corruptions_table(panel: CorruptionPanel) -> Table:
    """Return the table of a panel: a model a row, a corruption a column."""
    terms = panel.terms
    records = [record for _, record in panel.rows]
    n = terms.n_examples
    return Table.of(
        f"{panel.heading}. Accuracy under fifteen common corruptions.",
        (
            (Column("model", "Model"), [Cell(label) for label, _ in panel.rows]),
            (Column("arch", "Arch"), [Cell(record.spec.arch_words) for record in records]),
            (
                Column("clean_acc", "Clean", "estimate", "higher"),
                [measured(record.clean_acc, n) for record in records],
            ),
            (
                Column("mean_accuracy", "Mean", "number", "higher"),
                [Cell(record.mean_accuracy, "share", count=n) for record in records],
            ),
            *(
                (
                    Column(name, shown(name), "number", "higher"),
                    [Cell(fmean(record.accuracy[name]), "share", count=n) for record in records],
                )
                for name in CORRUPTIONS
            ),
        ),
        (
            f"Percent of {n:,} test images, mean over severities 1 to {SEVERITIES} of each"
            " corruption; Mean is that over all of them. Clean has its 95 % interval (Wilson)."
            + (f" The SHA-256 of the arrays begins {terms.arrays[:12]}." if terms.arrays else ""),
        ),
    )


def corruption_accuracies(panels: Sequence[CorruptionPanel]) -> pd.DataFrame:
    """Return all panels in long form: accuracies 0 to 1 by model, corruption and severity."""
    return pd.DataFrame(
        [
            {
                "table": panel.terms.stem,
                "dataset": panel.terms.dataset,
                "corruptions": panel.terms.corruptions,
                "n_examples": panel.terms.n_examples,
                "run_id": record.run_id,
                "label": label,
                "arch": record.spec.arch,
                "weights_sha256": record.spec.model.sha256,
                "corruption": corruption,
                "severity": severity,
                "accuracy": share,
                "low": low,
                "high": high,
            }
            for panel in panels
            for label, record in panel.rows
            for corruption, severity, share in _cells(record)
            for low, high in (accuracy_interval(share, panel.terms.n_examples),)
        ]
    )


def shown(corruption: str) -> str:
    """Return a corruption as a reader sees it: ``gaussian noise``."""
    return corruption.replace("_", " ")


def _cells(record: CorruptionRecord) -> list[tuple[str, int, float]]:
    """The accuracies of a record by corruption and severity, those without one first."""
    cells = [
        (name, severity, share)
        for name, shares in record.accuracy.items()
        for severity, share in enumerate(shares, start=1)
    ]
    return [("", 0, record.clean_acc), *cells]


def _rows(records: Sequence[CorruptionRecord]) -> tuple[tuple[str, CorruptionRecord], ...]:
    uses = Counter(record.spec.label for record in records)
    # Say that two rows are not the same thing even where their labels do.
    rows = [
        (label if uses[label] == 1 else f"{label} #{record.run_id[:4]}", record)
        for record in records
        for label in (record.spec.label,)
    ]
    return tuple(sorted(rows, key=lambda row: (-row[1].mean_accuracy, row[0])))
