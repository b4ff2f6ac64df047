"""Tables of a report as a reader sees them."""

from __future__ import annotations

from collections.abc import Sequence

from regmix_bench.reporting.formats.cells import line
from regmix_bench.reporting.values import Cell, Column, Kind, Table


def headers(table: Table) -> list[str]:
    return [column.header for column in table.columns]


def texts(table: Table) -> list[list[str]]:
    """The text of each cell, row by row."""
    return [
        [line(cell, column.kind) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]


def column(table: Table, header: str) -> dict[str, str]:
    """The text of one column by the name of the row."""
    place = headers(table).index(header)
    return {row[0]: row[place] for row in texts(table)}


def bold(table: Table) -> set[tuple[str, str]]:
    """What is bold: the names of rows and the headers of columns."""
    return {
        (str(row[0].value), header)
        for row in table.rows
        for cell, header in zip(row, headers(table), strict=True)
        if cell.best
    }


def table_of(
    *rows: Sequence[Cell],
    kind: Kind = "mean",
    header: Sequence[str] = ("Method", "A"),
    caption: str = "Usual.",
    notes: Sequence[str] = (),
) -> Table:
    """A table whose first column holds words, and the others what ``kind`` says."""
    columns = tuple(
        Column(name, name, kind if place else "words") for place, name in enumerate(header)
    )
    return Table(caption, columns, tuple(map(tuple, rows)), tuple(notes))
