"""Tests of whether methods are better than another, and the seeds and images that they need.

A method's ``flags`` are bool (seeds, images): which model classified which image rightly. The
images are the same for every method; seed 0 of one method has nothing to do with seed 0 of another.
That is a split-plot design, known from studies in which readers (here seeds) nested in tests (here
methods) judge the same cases (here images): both are samples, and a claim about the methods must
hold for other seeds and other images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
#: Flags, or what share of each image (of its versions) is right, 0 to 1.
Rights = Flags | Floats
Relation = Literal["better", "worse", "equivalent", "not distinguishable", "too few seeds"]

#: The chance that a table makes any false claim: of better or worse, or of what is not the best.
LEVEL = 0.05
#: Half the width, as a share, of what counts as no difference.
MARGIN = 0.01
#: Of a method, below which their variance says too little for a verdict.
FEWEST_SEEDS = 3

#: Times the median variance, beyond which one method's no longer raises that of the others.
_FAR = 5.0


@dataclass(frozen=True, eq=False)
class Differences:
    """Differences of mean accuracies, −1 to 1, and how sure each is; arrays of one shape.

    ``images`` is the variance of each difference by the choice of images, and ``seeds`` has those
    by the choice of seeds, each with its degrees of freedom.
    """

    values: Floats
    images: Floats
    seeds: tuple[tuple[Floats, Floats], ...]

    def half_widths(self, level: float = LEVEL) -> Floats:
        """Return half of each interval's width, where each fails with ``level`` at most.

        By Banerjee's inequality (1960, Sankhyā 22): its square is the sum of the variances, each
        times the square of its own quantile of Student's t, and it holds the true difference as
        often as it says whatever the true variances are. The interval of Welch and Satterthwaite
        does not where degrees of freedom are few and the level is small, as for one of many pairs.
        """
        return self._half_widths(np.array(level / 2))

    def intervals(self, level: float = LEVEL) -> tuple[Floats, Floats]:
        """Return the low and the high ends of the intervals, within −1 and 1."""
        half = self.half_widths(level)
        return np.maximum(self.values - half, -1.0), np.minimum(self.values + half, 1.0)

    def p_values(self) -> Floats:
        """Return the least level, from about 1e-100 to 1, at which each interval leaves out 0."""
        low, high = (
            # Further out, squares of Student's quantiles are beyond floats.
            np.full_like(self.values, np.log(1e-100)),
            np.full_like(self.values, np.log(0.5)),
        )
        for _ in range(60):  # to the precision of a float
            middle = (low + high) / 2
            found = np.abs(self.values) > self._half_widths(np.exp(middle))
            low, high = np.where(found, low, middle), np.where(found, middle, high)
        p_values: Floats = np.minimum(2 * np.exp(high), 1.0)
        return p_values

    def _half_widths(self, tail: Floats) -> Floats:
        # Seeds first, as a sum of two: a pair has the same interval whichever stands first.
        by_seeds = sum(special.stdtrit(df, tail) ** 2 * variance for variance, df in self.seeds)
        half: Floats = np.sqrt(special.ndtri(tail) ** 2 * self.images + by_seeds)
        return half


def relation(low: float, high: float) -> Relation:
    """Judge a difference by the ends of its interval alone.

    One that leaves out 0 is ``better`` or ``worse``. One within ±:data:`MARGIN` is ``equivalent``,
    which is two one-sided tests (Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15).
    """
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    return "equivalent" if low > -MARGIN and high < MARGIN else "not distinguishable"


@dataclass(frozen=True, eq=False)
class SplitPlot:
    """Statistics of the flags of G methods.

    ``means`` (…, G) are accuracies, ``covariances`` (…, G, G) theirs by the choice of ``n_images``
    images; ``seed_means`` (…, G) are the variances of accuracy over ``seeds`` (G,), and
    ``residuals`` what these have of single seeds on single images. Leading axes are other tables of
    this kind. No variance is below what one image makes.
    """

    means: Floats
    covariances: Floats
    seed_means: Floats
    residuals: Floats
    seeds: NDArray[np.int64]
    n_images: int

    @classmethod
    def of(cls, methods: Sequence[Rights]) -> SplitPlot:
        """Take them from flags (seeds, images) of two methods or more, two seeds or more of each.

        They may be shares of an image too, whose least difference is taken for that of a whole one.

        Raises ``ValueError`` for other shapes.
        """
        shapes = [flags.shape for flags in methods]
        if any(len(shape) != 2 or shape[0] < 2 or shape[1] != shapes[0][1] for shape in shapes):
            raise ValueError(f"flags of shapes {shapes} cannot be compared")
        n_images = shapes[0][1]
        parts = [MeanSquares.of(flags) for flags in methods]
        return cls(
            means=np.array([flags.mean() for flags in methods]),
            covariances=np.cov([flags.mean(axis=0) for flags in methods]) / n_images,
            seed_means=np.array([part.seed_means for part in parts]),
            residuals=np.array([part.residual for part in parts]) / n_images,
            seeds=np.array([len(flags) for flags in methods]),
            n_images=n_images,
        )

    def differences(self) -> Differences:
        """Measure each method less each, (…, G, G), alone."""
        variances, df = moderated(self.seed_means, self.residuals, self.seeds - 1)
        by_seeds, residuals = variances / self.seeds, self.residuals / self.seeds
        own = np.diagonal(self.covariances, axis1=-2, axis2=-1)
        images = own[..., :, None] + own[..., None, :] - 2 * self.covariances
        single = residuals[..., :, None] + residuals[..., None, :]
        images = np.maximum(np.maximum(images, self.n_images**-2.0) - single, 0.0)
        return Differences(
            self.means[..., :, None] - self.means[..., None, :],
            images,
            ((by_seeds[..., :, None], df[:, None]), (by_seeds[..., None, :], df[None, :])),
        )


def moderated(variances: Floats, floors: Floats, df: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Draw the variances (…, G) of G groups, each of ``df`` (G,), towards their mean.

    Returns them and their degrees of freedom. A variance of two degrees of freedom is small by
    chance so often that nothing could be found with it. So each is averaged with that of all
    groups, which has the weight of a prior, as in limma (Smyth 2004, Statistical Applications in
    Genetics and Molecular Biology 3). But the prior's degrees of freedom are not estimated, which a
    dozen groups do not allow: they are (G − 2)/(G + 1), from none for two groups to one for many,
    so little that the level is kept where the true variances are unlike. For the same reason the
    mean is that of the variances themselves, not of their logarithms; none counts for more than
    five times the median in it. ``floors`` are what a variance has at least.
    """
    n = len(df)
    prior = (n - 2) / (n + 1)
    weight = prior / (prior + df)
    seen = np.maximum(variances, floors)
    most = _FAR * np.median(seen, axis=-1, keepdims=True)
    mean = np.minimum(seen, most).mean(axis=-1, keepdims=True)
    drawn = (1 - weight) * variances + weight * mean
    shares = np.diag(1 - weight) + weight[:, None] / n
    return np.maximum(drawn, floors), 1 / (shares**2 / df).sum(axis=1)


def compare_treatments(a: Flags, b: Flags) -> Differences:
    """Measure the one difference of two ways to train a method, over seeds and images together.

    ``a`` and ``b`` (seeds, images), at least two seeds; here seed 0 of one has all to do with seed
    0 of the other, as both begin with the same weights and see the same batches. So each seed is a
    pair, and what is tested is the difference within the pairs. Raises ``ValueError`` for other
    shapes.
    """
    if a.ndim != 2 or a.shape != b.shape or min(a.shape) < 2:
        raise ValueError(f"flags of shapes {a.shape} and {b.shape} are no pairs")
    parts = MeanSquares.of(a.astype(np.float64) - b)
    n_seeds, n_images = a.shape
    images = max(parts.images / n_images, n_images**-2.0)
    seeds = max(parts.seed_means, parts.residual / n_images) / n_seeds
    return Differences(
        np.array([a.mean() - b.mean()]),
        np.array([images]),
        ((np.array([seeds]), np.array([n_seeds - 1.0])),),
    )


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of one method's flags, or of the differences of two.

    ``seed_means`` is the variance of accuracy over seeds, which holds σ²(seed) and a share of the
    residual; ``images`` the covariance over images of two different seeds, that is the variance
    of how hard an image is; ``residual`` what is left to a single seed on a single image.
    """

    seed_means: float
    images: float
    residual: float

    @classmethod
    def of(cls, flags: Rights) -> MeanSquares:
        n = len(flags)
        single = float(flags.var(axis=1, ddof=1).mean())
        mean = float(flags.mean(axis=0).var(ddof=1))
        images = (n * mean - single) / (n - 1)
        return cls(float(flags.mean(axis=1).var(ddof=1)), images, single - images)


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
