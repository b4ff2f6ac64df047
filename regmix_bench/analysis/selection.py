"""The gain of selecting a checkpoint, on the images that selected it and on those of the test.

An epoch that is the best of many on the validation part is so by chance too. The gain that it shows
there is therefore larger than that on other images, and the difference of the two is the optimism
of selection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.cohorts import Cohort, Group, Run
from regmix_bench.analysis.statistics import mcnemar
from regmix_bench.records.checkpoints import checkpoint_of, epoch_of, validation_accuracy
from regmix_bench.records.outcomes import read_images, recorded_outcomes
from regmix_bench.records.paths import outcomes_path
from regmix_bench.records.schema import RobustEval
from regmix_bench.types import ThreatModel, Weights

#: In the order of columns.
WEIGHTS: tuple[Weights, ...] = ("averaged", "raw")


@dataclass(frozen=True)
class Selected:
    """The selected checkpoint of one run beside the last one of the same weights, under a threat.

    ``validation`` are their accuracies (0 to 1) under PGD-10 on the validation part, None of one
    that is not known. ``changed`` counts test images that PGD leaves right at the last checkpoint
    alone, and those at the selected one alone; None where outcomes per image are not recorded.
    """

    run: Run
    weights: Weights
    epochs: tuple[int | None, int | None]
    validation: tuple[float | None, float | None]
    selected: RobustEval
    last: RobustEval
    changed: tuple[int, int] | None

    @classmethod
    def of(cls, run: Run, weights: Weights, threat: ThreatModel) -> Selected | None:
        """Return what a run has recorded of such weights; None unless both are scored.

        Raises :class:`UserError` where a file of outcomes disagrees with the record.
        """
        record = run.record
        names = [checkpoint_of(record, weights, choice) for choice in ("selected", "last")]
        selected, last = (record.evaluation(name, threat) for name in names)
        if selected is None or last is None:
            return None
        epochs = [epoch_of(record, name) for name in names]
        shares = [validation_accuracy(record, name) for name in names]
        return cls(
            run,
            weights,
            (epochs[0], epochs[1]),
            (shares[0], shares[1]),
            selected,
            last,
            _changed(run, selected, last),
        )

    @property
    def validation_gain(self) -> float | None:
        """Accuracy under PGD-10 that was gained on the validation part, −1 to 1."""
        selected, last = self.validation
        return None if selected is None or last is None else selected - last

    @property
    def test_gain(self) -> float:
        """Accuracy under PGD that was gained on test images, −1 to 1."""
        return self.selected.pgd_acc - self.last.pgd_acc

    @property
    def optimism(self) -> float | None:
        """The gain on the validation part less that on test images."""
        gain = self.validation_gain
        return None if gain is None else gain - self.test_gain

    @property
    def p_value(self) -> float | None:
        """Result of McNemar's exact two-sided test of the gain on test images."""
        return None if self.changed is None else mcnemar(*self.changed)


@dataclass(frozen=True)
class SelectionGain:
    """The gain of selecting, over the seeds of a row: means with 95 % intervals over seeds."""

    validation: Stat | None
    test: Stat | None
    optimism: Stat | None
    p_value: float | None

    @classmethod
    def of(cls, found: Iterable[Selected]) -> SelectionGain:
        """Summarise the seeds of a row; its test pools the images of all, where all have them."""
        found = list(found)
        changed = [each.changed for each in found if each.changed is not None]
        whole = bool(changed) and len(changed) == len(found)
        lost, gained = (sum(counts) for counts in zip(*changed, strict=True)) if whole else (0, 0)
        return cls(
            Stat.of(each.validation_gain for each in found),
            Stat.of(each.test_gain for each in found),
            Stat.of(each.optimism for each in found),
            mcnemar(lost, gained) if whole else None,
        )


@dataclass(frozen=True)
class Selections:
    """The selected and the last checkpoints of a cohort's rows under one threat.

    Of each row there are, by their weights, those of each seed that has both.
    """

    cohort: Cohort
    threat: ThreatModel
    rows: tuple[tuple[Group, Mapping[Weights, tuple[Selected, ...]]], ...]

    @property
    def stem(self) -> str:
        """The name of its files without their endings."""
        elsewhere = self.threat != self.cohort.train_threat
        at = f"-at-{self.threat.slug}" if elsewhere else ""
        return f"checkpoints-{self.cohort.stem}{at}"


def selections_of(cohort: Cohort) -> tuple[Selections, ...]:
    """Return the checkpoints of a cohort under each threat that some run has both under."""
    threats = {
        score.threat
        for group in cohort.groups
        for run in group.runs
        for score in run.record.evaluations
    }
    found = []
    for threat in sorted(threats, key=lambda threat: (threat.norm, threat.epsilon)):
        rows = []
        for group in cohort.groups:
            by_weights = {
                weights: tuple(
                    each for run in group.runs if (each := Selected.of(run, weights, threat))
                )
                for weights in WEIGHTS
            }
            if any(by_weights.values()):
                rows.append((group, by_weights))
        if rows:
            found.append(Selections(cohort, threat, tuple(rows)))
    return tuple(found)


def selection_files(found: Iterable[Selections]) -> list[Path]:
    """List the outcomes files that :func:`selections_of` reads, where there are two to compare."""
    return [
        outcomes_path(each.run.path, score.checkpoint)
        for part in found
        for _, by_weights in part.rows
        for runs in by_weights.values()
        for each in runs
        if each.changed is not None
        for score in (each.selected, each.last)
    ]


def _changed(run: Run, selected: RobustEval, last: RobustEval) -> tuple[int, int] | None:
    files = [recorded_outcomes(run.path, score) for score in (selected, last)]
    if files[0] is None or files[1] is None:
        return None
    one, two = read_images(files[0], selected), read_images(files[1], last)
    right, left = (images.right["pgd_acc"][np.argsort(images.index)] for images in (one, two))
    return int((left & ~right).sum()), int((right & ~left).sum())
