"""Multiple comparisons with the best: which methods of a table may be the best, and how far off.

A method is denied the best group when another is better and the interval of the two leaves out 0.
Nobody knows which methods are truly best. So every pair that holds one of them has to be right: if
k of n methods were best, that is k (n − 1) ends of intervals that may wrongly deny one of the k,
and n − k further ends for how far each of the others is behind. All n are candidates at first; the
fewer are left, the fewer ends could err and the narrower may each interval be, until nothing more
is denied. The distance of a method to the best of the others is what the intervals of its pairs
with the members leave, as any of these may be the best.

The pairs of a reference have intervals of their own, which no such count moves: of the chance to
err they have 2 (n − 1) parts of 4 n − 6, as many as their ends if one method were the best, and the
other pairs have the rest. All together hold in 95 % of tables. So of twenty tables one at most
makes a false claim, of whatever kind: better or worse than the reference, denied the best group, or
so far behind. And as one set of intervals says it all, nothing contradicts: what is better than the
reference denies it, and what is worse than it is denied.

After Hsu (1981, Annals of Statistics 9) and, for variances that differ, Edwards and Hsu (1983, JASA
78); see Hsu, Multiple Comparisons (1996), chapter 4. Where several methods are equally good, theirs
is sure of one of them alone; that all are members is what k is for. Its steps are Holm's (1979,
Scandinavian Journal of Statistics 6).
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
    def of(cls, pairs: Differences, reference: int | None, level: float = LEVEL) -> Best:
        """Find the best group from the differences of all pairs (…, G, G), with G two or more.

        ``reference`` is the place of the method that verdicts are against, by
        :meth:`~regmix_bench.analysis.methods.Differences.against`, if there are any.
        """
        half = _half_widths(pairs, reference, level)
        itself = np.eye(half.shape[-1], dtype=bool)
        highs = np.where(itself, np.inf, pairs.values + half)
        lows = np.where(itself, np.inf, pairs.values - half)
        least = highs.min(axis=-1)
        members = least > 0
        beside = members[..., None, :] & ~itself
        alone = ~beside.any(axis=-1)
        nearest = np.where(beside, highs, -np.inf).max(axis=-1)
        high = np.where(members, least, np.minimum(nearest, 0.0))
        farthest = np.where(beside, lows, np.inf).min(axis=-1)
        low = np.where(alone, np.maximum(lows.min(axis=-1), 0.0), farthest)
        values = np.where(itself, np.inf, pairs.values).min(axis=-1)
        return cls(members, values, np.maximum(low, -1.0), np.minimum(high, 1.0))


def _half_widths(pairs: Differences, reference: int | None, level: float) -> Floats:
    """Return those of all pairs (…, G, G), at the count of candidates that denies nobody more."""
    free = np.array([place != reference for place in range(pairs.values.shape[-1])])
    n, between = int(free.sum()), free[:, None] & free
    if reference is None:
        half, left = np.zeros_like(pairs.values), level
    else:
        half = pairs.half_widths_at(np.array(level / (4 * n - 2)))
        left = level * (n - 1) / (2 * n - 1)
    candidates = np.full(pairs.values.shape[:-2], n)
    for count in range(n, 0, -1):
        here = candidates == count
        ends = count * (n - 1) + n - count
        if here.any() and n > 1:
            now = pairs.half_widths_at(np.array(left / ends))
            half = np.where(here[..., None, None] & between, now, half)
            remain = ((pairs.values + half > 0).all(axis=-1) & free).sum(axis=-1)
            candidates = np.where(here, np.minimum(remain, count), candidates)
    return half
