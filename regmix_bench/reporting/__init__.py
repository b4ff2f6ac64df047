"""The report of ``results/`` as LaTeX, Markdown, CSV, JSON, figures and pages.

It never trains and never attacks. Importing this package is cheap: plotting libraries load when a
report is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regmix_bench.reporting.formats.latex import Layout

FORMATS = ("latex", "markdown", "csv", "json", "figures", "html")


def write_report(
    results: Path,
    out: Path,
    formats: Sequence[str] = FORMATS,
    *,
    with_published: bool = False,
    reference: str | None = None,
    layout: Layout | None = None,
) -> list[Path]:
    """Write the report of the records below ``results`` into ``out``; returns the paths written.

    ``with_published`` puts the numbers of ``<results>/published.yaml`` beside ours, marked as not
    measured here. ``reference`` is the row that the others are compared with, that of each suite if
    left out. ``layout`` is that of the LaTeX tables. Each file is replaced whole. Files of these
    formats that an earlier report left in ``out`` and that this one no longer makes are removed.
    ``"html"`` is the folder ``site``; of a folder without records, one page that says what to run.
    Raises :class:`~regmix_bench.errors.UserError` for an unknown format or reference, a folder
    without records, an unreadable record, unreadable published numbers, or an unwritable ``out``.
    """
    from regmix_bench.reporting import report

    return report.write(results, out, formats, with_published, reference, layout)


def stale(
    results: Path,
    out: Path,
    *,
    with_published: bool = False,
    reference: str | None = None,
    layout: Layout | None = None,
) -> list[str]:
    """List what in the report at ``out`` no longer matches ``results``; empty if fresh.

    Numbers and input digests count; the bytes of a picture do not. The report must have been
    written with the same options.
    """
    from regmix_bench.reporting import report

    return report.find_stale(results, out, with_published, reference, layout)
