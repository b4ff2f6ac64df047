"""The standings of one table: who is ahead, of whom it is sure, and who may be the best.

All claims come from one family of intervals (:mod:`~regmix_bench.analysis.pairs`), so that none
contradicts another: verdict, p value and interval against the reference say the same, no row of the
best group is worse than another, and where the reference is of it, nothing is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from regmix_bench.analysis.best import Best
from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.methods import FEWEST_SEEDS, Relation, Rights, relation
from regmix_bench.analysis.pairs import Pairs, compare_methods

Interval = tuple[float, float]


@dataclass(frozen=True)
class AgainstReference:
    """One row against the reference: the difference of mean accuracies, −1 to 1.

    ``interval`` is simultaneous over all claims of its table, ``p_value`` corrected for them; the
    ``relation`` follows from either. None where there are too few seeds.
    """

    reference_seeds: int
    difference: float
    interval: Interval | None
    p_value: float | None
    relation: Relation


@dataclass(frozen=True)
class AgainstBest:
    """One row against the best of the others: its mean less the highest of theirs, −1 to 1.

    So it is above 0 for the best row alone. ``interval`` is simultaneous over all claims of the
    table; its upper end is above 0 for the members of the best group and for no other row.
    """

    difference: float
    interval: Interval


@dataclass(frozen=True)
class Standing:
    """One row of a table in its place.

    ``rank`` is 1 for the highest ``mean`` accuracy under AutoAttack (0 to 1, over all scored seeds,
    with the interval of the mean over these alone); rows of the same mean share one. Both are None
    without AutoAttack. ``seeds`` are those with outcomes per image, which all claims rest on.
    ``verdict`` is None for the reference and where there is none, ``lead`` where the row, or all
    others, have too few seeds.
    """

    label: str
    rank: int | None
    mean: Stat | None
    seeds: int
    verdict: AgainstReference | None
    lead: AgainstBest | None

    @property
    def best(self) -> bool:
        """Say whether the row is of the best group: no other row is significantly better."""
        return self.lead is not None and self.lead.interval[1] > 0


@dataclass(frozen=True)
class Standings:
    """The rows of one table, the highest mean first, and what to note of them.

    ``reference`` is the row that verdicts are against, if there is one. ``pairs`` are the family
    that all claims come from, of the rows called ``family``, in this order; None where no two rows
    have seeds enough.
    """

    reference: str | None
    rows: tuple[Standing, ...]
    notes: tuple[str, ...] = ()
    family: tuple[str, ...] = ()
    pairs: Pairs | None = field(default=None, compare=False, repr=False)

    @cached_property
    def by_label(self) -> dict[str, Standing]:
        return {row.label: row for row in self.rows}

    @cached_property
    def verdicts(self) -> dict[str, AgainstReference]:
        """The verdicts by row, of those that have one."""
        return {row.label: row.verdict for row in self.rows if row.verdict is not None}

    @cached_property
    def best(self) -> tuple[str, ...]:
        """The labels of the best group; none where no two rows have seeds enough."""
        return tuple(row.label for row in self.rows if row.best)


def standings(
    means: Mapping[str, Stat | None], rights: Mapping[str, Rights], reference: str | None
) -> Standings:
    """Put the rows of a table in order.

    ``means``, by label, are accuracies under AutoAttack, and ``rights`` (seeds, images): what
    each seed gets right, bool or the share of each image, of the rows that have outcomes per
    image. Rows of fewer seeds than :data:`FEWEST_SEEDS` there are in order too, but in no family
    and no group.
    """
    enough = [label for label in means if len(rights.get(label, ())) >= FEWEST_SEEDS]
    verdicts = {} if reference is None else _too_few(rights, reference)
    leads, pairs = {}, None
    if len(enough) > 1:
        pairs = compare_methods([rights[label] for label in enough])
        leads = dict(zip(enough, _leads(pairs), strict=True))
        if reference is not None and reference in enough:
            found = _verdicts(pairs, enough.index(reference), len(rights[reference]))
            verdicts |= dict(zip(enough, found, strict=True))
            del verdicts[reference]
    ranks = _ranks(means)
    return Standings(
        reference,
        tuple(
            Standing(
                label,
                ranks[label],
                means[label],
                len(rights.get(label, ())),
                verdicts.get(label),
                leads.get(label),
            )
            # Rows without AutoAttack last, and all that are alike in the order that they came in.
            for label in sorted(means, key=lambda label: ranks[label] or len(means) + 1)
        ),
        family=tuple(enough) if pairs else (),
        pairs=pairs,
    )


def _leads(pairs: Pairs) -> Iterator[AgainstBest]:
    best = Best.of(pairs)
    for value, low, high in zip(best.values, best.low, best.high, strict=True):
        yield AgainstBest(float(value), (float(low), float(high)))


def _verdicts(pairs: Pairs, reference: int, seeds: int) -> Iterator[AgainstReference]:
    columns = (pairs.values, *pairs.intervals(), pairs.p_values())
    for value, *interval, p_value in zip(*(each[:, reference] for each in columns), strict=True):
        low, high = map(float, interval)
        judged = relation(low, high)
        yield AgainstReference(seeds, float(value), (low, high), float(p_value), judged)


def _too_few(rights: Mapping[str, Rights], reference: str) -> dict[str, AgainstReference]:
    ours = rights[reference]
    return {
        label: AgainstReference(
            len(ours), float(right.mean() - ours.mean()), None, None, "too few seeds"
        )
        for label, right in rights.items()
        if label != reference
    }


def _ranks(means: Mapping[str, Stat | None]) -> dict[str, int | None]:
    # What differs in the last digits of a float alone is the same number of images.
    shown = {label: round(stat.mean, 12) for label, stat in means.items() if stat is not None}
    return {
        label: 1 + sum(other > shown[label] for other in shown.values()) if label in shown else None
        for label in means
    }
