"""Mean ranks of methods over several comparisons, and which of them differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from regmix_bench.analysis.methods import LEVEL

#: Of the same methods, below which not even one that wins them all is significantly better by a
#: test of signs: 2 · 0.5⁵ is above :data:`~regmix_bench.analysis.methods.LEVEL`.
FEWEST_COMPARISONS = 6
#: Methods, below which Friedman's test is none.
FEWEST_METHODS = 3
#: Sets of methods that are looked at as what comparisons share.
_MOST_SETS = 1000


@dataclass(frozen=True)
class MeanRanks:
    """Methods and their mean ranks, the best first, where 1 is the highest accuracy.

    ``p_value`` is that of Friedman's test of whether any differ, as Iman and Davenport correct it
    (1980, Communications in Statistics 9). Two differ whose mean ranks are more than
    ``critical_difference`` apart, by Nemenyi's test, which keeps the level over all pairs (Demšar
    2006, JMLR 7, section 3.2.2).
    """

    labels: tuple[str, ...]
    ranks: tuple[float, ...]
    comparisons: int
    p_value: float
    critical_difference: float

    @classmethod
    def of(cls, accuracies: Mapping[str, Sequence[float]]) -> MeanRanks:
        """Rank methods by their accuracies in the same comparisons; equal ones share their ranks.

        There are :data:`FEWEST_METHODS` methods or more, each in two comparisons or more.
        """
        from scipy import stats

        values = np.array(list(accuracies.values()), float).T
        n, k = values.shape
        means = stats.rankdata(-values, axis=1).mean(axis=0)
        order = np.argsort(means, kind="stable")
        labels = list(accuracies)
        # The quantile of the range of infinitely many degrees of freedom, as variances are known.
        quantile = float(stats.studentized_range.ppf(1 - LEVEL, k, np.inf)) / math.sqrt(2)
        return cls(
            tuple(labels[place] for place in order),
            tuple(float(means[place]) for place in order),
            n,
            _p_value(values),
            quantile * math.sqrt(k * (k + 1) / (6 * n)),
        )

    def differ(self, one: str, other: str) -> bool:
        """Say whether two methods differ: Friedman's test rejects, and Nemenyi's does of them."""
        by_label = dict(zip(self.labels, self.ranks, strict=True))
        apart = abs(by_label[one] - by_label[other])
        return self.p_value < LEVEL and apart > self.critical_difference

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The largest groups of neighbours, two or more each, in which no two methods differ."""
        found: list[tuple[str, ...]] = []
        end = 0
        for place, label in enumerate(self.labels):
            alike = [other for other in self.labels[place:] if not self.differ(label, other)]
            if len(alike) > 1 and place + len(alike) > end:
                end = place + len(alike)
                found.append(tuple(alike))
        return tuple(found)


def shared_methods(comparisons: Sequence[Mapping[str, float]]) -> tuple[list[str], list[int]]:
    """Choose methods that comparisons share, and the places of these comparisons.

    They are those with the most accuracies among at least :data:`FEWEST_COMPARISONS` comparisons
    and :data:`FEWEST_METHODS` methods, and of as many those of more comparisons; none where there
    are fewer. Of comparisons that differ in very many ways the most may be missed.
    """
    shared: set[frozenset[str]] = set()
    for methods in dict.fromkeys(map(frozenset, comparisons)):
        met = {methods, *(methods & other for other in shared)}
        shared |= {each for each in met if len(each) >= FEWEST_METHODS}
        if len(shared) > _MOST_SETS:
            shared = set(sorted(shared, key=lambda each: (-len(each), sorted(each)))[:_MOST_SETS])
    best: tuple[list[str], list[int]] = ([], [])
    most = (0, 0)
    for each in sorted(shared, key=sorted):
        places = [place for place, found in enumerate(comparisons) if each <= found.keys()]
        size = (len(each) * len(places), len(places))
        if len(places) >= FEWEST_COMPARISONS and size > most:
            most = size
            best = [label for label in comparisons[places[0]] if label in each], places
    return best


def _p_value(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    from scipy import stats

    n, k = values.shape
    if np.ptp(values, axis=1).max() == 0:
        return 1.0  # nothing but ties, of which Friedman's statistic is 0/0
    chi_squared = float(stats.friedmanchisquare(*values.T).statistic)
    rest = n * (k - 1) - chi_squared
    if rest <= 0:
        return 0.0  # all comparisons rank alike
    return float(stats.f.sf((n - 1) * chi_squared / rest, k - 1, (k - 1) * (n - 1)))
