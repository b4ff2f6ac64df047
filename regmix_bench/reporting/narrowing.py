"""The part of a report that figures show: rows or one comparison, judged as in the whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from regmix_bench.reporting.calling import labels_called
from regmix_bench.reporting.tables import transfer

if TYPE_CHECKING:
    from regmix_bench.analysis.blocks import Block
    from regmix_bench.records.schema import TransferRecord
    from regmix_bench.reporting.contents import Contents


def chosen_labels(contents: Contents) -> list[str] | None:
    """Return the labels of the rows that ``methods`` of a report asks for; None for all.

    Raises :class:`~regmix_bench.errors.UserError` for one that there is not.
    """
    if contents.methods is None:
        return None
    return labels_called(contents.methods, contents.groups, contents.names, "method")


def for_figures(contents: Contents) -> Contents:
    """Return what figures show: the rows of ``methods`` alone, judged among all rows."""
    chosen = chosen_labels(contents)
    if chosen is None:
        return contents
    cohorts = (
        replace(cohort, groups=tuple(group for group in cohort.groups if group.label in chosen))
        for cohort in contents.cohorts
    )
    narrowed = replace(contents)
    # What is computed of all rows stays so: to leave some out changes no verdict and no look.
    vars(narrowed).update(
        cohorts=tuple(cohort for cohort in cohorts if cohort.groups),
        transfers=tuple(_transfers(contents, chosen)),
        standings=contents.standings,
        outcomes=contents.outcomes,
        targets=contents.targets,
        looks=contents.looks,
    )
    return narrowed


def with_main(contents: Contents, block: Block) -> Contents:
    """Return the same, of which figures show nothing but a block."""
    alone = copy(contents)
    vars(alone)["main_blocks"] = (block,)
    return alone


def _transfers(contents: Contents, chosen: Collection[str]) -> Iterator[TransferRecord]:
    """Yield what is between the models of chosen rows, of those that have two at least."""
    shown = (group for group in contents.groups if group.label in chosen)
    names = {name for group in shown for name in (group.label, *group.names)}
    for record in contents.transfers:
        kept = [place for place, side in enumerate(record.runs) if side.label in names]
        if len(kept) > 1:
            yield transfer.among(record, kept)
