"""Panels on a figure that is as wide as a style says: their places are known in inches.

A solver would ask every text of every panel where it ends, which takes seconds for a grid of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regmix_bench.reporting.figures.looks import GREY
from regmix_bench.reporting.figures.style import fitted
from regmix_bench.reporting.figures.venues import Style

#: Which panels have an axis in common.
Shared = bool | Literal["none", "all", "row", "col"]
#: Inches of the line that names the protocol, above everything.
HEAD = 0.2


@dataclass(frozen=True)
class Rim:
    """Inches around panels for what stands there, below the line that names the protocol."""

    left: float = 0.5
    right: float = 0.1
    bottom: float = 0.42
    top: float = 0.22


def panels(
    style: Style,
    shape: tuple[int, int],
    height: float,
    rim: Rim,
    protocol: str,
    *,
    between: tuple[float, float] = (0.12, 0.3),
    heights: Sequence[float] | None = None,
    widths: Sequence[float] | None = None,
    share: tuple[Shared, Shared] = (False, False),
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with rows and columns of panels.

    ``shape`` are rows and columns, ``height`` is that of all rows together without what is
    ``between`` them (across, down), all in inches. ``heights`` and ``widths`` are shares, equal
    ones if left out, and ``share`` says which axes are shared, of x and y.
    """
    rows, columns = shape
    across, down = between
    head = HEAD if protocol else 0.0
    whole = head + rim.top + height + down * (rows - 1) + rim.bottom
    figure = Figure(figsize=(style.width, whole))
    wide = (style.width - rim.left - rim.right - across * (columns - 1)) / columns
    axes = figure.subplots(
        rows,
        columns,
        squeeze=False,
        sharex=share[0],
        sharey=share[1],
        height_ratios=heights,
        width_ratios=widths,
    )
    figure.subplots_adjust(
        left=rim.left / style.width,
        right=1 - rim.right / style.width,
        bottom=rim.bottom / whole,
        top=1 - (head + rim.top) / whole,
        wspace=across / wide,
        hspace=down / (height / rows),
    )
    if protocol:
        write_protocol(figure, protocol, style)
    return figure, [list(row) for row in axes]


def grid(
    style: Style,
    number: int,
    columns: int,
    height: float,
    rim: Rim,
    protocol: str,
    *,
    between: tuple[float, float] = (0.12, 0.3),
    share: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Return so many equal panels, ``height`` inches each, in at most so many ``columns``."""
    rows = -(-number // columns)
    columns = -(-number // rows)  # so that no row is left nearly empty
    figure, axes = panels(
        style,
        (rows, columns),
        rows * height,
        rim,
        protocol,
        between=between,
        share=(share, share),
    )
    flat = [axis for row in axes for axis in row]
    for axis in flat[number:]:
        axis.remove()
    return figure, flat[:number]


def columns_of(axes: Sequence[Axes]) -> int:
    """Return the columns of the grid that panels stand in."""
    spec = axes[0].get_subplotspec()
    return spec.get_gridspec().ncols if spec is not None else 1


def write_protocol(figure: Figure, protocol: str, style: Style) -> None:
    """Write what a picture shows above everything, in the :data:`HEAD` of a figure."""
    figure.suptitle(
        fitted(protocol, style.width - 0.1, style.small),
        x=0.05 / style.width,
        y=1 - 0.05 / figure.get_figheight(),
        ha="left",
        va="top",
        fontsize=style.small,
        color=GREY,
    )


def titled_grid(
    style: Style,
    titles: Sequence[str],
    columns: int,
    height: float,
    rim: Rim,
    protocol: str,
    *,
    between: tuple[float, float] = (0.12, 0.12),
    share: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Return equal panels under their titles, on two lines where one has no room for them.

    What is ``between`` panels, and above them, stands there beside the titles.
    """
    columns = -(-len(titles) // -(-len(titles) // columns))
    across = between[0]
    wide = (style.width - rim.left - rim.right - across * (columns - 1)) / columns
    named = [fitted(title, wide, style.size, lines=2) for title in titles]
    lines = max(title.count("\n") + 1 for title in named)
    title = (1.25 * lines * style.size + 5) / 72
    figure, axes = grid(
        style,
        len(named),
        columns,
        height,
        replace(rim, top=title),
        protocol,
        between=(across, between[1] + title),
        share=share,
    )
    for axis, text in zip(axes, named, strict=True):
        axis.set_title(text, pad=3)
    return figure, axes


def foot_labels(axes: Sequence[Axes], words: str) -> None:
    """Write tick labels and ``words`` below the panels that no other stands below."""
    for axis in axes[-columns_of(axes) :]:
        axis.tick_params(labelbottom=True)
        axis.set_xlabel(words)
