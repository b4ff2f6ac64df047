"""The scale that the bars and dots of one comparison share, fitted to its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Percent points that a scale shows at least, so that noise is not blown up to a difference.
LEAST_SPAN = 4.0
#: Times the distance between the quartiles, beyond which a row no longer widens the scale (Tukey).
FAR = 3.0
_STEPS = (1, 2, 5, 10, 20, 25, 50)


@dataclass(frozen=True)
class Ruler:
    """A scale from ``low`` to ``high``, in percent, and its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]]) -> Ruler:
        """Fit a scale to the shares (0 to 1) that each row draws, the first of them its mean.

        A row far from the others is left out, and lies at the rim.
        """
        if not rows:
            return cls(0.0, 100.0, (0.0, 50.0, 100.0))
        means = np.array([row[0] for row in rows])
        lower, upper = np.quantile(means, (0.25, 0.75))
        beyond = max(FAR * (upper - lower), LEAST_SPAN / 100)
        near = [row for row in rows if lower - beyond <= row[0] <= upper + beyond]
        values = [100 * value for row in near for value in row]
        low, high = min(values), max(values)
        missing = max(LEAST_SPAN - (high - low), 0.0)
        margin = missing / 2 + 0.03 * (high - low)
        low, high = max(low - margin, 0.0), min(high + margin, 100.0)
        step = next((step for step in _STEPS if (high - low) / step <= 4), _STEPS[-1])
        first = math.ceil(low / step)
        ticks = tuple(float(step * k) for k in range(first, math.floor(high / step) + 1))
        return cls(low, high, ticks)

    def at(self, share: float) -> float:
        """Return where a share (0 to 1) lies, from 0 to 100, at the rim where it is beyond."""
        place = 100 * (100 * share - self.low) / (self.high - self.low)
        return round(min(max(place, 0.0), 100.0), 2)

    def holds(self, share: float) -> bool:
        """Return whether a share (0 to 1) lies on the scale."""
        return self.low <= 100 * share <= self.high
