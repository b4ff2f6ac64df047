"""What a table of methods says of the tricks of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from regmix_bench.analysis.cohorts import Group, Setting
from regmix_bench.reporting.values import Cell, Column

#: The id of the column, which the site treats in its own way.
TRICKS = "tricks"


def tricks_column(setting: Setting, groups: Iterable[Group]) -> Iterator[tuple[Column, list[Cell]]]:
    """Yield the column of what each row was given besides its method, if rows may differ in it."""
    if setting.tricks is None:
        yield Column(TRICKS, "Tricks"), [Cell(str(group.tricks)) for group in groups]


def tricks_said(setting: Setting) -> str:
    """Return the sentence of a caption that says the tricks of all rows."""
    tricks = "each row's own" if setting.tricks is None else setting.tricks
    return f"Tricks: {tricks}."
