"""Tables as values: what a report shows, before any format writes it.

Formats read cells and columns and never each other's text: LaTeX aligns the parts of a number, the
site sorts by values, JSON hands them on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.statistics import accuracy_interval

#: What a number means: a share (0 to 1, shown in percent), a difference of two shares (−1 to 1,
#: shown in percent points), seconds (shown in minutes), operations a second (shown in TFLOP/s),
#: bytes (shown in GiB), joules (shown in Wh), or itself.
Scale = Literal["share", "points", "seconds", "flop_per_second", "bytes", "joules", "plain"]
_UNITS: dict[Scale, float] = {
    "share": 100.0,
    "points": 100.0,
    "seconds": 1 / 60,
    "flop_per_second": 1e-12,
    "bytes": 2**-30,
    "joules": 1 / 3600,
    "plain": 1.0,
}

#: What is shown of the cells of a column: words; a number alone; with its spread; with its
#: interval; its interval alone; a signed difference with interval and verdict; a whole number; a
#: median with the range over seeds.
Kind = Literal["words", "number", "mean", "estimate", "interval", "difference", "count", "range"]


@dataclass(frozen=True)
class Cell:
    """One value: a number, words, or nothing where it was not measured.

    ``spread`` is the standard deviation over ``count`` seeds, ``interval`` the ends of the 95 %
    interval, or in a column of ranges the least and the largest, ``word`` a verdict on the number,
    or there how many seeds have one. They are on the number's ``scale``, and shown with
    so many ``decimals``. ``best`` says that it is of the best group of its table, by
    :class:`~regmix_bench.analysis.standings.Standings` alone. ``signs`` refer to footnotes.
    """

    value: float | str | None = None
    scale: Scale = "plain"
    decimals: int = 1
    spread: float | None = None
    interval: tuple[float, float] | None = None
    count: int | None = None
    word: str = ""
    best: bool = False
    signs: str = ""

    @property
    def shown(self) -> float | None:
        """The number in the unit that a reader sees; None if the cell holds none."""
        return self.in_unit(self.value) if isinstance(self.value, int | float) else None

    def in_unit(self, number: float) -> float:
        """Return a number on the scale of this cell in the unit that a reader sees."""
        return number * _UNITS[self.scale]


@dataclass(frozen=True)
class Column:
    """A column: ``id`` is the same in every table, ``header`` is for readers.

    ``group`` stands over the columns beside each other that share it.
    """

    id: str
    header: str
    kind: Kind = "words"
    better: Literal["higher", "lower"] | None = None
    group: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as there are columns, the first of which names the row.

    ``subject`` is what the caption begins with and other tables of the report may share.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    subject: str = ""

    @property
    def own_caption(self) -> str:
        """The caption behind its subject, from a capital letter on."""
        own = self.caption.removeprefix(self.subject).lstrip(": ")
        return own[:1].upper() + own[1:]

    @classmethod
    def of(
        cls,
        caption: str,
        filled: Sequence[tuple[Column, Sequence[Cell]]],
        notes: Sequence[str] = (),
        subject: str = "",
    ) -> Table:
        """Make a table of columns, each with its cells from top to bottom."""
        rows = zip(*(cells for _, cells in filled), strict=True)
        return cls(
            caption, tuple(column for column, _ in filled), tuple(rows), tuple(notes), subject
        )


def averaged(stat: Stat | None, scale: Scale = "plain", decimals: int = 1) -> Cell:
    """Return the cell of a mean over seeds, empty where there is none."""
    if stat is None:
        return Cell()
    ends = None if stat.low is None or stat.high is None else (stat.low, stat.high)
    return Cell(stat.mean, scale, decimals, stat.std, ends, stat.n)


def measured(share: float | None, images: int) -> Cell:
    """Return the cell of an accuracy (0 to 1) on so many images, its interval Wilson's."""
    if share is None:
        return Cell()
    return Cell(share, "share", interval=accuracy_interval(share, images), count=images)


def counted(number: int) -> Cell:
    """Return the cell of a whole number."""
    return Cell(number, decimals=0)


def significant(number: float) -> Cell:
    """Return the cell of a number of any magnitude, shown with four significant digits."""
    magnitude = math.floor(math.log10(abs(number))) if number and math.isfinite(number) else 0
    return Cell(number, decimals=max(0, 3 - magnitude))


def alike(cells: Sequence[Cell], digits: int = 3) -> list[Cell]:
    """Give numbers of any magnitude the same decimals: three digits of the largest are shown."""
    largest = max((abs(cell.shown) for cell in cells if cell.shown is not None), default=0.0)
    magnitude = math.floor(math.log10(largest)) if largest and math.isfinite(largest) else 0
    return [replace(cell, decimals=max(0, digits - 1 - magnitude)) for cell in cells]
