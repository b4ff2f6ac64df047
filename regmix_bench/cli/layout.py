"""Rows of text as lines that fit a terminal of any width; a pipe has none, and nothing is cut."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

#: Between two columns, and before what stands below the line that it belongs to.
GAP = "  "
#: A last column is folded to no less than this, before the first gets a line of its own.
_LEAST = 24
#: Of fewer rows none is worth a line of its own on what they share.
_FEW = 4
_NUMBER = re.compile(r"[+−-]?[\d.,:]+%?")


def runs_words(number: int, unit: str = "run") -> str:
    """Write a number of runs: ``1 run``, ``2 runs``."""
    return f"{number} {unit}{'s' * (number != 1)}"


def terminal_width(error: bool = False) -> int | None:
    """Return the columns of the terminal that standard output is; None where it is a pipe.

    With ``error`` it is that of standard error.
    """
    if not (sys.stderr if error else sys.stdout).isatty():
        return None
    from rich.console import Console

    return Console(stderr=error).width


def aligned(table: Sequence[Sequence[str]], width: int | None = None) -> Iterator[str]:
    """Yield the lines of a table, its header first, at most ``width`` columns wide.

    Numbers stand right in their column. Where a row is too long, columns in which no row says
    anything are left out, and what all rows share is said once, below; then the last cell is
    folded, and where that is not enough the first one has a line of its own, with the others below.
    """
    if not fits_width(table, width):
        table = _without(table, [number for number in _shared(table) if not table[1][number]])
    shared = [] if fits_width(table, width) or len(table) < _FEW else _shared(table)
    for lines in _rows(_without(table, shared), width):
        yield from lines
    if shared and width is not None:
        said = [f"{table[0][number]} {table[1][number]}" for number in shared]
        yield from fold(f"all: {', '.join(said)}", width)


def fits_width(table: Sequence[Sequence[str]], width: int | None) -> bool:
    """Return whether the rows of a table are lines of at most ``width`` columns as they are."""
    widths = _widths(table)
    return width is None or sum(widths) + len(GAP) * (len(widths) - 1) <= width


def fold(text: str, width: int | None) -> list[str]:
    """Return ``text`` in lines of at most ``width`` columns, broken between words if it can be."""
    if width is None:
        return [text]
    from rich.console import Console
    from rich.text import Text

    lines = Text(text).wrap(Console(width=width), width)
    return [line.plain.rstrip() for line in lines] or [""]


def _shared(table: Sequence[Sequence[str]]) -> list[int]:
    """Return the columns, but for the first, in which all rows of a table say the same."""
    columns = [set(column[1:]) for column in zip(*table, strict=True)]
    return [number for number, found in enumerate(columns) if number and len(found) == 1]


def _without(table: Sequence[Sequence[str]], numbers: Sequence[int]) -> Sequence[Sequence[str]]:
    """Return a table without the columns of these numbers."""
    return [[cell for number, cell in enumerate(row) if number not in numbers] for row in table]


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    from rich.cells import cell_len

    return [max(map(cell_len, column)) for column in zip(*table, strict=True)]


def _rows(
    table: Sequence[Sequence[str]], width: int | None, below: bool = False
) -> Iterator[list[str]]:
    """Yield the lines of each row, which stands ``below`` a first cell where that is needed."""
    from rich.cells import cell_len

    widths = _widths(table)
    if width is not None and not fits_width(table, width):
        room = width - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)
        if not below and len(widths) > 1 and room < min(_LEAST, widths[-1]):
            rest = _rows([row[1:] for row in table], width - len(GAP), below=True)
            for row, lines in zip(table, rest, strict=True):
                yield fold(row[0], width) + [GAP + line for line in lines]
            return
        widths[-1] = max(min(room, widths[-1]), 1)
    right = [
        all(_NUMBER.fullmatch(cell) for cell in column[1:] if cell)
        for column in zip(*table, strict=True)
    ]
    indent = " " * (sum(widths[:-1]) + len(GAP) * (len(widths) - 1))
    for row in table:
        cells = []
        for cell, room, numbers in zip(row, widths, right, strict=True):
            space = " " * (room - cell_len(cell))
            cells.append(space + cell if numbers else cell + space)
        first, *more = fold(cells[-1], None if width is None else widths[-1])
        lines = [GAP.join([*cells[:-1], first]), *(indent + line for line in more)]
        yield [line.rstrip() for line in lines]
