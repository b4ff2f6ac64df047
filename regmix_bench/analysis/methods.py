"""Tests of whether a method is better than another, and the seeds and images that they need.

A method's ``flags`` are bool (seeds, images): which model classified which image rightly. The
images are the same for every method; seed 0 of one method has nothing to do with seed 0 of another.
That is a split-plot design, known from studies in which readers (here seeds) nested in tests (here
methods) judge the same cases (here images): both are samples, and a claim about the methods must
hold for other seeds and other images.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

Flags = NDArray[np.bool_]
Relation = Literal["better", "worse", "equivalent", "not distinguishable"]

LEVEL = 0.05
#: Half the width, as a share, of what counts as no difference.
MARGIN = 0.01
#: The chance of a find that a plan asks for.
POWER = 0.8
#: Beyond which more seeds are no answer.
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Difference:
    """Mean accuracy of one method less that of another, −1 to 1, and how sure it is.

    ``standard_error`` has ``df`` degrees of freedom; ``p_value`` is two-sided.
    """

    value: float
    standard_error: float
    df: float
    p_value: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the low and the high end, within −1 and 1."""
        half = float(special.stdtrit(self.df, (1 + confidence) / 2)) * self.standard_error
        return max(self.value - half, -1.0), min(self.value + half, 1.0)


def compare_methods(a: Flags, b: Flags) -> Difference:
    """Measure the difference of two methods, over seeds and images together.

    ``a`` (seeds, images) and ``b`` (other seeds, same images), at least two of each. The plain
    bootstrap that draws seeds and images with replacement (Owen 2007, Annals of Applied Statistics
    1) fits few seeds badly: it has (S − 1)/S of their variance, which is a third too little for
    three, and counts the chance of a single seed on a single image up to three times. A mean needs
    no drawing: the three parts of that bootstrap's variance are known in closed form, and here each
    is made unbiased and counted once. So the standard error is that of Obuchowski and Rockette for
    readers nested in tests (Hillis 2014, Statistics in Medicine 33), its degrees of freedom are
    Satterthwaite's, a method's seeds having a variance of their own.

    Simulated between equal methods on 360 images, it rejects at 5 % in 3 to 6 % of cases with three
    seeds each, and in up to 8 % with three against twelve where seeds are nearly all that varies.
    Raises ``ValueError`` for other shapes.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(*a.shape, *b.shape) < 2:
        raise ValueError(f"flags of shapes {a.shape} and {b.shape} cannot be compared")
    one, two = _Parts.of(a), _Parts.of(b)
    shared = float(np.cov(a.mean(axis=0), b.mean(axis=0))[0, 1])
    images = max(one.images + two.images - 2 * shared, 0.0) / a.shape[1]
    seeds = [(parts.seed_means / parts.n_seeds, parts.n_seeds - 1) for parts in (one, two)]
    value = float(a.mean() - b.mean())
    return _judged(value, images, seeds)


def compare_treatments(a: Flags, b: Flags) -> Difference:
    """Measure the difference of two ways to train one method, over seeds and images together.

    ``a`` and ``b`` (seeds, images), at least two seeds; here seed 0 of one has all to do with seed
    0 of the other, as both begin with the same weights and see the same batches. So each seed is a
    pair, and what is tested is the difference within the pairs. Raises ``ValueError`` for other
    shapes.
    """
    if a.ndim != 2 or a.shape != b.shape or min(a.shape) < 2:
        raise ValueError(f"flags of shapes {a.shape} and {b.shape} are no pairs")
    parts = _Parts.of(a.astype(np.float64) - b)
    images = max(parts.images, 0.0) / a.shape[1]
    seeds = [(parts.seed_means / parts.n_seeds, parts.n_seeds - 1)]
    return _judged(float(a.mean() - b.mean()), images, seeds)


def _judged(value: float, images: float, seeds: Sequence[tuple[float, int]]) -> Difference:
    """With the variances of the difference: that of the images, and of each method's seeds."""
    variance = images + sum(part for part, _ in seeds)
    uncertain = sum(part**2 / df for part, df in seeds)
    df = variance**2 / uncertain if uncertain else math.inf
    error = math.sqrt(variance)
    if error == 0:  # every seed says the same of every image
        return Difference(value, 0.0, df, 0.0 if value else 1.0)
    return Difference(value, error, df, float(2 * special.stdtr(df, -abs(value) / error)))


@dataclass(frozen=True)
class _Parts:
    """Mean squares of one method's flags, or of the differences of two.

    ``seed_means`` is the variance of accuracy over seeds, which holds σ²(seed) and a share of the
    residual; ``images`` the covariance over images of two different seeds, that is the variance
    of how hard an image is; ``residual`` what is left to a single seed on a single image.
    """

    n_seeds: int
    seed_means: float
    images: float
    residual: float

    @classmethod
    def of(cls, flags: Flags | NDArray[np.float64]) -> _Parts:
        n = len(flags)
        single = float(flags.var(axis=1, ddof=1).mean())
        mean = float(flags.mean(axis=0).var(ddof=1))
        images = (n * mean - single) / (n - 1)
        return cls(n, float(flags.mean(axis=1).var(ddof=1)), images, single - images)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for asking them all (Holm 1979, Scandinavian Journal of Statistics 6)."""
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []


def verdict(difference: Difference, corrected: float) -> Relation:
    """Judge the first method of a difference.

    ``corrected`` is the p-value after :func:`holm`. ``equivalent`` needs the 90 % interval inside
    ±:data:`MARGIN`, which is two one-sided tests at 5 % (Schuirmann 1987, J. Pharmacokinetics and
    Biopharmaceutics 15).
    """
    if corrected < LEVEL:
        return "better" if difference.value > 0 else "worse"
    low, high = difference.interval(0.90)
    return "equivalent" if low > -MARGIN and high < MARGIN else "not distinguishable"


def seed_pairs(methods: Iterable[Flags]) -> tuple[int, int]:
    """Count the pairs of seeds of one method that McNemar's test calls different, and all pairs.

    Two-sided at 5 %, that is one-sided at 2.5 % for the seed with fewer images of its own, since
    the test is symmetric. The share says what a single seed is worth.
    """
    different = pairs = 0
    for flags in methods:
        right = flags.astype(np.int64)
        alone = right @ (1 - right).T
        one, two = np.triu_indices(len(flags), k=1)
        b, c = alone[one, two], alone[two, one]
        # McNemar's exact test, for all pairs at once: hundreds of seeds have tens of thousands.
        p_values = special.bdtr(np.minimum(b, c), b + c, 0.5)
        different += int((p_values < LEVEL / 2).sum())
        pairs += len(p_values)
    return different, pairs


@dataclass(frozen=True)
class Spread:
    """The variances of one flag that make two like methods differ by chance.

    ``seeds``: of a method's expected accuracy from seed to seed. ``images``: of the difference that
    two methods make on an image. ``residual``: of one seed on one image.
    """

    seeds: float
    images: float
    residual: float

    @classmethod
    def of(cls, methods: Sequence[Flags]) -> Spread:
        """Estimate them from two or more methods on the same images, two seeds or more of each."""
        parts = [_Parts.of(flags) for flags in methods]
        covariance = np.cov([flags.mean(axis=0) for flags in methods])
        shared = covariance[~np.eye(len(methods), dtype=bool)].mean()
        residual = float(np.mean([part.residual for part in parts]))
        seen = float(np.mean([part.seed_means for part in parts]))
        images = 2 * float(np.mean([part.images for part in parts]) - shared)
        n = methods[0].shape[1]
        return cls(max(seen - residual / n, 0.0), max(images, 0.0), residual)

    def power(self, difference: float, images: int, seeds: int) -> float:
        """Return the chance that :func:`compare_methods` finds ``difference`` at 5 %.

        There are ``seeds`` of each method. By the noncentral t distribution.
        """
        from statsmodels.stats.power import ttest_power

        part = (self.seeds + self.residual / images) / seeds
        chance = _judged(difference, self.images / images, [(part, seeds - 1)] * 2)
        if chance.standard_error == 0:
            return 1.0
        effect = abs(difference) / chance.standard_error
        return float(ttest_power(effect, 1, LEVEL, df=chance.df))

    def seeds_needed(self, difference: float, images: int) -> int | None:
        """Return the fewest seeds a method that find ``difference`` with a chance of :data:`POWER`.

        None where not even ``MOST_SEEDS`` do.
        """
        counts = range(2, MOST_SEEDS + 1)
        found = bisect_left(counts, POWER, key=lambda n: self.power(difference, images, n))
        return counts[found] if found < len(counts) else None
