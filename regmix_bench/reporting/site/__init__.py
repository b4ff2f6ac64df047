"""The report as a site: pages that open from disk or from any static host.

:func:`undrawn_files` and :func:`empty_site` yield each file as its path below the site, with ``/``,
and its content. The same records give the same bytes. Nothing of a page comes from another host,
and no script stands inside one, so that a strict content security policy may be sent with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files as resources

from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.layout import Layout
from regmix_bench.reporting.paper import paper_tables
from regmix_bench.reporting.site import downloads, pages
from regmix_bench.reporting.site.compared import comparison_data
from regmix_bench.reporting.site.definitions import define
from regmix_bench.reporting.site.leaderboard import Rankings
from regmix_bench.reporting.site.method_pages import method_pages
from regmix_bench.reporting.site.pictures import SitePictures
from regmix_bench.reporting.site.runs import run_pages
from regmix_bench.reporting.site.text import script

#: What every site holds.
ASSETS = (
    "site.css",
    "tables.js",
    "downloads.js",
    "plot.js",
    "charts.js",
    "compare.js",
    "copy.js",
)


def undrawn_files(
    contents: Contents, pictures: SitePictures, layout: Layout | None = None
) -> Iterator[tuple[str, bytes]]:
    """Write every file of the site but those that come of drawing, each when it is asked for.

    ``layout`` is that of the LaTeX tables that may be taken away.
    Raises :class:`~regmix_bench.errors.UserError` as the other formats of the report do.
    """
    board = Rankings.of(contents)
    found = run_pages(contents)
    usual = next(filter(None, (pictures.preview(one.stem) for one in board.rankings)), "")
    preview = pages.Preview(contents.site_url, usual)
    yield "index.html", pages.index_page(board, pictures, found, preview)
    yield from downloads.picture_numbers(pictures)
    layout = layout or Layout()
    papers = paper_tables(contents, layout)
    yield from downloads.table_files(contents.tables, papers, layout)
    yield downloads.runs_file(contents.cohorts)
    yield "tables.html", pages.tables_page(contents, pictures, preview)
    yield "runs.html", pages.runs_page(found, preview)
    yield "compare.html", pages.compare_page(found, preview)
    yield "data/comparisons.js", _data("comparisons", board.choices)
    for ranking in board.rankings:
        content = pages.comparison_page(board, ranking, pictures, preview)
        yield f"comparisons/{ranking.stem}.html", content
        yield f"data/{ranking.stem}.js", _data(ranking.stem, comparison_data(ranking, contents))
    for page in found:
        yield f"runs/{page.id}.html", pages.run_page(page, preview)
        yield f"data/{page.id}.js", _data(page.id, page.data)
        for number, example in enumerate(page.examples.shown if page.examples else ()):
            yield f"images/{page.id}-{number}.png", example.png
    methods = [(define(method.name), method) for method in method_pages(board, found)]
    yield "methods.html", pages.methods_page(methods, preview)
    for definition, method in methods:
        yield method.file, pages.method_page(definition, method, preview)
    yield from _assets()


def empty_site() -> Iterator[tuple[str, bytes]]:
    """Write the site of a results folder without records: one page, which says what to run."""
    yield "index.html", pages.empty_page()
    yield from _assets()


def _data(key: str, data: object) -> bytes:
    # A script and not JSON: pages opened from disk may load the one and not the other.
    return f'(window.regmixRuns ??= {{}})["{key}"] = {script(data)};\n'.encode()


def _assets() -> Iterator[tuple[str, bytes]]:
    folder = resources(__name__).joinpath("static")
    for name in ASSETS:
        yield f"assets/{name}", folder.joinpath(name).read_bytes()
