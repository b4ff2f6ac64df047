"""One style for every figure, and what several of them draw: legends, heat maps, names."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from regmix_bench.reporting.figures.looks import Look, ink
from regmix_bench.reporting.figures.venues import PLAIN, Style
from regmix_bench.reporting.formats.cells import short

_RC: dict[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.titley": 1.0,  # else matplotlib asks every tick whether it is in the way
    "axes.grid": True,
    "axes.labelpad": 2.5,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "legend.borderpad": 0.1,
    "legend.borderaxespad": 0.2,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.35,
    "legend.handletextpad": 0.5,
    **dict.fromkeys(("xtick.major.width", "ytick.major.width"), 0.6),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.5),
    **dict.fromkeys(("xtick.minor.size", "ytick.minor.size"), 1.5),
    **dict.fromkeys(("xtick.major.pad", "ytick.major.pad"), 2.0),
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a label may hold dollars
}

#: Colours of a heat map: they read alike with any colour vision, and in grey.
HEAT = "cividis"
#: What the name of an artist begins with whose rest an SVG shows as a hint.
TIP = "tip:"
#: Inches of a legend's entry beside its words.
_HANDLE = 0.42


_ALONE = RLock()


@contextmanager
def applied(style: Style = PLAIN) -> Iterator[None]:
    """Draw and save what is made inside for ``style``, whatever the user's own settings.

    One thread at a time does, as settings of matplotlib are those of all.
    """
    small = ("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize")
    own: dict[str, Any] = {
        "figure.figsize": (style.width, 0.6 * style.width),
        # What the font lacks, such as ε, comes from the other.
        "font.family": list(dict.fromkeys((style.font, PLAIN.font))),
        "font.size": style.size,
        "axes.titlesize": style.size,
        "axes.labelsize": style.size,
        "figure.titlesize": style.small,
        **dict.fromkeys(small, style.small),
    }
    with (
        _ALONE,
        matplotlib.style.context(_RC | own, after_reset=True),
        warnings.catch_warnings(),
    ):
        # A picture has a box there; the warning has the letter, which a terminal may obey.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def tip(artist: Artist, words: str) -> None:
    """Have an SVG show ``words`` where a reader points at what ``artist`` draws."""
    artist.set_gid(TIP + words)


def inches(text: str, size: float) -> float:
    """Return the width of a text's widest line at so many points, in the font that is applied."""
    font = FontProperties(size=size)
    return max(
        (
            float(text_to_path.get_text_width_height_descent(line, font, ismath=False)[0]) / 72
            for line in text.split("\n")
        ),
        default=0.0,
    )


def high(text: str, size: float) -> float:
    """Return about the height in inches of a text of several lines, none if it is empty."""
    return 1.45 * size / 72 * (text.count("\n") + 1) if text else 0.0


def fitted(label: str, room: float, size: float, lines: int = 1) -> str:
    """Return a label broken into ``lines`` that ``room`` inches hold, and cut after them."""
    words = short(label, 120 * lines).split(" ")
    found: list[str] = []
    for word in words:
        if found and inches(f"{found[-1]} {word}", size) <= room:
            found[-1] += f" {word}"
        else:
            found.append(word)
    if len(found) > lines:
        found = [*found[: lines - 1], " ".join(found[lines - 1 :])]
    return "\n".join(_cut(line, room, size) for line in found)


def _cut(line: str, room: float, size: float) -> str:
    if inches(line, size) <= room:
        return line
    while len(line) > 1 and inches(f"{line}…", size) > room:
        line = line[:-1]
    return f"{line.rstrip()}…"


def fitted_axis(percent: Iterable[float], least: float) -> tuple[float, float]:
    """Return limits of an axis that fit accuracies in percent and are ``least`` points apart.

    They pass 0 and 100 by a margin at most.
    """
    values = np.asarray(list(percent), float)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 100.0)
    margin = 0.04 * max(high - low, least)
    middle, half = (low + high) / 2, max(high - low, least) / 2 + margin
    bottom = min(max(middle - half, -margin), 100 + margin - 2 * half)
    bottom = max(bottom, -margin)
    return bottom, min(max(bottom + 2 * half, high + margin), 100 + margin)


def names_of(
    looks: Mapping[str, Look], labels: Iterable[str], style: Style, room: float = 2.0
) -> tuple[str, ...]:
    """Return the names of rows in small text, cut where they are longer than 0.38 of the width.

    Or than ``room`` inches. Where two were cut to the same, all have a second line.
    """
    whole = [looks[label].name for label in labels]
    room = min(0.38 * style.width, room)
    cut = tuple(fitted(name, room, style.small) for name in whole)
    if len(set(cut)) == len(set(whole)):
        return cut
    return tuple(fitted(name, room, style.small, lines=2) for name in whole)


def column_of(names: Sequence[str], style: Style) -> tuple[float, float]:
    """Return how wide the names of rows are, and how high a row of them has to be, in inches."""
    lines = max((name.count("\n") + 1 for name in names), default=1)
    return max((inches(name, style.small) for name in names), default=0.0), max(
        0.165, (1.25 * lines + 0.35) * style.small / 72
    )


def legend_handles(looks: Mapping[str, Look], lines: bool) -> list[Line2D]:
    """Return the legend entries of rows; all that are quiet share one, the last."""
    loud = [look for look in looks.values() if not look.quiet]
    quiet = [look for look in looks.values() if look.quiet]
    handles = [
        Line2D([], [], linestyle=look.line if lines else "", label=look.name, **look.marks)
        for look in loud
    ]
    if quiet:
        rest = {"linestyle": "-", "color": quiet[0].colour} if lines else {**quiet[0].marks}
        shape = {} if lines else {"marker": "o", "linestyle": ""}
        handles.append(Line2D([], [], label=f"{len(quiet)} others", **{**rest, **shape}))
    return handles


def legend_below(figure: Figure, handles: Sequence[Line2D], style: Style, **options: Any) -> None:
    """Put a legend at the foot of a figure, in as many columns as its width has room for."""
    columns, _ = _legend_shape(handles, style)
    room = style.width / columns - _HANDLE
    for handle in handles:
        handle.set_label(fitted(str(handle.get_label()), room, style.small))
    figure.legend(handles=handles, loc="lower center", ncols=columns, **options)


def legend_inches(handles: Sequence[Line2D], style: Style) -> float:
    """Return the height of :func:`legend_below`."""
    rows = _legend_shape(handles, style)[1]
    return rows * 1.45 * style.small / 72 + 0.06 if rows else 0.0


def _legend_shape(handles: Sequence[Line2D], style: Style) -> tuple[int, int]:
    """Return the columns and rows of a legend."""
    if not handles:
        return 1, 0
    widest = max(inches(str(handle.get_label()), style.small) for handle in handles) + _HANDLE
    columns = min(max(1, int((style.width - 0.1) / (widest + 0.12))), len(handles))
    rows = -(-len(handles) // columns)
    return -(-len(handles) // rows), rows


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
            va="center_baseline",
            fontsize=matplotlib.rcParams["legend.fontsize"],
            color=ink(shades[row, column]),
        )
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return shades
