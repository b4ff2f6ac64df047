"""The labels that the rows of a table of methods saw, where these may differ: a column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from regmix_bench.analysis.cohorts import Group, Setting
from regmix_bench.reporting.values import Cell, Column

#: The id of the column.
LABELS = "labels"


def labels_column(setting: Setting, groups: Iterable[Group]) -> Iterator[tuple[Column, list[Cell]]]:
    """Yield the column of each row's labels and its use of other images, if rows may differ."""
    if setting.supervision is None:
        yield Column(LABELS, "Labels"), [Cell(str(group.spec.supervision)) for group in groups]
