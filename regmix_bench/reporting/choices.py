"""Choices of what a report shows, and of how."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

from regmix_bench.analysis.tricks import Axis
from regmix_bench.reporting.figures.venues import Style


class Manner(TypedDict, total=False):
    """Choices of how records are shown, each at its default where it is left out.

    ``reference`` is the row that the others are compared with, by default that of each suite, and
    ``across`` what the rows of a table may differ in. ``target_accuracy`` (0 to 1) is what costs
    are compared at, by default the reference's. Figures are drawn for ``style`` and show
    ``methods``, by label, method or shown name, by default all rows. ``site_url`` is where the
    site will stand, for what needs a whole address.
    """

    reference: str | None
    across: Collection[Axis]
    target_accuracy: float | None
    style: Style
    methods: Collection[str] | None
    site_url: str | None


class Choices(Manner, total=False):
    """Choices of what a report shows, and of how.

    ``with_published`` adds tables of the numbers in ``published.yaml``, not measured here: that of
    the results, or else that of this package. ``only`` are the run_ids of the trainings to show, by
    default all records.
    """

    with_published: bool
    only: Collection[str] | None
