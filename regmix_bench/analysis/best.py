"""Multiple comparisons with the best: which methods of a table may be the best, and how far off.

A method is denied the best group when another is better and the interval of the two leaves out 0.
The intervals of all pairs hold together (:mod:`~regmix_bench.analysis.pairs`), so of twenty tables
one at most denies a method that is as good as any. Nobody knows which of the members is the best.
So the distance of a method to the best of the others is what the intervals of its pairs with all
members leave.

After Hsu (1981, Annals of Statistics 9) and, for variances that differ, Edwards and Hsu (1983, JASA
78); see Hsu, Multiple Comparisons (1996), chapters 4 and 5. Comparisons with the best alone need
fewer pairs than all, but they are sure of one best method only: of many equal ones they deny some
in more than 5 % of tables, and they say nothing of two methods neither of which is the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regmix_bench.analysis.methods import LEVEL, Floats
from regmix_bench.analysis.pairs import Pairs


@dataclass(frozen=True, eq=False)
class Best:
    """The best group of G methods, ``members`` (G,), and distances to the best of the others.

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
    def of(cls, pairs: Pairs, level: float = LEVEL) -> Best:
        """Find the best group of two methods or more."""
        half = pairs.half_widths(level)
        itself = np.eye(len(half), dtype=bool)
        highs = np.where(itself, np.inf, pairs.values + half)
        lows = np.where(itself, np.inf, pairs.values - half)
        least = highs.min(axis=1)
        members = least > 0
        beside = members[None, :] & ~itself
        nearest = np.where(beside, highs, -np.inf).max(axis=1)
        high = np.where(members, least, np.minimum(nearest, 0.0))
        farthest = np.where(beside, lows, np.inf).min(axis=1)
        alone = ~beside.any(axis=1)
        low = np.where(alone, np.maximum(lows.min(axis=1), 0.0), farthest)
        values = np.where(itself, np.inf, pairs.values).min(axis=1)
        return cls(members, values, np.maximum(low, -1.0), np.minimum(high, 1.0))
