"""Marks that stand in the annotation of a field, as in ``Annotated[float, Search(1, 20)]``."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Later:
    """Mark a field that came after the first records, with the value older runs in effect had.

    ``clip_start: Annotated[bool, Later(True)] = False``; :mod:`regmix_bench.specs.identity` says
    what follows.
    """

    older: object


@dataclass(frozen=True)
class Search:
    """Mark a field that is tuned, from ``low`` to ``high``, both included.

    ``beta: Annotated[float, Search(1, 20, log=True)] = Field(6.0, ge=0)``: on a ``log`` scale where
    factors count and not differences. A field of whole numbers is tuned in whole numbers, which
    :func:`~regmix_bench.specs.search.search_space` notes as ``whole``. The default of a method's
    field lies inside, as it is the first value that is tried. Raises :class:`ValueError` for a
    range that has no two numbers, or that is not on its scale.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        low, high = (round(self.low), round(self.high)) if self.whole else (self.low, self.high)
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"Search({self}) has no two numbers to choose from")
        if self.log and low <= 0:
            raise ValueError(f"Search({self}): a logarithmic scale begins above zero")

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def holding(self, value: float) -> Search:
        """Return the range, widened where ``value`` lies outside of it."""
        return replace(self, low=min(self.low, value), high=max(self.high, value))

    def fitted(self, value: float) -> float | int:
        """Return a number of the range, of three digits that count."""
        if self.whole:
            return round(value)
        return min(max(float(f"{value:.3g}"), self.low), self.high)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', log' if self.log else ''}"
