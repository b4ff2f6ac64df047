"""Multiple comparisons with the best: which methods of a table may be the best, and how far off.

Nobody knows which method is truly best; call it b. Take the interval of every pair that holds b,
whichever method that is. With a chance of 95 % all of them are right together, and then b lies
significantly below no other method. So the methods of which that is true, the best group, hold the
truly best one; any other is worse than b. The interval of a method's distance to the best of the
others is what those of its pairs with the members leave, as any of these may be b.

That takes G − 1 pairs instead of all G (G − 1) / 2, which would be wider by half at six seeds of 26
methods. The pairs of the reference belong to the same family, with the same intervals. So what is
better than the reference shows that the reference is not the best, and what is worse than it is not
the best either.

After Hsu (1981, Annals of Statistics 9) and, for variances that differ, Edwards and Hsu (1983,
JASA 78); see Hsu, Multiple Comparisons (1996), chapter 4. Unlike theirs the intervals are
two-sided, so that a method that is behind has an upper end below 0 and not at it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regmix_bench.analysis.methods import LEVEL, Differences, Floats


@dataclass(frozen=True, eq=False)
class Best:
    """The best group of G methods, ``members`` (…, G), and distances to the best of the others.

    ``values`` are mean accuracies less the highest of the other methods, above 0 for one alone, and
    ``low`` and ``high`` the ends of their simultaneous intervals, −1 to 1. ``high`` is above 0 for
    members and for nobody else; ``low`` is 0 at least for a method that alone is a member, and
    below 0 else.
    """

    members: NDArray[np.bool_]
    values: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, pairs: Differences, level: float = LEVEL) -> Best:
        """Find the best group from the differences of all pairs (…, G, G), with G two or more."""
        half = pairs.half_widths(level)
        itself = np.eye(half.shape[-1], dtype=bool)
        highs = np.where(itself, np.inf, pairs.values + half)
        lows = np.where(itself, np.inf, pairs.values - half)
        nearest_above = highs.min(axis=-1)
        members = nearest_above > 0
        beside = members[..., None, :] & ~itself
        alone = ~beside.any(axis=-1)
        nearest = np.where(beside, highs, -np.inf).max(axis=-1)
        high = np.where(members, nearest_above, np.minimum(nearest, 0.0))
        farthest = np.where(beside, lows, np.inf).min(axis=-1)
        low = np.where(alone, np.maximum(lows.min(axis=-1), 0.0), farthest)
        values = np.where(itself, np.inf, pairs.values).min(axis=-1)
        return cls(members, values, np.maximum(low, -1.0), np.minimum(high, 1.0))
