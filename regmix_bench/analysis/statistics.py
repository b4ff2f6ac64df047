"""Intervals and exact tests of measured numbers, each a documented door to scipy.

Counts are numbers of images. A test's ``alternative`` is scipy's word: "greater" asks whether the
first of two counts is the larger one. scipy is loaded by the first call, as it takes a second.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Literal

#: Of every interval here.
CONFIDENCE = 0.95

Alternative = Literal["two-sided", "greater", "less"]


@cache  # a report asks for the same counts again and again
def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval (low, high) of a proportion, in [0, 1] (Wilson 1927, JASA 22).

    Unlike the normal approximation it stays inside [0, 1] and does not collapse at 0 or ``n``.
    Raises ``ValueError`` unless 0 <= ``successes`` <= ``n`` and ``n`` >= 1.
    """
    from scipy import stats

    interval = stats.binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy_interval(accuracy: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval (low, high) of an accuracy (0 to 1) on ``n`` images."""
    return wilson_interval(round(accuracy * n), n)


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return Student's 95 % interval (low, high) of a mean (Student 1908, Biometrika 6).

    There are two or more ``values``.
    """
    from scipy import stats

    mean, error = fmean(values), float(stats.sem(values))
    if error == 0:  # scipy has no interval without width
        return mean, mean
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, loc=mean, scale=error)
    return float(low), float(high)


@dataclass(frozen=True)
class PairedT:
    """Student's test of a mean difference of pairs (1908, Biometrika 6).

    ``value`` is the mean difference, ``error`` its standard error, of ``df`` degrees of freedom.
    """

    value: float
    error: float
    df: int

    @classmethod
    def of(cls, differences: Sequence[float], step: float) -> PairedT:
        """Take them from the differences of two pairs or more.

        ``step`` is the least that one of them can be beside 0. The error is not below that of one
        such difference, so that pairs which are all alike do not make a mean certain.
        """
        n, mean = len(differences), fmean(differences)
        spread = sum((each - mean) ** 2 for each in differences) / (n - 1)
        return cls(mean, math.sqrt(max(spread / n, (step / n) ** 2)), n - 1)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval (low, high) of the mean difference."""
        half = self.quantile(0.5 + CONFIDENCE / 2) * self.error
        return self.value - half, self.value + half

    def p_value(self, alternative: Alternative = "two-sided") -> float:
        """Return the p-value of there being no difference; "greater" asks whether it is above 0."""
        from scipy import special

        t = self.value / self.error
        if alternative == "two-sided":
            return float(2 * special.stdtr(self.df, -abs(t)))
        return float(special.stdtr(self.df, -t if alternative == "greater" else t))

    def quantile(self, share: float) -> float:
        """Return the quantile of Student's t at ``share``, 0 to 1."""
        from scipy import special

        return float(special.stdtrit(self.df, share))


@cache
def mcnemar(b: int, c: int, alternative: Alternative = "two-sided") -> float:
    """Return the p-value of McNemar's exact test of paired outcomes (1947, Psychometrika 12).

    ``b`` images are right in the first run alone, ``c`` in the second alone; those on which both
    agree say nothing. Under the null hypothesis ``b`` is binomial with b + c draws of 1/2.
    """
    from scipy import stats

    if b + c == 0:
        return 1.0
    return float(stats.binomtest(b, b + c, 0.5, alternative=alternative).pvalue)


def two_proportions(
    successes_a: int,
    n_a: int,
    successes_b: int,
    n_b: int,
    alternative: Alternative = "two-sided",
) -> float:
    """Return the p-value of Fisher's exact test of two independent proportions (1935, JRSS 98).

    It never rejects more often than it claims, and stays quick at ten thousand images, where the
    unconditional tests of Barnard and Boschloo do not.
    """
    from scipy import stats

    table = [
        [successes_a, n_a - successes_a],
        [successes_b, n_b - successes_b],
    ]
    return float(stats.fisher_exact(table, alternative=alternative).pvalue)


@cache  # hundreds of comparisons of one size ask the same
def smallest_resolvable_drop(
    n: int, successes: int, alpha: float, discordant: int | None = None
) -> int | None:
    """Return the smallest drop from ``successes`` of ``n`` images that is significant at ``alpha``.

    One-sided. With ``discordant``, the number of images on which two paired runs disagree, by
    :func:`mcnemar` for that number, or for the least that can be significant if that is more;
    without it by :func:`two_proportions` of two samples of ``n``. None where no drop is.
    """
    if discordant is None:
        drops = range(1, successes + 1)
        found = bisect_left(
            drops,
            True,
            key=lambda k: two_proportions(successes, n, successes - k, n, "greater") < alpha,
        )
        return drops[found] if found < len(drops) else None
    # Where even n images are too few, both searches end beyond n and so does the drop.
    least = bisect_left(range(n + 1), True, key=lambda m: mcnemar(m, 0, "greater") < alpha)
    pairs = max(discordant, least)
    lost = bisect_left(
        range(pairs + 1), True, key=lambda b: mcnemar(b, pairs - b, "greater") < alpha
    )
    drop = 2 * lost - pairs
    return drop if drop <= successes else None
