"""Models that were scored as they are, without a training here: their tables and numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from regmix_bench.analysis.cohorts import short_digest
from regmix_bench.analysis.statistics import accuracy_interval
from regmix_bench.analysis.words import threat_words
from regmix_bench.records.accuracies import ACCURACIES, accuracies, attack_words
from regmix_bench.records.schema import EvalRecord, RobustEval
from regmix_bench.reporting.tables.footnotes import footnotes, remarks_on, search_note
from regmix_bench.reporting.values import Cell, Column, Table, measured
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel


@dataclass(frozen=True)
class Terms:
    """All that scores of given models must share before they may stand side by side."""

    dataset: str
    data_digest: str | None
    n_examples: int
    threat: ThreatModel
    scoring: Scoring
    #: What readers call the data, as the first of the records does.
    title: str = field(compare=False)

    @cached_property
    def stem(self) -> str:
        """The part of a file name that follows from the terms alone."""
        short = short_digest(self, ("data_digest", "n_examples", "scoring"))
        return f"evaluated-{self.dataset}-{short}-{self.threat.slug}"


@dataclass(frozen=True)
class GivenModel:
    """One model under the terms of its table."""

    label: str
    record: EvalRecord
    score: RobustEval


@dataclass(frozen=True)
class Panel:
    """One table, the most robust model first."""

    terms: Terms
    rows: tuple[GivenModel, ...]

    @property
    def stem(self) -> str:
        """The part of a file name that says which table it is."""
        return self.terms.stem


def evaluated_panels(records: Iterable[EvalRecord]) -> tuple[Panel, ...]:
    """Sort records into tables, by dataset, threat and what else they must share."""
    found: dict[Terms, list[tuple[EvalRecord, RobustEval]]] = defaultdict(list)
    for record in records:
        spec = record.spec
        for score in record.evaluations:
            terms = Terms(
                dataset=spec.dataset,
                data_digest=record.data_digest,
                n_examples=score.n_examples,
                threat=score.threat,
                scoring=spec.scoring,
                title=spec.dataset_words,
            )
            found[terms].append((record, score))
    return tuple(
        Panel(terms, _rows(found[terms]))
        for terms in sorted(
            found, key=lambda t: (t.dataset, t.threat.norm, t.threat.epsilon, t.stem)
        )
    )


def heading(panel: Panel) -> str:
    """Return ``digits: attacked under L∞ 8/255 by AutoAttack``."""
    terms = panel.terms
    threat = threat_words(terms.threat)
    return f"{terms.title}: attacked under {threat} by {attack_words(terms.scoring)}"


def evaluated_table(panel: Panel) -> Table:
    """Return the table of a panel, with its caption and footnotes."""
    terms = panel.terms
    signs, notes = footnotes(
        [remark for row in panel.rows for remark in remarks_on(row.label, None, row.score)],
        {row.label: [None] for row in panel.rows},
    )
    models = [row.record.spec.model for row in panel.rows]
    black_box = "Square needs no gradients: alone it is the black-box score. "
    return Table.of(
        f"{heading(panel)}. Models scored as given.",
        (
            (
                Column("model", "Model"),
                [Cell(row.label, signs=signs.get(row.label, "")) for row in panel.rows],
            ),
            (Column("arch", "Arch"), [Cell(row.record.spec.arch) for row in panel.rows]),
            (Column("source", "Source"), [Cell(f"{one.kind} {one.name}") for one in models]),
            (Column("weights", "Weights"), [Cell(one.sha256[:8]) for one in models]),
            *(
                (
                    Column(accuracy.id, accuracy.header(terms.scoring), "estimate", "higher"),
                    [measured(accuracy.read(row.score), terms.n_examples) for row in panel.rows],
                )
                for accuracy in accuracies(terms.scoring)
            ),
        ),
        (
            f"Accuracy in percent on {terms.n_examples:,} test images, with its 95 % interval"
            f" (Wilson). {black_box if terms.scoring.attacks == ('square',) else ''}Weights:"
            " the first digits of their SHA-256.",
            *search_note(terms.scoring),
            *notes,
        ),
    )


def evaluated_accuracies(found: Sequence[Panel]) -> pd.DataFrame:
    """Return all panels in long form: one row per panel, model and metric, accuracies 0 to 1."""
    return pd.DataFrame(
        [
            {
                "table": panel.stem,
                "dataset": panel.terms.title,
                "data_digest": panel.terms.data_digest,
                "n_examples": panel.terms.n_examples,
                "eval_norm": panel.terms.threat.norm,
                "eval_epsilon": str(panel.terms.threat.epsilon),
                "attacks": attack_words(panel.terms.scoring),
                "run_id": row.record.run_id,
                "label": row.label,
                "arch": row.record.spec.arch,
                "source": row.record.spec.model.kind,
                "source_name": row.record.spec.model.name,
                "weights_sha256": row.record.spec.model.sha256,
                "checks": ", ".join(row.score.checks),
                "metric": accuracy.id,
                "accuracy": share,
                "low": low,
                "high": high,
            }
            for panel in found
            for row in panel.rows
            for accuracy in ACCURACIES
            if (share := accuracy.read(row.score)) is not None
            for low, high in (accuracy_interval(share, panel.terms.n_examples),)
        ]
    )


def _rows(scored: Sequence[tuple[EvalRecord, RobustEval]]) -> tuple[GivenModel, ...]:
    uses = Counter(record.spec.label for record, _ in scored)
    # Say that two rows are not the same thing even where their labels do.
    rows = [
        GivenModel(label if uses[label] == 1 else f"{label} #{record.run_id[:4]}", record, score)
        for record, score in scored
        for label in (record.spec.label,)
    ]
    return tuple(sorted(rows, key=lambda row: (-(row.score.robust_acc or 0.0), row.label)))
