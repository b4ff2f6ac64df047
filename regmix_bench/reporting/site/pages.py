"""The pages: what a template is given, and how text becomes markup."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import jinja2

from regmix_bench.analysis.words import norm_words, threat_words
from regmix_bench.records.accuracies import ROBUST, titles
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.cells import short, text
from regmix_bench.reporting.site import facts
from regmix_bench.reporting.site.definitions import Definition, value_words
from regmix_bench.reporting.site.leaderboard import (
    Board,
    MethodPage,
    budget,
    capital,
    method_file,
)
from regmix_bench.reporting.site.runs import RunPage
from regmix_bench.reporting.site.text import on_dark
from regmix_bench.reporting.tables.comparison import DIFFERENCE, INTERVAL, SEEDS
from regmix_bench.reporting.values import Cell, Kind
from regmix_bench.system.text import visible

_NO_NUMBER = -1e9


def index_page(contents: Contents, board: Board, runs: Sequence[RunPage]) -> bytes:
    """Write the leaderboard, what its signs mean, failed runs, and the report's other tables."""
    looks = {page.id: page.look for page in runs}
    failed = [page for page in runs if page.failed]
    return _render(
        "index.html",
        board=board,
        runs=runs,
        failed=failed,
        looks=looks,
        chapters=contents.chapters,
        across=contents.across,
        others=len(contents.records) - len(contents.runs),
    )


def runs_page(board: Board, found: Sequence[RunPage]) -> bytes:
    """Write every run in one table."""
    return _render("runs.html", board=board, runs=found, titles=titles())


def run_page(page: RunPage) -> bytes:
    """Write the page of one run."""
    record = page.run.record
    return _render(
        "run.html",
        page=page,
        specification=facts.specification_facts(page.run),
        cost=facts.cost_facts(record),
        environment=facts.environment_facts(record),
        digests=facts.digest_facts(record),
    )


def method_page(definition: Definition, page: MethodPage) -> bytes:
    """Write the page of one method."""
    looks = {run.id: run.look for run in page.runs}
    return _render("method.html", page=page, definition=definition, looks=looks)


def comparison_page() -> bytes:
    """Write the page that a script fills with the runs which its address names."""
    return _render("compare.html")


def empty_page() -> bytes:
    """Write what to do where nothing is recorded yet."""
    return _render("empty.html")


def order(cell: Cell | None, kind: Kind) -> float:
    """Return what a cell is sorted by: its number, below all others where it holds none."""
    if cell is None:
        return _NO_NUMBER
    if kind == "interval":
        return cell.interval[0] if cell.interval else _NO_NUMBER
    if kind == "difference" and isinstance(cell.value, str):
        return 0.0  # the reference itself
    return cell.value if isinstance(cell.value, int | float) else _NO_NUMBER


def _render(template: str, **context: object) -> bytes:
    # Pages one folder down reach the others, and the assets, through it.
    root = "../" if template in ("run.html", "method.html") else ""
    page = _environment().get_template(template).render(root=root, **context)
    return page.encode()


def _shown(value: object) -> object:
    # Of its own class, as markup stays markup.
    return type(value)(visible(value)) if isinstance(value, str) else value


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("regmix_bench.reporting.site"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "ROBUST": ROBUST,
        "INTERVAL": INTERVAL,
        "DIFFERENCE": DIFFERENCE,
        "SEEDS": SEEDS,
    }
    environment.filters |= {
        "short": short,
        "order": order,
        "text": text,
        "capital": capital,
        "on_dark": on_dark,
        "value_words": value_words,
        "method_file": method_file,
        "budget": budget,
        "norm_words": norm_words,
        "threat_words": threat_words,
    }
    return environment
