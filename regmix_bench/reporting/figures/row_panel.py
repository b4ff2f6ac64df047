"""One panel with a row for each method: its name at the left, its numbers at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.style import (
    column_of,
    fitted,
    inches,
    legend_below,
    legend_inches,
)
from regmix_bench.reporting.figures.venues import Style

#: The colour of words on rows that do not stand out: their contrast to white is 6.
_QUIET_INK = "#5c5c5c"
#: Inches that rows take together at least, so that one or two look like a figure.
_LEAST_HEIGHT = 0.6


@dataclass(frozen=True)
class PanelRow:
    """The words of a row: its name, its numbers, and whether it stands out."""

    name: str
    numbers: str
    loud: bool = True

    @property
    def ink(self) -> str:
        return "black" if self.loud else _QUIET_INK


def row_panel(
    style: Style,
    rows: Sequence[PanelRow],
    limits: tuple[float, float],
    label: str,
    protocol: str,
    handles: Sequence[Line2D] = (),
) -> tuple[Figure, Axes, list[float]]:
    """Return a figure, its axes and the places of rows on them, from the top, in inches.

    The axis across has ``limits`` and a ``label``, and the legend of ``handles`` below it.
    """
    # On a screen, where letters begin at whole pixels, words are a little wider than in print.
    left = 1.06 * column_of([row.name for row in rows], style)[0] + 0.16
    right = 1.06 * max(inches(row.numbers, style.small) for row in rows) + 0.18
    heights = [column_of([row.name], style)[1] for row in rows]
    heights = [height * max(1.0, _LEAST_HEIGHT / sum(heights)) for height in heights]
    figure, ((axis,),) = panels(
        style,
        (1, 1),
        sum(heights) + 0.08,
        Rim(left=left, right=right, bottom=0.42 + legend_inches(handles, style), top=0.04),
        protocol,
    )
    places = [float(place) for place in np.cumsum(heights) - np.divide(heights, 2)]
    axis.set(xlim=limits, ylim=(sum(heights) + 0.04, -0.04))
    bins = max(3, int(2 * (style.width - left - right)))
    axis.xaxis.set_major_locator(MaxNLocator(bins, steps=(1, 2, 2.5, 5, 10)))
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0, pad=6)
    axis.spines["left"].set_visible(False)
    axis.set_yticks(places, [row.name for row in rows])
    for row, place, tick in zip(rows, places, axis.get_yticklabels(), strict=True):
        tick.set_color(row.ink)
        axis.annotate(
            row.numbers,
            (1, place),
            (8, 0),
            xycoords=axis.get_yaxis_transform(),
            textcoords="offset points",
            va="center_baseline",
            fontsize=style.small,
            color=row.ink,
            annotation_clip=False,
        )
    axis.set_xlabel(fitted(label, style.width - abs(left - right) - 0.1, style.size))
    if handles:
        legend_below(figure, handles, style)
    return figure, axis, places


def draw_beyond(axis: Axes, place: float, above: bool, colour: str) -> Line2D:
    """Draw an arrow at a rim for a row whose value lies beyond it; returns its head."""
    low, high = axis.get_xlim()
    end, inwards, head = (high, -1, ">") if above else (low, 1, "<")
    at, tail = (end + inwards * share * (high - low) for share in (0.02, 0.12))
    axis.plot([at, tail], [place, place], color=colour, linewidth=1.2, zorder=3)
    (mark,) = axis.plot(
        at, place, head, color=colour, markersize=4.5, linestyle="", clip_on=False, zorder=3
    )
    return mark
