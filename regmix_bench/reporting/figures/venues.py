"""Styles that figures are made for: a venue's width and font, or a width and a font of one's own.

Widths and fonts are those of the style files: ``neurips_2024.sty`` (``textwidth=5.5in``, Times),
``icml2024.sty`` (two columns of 3.25 in, 0.25 in apart, Times), and ``IEEEtran.cls`` 1.8b (two
columns of 21 pc, 1 pc apart, Times), whose conference template asks for labels of 8 points.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Literal

from regmix_bench.errors import UserError, abridged, unknown

#: Points that no text of a figure is smaller than.
LEAST_SIZE = 7.0
#: Inches between which a width lies.
NARROWEST, WIDEST = 3.0, 20.0

Venue = Literal["plain", "neurips", "icml", "ieee"]
#: In inches; a point is TeX's.
_UNITS = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27, "pc": 12 / 72.27}
# matplotlib brings both, so that they look alike on every machine; STIX is a Times.
_SANS, _TIMES = "DejaVu Sans", "STIXGeneral"


@dataclass(frozen=True)
class Style:
    """A style to draw for: its width in inches, a font by its family, a size in points.

    ``size`` is that of titles and labels; ``small`` is that of all other text.
    """

    width: float
    font: str = _SANS
    size: float = 8.0

    @property
    def small(self) -> float:
        return max(LEAST_SIZE, self.size - 1)

    @property
    def narrow(self) -> bool:
        """True where it is about as wide as one of two columns of a paper."""
        return self.width < 4.5


@dataclass(frozen=True)
class _Columns:
    """The columns of a venue: the width of one and of the text in inches, its font and its size."""

    column: float
    text: float
    font: str
    size: float


_VENUES: dict[Venue, _Columns] = {
    "plain": _Columns(3.25, 6.75, _SANS, 8.0),
    "neurips": _Columns(5.5, 5.5, _TIMES, 9.0),
    "icml": _Columns(3.25, 6.75, _TIMES, 8.0),
    "ieee": _Columns(21 * _UNITS["pc"], 43 * _UNITS["pc"], _TIMES, 8.0),
}
#: What figures are drawn for where nothing is said: a screen.
PLAIN = Style(_VENUES["plain"].text)


def style_for(venue: Venue = "plain", width: str | None = None, font: str | None = None) -> Style:
    """Return the style of a venue; ``width`` and ``font`` take the place of its own.

    ``width`` is a length such as ``3.25in`` or ``8cm``, or ``column`` or ``text`` for those of the
    venue. Left out, it is a column, and the text of ``plain``. Raises :class:`UserError` for what
    is no length between 3 and 20 inches, and for a font that matplotlib does not find.
    """
    found = _VENUES[venue]
    if width is None:
        width = "text" if venue == "plain" else "column"
    style = Style(_inches(width, found), found.font, found.size)
    return style if font is None else replace(style, font=_installed(font))


def _inches(width: str, columns: _Columns) -> float:
    named = {"column": columns.column, "text": columns.text}
    if width in named:
        return named[width]
    match = re.fullmatch(r"\s*([+-]?[0-9.]+)\s*([a-z]+)\s*", width.lower())
    if match is None or match[2] not in _UNITS:
        raise UserError(
            f"--width {abridged(width)} is no length: such as 3.25in, 8cm, column or text"
        )
    try:
        inches = float(match[1]) * _UNITS[match[2]]
    except ValueError:
        inches = math.nan
    if not NARROWEST <= inches <= WIDEST:
        raise UserError(
            f"--width {abridged(width)} is not between {NARROWEST:g} and {WIDEST:g} inches"
        )
    return inches


def _installed(font: str) -> str:
    """Return the family as it is spelt; raises :class:`UserError` where it is not installed."""
    from matplotlib.font_manager import fontManager

    names = {name.lower(): name for name in fontManager.get_font_names()}
    if font.lower() not in names:
        raise unknown("font", font, names.values())
    return names[font.lower()]
