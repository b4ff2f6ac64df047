"""Curves of accuracy against the queries of a black box, of every table that was asked for one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.queries import QueryCurves
from regmix_bench.records.schema import AnyRecord
from regmix_bench.reporting.tables.evaluated import Panel
from regmix_bench.types import ThreatModel


def query_curves(
    blocks: Iterable[Block], panels: Iterable[Panel], records: Mapping[Path, AnyRecord]
) -> tuple[QueryCurves, ...]:
    """Return the curves of the rows of comparisons and of tables of given models.

    ``panels`` are such tables, and ``records`` tells where the record of each of their rows lies.
    What no black box with counted queries attacked has none.
    """
    found = (*_compared(blocks), *_given(panels, records))
    return tuple(curves for curves in found if curves.rows)


def _compared(blocks: Iterable[Block]) -> Iterator[QueryCurves]:
    for block in blocks:
        threat, cohort = block.eval_threat, block.cohort
        if not isinstance(threat, ThreatModel):
            continue
        rows = {row.label: [(run.path, s) for run, s in row.evaluations] for row in block.rows}
        yield QueryCurves.of(cohort.stem, cohort.setting.words, threat, rows)


def _given(panels: Iterable[Panel], records: Mapping[Path, AnyRecord]) -> Iterator[QueryCurves]:
    paths = {record.run_id: path for path, record in records.items()}
    for panel in panels:
        rows = {row.label: [(paths[row.record.run_id], row.score)] for row in panel.rows}
        yield QueryCurves.of(panel.stem, panel.terms.dataset, panel.terms.threat, rows)
