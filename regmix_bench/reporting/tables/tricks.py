"""The tricks of the rows of a table of methods: a column, or a sentence of its caption."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from regmix_bench.analysis.cohorts import Group, Setting
from regmix_bench.records.tricks import seen_tricks
from regmix_bench.reporting.values import Cell, Column
from regmix_bench.types import Checkpoint

#: The id of the column, which the site treats in its own way.
TRICKS = "tricks"


def tricks_column(
    setting: Setting, groups: Iterable[Group], checkpoint: Checkpoint = "selected"
) -> Iterator[tuple[Column, list[Cell]]]:
    """Yield the column of what each row was given besides its method, if rows may differ in it."""
    if setting.tricks is None:
        found = (seen_tricks(group.tricks, checkpoint) for group in groups)
        yield Column(TRICKS, "Tricks"), [Cell(str(tricks)) for tricks in found]


def tricks_said(setting: Setting, checkpoint: Checkpoint = "selected") -> str:
    """Return the sentence of a caption that says the tricks of all rows."""
    if setting.tricks is None:
        return "Tricks: each row's own."
    return f"Tricks: {seen_tricks(setting.tricks, checkpoint)}."
