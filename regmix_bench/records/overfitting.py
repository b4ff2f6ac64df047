"""Overfitting to the attack of a training, read off its validation accuracies epoch by epoch.

Catastrophic overfitting (Wong et al., "Fast is better than free", 2020, section 5) is robustness to
a single step alone, robust overfitting (Rice et al., "Overfitting in adversarially robust deep
learning", 2020) a robust accuracy that falls while training goes on. Either shows in the history of
a run, whichever checkpoint was selected, so that it is derived of older records as of newer ones.
It is read off the raw weights: an average of them lags behind, and selection then finds the average
from before. And it is read off validation images, after each epoch: a step knows what its own
attack left of its batch, where PGD-10 would cost it ten passes more, and accuracies on different
images have no difference to read. What comes and goes within one epoch is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

from regmix_bench.records.schema import EpochLog

#: Overfitting is catastrophic where accuracy under FGSM is this far above that under PGD-10, and of
#: fewer images than some seventy by what chance leaves: of 14 three would be enough.
CATASTROPHIC_GAP = 0.20
#: Level of the one-sided tests, of a fall and of a gap.
FALL_LEVEL = 0.01
CRITICAL = NormalDist().inv_cdf(1 - FALL_LEVEL)
#: What rounding may add to a difference of two accuracies.
_ROUNDING = 1e-9


class RawAccuracy(NamedTuple):
    """Accuracies (0 to 1) of the raw weights on validation images, after an epoch."""

    epoch: int
    fgsm: float
    pgd: float

    @classmethod
    def of(cls, log: EpochLog) -> RawAccuracy:
        """Return those of an epoch; without an average of weights these are all there are."""
        if log.raw_val_fgsm_acc is None or log.raw_val_pgd_acc is None:
            return cls(log.epoch, log.val_fgsm_acc, log.val_pgd_acc)
        return cls(log.epoch, log.raw_val_fgsm_acc, log.raw_val_pgd_acc)

    @property
    def gap(self) -> float:
        """FGSM's less PGD-10's."""
        return self.fgsm - self.pgd


def beside_average(history: Sequence[EpochLog]) -> tuple[RawAccuracy, ...]:
    """Return the accuracies of the raw weights beside an average, by epoch; none without one.

    Before the average begins they are those of the only weights there are.
    """
    if all(log.raw_val_pgd_acc is None for log in history):
        return ()
    return tuple(map(RawAccuracy.of, history))


def difference_error(one: float, other: float, n: int) -> float:
    """Return the standard error of a difference of two accuracies (0 to 1), each of ``n`` images.

    As if each had its own images: of the same ones it is smaller.
    """
    return math.sqrt((one * (1 - one) + other * (1 - other)) / n)


@dataclass(frozen=True)
class Overfitting:
    """The overfitting that a history shows.

    ``onset`` is the first epoch at which FGSM leaves more than :data:`CATASTROPHIC_GAP` above
    PGD-10, significantly so, and ``latest`` the last one; None where there is none.
    ``largest_gap`` is the largest such difference. ``best`` is the epoch of highest accuracy under
    PGD-10, the earliest of equals, and ``last`` the last epoch. ``standard_error`` is that of their
    difference, None where the number of images is not known.
    """

    onset: int | None
    latest: int | None
    largest_gap: float
    best: RawAccuracy
    last: RawAccuracy
    standard_error: float | None

    @classmethod
    def of(cls, history: Sequence[EpochLog], n_validation: int | None) -> Overfitting | None:
        """Return that of a history on so many validation images; None where it has no epoch."""
        if not history:
            return None
        epochs = [RawAccuracy.of(log) for log in history]
        caught = [one.epoch for one in epochs if _is_catastrophic(one, n_validation)]
        best, last = max(epochs, key=lambda one: (one.pgd, -one.epoch)), epochs[-1]
        # The images are the same, so that the error is smaller; that pays for having chosen the
        # best of many epochs.
        error = difference_error(best.pgd, last.pgd, n_validation) if n_validation else None
        return cls(
            onset=min(caught, default=None),
            latest=max(caught, default=None),
            largest_gap=max(one.gap for one in epochs),
            best=best,
            last=last,
            standard_error=error,
        )

    @property
    def drop(self) -> float:
        """PGD-10 accuracy of the best epoch less that of the last, 0 to 1."""
        return self.best.pgd - self.last.pgd

    @property
    def recovered(self) -> bool:
        """True where overfitting was catastrophic, and at the last epoch no longer is."""
        return self.latest is not None and self.latest < self.last.epoch

    @property
    def robust(self) -> bool:
        """True where the drop is significant and what happened is not catastrophic overfitting."""
        if self.standard_error is None or self.latest == self.last.epoch:
            return False
        return self.drop > max(CRITICAL * self.standard_error, _ROUNDING)

    @property
    def words(self) -> tuple[str, ...]:
        """A few words on each kind that happened."""
        found = []
        if self.onset is not None:
            end = f"recovered after {self.latest}" if self.recovered else "to the last"
            found.append(f"catastrophic from epoch {self.onset}, {end}")
        return (*found, "robust") if self.robust else tuple(found)


def _is_catastrophic(one: RawAccuracy, images: int | None) -> bool:
    chance = CRITICAL * difference_error(one.fgsm, one.pgd, images) if images else 0.0
    return one.gap > max(CATASTROPHIC_GAP, chance) + _ROUNDING
