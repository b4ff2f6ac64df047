"""The files of a report in each format, beside its pictures."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from regmix_bench.analysis import verdicts
from regmix_bench.registry import FILE_NAME
from regmix_bench.reporting import site
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures import figure_names
from regmix_bench.reporting.formats import cells
from regmix_bench.reporting.formats.json_tables import tables_json
from regmix_bench.reporting.formats.latex import latex
from regmix_bench.reporting.formats.layout import Layout
from regmix_bench.reporting.formats.page import page
from regmix_bench.reporting.paper import paper_tables, require_layout
from regmix_bench.reporting.report_pictures import SITE, ReportPictures
from regmix_bench.reporting.site.pictures import SitePictures
from regmix_bench.reporting.tables import checkpoints, evaluated, numbers, overfitting, published
from regmix_bench.sheets.writer import sheet_text

#: All that a report is written in.
FORMATS = ("latex", "markdown", "csv", "json", "yaml", "figures", "html")

PAGE = "report.md"
NUMBERS = "tables.csv"
TABLES = "tables.json"
STUDY = "study.yaml"
MODELS = "models.csv"
VERDICTS = "verdicts.csv"
CHECKPOINTS = "checkpoints.csv"
EVALUATED = "evaluated.csv"
PUBLISHED = "published.csv"
FAILED = "failed-runs.csv"
OVERFITTING = "overfitting.csv"


def text_files(
    contents: Contents, formats: Collection[str], shown: Collection[str], layout: Layout
) -> Iterator[tuple[str, str, str]]:
    """Yield format, name and content of each text file; ``shown`` are the formats to link to."""
    # Whatever the formats: a reference, a row or a column that is none must be refused.
    compared = verdicts.frame(contents.standings)
    require_layout(contents, layout)
    if "latex" in formats:
        for stem, table in paper_tables(contents, layout).items():
            yield "latex", f"table-{stem}.tex", latex(table, stem, layout)
    if "csv" in formats:
        if any(block.rows for block in contents.blocks):
            yield "csv", NUMBERS, cells.csv(numbers.averages(contents.blocks))
            yield "csv", MODELS, cells.csv(numbers.run_accuracies(contents.cohorts))
        if not compared.empty:
            yield "csv", VERDICTS, cells.csv(compared)
        if contents.selections:
            yield "csv", CHECKPOINTS, cells.csv(checkpoints.selection_gains(contents.selections))
        if contents.panels:
            yield "csv", EVALUATED, cells.csv(evaluated.evaluated_accuracies(contents.panels))
        if contents.published:
            yield "csv", PUBLISHED, cells.csv(published.published_accuracies(contents.published))
        overfitted = overfitting.overfitting_runs(contents.cohorts)
        if not overfitted.empty:
            yield "csv", OVERFITTING, cells.csv(overfitted)
        yield "csv", FAILED, cells.csv(numbers.failed_runs(contents.cohorts))
    if "json" in formats:
        yield "json", TABLES, tables_json(contents.tables)
    if "yaml" in formats and contents.study is not None:
        yield "yaml", STUDY, sheet_text(contents.study)
    if "figures" in formats:
        for picture in contents.gallery.pictures:
            yield "figures", f"{picture.stem}.csv", cells.csv(picture.frame)
    if "markdown" in formats:
        yield "markdown", PAGE, page(contents, with_figures="figures" in shown)


def html_files(
    contents: Contents, formats: Collection[str], layout: Layout, pictures: SitePictures
) -> dict[str, bytes]:
    """Return the files of the site by name, but those that come of drawing."""
    if "html" not in formats:
        return {}
    files = site.undrawn_files(contents, pictures, layout)
    return {SITE + name: data for name, data in files}


def file_formats(
    texts: Collection[tuple[str, str, str]], pages: Collection[str], pictures: ReportPictures
) -> dict[str, str]:
    """Return the format of every file by its name, pictures included."""
    names = {name: kind for kind, name, _ in texts} | dict.fromkeys(pages, "html")
    for picture in pictures.all:
        for name in (name for found in pictures.names(picture) for name in found.values()):
            names[name] = "html" if name.startswith(SITE) else "figures"
    return names


def is_ours(name: str) -> bool:
    """Return whether a file is a report's by its name, whatever else lies beside it."""
    starts = (
        *(SITE, "table-", *(f"{figure}-" for figure in figure_names())),
        *(NUMBERS, TABLES, STUDY, MODELS, VERDICTS, CHECKPOINTS, EVALUATED, PUBLISHED, OVERFITTING),
    )
    return name.startswith(starts)


def is_drawn(name: str) -> bool:
    """Return whether a file of the report's folder may be a figure's, also one gone by now."""
    return bool(re.fullmatch(FILE_NAME, name)) and name.endswith((".png", ".pdf", ".csv"))
