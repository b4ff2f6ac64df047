"""All pairs of a table's methods judged together, by simulation of what chance does to them.

The intervals of all pairs are to be right together in 95 % of tables, so that whatever is claimed
of a table comes from one family. By Bonferroni's inequality each of the 325 pairs of 26 methods
would have a chance of its own to err. But they share a lot: where the seeds of one method happened
to be good, all its pairs err alike. So tables of equal methods are drawn, with these methods'
variances: of each a deviation by its seeds, which is Student's t as its variance is an estimate of
few degrees of freedom, and of all together one by the images, which is normal. The largest
difference of each table, in units of the width that Bonferroni's interval of the pair would have,
says how often a family of intervals would miss. Half of each interval is that width times what 5 %
of tables exceed, or the width itself if that is less; a p value is the share of tables that exceed
what was seen, or Bonferroni's.

This is the single-step max-T of Westfall and Young (Resampling-Based Multiple Testing, 1993), drawn
from the fiducial distribution of means of unlike variances (Hannig, Iyer and Patterson 2006, JASA
101; for one pair, of Behrens and Fisher).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy import special

from regmix_bench.analysis.methods import LEVEL, Differences, Floats, Rights, SplitPlot

#: Simulated tables: other random numbers would move an interval by less than 1 % of its width.
DRAWS = 19_999


@dataclass(frozen=True, eq=False)
class Pairs:
    """The differences of each of G methods to each, and how sure they are together.

    ``alone`` has each pair by itself, (G, G), rows less columns, and ``drawn`` the largest
    difference of each simulated table in units of ``widths``, rising.
    """

    alone: Differences
    drawn: Floats

    @classmethod
    def of(cls, table: SplitPlot, draws: int = DRAWS) -> Pairs:
        """Judge one table of two methods or more; it has no leading axes."""
        alone = table.differences()
        widths = cls(alone, np.empty(0)).widths
        (variances, df), _ = alone.seeds
        variances, df = variances[:, 0], df[:, 0]
        # In an order that does not depend on which method came first, nor do the numbers.
        order = np.lexsort((table.means, variances))
        rng = np.random.default_rng(0)
        by_seeds = np.stack([rng.permutation(_quantiles(df[row], draws)) for row in order])
        by_images = np.stack([rng.permutation(_quantiles(np.inf, draws)) for _ in order])
        deviations = np.sqrt(variances[order, None]) * by_seeds
        deviations += _root(alone.images[np.ix_(order, order)]) @ by_images
        drawn = np.zeros(draws)
        for place, row in enumerate(order[1:], start=1):
            gaps = np.abs(deviations[:place] - deviations[place])
            gaps /= widths[order[:place], row, None]
            np.maximum(drawn, gaps.max(axis=0), out=drawn)
        return cls(alone, np.sort(drawn))

    @property
    def values(self) -> Floats:
        """Mean accuracies of rows less those of columns, (G, G), −1 to 1."""
        return self.alone.values

    @property
    def count(self) -> int:
        """The number of pairs."""
        return math.comb(len(self.values), 2)

    @cached_property
    def widths(self) -> Floats:
        """Half of the width of each interval by Bonferroni's inequality, (G, G)."""
        return self.alone.half_widths(LEVEL / self.count)

    def half_widths(self, level: float = LEVEL) -> Floats:
        """Return half of each interval's width, where the family fails with ``level`` at most."""
        # As many tables exceed it as make the p value of what equals it the level.
        beyond = math.ceil(round(level * (len(self.drawn) + 1), 6)) - 1
        most = self.alone.half_widths(level / self.count)
        half: Floats = np.minimum(self.widths * self.drawn[-beyond], most)
        return half

    def intervals(self, level: float = LEVEL) -> tuple[Floats, Floats]:
        """Return the low and the high ends of the simultaneous intervals, within −1 and 1."""
        half = self.half_widths(level)
        return np.maximum(self.values - half, -1.0), np.minimum(self.values + half, 1.0)

    def p_values(self) -> Floats:
        """Return the least level, up to 1, at which each interval leaves out 0, (G, G)."""
        below = np.searchsorted(self.drawn, np.abs(self.values) / self.widths)
        shares = (len(self.drawn) - below + 1) / (len(self.drawn) + 1)
        p_values: Floats = np.minimum(shares, self.count * self.alone.p_values())
        return p_values


def compare_methods(methods: Sequence[Rights]) -> Pairs:
    """Compare each of G methods with each, over seeds and images together.

    Each has two seeds or more (seeds, images) on the same images, bool or shares 0 to 1;
    :data:`~regmix_bench.analysis.methods.FEWEST_SEEDS` make a verdict. The variances are those of
    Obuchowski and Rockette for readers nested in tests (Hillis 2014, Statistics in Medicine 33).
    That over seeds is moderated by those of the other methods
    (:func:`~regmix_bench.analysis.methods.moderated`). ``benchmarks/verdicts.py`` simulates how
    often a table makes a false claim. Raises ``ValueError`` for other shapes.
    """
    return Pairs.of(SplitPlot.of(methods))


@cache
def _quantiles(df: float, draws: int) -> Floats:
    """Return as many quantiles of Student's t, of the normal for endless ``df``, in equal steps.

    In another order for each method they are a Latin hypercube: of each method alone nothing is
    left to chance.
    """
    found: Floats = special.stdtrit(df, (np.arange(draws) + 0.5) / draws)
    return found


def _root(variances: Floats) -> Floats:
    """Return the root of a covariance whose differences have these variances (G, G)."""
    size = len(variances)
    centre = np.eye(size) - 1 / size
    between = np.where(np.eye(size, dtype=bool), 0.0, variances)
    found, axes = np.linalg.eigh(-centre @ between @ centre / 2)
    # The symmetric root, which no sign of an axis changes.
    root: Floats = (axes * np.sqrt(np.maximum(found, 0.0))) @ axes.T
    return root
