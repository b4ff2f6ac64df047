"""One look for every figure: a method has the same colour and marker wherever it appears."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, Literal, NamedTuple

import joblib
import matplotlib.style
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regmix_bench.analysis.cohorts import Group, row_order
from regmix_bench.methods import declared
from regmix_bench.reporting.formats.cells import csv, short
from regmix_bench.reporting.values import Table

#: matplotlib's: a letter, or a star's points, 1 and angle.
Marker = str | tuple[int, int, int]

# Okabe and Ito (2008) for what is most often compared, Tol's "muted" for the rest; both were
# chosen for colour-blind readers, and the marker says it a second time.
_CHOSEN: tuple[tuple[str, Marker], ...] = (
    ("#000000", "o"),
    ("#0072B2", "s"),
    ("#56B4E9", "^"),
    ("#009E73", "v"),
    ("#999933", "P"),
    ("#E69F00", "D"),
    ("#CC79A7", "X"),
    ("#332288", "<"),
    ("#44AA99", ">"),
    ("#D55E00", "*"),
    ("#882255", "p"),
)
_OTHER_COLOURS = ("#888888", "#117733", "#AA4499", "#6699CC", "#661100")
# As small as they are, more hexagons and an octagon would look like this one.
_OTHER_MARKERS: tuple[Marker, ...] = ("h", "d", (4, 1, 0), (6, 1, 0))
#: Colours and markers in the order in which methods declare them; the latter ones are for the rest.
PALETTE: tuple[tuple[str, Marker], ...] = (
    *_CHOSEN,
    *((colour, marker) for marker in _OTHER_MARKERS for colour in _OTHER_COLOURS),
)
_STARS = ("*", *_OTHER_MARKERS[2:])
Line = Literal["-", "--", ":", "-."]
Fill = Literal["full", "none", "left", "bottom"]
_LINES: tuple[Line, ...] = ("-", "--", ":", "-.")
_FILLS: dict[Line, Fill] = {"-": "full", "--": "none", ":": "left", "-.": "bottom"}

_RC: dict[str, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.titlesize": 8,
    "axes.titley": 1.0,  # else matplotlib asks every tick whether it is in the way
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a label may hold dollars
}

GREY = "#777777"
#: Colours of a heat map: they read alike with any colour vision, and in grey.
HEAT = "cividis"


@dataclass(frozen=True)
class Look:
    """How one row is drawn: colour and marker shape are the method's.

    The line style, and what of the marker is filled, are the variant's.
    """

    colour: str
    marker: Marker
    line: Line

    @property
    def marks(self) -> dict[str, Any]:
        """What matplotlib is to draw its markers with, with or without a line."""
        fill = _FILLS[self.line]
        return {
            "color": self.colour,
            "marker": self.marker,
            "markersize": 8 if self.marker in _STARS else 5.5,  # a star is mostly air
            # A hollow marker hides the line under it, as a full one does.
            "fillstyle": "full" if fill == "none" else fill,
            "markerfacecolor": "white" if fill == "none" else self.colour,
            "markerfacecoloralt": "white",
            "markeredgecolor": "white" if fill == "full" else self.colour,
            "markeredgewidth": 0.4 if fill == "full" else 0.8,
        }


class Drawn(NamedTuple):
    """A figure, and the numbers that came of drawing it."""

    figure: Figure
    points: pd.DataFrame


_DRAWN = (".png", ".pdf")
#: The files of a picture whose ``draw`` gives a :class:`Drawn`.
MAPPED = (*_DRAWN, ".points.csv")


@dataclass(frozen=True)
class Picture:
    """A figure: the numbers it shows, how to draw it, and what to say under it.

    ``frame`` is written beside it as CSV; ``draw`` is called only when pixels are wanted, and in
    another process: it is a function of a module, or a ``functools.partial`` of one. What comes of
    it has the ``suffixes``, and depends on the machine in its last bits.
    """

    stem: str
    frame: pd.DataFrame
    draw: Callable[[], Figure | Drawn]
    caption: str
    table: Table | None = None
    suffixes: tuple[str, ...] = _DRAWN


def looks(groups: Sequence[Group]) -> dict[str, Look]:
    """The look of every label. Variants of a method take line styles in the order of their rows."""
    found: dict[str, Look] = {}
    variants: dict[str, int] = {}
    for method, label in sorted({(g.method, g.label) for g in groups}, key=lambda k: row_order(*k)):
        colour, marker = _colours(method)
        variant = variants.get(method, 0)
        variants[method] = variant + 1
        found[label] = Look(colour, marker, _LINES[variant % len(_LINES)])
    return found


def _colours(method: str) -> tuple[str, Marker]:
    """Return a method's place in the palette: declared, or of its name alone.

    So it is the same in every report.
    """
    found = declared(method)
    if found and found.colour is not None:
        return PALETTE[found.colour % len(PALETTE)]
    others = PALETTE[len(_CHOSEN) :]
    return others[zlib.crc32(method.encode()) % len(others)]


def brief(label: str, width: int = 28, lines: int = 2) -> str:
    """A label for a figure: broken into ``lines`` of ``width`` characters, and cut after them."""
    return "\n".join(wrap(short(label, width * lines), width, max_lines=lines, placeholder="…"))


def widest(labels: Iterable[str]) -> int:
    """The characters of the longest line in labels, which may have several."""
    return max(len(line) for label in labels for line in label.split("\n"))


def legend_handles(looks: Mapping[str, Look], shown: Collection[str], lines: bool) -> list[Line2D]:
    """Legend entries of the labels ``shown``, in the order of ``looks``."""
    return [
        Line2D([], [], linestyle=look.line if lines else "", label=brief(label), **look.marks)
        for label, look in looks.items()
        if label in shown
    ]


def legend_inches(labels: Collection[str]) -> float:
    """About the width of a legend beside the panels."""
    return 0.65 + 0.065 * widest(map(brief, labels))


# Where black and white text have the same contrast, by WCAG 2.1: √(1.05 · 0.05) − 0.05.
_MIDDLE = 0.179


def luminance(colour: npt.ArrayLike) -> float:
    """The relative luminance, by WCAG 2.1, of an sRGB colour with parts from 0 to 1."""
    rgb = np.asarray(colour, float)[:3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def ink(colour: npt.NDArray[np.float64]) -> str:
    """Black or white, whichever reads better on an sRGB colour with parts from 0 to 1."""
    return "white" if luminance(colour) < _MIDDLE else "black"


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


def applied() -> AbstractContextManager[None]:
    """The common style, whatever the user's own settings, for what is drawn or saved inside."""
    return matplotlib.style.context(_RC, after_reset=True)


def rendered(draw: Callable[[], Figure | Drawn]) -> dict[str, bytes]:
    """A figure by suffix: ``.png`` (200 dpi) and ``.pdf``, without dates or versions in them."""
    files: dict[str, bytes] = {}
    figure = draw()
    if isinstance(figure, Drawn):
        figure, points = figure
        files[".points.csv"] = csv(points).encode()
    with applied():
        # Laid out once for both: that takes longer than drawing.
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
            engine.execute(figure)  # panels of a fixed shape have their size only now
            figure.set_layout_engine(None)
        for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
            stream = io.BytesIO()
            figure.savefig(stream, format=suffix[1:], dpi=200, metadata=metadata)
            files[suffix] = stream.getvalue()
    return files


def render_all(pictures: Sequence[Picture]) -> Generator[dict[str, bytes], None, None]:
    """The files of each picture, as :func:`rendered` makes them, in the order of the pictures.

    Where there are many, several processes begin to draw at the call; few are drawn here, each when
    it is asked for.
    """
    # A process takes as long to start as a few pictures to draw.
    processes = max(1, min(joblib.cpu_count(), len(pictures) // 4))
    parallel = joblib.Parallel(n_jobs=processes, return_as="generator")
    files: Generator[dict[str, bytes], None, None] = parallel(
        joblib.delayed(rendered)(picture.draw) for picture in pictures
    )
    return files
