"""Tables and sentences on recorded runs, as pages quote them from a report."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.cohorts import require_records, runs_among
from regmix_bench.analysis.tricks import Axis
from regmix_bench.analysis.words import threat_words
from regmix_bench.api.options import suite_run_ids
from regmix_bench.records.schema import AnyRecord, StudyRecord
from regmix_bench.records.studies import load_study, study_files
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.cells import markdown
from regmix_bench.reporting.headline import headline
from regmix_bench.reporting.paper import named
from regmix_bench.reporting.tables.tuning import by_folder, tuning_table
from regmix_bench.reporting.values import Table

COLUMNS = ("method", "clean_acc", "pgd_acc", "autoattack_acc")
COMPARED = (*COLUMNS, "robust_difference", "passes", "seeds")


class Shown:
    """The records below a folder, and what a report says of some of them."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.records = require_records(results)

    @cached_property
    def studies(self) -> dict[str, tuple[StudyRecord, ...]]:
        """What was tuned at equal effort: by folder, a study for each method."""
        return by_folder(map(load_study, study_files(self.results)))

    @cached_property
    def matched(self) -> Contents:
        """Every method with the same tricks."""
        return self.suites("matched-digits")

    @cached_property
    def tuning(self) -> dict[str, Table]:
        """What tuning found on held-out images, and on test images what became of it, by folder."""
        runs = runs_among(self.records)
        return {folder: tuning_table(found, runs) for folder, found in self.studies.items()}

    def suites(self, names: str, across: Collection[Axis] = (), **choices: Any) -> Contents:
        """Return the runs of suites, which may be joined ``across`` an axis."""
        asked = suite_run_ids(names) or ()
        return self.chosen(lambda record: record.run_id in asked, across=across, **choices)

    def chosen(self, take: Callable[[AnyRecord], object], **choices: Any) -> Contents:
        """Return the records that ``take`` takes."""
        found = {path: record for path, record in self.records.items() if take(record)}
        return Contents(self.results, found, (), whole=False, **choices)

    def block(self, contents: Contents, threat: str) -> Block:
        """Return the one table of selected checkpoints under a threat, by its words."""
        (found,) = (
            block
            for block in contents.blocks
            if block.checkpoint == "selected" and threat_words(block.eval_threat) == threat
        )
        return found

    def said(self, contents: Contents, threat: str) -> str:
        """Say how RegMix stands in a comparison, in two sentences."""
        block = self.block(contents, threat)
        said = headline(block, contents.standings[block.stem], contents.looks)
        difference = said.beside.partition(". Of ")[0]
        return f"**{said.sentence}.** {difference}, the interval 95 % together with all others.\n"

    def compared(self, contents: Contents, threat: str, columns: Collection[str] = COMPARED) -> str:
        """Return the table of a comparison as Markdown, with some of its columns."""
        stem = self.block(contents, threat).stem
        return shown(named(contents.comparisons[stem], contents.names), columns)


def shown(table: Table, columns: Collection[str]) -> str:
    """Return a table as Markdown with some of its columns, without caption and notes."""
    places = [at for at, column in enumerate(table.columns) if column.id in columns]
    return markdown(
        replace(
            table,
            caption="",
            columns=tuple(table.columns[at] for at in places),
            rows=tuple(tuple(row[at] for at in places) for row in table.rows),
            notes=(),
        )
    ).lstrip()
