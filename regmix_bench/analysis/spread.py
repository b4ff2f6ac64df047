"""The spread of methods by chance, and the seeds and images that it takes to see a difference."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from regmix_bench.analysis.methods import FEWEST_SEEDS, Flags, MeanSquares, SplitPlot
from regmix_bench.analysis.pairs import Pairs

#: The chance of a find that a plan asks for.
POWER = 0.8
#: Beyond which more seeds are no answer.
MOST_SEEDS = 1000
#: Tables that a plan simulates: fewer than a verdict does, as it asks for many sizes.
PLANNED_DRAWS = 3999


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
        parts = [MeanSquares.of(flags) for flags in methods]
        covariance = np.cov([flags.mean(axis=0) for flags in methods])
        shared = covariance[~np.eye(len(methods), dtype=bool)].mean()
        residual = float(np.mean([part.residual for part in parts]))
        seen = float(np.mean([part.seed_means for part in parts]))
        images = 2 * float(np.mean([part.images for part in parts]) - shared)
        n = methods[0].shape[1]
        return cls(max(seen - residual / n, 0.0), max(images, 0.0), residual)

    def power(self, difference: float, images: int, seeds: int, comparisons: int) -> float:
        """Return the chance that a table finds ``difference`` to its reference.

        That is by :func:`~regmix_bench.analysis.pairs.compare_methods`. There are ``seeds`` of each
        of its methods, which are ``comparisons`` and the reference. By the noncentral t
        distribution, with Satterthwaite's degrees of freedom.
        """
        methods = comparisons + 1
        residuals = np.full(methods, self.residual / images)
        table = SplitPlot(
            means=np.zeros(methods),
            covariances=np.eye(methods) * (self.images / 2 + self.residual / seeds) / images,
            seed_means=self.seeds + residuals,
            residuals=residuals,
            seeds=np.full(methods, seeds),
            n_images=images,
        )
        pairs = Pairs.of(table, PLANNED_DRAWS)
        by_seeds = [(variances.flat[0], df.flat[0]) for variances, df in pairs.alone.seeds]
        variance = pairs.alone.images[0, 1] + sum(part for part, _ in by_seeds)
        both = variance**2 / max(sum(part**2 / df for part, df in by_seeds), 1e-300)
        error = np.sqrt(variance)
        critical = pairs.half_widths()[0, 1] / error
        return float(1 - special.nctdtr(min(both, 1e6), abs(difference) / error, critical))

    def seeds_needed(self, difference: float, images: int, comparisons: int) -> int | None:
        """Return the fewest seeds a method that find ``difference`` with a chance of :data:`POWER`.

        None where not even ``MOST_SEEDS`` do.
        """
        counts = range(FEWEST_SEEDS, MOST_SEEDS + 1)
        found = bisect_left(
            counts, POWER, key=lambda n: self.power(difference, images, n, comparisons)
        )
        return counts[found] if found < len(counts) else None
