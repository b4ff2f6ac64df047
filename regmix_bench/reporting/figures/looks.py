"""The looks of methods in figures and pages: a name, a colour and a marker, the same everywhere."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regmix_bench.analysis.cohorts import Group, row_order
from regmix_bench.methods import declared
from regmix_bench.methods.declarations import display_name

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
#: Colours and markers in the order in which methods declare them.
PALETTE: tuple[tuple[str, Marker], ...] = (
    *_CHOSEN,
    *((colour, marker) for marker in _OTHER_MARKERS for colour in _OTHER_COLOURS),
)
#: Those of methods that declare none, by their names.
_UNDECLARED = tuple((colour, marker) for _, marker in _CHOSEN for colour in _OTHER_COLOURS)
_STARS = ("*", *_OTHER_MARKERS[2:])
Line = Literal["-", "--", ":", "-."]
Fill = Literal["full", "none", "left", "bottom"]
_LINES: tuple[Line, ...] = ("-", "--", ":", "-.")
_FILLS: dict[Line, Fill] = {"-": "full", "--": "none", ":": "left", "-.": "bottom"}

GREY = "#777777"


@dataclass(frozen=True)
class Look:
    """The look of one row: colour and marker shape are the method's.

    ``name`` is what a figure calls it. The line style, and what of the marker is filled, are the
    variant's.
    """

    name: str
    colour: str
    marker: Marker
    line: Line

    @property
    def fill(self) -> Fill:
        """Return what of the marker is filled: all, nothing, its left or its lower half."""
        return _FILLS[self.line]

    @property
    def marks(self) -> dict[str, Any]:
        """Arguments by which matplotlib draws its markers, with or without a line."""
        fill = self.fill
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


def looks(groups: Sequence[Group]) -> dict[str, Look]:
    """Return the look of every label.

    Variants of a method take line styles in the order of their rows.
    """
    names = _names(groups)
    found: dict[str, Look] = {}
    variants: dict[str, int] = {}
    for method, label in sorted({(g.method, g.label) for g in groups}, key=lambda k: row_order(*k)):
        colour, marker = _colours(method)
        variant = variants.get(method, 0)
        variants[method] = variant + 1
        found[label] = Look(names[label], colour, marker, _LINES[variant % len(_LINES)])
    return found


def _colours(method: str) -> tuple[str, Marker]:
    """Return a method's place in the palette, or what follows from its name alone.

    So it is the same in every report.
    """
    found = declared(method)
    if found and found.colour is not None:
        return PALETTE[found.colour % len(PALETTE)]
    return _UNDECLARED[zlib.crc32(method.encode()) % len(_UNDECLARED)]


def _names(groups: Sequence[Group]) -> dict[str, str]:
    """Return the name to show of every label; those that share one keep their labels."""
    names = {}
    for group in groups:
        method = group.spec.method
        # What tells two rows of one label apart is no part of the method.
        names[group.label] = display_name(method) + group.label.removeprefix(method.label)
    uses = Counter(names.values())
    return {label: name if uses[name] == 1 else label for label, name in names.items()}


# Where black and white text have the same contrast, by WCAG 2.1: √(1.05 · 0.05) − 0.05.
_MIDDLE = 0.179


def luminance(colour: npt.ArrayLike) -> float:
    """Return the relative luminance (0 to 1, WCAG 2.1) of an sRGB colour with parts from 0 to 1."""
    rgb = np.asarray(colour, float)[:3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def ink(colour: npt.NDArray[np.float64]) -> str:
    """Return black or white, whichever reads better on an sRGB colour with parts from 0 to 1."""
    return "white" if luminance(colour) < _MIDDLE else "black"
