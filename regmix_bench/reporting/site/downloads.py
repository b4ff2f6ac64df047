"""Files to take away: each table and each picture of the site in every format it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.reporting.formats.cells import csv, csv_table
from regmix_bench.reporting.formats.json_tables import tables_json
from regmix_bench.reporting.formats.latex import latex
from regmix_bench.reporting.formats.layout import Layout
from regmix_bench.reporting.site.pictures import FOLDER, SitePictures
from regmix_bench.reporting.tables.numbers import run_accuracies
from regmix_bench.reporting.values import Table

#: What a table can be had as, by the name of the format.
TABLE_FORMATS = {"CSV": "csv", "JSON": "json", "LaTeX": "tex"}
#: The accuracies of each run.
RUNS = f"{FOLDER}runs.csv"


def table_files(
    tables: Mapping[str, Table], papers: Mapping[str, Table], layout: Layout
) -> Iterator[tuple[str, bytes]]:
    """Write each table, by the stem of its file, in every format; LaTeX as ``papers`` show it."""
    for stem, table in tables.items():
        written = {
            "csv": csv_table(table),
            "json": tables_json({stem: table}),
            "tex": latex(papers.get(stem, table), stem, layout),
        }
        for suffix, text in written.items():
            yield f"{FOLDER}table-{stem}.{suffix}", text.encode()


def picture_numbers(pictures: SitePictures) -> Iterator[tuple[str, bytes]]:
    """Write the numbers of each picture; what comes of drawing is not among them."""
    for picture in pictures.all:
        yield f"{FOLDER}{picture.stem}.csv", csv(picture.frame).encode()


def runs_file(cohorts: Sequence[Cohort]) -> tuple[str, bytes]:
    """Write the accuracies of each run."""
    return RUNS, csv(run_accuracies(cohorts)).encode()
