"""The looks of methods in figures and pages: a name, a colour and a marker, the same everywhere."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regmix_bench.analysis.cohorts import Group, row_order
from regmix_bench.analysis.standings import Standings
from regmix_bench.methods import declared
from regmix_bench.methods.declarations import display_name
from regmix_bench.specs import MethodSpec

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
#: Lines and fillings of rows off a method's defaults; those of neighbours differ in both.
_VARIANTS: tuple[tuple[Line, Fill], ...] = tuple(
    (("--", ":", "-.")[place % 3], ("none", "left", "bottom")[(place + place // 3) % 3])
    for place in range(9)
)

GREY = "#777777"
#: The colour of rows that stand behind others: its contrast to white is 3, as of any mark.
QUIET = "#949494"
#: Rows up to which a figure shows all in their colours, and the most that it does of more.
MOST_COLOURED = 6


@dataclass(frozen=True)
class Look:
    """The look of one row: colour and marker shape are the method's.

    ``name`` is what a figure calls it. The line style, and what of the marker is filled, are the
    variant's. What is ``quiet`` is grey, as one of the many that stand behind the others, and what
    is ``featured`` never is, as its method is what studies are about.
    """

    name: str
    colour: str
    marker: Marker
    line: Line
    fill: Fill = "full"
    quiet: bool = False
    featured: bool = False

    @property
    def ink(self) -> str:
        """Its colour as that of words on white, dark enough to be read (a contrast of 4.5)."""
        parts = np.array([int(self.colour[at : at + 2], 16) for at in (1, 3, 5)])
        while luminance(parts / 255) > _DARKEST_TEXT:
            parts = parts * 9 // 10
        return "#" + "".join(f"{part:02x}" for part in parts)

    @property
    def marks(self) -> dict[str, Any]:
        """Arguments by which matplotlib draws its markers, with or without a line."""
        return {
            "color": self.colour,
            "marker": self.marker,
            # A star is mostly air.
            "markersize": (8 if self.marker in _STARS else 5.5) * (0.75 if self.quiet else 1),
            # A hollow marker hides the line under it, as a full one does.
            "fillstyle": "full" if self.fill == "none" else self.fill,
            "markerfacecolor": "white" if self.fill == "none" else self.colour,
            "markerfacecoloralt": "white",
            "markeredgecolor": "white" if self.fill == "full" else self.colour,
            "markeredgewidth": 0.4 if self.fill == "full" else 0.8,
        }


def looks(groups: Sequence[Group]) -> dict[str, Look]:
    """Return the look of every label; it is the same whatever other labels there are."""
    names = _names(groups)
    found: dict[str, Look] = {}
    for method, label in sorted({(g.method, g.label) for g in groups}, key=lambda k: row_order(*k)):
        colour, marker = _colours(method)
        line, fill = _variant(label.removeprefix(method))
        own = declared(method)
        featured = label == method and own is not None and own.featured
        found[label] = Look(names[label], colour, marker, line, fill, featured=featured)
    return found


def look_of(method: MethodSpec) -> Look:
    """Return the look of a method that stands in a figure for itself, and for no row."""
    colour, marker = _colours(method.name)
    line, fill = _variant(method.label.removeprefix(method.name))
    return Look(display_name(method), colour, marker, line, fill)


def given_looks(labels: Iterable[str]) -> dict[str, Look]:
    """Return looks of models that were given, whose labels may say anything, in their order."""
    styles = (PALETTE[place % len(PALETTE)] for place in count())
    return {
        label: Look(label, colour, marker, "-")
        for label, (colour, marker) in zip(labels, styles, strict=False)
    }


def emphasised(
    looks: Mapping[str, Look], labels: Iterable[str], standings: Standings | None
) -> dict[str, Look]:
    """Return the looks of the rows of one picture, most of them quiet where there are many.

    Of more than :data:`MOST_COLOURED`, the reference and what is featured keep their colours, and
    so do rows that are significantly better, then those that are worse, by their difference, until
    there are as many. Without verdicts all keep theirs.
    """
    shown = list(dict.fromkeys(labels))
    if standings is None or not standings.verdicts or len(shown) <= MOST_COLOURED:
        return {label: looks[label] for label in shown}
    places = {"better": 0, "worse": 1}
    significant = sorted(
        (places[verdict.relation], -abs(verdict.difference), label)
        for label, verdict in standings.verdicts.items()
        if verdict.relation in places
    )
    featured = [label for label in shown if looks[label].featured]
    found = [standings.reference, *featured, *(label for *_, label in significant)]
    kept = [label for label in dict.fromkeys(found) if label in shown][:MOST_COLOURED]
    return {
        label: looks[label] if label in kept else replace(looks[label], colour=QUIET, quiet=True)
        for label in shown
    }


def _variant(parameters: str) -> tuple[Line, Fill]:
    """Return the line and the filling that follow from the parameters off their defaults.

    The sum of the characters tells neighbouring values apart, whatever others there are.
    """
    if not parameters:
        return "-", "full"
    return _VARIANTS[sum(map(ord, parameters)) % len(_VARIANTS)]


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
# The most of a word that has a contrast of 4.5 to white: 1.05 / 4.5 − 0.05.
_DARKEST_TEXT = 0.183


def luminance(colour: npt.ArrayLike) -> float:
    """Return the relative luminance (0 to 1, WCAG 2.1) of an sRGB colour with parts from 0 to 1."""
    rgb = np.asarray(colour, float)[:3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def ink(colour: npt.NDArray[np.float64]) -> str:
    """Return black or white, whichever reads better on an sRGB colour with parts from 0 to 1."""
    return "white" if luminance(colour) < _MIDDLE else "black"
