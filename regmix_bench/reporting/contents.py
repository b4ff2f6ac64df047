"""Contents of a report: the records below ``results``, sorted into tables and pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from regmix_bench.analysis import verdicts
from regmix_bench.analysis.apart import tables_apart
from regmix_bench.analysis.blocks import Block, blocks_of
from regmix_bench.analysis.cohorts import (
    Cohort,
    Group,
    Run,
    runs_among,
    sort_into_cohorts,
)
from regmix_bench.analysis.queries import QueryCurves
from regmix_bench.analysis.selection import Selections, selections_of
from regmix_bench.analysis.standings import Standings
from regmix_bench.analysis.targets import Target, targets_of
from regmix_bench.analysis.tricks import Axis
from regmix_bench.records.accuracies import robust_metric
from regmix_bench.records.schema import (
    AnyRecord,
    CorruptionRecord,
    EvalRecord,
    StudyRecord,
    TransferRecord,
)
from regmix_bench.records.studies import load_study, study_files
from regmix_bench.records.words import model_name
from regmix_bench.reporting.chapters import (
    Section,
    chapters_of,
    pointing,
    quoted_sections,
    terms_of,
)
from regmix_bench.reporting.choices import Manner
from regmix_bench.reporting.figures.looks import Look, emphasised, looks
from regmix_bench.reporting.figures.venues import PLAIN, Style
from regmix_bench.reporting.narrowing import chosen_labels, for_figures
from regmix_bench.reporting.published import (
    Published,
    PublishedTerms,
    load_published,
)
from regmix_bench.reporting.query_curves import query_curves
from regmix_bench.reporting.reading import read_records
from regmix_bench.reporting.tables import (
    corrupted_methods,
    corruptions,
    evaluated,
    threats,
    transfer,
    tuning,
)
from regmix_bench.reporting.tables.comparison import comparison_table
from regmix_bench.reporting.values import Table
from regmix_bench.sheets import own

if TYPE_CHECKING:
    from regmix_bench.reporting.figures.gallery import Gallery


def _silent(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Contents:
    """The records below ``results`` as tables and pictures, whatever the format.

    It is ``whole`` where all records are shown; :class:`Manner` says the rest.
    """

    results: Path
    records: dict[Path, AnyRecord]
    published: tuple[Published, ...]
    whole: bool = True
    reference: str | None = None
    across: Collection[Axis] = ()
    target_accuracy: float | None = None
    style: Style = PLAIN
    methods: Collection[str] | None = None
    site_url: str | None = None
    say: Callable[[str], None] = field(default=_silent, compare=False)

    @classmethod
    def of(
        cls,
        results: Path,
        *,
        with_published: bool = False,
        only: Collection[str] | None = None,
        say: Callable[[str], None] = _silent,
        **manner: Unpack[Manner],
    ) -> Contents:
        """Return the contents of a report on the records below ``results``.

        ``say`` is told what is done with them, a line at a time.

        Raises :class:`UserError` for a reference or a method that there is not, a folder without
        records, and a record, a file of one or published numbers that cannot be read.
        """
        entries = load_published(results) if with_published else ()
        say(f"reading the records below {results}")
        records = read_records(results, only)
        contents = cls(results, records, entries, only is None, say=say, **manner)
        chosen_labels(contents)  # what is not there is refused before anything is compared
        return contents

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        return runs_among(self.records)

    @cached_property
    def cohorts(self) -> tuple[Cohort, ...]:
        return sort_into_cohorts(self.runs, self.across)

    @cached_property
    def apart(self) -> str:
        """Return a line on rows that stand in tables of their own for their tricks, or nothing."""
        pairs = ((one.spec, one.tricks) for one in self.groups)
        found = None if self.across else tables_apart(pairs)
        return found or ""

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(block for cohort in self.cohorts for block in blocks_of(cohort))

    @cached_property
    def standings(self) -> dict[str, Standings]:
        """The standings of each block, by its stem."""
        self.say(f"comparing {len(self.runs)} runs in {len(self.blocks)} tables")
        return verdicts.judge_blocks(self.blocks, self.reference, self.outcomes, self.names)

    @cached_property
    def outcomes(self) -> dict[str, verdicts.Outcomes]:
        """The images that the rows of each block get right, by its stem."""
        return {block.stem: verdicts.read(block) for block in self.blocks}

    @cached_property
    def main_blocks(self) -> tuple[Block, ...]:
        """The block of each cohort that stands for it in figures.

        It attacks under the training threat and at the selected checkpoint where there is one that
        does; cohorts without AutoAttack have none.
        """
        found: dict[str, Block] = {}
        for block in sorted(self.blocks, key=lambda block: not block.at_home):
            robust = robust_metric(block.cohort.setting.scoring)
            if any(robust in row.metrics for row in block.rows):
                found.setdefault(block.cohort.stem, block)
        return tuple(found[c.stem] for c in self.cohorts if c.stem in found)

    @cached_property
    def targets(self) -> dict[str, Target]:
        """The accuracy that each cohort's methods are raced to, by its stem."""
        return targets_of(self.cohorts, self.blocks, self.reference, self.target_accuracy)

    @cached_property
    def comparisons(self) -> dict[str, Table]:
        """The table of each block, by its stem."""
        found = {}
        for block in self.blocks:
            table = comparison_table(
                block,
                self.standings[block.stem],
                self.targets.get(block.cohort.stem),
                self.names,
            )
            found[block.stem] = pointing(table, self.quoted_beside(block))
        return found

    @cached_property
    def quoted(self) -> dict[PublishedTerms, list[Section]]:
        """The tables of published numbers, by what their rows share."""
        return quoted_sections(self.published)

    def quoted_beside(self, block: Block) -> list[Section]:
        """Return the tables of published numbers that stand beside that of a block."""
        terms = terms_of(block)
        return self.quoted.get(terms, []) if terms else []

    def published_beside(self, block: Block) -> tuple[Published, ...]:
        """Return the published rows that stand beside those of a block."""
        terms = terms_of(block)
        return tuple(row for row in self.published if row.terms == terms)

    @cached_property
    def selections(self) -> tuple[Selections, ...]:
        """The selected and the last checkpoints of each cohort under each threat."""
        return tuple(found for cohort in self.cohorts for found in selections_of(cohort))

    @cached_property
    def panels(self) -> tuple[evaluated.Panel, ...]:
        return evaluated.evaluated_panels(
            r for r in self.records.values() if isinstance(r, EvalRecord)
        )

    @cached_property
    def threat_panels(self) -> tuple[threats.ThreatPanel, ...]:
        """Models under several threats, trained here or given."""
        given = (r for r in self.records.values() if isinstance(r, EvalRecord))
        return threats.threat_panels(self.cohorts, given)

    @cached_property
    def transfers(self) -> tuple[TransferRecord, ...]:
        records = self.records.values()
        return transfer.in_order(r for r in records if isinstance(r, TransferRecord))

    @cached_property
    def corrupted(self) -> tuple[corruptions.CorruptionPanel, ...]:
        return corruptions.corruption_panels(self._corruptions.values())

    @cached_property
    def corrupted_methods(self) -> tuple[corrupted_methods.MethodsPanel, ...]:
        """Methods under common corruptions, of each cohort of which two or more were asked."""
        return corrupted_methods.methods_panels(self.cohorts, self._corruptions, self.reference)

    @cached_property
    def query_curves(self) -> tuple[QueryCurves, ...]:
        """The queries of black boxes, on the rows of comparisons and of tables of given models."""
        return query_curves(self.main_blocks, self.panels, self.records)

    @cached_property
    def studies(self) -> dict[str, tuple[StudyRecord, ...]]:
        """The studies of `tune` by their folders, where all records are shown."""
        files = study_files(self.results) if self.whole else []
        return tuning.by_folder(map(load_study, files))

    @cached_property
    def chapters(self) -> dict[str, list[Section]]:
        """The sections beside the comparison of methods, by title."""
        return chapters_of(
            self.selections,
            self.panels,
            self.threat_panels,
            self.corrupted_methods,
            self.corrupted,
            self.transfers,
            self.studies,
            self.runs,
            self.quoted,
        )

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Every table, by the stem of its file."""
        sections = (section for chapter in self.chapters.values() for section in chapter)
        return self.comparisons | {section.stem: section.table for section in sections}

    @cached_property
    def study(self) -> dict[str, Any] | None:
        """The study sheet of the runs, as its file holds it; None where none is scored."""
        return own.study_content(self.results, self.runs, whole=self.whole)

    @cached_property
    def looks(self) -> dict[str, Look]:
        """The look of each label in figures and on pages."""
        return looks(list(self.groups))

    @cached_property
    def names(self) -> dict[str, str]:
        """The name that readers see of each label, those of given models of our runs too."""
        found = {}
        for record in self.records.values():
            if isinstance(record, EvalRecord | CorruptionRecord):
                label, name = record.spec.label, model_name(record.spec)
                for end in ("", f" #{record.run_id[:4]}"):
                    found[label + end] = name + end
        return found | {label: look.name for label, look in self.looks.items()}

    @cached_property
    def _corruptions(self) -> dict[Path, CorruptionRecord]:
        found = self.records.items()
        return {path: r for path, r in found if isinstance(r, CorruptionRecord)}

    def looks_in(self, cohort: Cohort) -> dict[str, Look]:
        """Return the looks of a cohort's rows, quiet where there are many of which little is said.

        What is said are the verdicts of its main block.
        """
        labels = [group.label for group in cohort.groups]
        return emphasised(self.looks, labels, self.standings_in(cohort))

    def standings_in(self, cohort: Cohort) -> Standings | None:
        """Return the standings of the main block of a cohort, if it has one."""
        stems = (block.stem for block in self.main_blocks if block.cohort.stem == cohort.stem)
        return next((self.standings[stem] for stem in stems), None)

    @cached_property
    def gallery(self) -> Gallery:
        """The pictures of every figure."""
        from regmix_bench.reporting.figures.gallery import collect  # it loads plotting libraries

        return collect(for_figures(self))

    @property
    def groups(self) -> Iterator[Group]:
        return (group for cohort in self.cohorts for group in cohort.groups)
