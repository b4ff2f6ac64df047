"""What ``results/`` holds, as LaTeX, Markdown, CSV and figures. Never trains, never attacks.

Importing this package is cheap: plotting libraries load when a report is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

FORMATS = ("latex", "markdown", "csv", "figures")


def write_report(results: Path, out: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write the report of the records below ``results`` into ``out``; returns the paths written.

    Each file is replaced whole. Files of these formats that an earlier report left in ``out`` and
    that this one no longer makes are removed. Raises :class:`~regmix_bench.errors.UserError` for an
    unknown format, a folder without records, an unreadable record or an unwritable ``out``.
    """
    from regmix_bench.reporting import report

    return report.write(results, out, formats)


def stale(results: Path, out: Path) -> list[str]:
    """What in the report at ``out`` no longer matches ``results``, one line each; empty if fresh.

    Numbers and input digests count; the bytes of a picture do not.
    """
    from regmix_bench.reporting import report

    return report.stale(results, out)
