"""The numbers of one table: a cohort under one evaluation threat and checkpoint, over seeds."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from regmix_bench.analysis.cohorts import Cohort, Group, Run
from regmix_bench.analysis.statistics import accuracy_interval, t_interval
from regmix_bench.records.accuracies import ACCURACIES
from regmix_bench.records.checkpoints import last_beside
from regmix_bench.records.overfitting import Overfitting
from regmix_bench.records.schema import RobustEval, RunRecord, Score
from regmix_bench.records.throughput import Throughput
from regmix_bench.types import AnyThreat, Checkpoint, ThreatUnion


@dataclass(frozen=True)
class Stat:
    """Mean over seeds, sample standard deviation (n - 1; None for one seed), and their number.

    ``low`` and ``high`` are the ends of the 95 % interval of the mean, over seeds.
    """

    mean: float
    std: float | None
    n: int
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, values: Iterable[float | None], images: int | None = None) -> Stat | None:
        """Summarise the values that are not None; returns None where there are none.

        With ``images``, the values are accuracies on so many: the interval stays in [0, 1], and
        that of a single seed is Wilson's, over images.
        """
        present = [value for value in values if value is not None]
        if not present:
            return None
        mean, n = statistics.fmean(present), len(present)
        if n > 1:
            low, high = t_interval(present)
            if images:
                low, high = max(low, 0.0), min(high, 1.0)
            return cls(mean, statistics.stdev(present), n, low, high)
        if images:
            return cls(mean, None, n, *accuracy_interval(mean, images))
        return cls(mean, None, n)


@dataclass(frozen=True)
class Row:
    """One group under one threat or a union, and checkpoint: each run with its score there."""

    group: Group
    threat: AnyThreat
    scores: tuple[tuple[Run, Score], ...]

    @classmethod
    def of(cls, group: Group, threat: AnyThreat, checkpoint: Checkpoint) -> Row:
        found = ((run, run.record.score(checkpoint, threat)) for run in group.runs)
        return cls(group, threat, tuple((run, score) for run, score in found if score is not None))

    @property
    def label(self) -> str:
        return self.group.label

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.spec.seed for run, _ in self.scores)

    @property
    def evaluations(self) -> tuple[tuple[Run, RobustEval], ...]:
        """The scores under one threat: all of them, or of a union none."""
        return tuple((run, found) for run, found in self.scores if isinstance(found, RobustEval))

    @cached_property
    def metrics(self) -> Mapping[str, Stat]:
        """Raw numbers over seeds: accuracies 0 to 1, costs in seconds and in passes, rates.

        ``passes`` counts images through the network, forwards and backwards, per training image and
        epoch. ``pgd_drop`` is PGD accuracy of this checkpoint less that of the last one.
        ``onset_epoch``, over the seeds that have one, and ``val_pgd_drop`` are those of
        :class:`~regmix_bench.records.overfitting.Overfitting`; rates, bytes and joules those of
        :class:`~regmix_bench.records.throughput.Throughput`.
        """
        values: dict[str, list[float | None]] = defaultdict(list)
        for run, evaluation in self.scores:
            record = run.record
            last = record.score(last_beside(evaluation.checkpoint), self.threat)
            for accuracy in ACCURACIES:
                values[accuracy.id].append(accuracy.read(evaluation))
            values["last_pgd_acc"].append(last.pgd_acc if last else None)
            values["pgd_drop"].append(evaluation.pgd_acc - last.pgd_acc if last else None)
            found = Overfitting.of(record.history, record.n_validation)
            values["onset_epoch"].append(found.onset if found else None)
            values["val_pgd_drop"].append(found.drop if found else None)
            values["training_seconds"].append(record.whole_training_cost.seconds)
            values["passes"].append(_passes(record))
            values["scoring_seconds"].append(record.scoring_cost.seconds)
            if (throughput := Throughput.of(record.history)) is not None:
                for name, value in vars(throughput).items():
                    values[name].append(value)
                values["preparation_seconds"].append(record.training_cost.preparation_seconds)
        images = self.scores[0][1].n_examples
        shares = {"last_pgd_acc", *(accuracy.id for accuracy in ACCURACIES)}
        stats = {
            name: Stat.of(column, images if name in shares else None)
            for name, column in values.items()
        }
        return {name: stat for name, stat in stats.items() if stat is not None}


@dataclass(frozen=True)
class Block:
    """One table: a cohort under one evaluation threat or a union, scored at one checkpoint."""

    cohort: Cohort
    eval_threat: AnyThreat
    checkpoint: Checkpoint
    rows: tuple[Row, ...]

    @property
    def stem(self) -> str:
        elsewhere = self.eval_threat != self.cohort.train_threat
        return (
            self.cohort.stem
            + (f"-at-{self.eval_threat.slug}" if elsewhere else "")
            + ("" if self.checkpoint == "selected" else f"-{self.checkpoint}")
        )

    @property
    def at_home(self) -> bool:
        """True where it attacks selected weights under the threat that they are trained under."""
        return self.eval_threat == self.cohort.train_threat and self.checkpoint == "selected"

    @property
    def csv_columns(self) -> dict[str, object]:
        """The columns that name a block in a CSV file, those of its cohort first."""
        threat = self.eval_threat
        norm, epsilon = (
            ("union", ", ".join(map(str, threat.threats)))
            if isinstance(threat, ThreatUnion)
            else (threat.norm, str(threat.epsilon))
        )
        return {
            **self.cohort.csv_columns,
            "eval_norm": norm,
            "eval_epsilon": epsilon,
            "checkpoint": self.checkpoint,
        }


def blocks_of(cohort: Cohort) -> tuple[Block, ...]:
    """Make one block per evaluation threat, their unions last, and checkpoint that AutoAttack saw.

    The selected checkpoint always has its block, with or without AutoAttack. A cohort of failed
    runs alone has blocks without rows, so that the failures are still shown.
    """
    keys: dict[tuple[AnyThreat, Checkpoint], None] = {}
    for group in cohort.groups:
        for run in group.runs:
            for found in run.record.evaluations:
                attacked = found.robust_acc is not None or found.failed_attacks
                if found.checkpoint == "selected" or attacked:
                    keys[(found.threat, found.checkpoint)] = None
            for union in run.record.unions:
                if union.checkpoint == "selected" or union.robust_acc is not None:
                    keys[(union.threat, union.checkpoint)] = None
    if not cohort.groups:
        for run in cohort.failures:
            keys |= {(threat, "selected"): None for threat in run.spec.eval_threats}

    def place(key: tuple[AnyThreat, Checkpoint]) -> tuple[object, ...]:
        threat, checkpoint = key
        kind: tuple[object, ...] = (
            (True, threat.slug)
            if isinstance(threat, ThreatUnion)
            else (False, threat.norm, threat.epsilon)
        )
        return *kind, checkpoint != "selected", checkpoint

    blocks = []
    for threat, checkpoint in sorted(keys, key=place):
        rows = (Row.of(group, threat, checkpoint) for group in cohort.groups)
        blocks.append(Block(cohort, threat, checkpoint, tuple(r for r in rows if r.scores)))
    return tuple(blocks)


def _passes(record: RunRecord) -> float | None:
    visits = record.visits * len(record.history)
    return record.whole_training_cost.passes / visits if visits else None
