"""One style for every figure, and what several of them draw: legends, panels, heat maps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import wrap
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regmix_bench.reporting.figures.looks import Look, ink
from regmix_bench.reporting.figures.venues import PLAIN, Style
from regmix_bench.reporting.formats.cells import short

#: Panels in a row.
COLUMNS = 5
_RC: dict[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.titley": 1.0,  # else matplotlib asks every tick whether it is in the way
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a label may hold dollars
}

#: Colours of a heat map: they read alike with any colour vision, and in grey.
HEAT = "cividis"


@contextmanager
def applied(style: Style = PLAIN) -> Iterator[None]:
    """Draw and save what is made inside for ``style``, whatever the user's own settings."""
    small = ("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize")
    own: dict[str, Any] = {
        "figure.figsize": (style.width, 0.6 * style.width),
        # What the font lacks, such as ε, comes from the other.
        "font.family": list(dict.fromkeys((style.font, PLAIN.font))),
        "font.size": style.size,
        "axes.titlesize": style.size,
        "axes.labelsize": style.size,
        **dict.fromkeys(small, style.small),
    }
    with matplotlib.style.context(_RC | own, after_reset=True), warnings.catch_warnings():
        # A picture has a box there; the warning has the letter, which a terminal may obey.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def brief(label: str, width: int = 28, lines: int = 2) -> str:
    """Return a label broken into ``lines`` of ``width`` characters, and cut after them."""
    return "\n".join(wrap(short(label, width * lines), width, max_lines=lines, placeholder="…"))


def widest(labels: Iterable[str]) -> int:
    """Return the characters of the longest line in labels, which may have several."""
    return max(len(line) for label in labels for line in label.split("\n"))


def legend_handles(looks: Mapping[str, Look], shown: Collection[str], lines: bool) -> list[Line2D]:
    """Return the legend entries of the labels ``shown``, in the order of ``looks``."""
    return [
        Line2D([], [], linestyle=look.line if lines else "", label=brief(look.name), **look.marks)
        for label, look in looks.items()
        if label in shown
    ]


def legend_inches(looks: Mapping[str, Look], shown: Collection[str]) -> float:
    """Return about the width of a legend beside the panels."""
    return 0.65 + 0.065 * widest(brief(looks[label].name) for label in shown)


def panel_grid(titles: Sequence[str], height: float, shared: bool) -> tuple[Figure, list[Axes]]:
    """Return equal panels under their titles, up to :data:`COLUMNS` a row, ``height`` inches each.

    ``shared`` axes carry their tick labels at the left and at the foot of each column.
    """
    panels = len(titles)
    rows = math.ceil(panels / COLUMNS)
    columns = math.ceil(panels / rows)  # so that no row is left nearly empty
    brief_titles = [brief(title, 26) for title in titles]
    second = 0.12 * any("\n" in title for title in brief_titles)  # inches of a second line
    size = (max(1.75 * columns + 0.3, 4.2), (height + second) * rows + 0.7)
    figure = Figure(figsize=size, layout=None if shared else "constrained")
    axes = list(figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False).flat)
    for axis in axes[panels:]:
        axis.remove()
    for axis, title in zip(axes, brief_titles, strict=False):
        axis.set_title(title)
    if shared:
        # All that stands around such panels has a known size, and a solver takes its time.
        figure.subplots_adjust(
            **{"left": 0.6 / size[0], "right": 1 - 0.1 / size[0], "wspace": 0.1},
            **{
                "bottom": 0.72 / size[1],
                "top": 1 - (0.22 + second) / size[1],
                "hspace": 0.28 + second,
            },
        )
        for axis in axes[panels - columns : panels]:
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("epoch")
    return figure, axes[:panels]


def heat_map(
    axes: Axes,
    values: npt.NDArray[np.float64],
    texts: Sequence[Sequence[str]],
    colours: str,
    norm: Normalize | None = None,
) -> npt.NDArray[np.float64]:
    """Shade a matrix, write each cell's text into it; returns the RGBA colours of the cells."""
    image = axes.imshow(values, cmap=colours, norm=norm)
    shades: npt.NDArray[np.float64] = image.to_rgba(values)
    for row, column in np.ndindex(values.shape):
        axes.text(
            column,
            row,
            texts[row][column],
            ha="center",
            va="center",
            fontsize=7,
            color=ink(shades[row, column]),
        )
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return shades
