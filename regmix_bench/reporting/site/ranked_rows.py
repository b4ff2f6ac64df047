"""Rows of a ranking: what stands in one, what its bar shows, and the seeds behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from regmix_bench.analysis.blocks import Block, Row
from regmix_bench.analysis.methods import Relation
from regmix_bench.analysis.standings import Standing, Standings
from regmix_bench.records.accuracies import ROBUST, accuracies, robust_metric
from regmix_bench.records.throughput import undisturbed
from regmix_bench.records.tricks import seen_tricks
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.looks import Look
from regmix_bench.reporting.formats.cells import fixed
from regmix_bench.reporting.tables.comparison import DIFFERENCE
from regmix_bench.reporting.values import Cell, averaged

#: What a row is to the reference; empty where nothing can be said.
Chip = Relation | Literal["reference", ""]


class Seed(NamedTuple):
    """One training behind a row, and its robust accuracy (0 to 1), if it has one."""

    number: int
    run_id: str
    robust: float | None


@dataclass(frozen=True)
class RankedRow:
    """One row of a ranking.

    ``place`` counts from 1 and is None where there is no robust accuracy; ``best`` are the rows
    that none is shown to be ahead of. ``cells`` holds each accuracy by its id, and ``robust`` is
    one of them. ``reach`` (0 to 1) is the bar beside it: where there are verdicts, the interval of
    the difference to the reference, laid at the reference, and else that of the mean. ``passes``
    are images through the network, forwards and backwards, per training image and epoch, and
    ``minutes`` those of training, of runs that all had their machine to themselves.
    """

    place: int | None
    best: bool
    method: str
    label: str
    look: Look
    signs: str
    tricks: str
    cells: dict[str, Cell]
    robust: Cell
    reach: tuple[float, float] | None
    difference: Cell
    verdict: Chip
    passes: Cell
    minutes: Cell
    seeds: tuple[Seed, ...]

    @property
    def name(self) -> str:
        """The method and its hyper-parameters off their defaults, as a person would say them."""
        return self.look.name

    @property
    def drawn(self) -> list[float]:
        """The shares that its bar and its dots show, its mean first; none without a mean."""
        if not isinstance(self.robust.value, int | float):
            return []
        found = [seed.robust for seed in self.seeds if seed.robust is not None]
        return [float(self.robust.value), *(self.reach or ()), *found]

    @property
    def words(self) -> str:
        """Say what its bar shows, for those who do not see it."""
        mean = fixed(100 * self.drawn[0])
        if self.reach is None:
            return f"{mean} %"
        low, high = (fixed(100 * end) for end in self.reach)
        return f"{mean} %, interval from {low} to {high}"


def ranked_rows(block: Block, contents: Contents) -> Iterator[RankedRow]:
    """Return the rows of a block in the order of its standings."""
    table, standings = contents.comparisons[block.stem], contents.standings[block.stem]
    ids = [column.id for column in table.columns]
    filled = {
        row.label: (row, dict(zip(ids, cells, strict=True)))
        for row, cells in zip(block.rows, table.rows, strict=True)
    }
    for standing in standings.rows:
        row, cells = filled[standing.label]
        difference = cells.get(DIFFERENCE, Cell())
        yield _row(row, standing, cells["method"].signs, difference, block, contents)


def _row(
    row: Row,
    standing: Standing,
    signs: str,
    difference: Cell,
    block: Block,
    contents: Contents,
) -> RankedRow:
    scoring, standings = block.cohort.setting.scoring, contents.standings[block.stem]
    read = next(accuracy.read for accuracy in accuracies(scoring) if accuracy.title == ROBUST)
    cells = {a.id: averaged(row.metrics.get(a.id), "share") for a in accuracies(scoring)}
    robust = cells[robust_metric(scoring)]
    verdict = standing.verdict
    relation: Chip = verdict.relation if verdict else ""
    if row.label == standings.reference:
        relation = "reference"
    return RankedRow(
        place=standing.rank,
        best=standing.best,
        method=row.group.method,
        label=row.label,
        look=contents.looks[row.label],
        signs=signs,
        tricks=str(seen_tricks(row.group.tricks, block.checkpoint)),
        cells=cells,
        robust=robust,
        reach=_reach(standing, standings) if standings.verdicts else robust.interval,
        difference=replace(difference, word=""),  # which the chip says
        verdict=relation,
        passes=averaged(row.metrics.get("passes")),
        minutes=averaged(row.metrics.get("training_seconds"), "seconds")
        if all(undisturbed(run.record) for run, _ in row.scores)
        else Cell(),
        seeds=tuple(
            Seed(run.spec.seed, run.record.run_id, read(score)) for run, score in row.scores
        ),
    )


def _reach(standing: Standing, standings: Standings) -> tuple[float, float] | None:
    """Lay the interval of the difference to the reference at the reference's mean."""
    verdict = standing.verdict
    level = standings.by_label[standings.reference].mean if standings.reference else None
    if verdict is None or verdict.interval is None or level is None:
        return None
    return level.mean + verdict.interval[0], level.mean + verdict.interval[1]
