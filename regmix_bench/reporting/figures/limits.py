"""Limits of an axis that fit what is shown, where few values lie far from all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: How much wider an axis may become for a few values, rather than leave them beyond the rim.
MOST_WIDER = 2.0
#: One in so many values may lie beyond the rim.
FEW = 4
#: The least that an axis shows, so that noise is not blown up to a trend.
LEAST = 1.0


def fitted_limits(
    low: Sequence[float] | Floats,
    high: Sequence[float] | Floats,
    hold: float | None = None,
) -> tuple[float, float]:
    """Return limits that hold the intervals from ``low`` to ``high``, in points, and ``hold``.

    Those of a few that lie far apart are left out, the farthest first, if the axis were more than
    :data:`MOST_WIDER` times as wide with them. The limits have a margin.
    """
    lows, highs = np.asarray(low, float), np.asarray(high, float)
    middles = (lows + highs) / 2
    order = np.argsort(-np.abs(middles - (np.median(middles) if hold is None else hold)))
    lows, highs = lows[order], highs[order]
    held = np.array([] if hold is None else [hold])

    def ends(left_out: int) -> tuple[float, float]:
        return (
            float(min(*lows[left_out:], *held, np.inf)),
            float(max(*highs[left_out:], *held, -np.inf)),
        )

    def width(left_out: int) -> float:
        bottom, top = ends(left_out)
        return max(top - bottom, LEAST)

    left_out = 0
    for more in range(1, len(lows) // FEW + 1):
        if width(left_out) > MOST_WIDER * width(more):
            left_out = more
    bottom, top = ends(left_out)
    missing = max(0.0, LEAST - (top - bottom)) / 2
    margin = 0.04 * width(left_out)
    return bottom - missing - margin, top + missing + margin
