"""Pages of methods: what each was recorded with, and its places in every comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from regmix_bench.analysis.cohorts import row_order
from regmix_bench.methods.configured import all_params
from regmix_bench.reporting.site.leaderboard import Ranking, Rankings
from regmix_bench.reporting.site.ranked_rows import RankedRow
from regmix_bench.reporting.site.runs import RunPage
from regmix_bench.reporting.site.text import file_name


class MethodRow(NamedTuple):
    """A row of a method, and the comparison that it stands in."""

    ranking: Ranking
    row: RankedRow


class MethodPage(NamedTuple):
    """A recorded method: its page, the rows it has, its runs, and the parameters they used."""

    name: str
    file: str
    entries: tuple[MethodRow, ...]
    runs: tuple[RunPage, ...]
    used: dict[str, tuple[object, ...]]
    versions: tuple[int, ...]


def method_file(name: str) -> str:
    """Return the page of the method that records call ``name``, below the site."""
    return f"methods/{file_name(name)}.html"


def method_pages(board: Rankings, runs: Sequence[RunPage]) -> Iterator[MethodPage]:
    """Return one page for each method that a run, finished or failed, names."""
    names = sorted({page.method for page in runs}, key=lambda name: row_order(name, ""))
    for name in names:
        own = tuple(page for page in runs if page.method == name)
        used: dict[str, dict[str, object]] = {}
        for page in own:
            for key, value in all_params(page.run.spec.method).items():
                used.setdefault(key, {})[repr(value)] = value
        yield MethodPage(
            name,
            method_file(name),
            tuple(
                MethodRow(ranking, row)
                for ranking in board.rankings
                for row in ranking.rows
                if row.method == name
            ),
            own,
            {key: tuple(values.values()) for key, values in used.items()},
            tuple(sorted({page.run.spec.method.version for page in own})),
        )
