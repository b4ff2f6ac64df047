"""Models that one evaluation attacked under several threats: each accuracy, and their union."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TypeAlias

from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.cohorts import Cohort, short_digest
from regmix_bench.analysis.words import threat_words
from regmix_bench.records.accuracies import attack_words
from regmix_bench.records.schema import EvalRecord, RunRecord, Score, UnionScore
from regmix_bench.records.unions import several_norms
from regmix_bench.reporting.values import Cell, Column, Kind, Table, averaged, measured
from regmix_bench.specs import Scoring
from regmix_bench.types import Checkpoint, ThreatModel

TITLE = "Under several threats"

#: One for each seed, of a given model one.
Records: TypeAlias = tuple[RunRecord | EvalRecord, ...]


@dataclass(frozen=True)
class ThreatPanel:
    """One table: the models that were scored under the same threats, on the same terms.

    ``rows`` are labels with their records; ``subject`` says what they share.
    """

    subject: str
    data_digest: str | None
    home: str
    threats: tuple[ThreatModel, ...]
    scoring: Scoring
    checkpoint: Checkpoint
    rows: tuple[tuple[str, Records], ...]

    @property
    def stem(self) -> str:
        """The part of a file name that says which table it is."""
        digits = short_digest(self, ("data_digest", "home", "threats", "scoring", "checkpoint"))
        return f"threats-{digits}"

    @property
    def heading(self) -> str:
        """Return ``digits: under L∞ 8/255, L2 0.5 by AutoAttack``."""
        threats = ", ".join(map(threat_words, self.threats))
        return f"{self.subject}: under {threats} by {attack_words(self.scoring)}"


def threat_panels(
    cohorts: Iterable[Cohort], given: Iterable[EvalRecord]
) -> tuple[ThreatPanel, ...]:
    """Return the tables of methods under threats of several norms, then those of given models.

    These have a table for several budgets of one norm too, which methods have a comparison each.
    """
    found: list[ThreatPanel] = []
    for cohort in cohorts:
        setting, rows = cohort.setting, defaultdict[tuple[ThreatModel, ...], list[_Row]](list)
        for group in cohort.groups:
            if several_norms(group.spec.eval_threats):
                records = tuple(run.record for run in group.runs)
                rows[_sorted(group.spec.eval_threats)].append((group.label, records))
        trained = f"{setting.words}, trained under {threat_words(cohort.train_threat)}"
        found += [
            ThreatPanel(
                subject=trained,
                data_digest=setting.data_digest,
                home=cohort.stem,
                threats=threats,
                scoring=setting.scoring,
                checkpoint="selected",
                rows=tuple(here),
            )
            for threats, here in rows.items()
        ]
    alike = defaultdict[tuple[object, ...], list[EvalRecord]](list)
    for record in given:
        spec = record.spec
        if len(spec.eval_threats) > 1:
            shared = record.data_digest, record.evaluations[0].n_examples, spec.scoring
            alike[(spec.dataset, _sorted(spec.eval_threats), *shared)].append(record)
    return (*found, *map(_given_panel, alike.values()))


def _sorted(threats: Iterable[ThreatModel]) -> tuple[ThreatModel, ...]:
    """Return threats in an order in which they are the same however they were typed."""
    return tuple(sorted(threats, key=lambda threat: (threat.norm, threat.epsilon)))


def _given_panel(records: Sequence[EvalRecord]) -> ThreatPanel:
    first = records[0]
    labels = [record.spec.label for record in records]
    return ThreatPanel(
        subject=first.spec.dataset,
        data_digest=first.data_digest,
        home=f"{first.spec.dataset} {first.evaluations[0].n_examples}",
        threats=_sorted(first.spec.eval_threats),
        scoring=first.spec.scoring,
        checkpoint="given",
        rows=tuple(
            (label if labels.count(label) == 1 else f"{label} #{record.run_id[:4]}", (record,))
            for label, record in zip(labels, records, strict=True)
        ),
    )


_Row: TypeAlias = tuple[str, Records]


def threats_table(panel: ThreatPanel) -> Table:
    """Return the table of a panel: accuracy without an attack, under each threat, under all."""
    given = panel.checkpoint == "given"
    kind: Kind = "estimate" if given else "mean"
    first = panel.threats[0]
    columns: list[tuple[Column, list[Cell]]] = [
        (
            Column("model" if given else "method", "Model" if given else "Method"),
            [Cell(label) for label, _ in panel.rows],
        ),
        (
            Column("clean_acc", "Clean", kind, "higher"),
            _cells(panel, _under(panel, first), "clean_acc"),
        ),
        *(
            (
                Column(f"robust@{threat}", threat_words(threat), kind, "higher"),
                _cells(panel, _under(panel, threat), "robust_acc"),
            )
            for threat in panel.threats
        ),
    ]
    union = ""
    if several_norms(panel.threats):
        columns.append(
            (
                Column("union_acc", "Union", kind, "higher"),
                _cells(panel, partial(_union, panel.checkpoint), "robust_acc"),
            )
        )
        union = (
            " Union: images that hold under every threat, counted image by image, which is no more"
            " than the least of the columns before it."
        )
    spread = "with its 95 % interval (Wilson)" if given else "mean ± standard deviation over seeds"
    images = panel.rows[0][1][0].evaluations[0].n_examples
    note = f"Accuracy in percent on {images:,} test images, {spread}.{union}"
    return Table.of(f"{panel.heading}.", columns, (note,), panel.subject)


_Read: TypeAlias = Callable[[RunRecord | EvalRecord], Score | None]


def _under(panel: ThreatPanel, threat: ThreatModel) -> _Read:
    return lambda record: record.evaluation(panel.checkpoint, threat)


def _union(checkpoint: Checkpoint, record: RunRecord | EvalRecord) -> UnionScore | None:
    return next((union for union in record.unions if union.checkpoint == checkpoint), None)


def _cells(panel: ThreatPanel, score_of: _Read, metric: str) -> list[Cell]:
    cells = []
    for _, records in panel.rows:
        scores = [score for record in records if (score := score_of(record)) is not None]
        values = [attrgetter(metric)(score) for score in scores]
        if not scores:
            cells.append(Cell())
        elif panel.checkpoint == "given":
            cells.append(measured(values[0], scores[0].n_examples))
        else:
            cells.append(averaged(Stat.of(values, scores[0].n_examples), "share"))
    return cells
