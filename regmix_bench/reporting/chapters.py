"""The tables of a report beside those of comparisons, in chapters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.cohorts import Run
from regmix_bench.analysis.selection import Selections
from regmix_bench.records.schema import StudyRecord, TransferRecord
from regmix_bench.reporting.published import Published, PublishedTerms, arch_class
from regmix_bench.reporting.tables import (
    checkpoints,
    corrupted_methods,
    corruptions,
    evaluated,
    published,
    threats,
    transfer,
    tuning,
)
from regmix_bench.reporting.values import Table


class Section(NamedTuple):
    """One table of a chapter and its heading; the pictures of its stem follow it."""

    stem: str
    heading: str
    table: Table


#: The tables of published numbers, by what their rows share.
Quoted = Mapping[PublishedTerms, Sequence[Section]]


def quoted_sections(rows: Sequence[Published]) -> dict[PublishedTerms, list[Section]]:
    """Return the tables of published numbers, by what their rows share."""
    return {
        terms: [
            Section(stem, f"{published.TITLE}: {table.caption.rstrip('.')}", table)
            for stem, table in tables
        ]
        for terms, tables in published.published_tables(rows).items()
    }


def chapters_of(
    selections: Iterable[Selections],
    panels: Iterable[evaluated.Panel],
    several: Iterable[threats.ThreatPanel],
    methods: Iterable[corrupted_methods.MethodsPanel],
    corrupted: Iterable[corruptions.CorruptionPanel],
    transfers: Iterable[TransferRecord],
    studies: Mapping[str, Sequence[StudyRecord]],
    runs: Sequence[Run],
    quoted: Quoted,
) -> dict[str, list[Section]]:
    """Return the sections beside the comparison of methods by title, none that is empty."""
    chapters = {
        "Which weights are scored": [
            Section(f.stem, checkpoints.checkpoints_heading(f), checkpoints.checkpoints_table(f))
            for f in selections
        ],
        "Evaluated models": [
            Section(panel.stem, evaluated.heading(panel), _evaluated(panel, quoted))
            for panel in panels
        ],
        threats.TITLE: [
            Section(panel.stem, panel.heading, threats.threats_table(panel)) for panel in several
        ],
        "Common corruptions": [
            *(
                Section(panel.stem, panel.heading, corrupted_methods.methods_table(panel))
                for panel in methods
            ),
            *(
                Section(panel.terms.stem, panel.heading, corruptions.corruptions_table(panel))
                for panel in corrupted
            ),
        ],
        "Transfer": [
            Section(transfer.stem(r), transfer.transfer_heading(r), transfer.transfer_table(r))
            for r in transfers
        ],
        tuning.TITLE: [
            Section(
                tuning.tuning_stem(name),
                tuning.tuning_words(found),
                tuning.tuning_table(found, runs),
            )
            for name, found in studies.items()
        ],
        published.TITLE: [section for sections in quoted.values() for section in sections],
    }
    return {title: sections for title, sections in chapters.items() if sections}


def terms_of(block: Block) -> PublishedTerms | None:
    """Return the terms of published numbers that stand beside a block, if any do."""
    setting = block.cohort.setting
    if not block.at_home:
        return None
    return PublishedTerms(setting.dataset, arch_class(setting.arch), block.cohort.train_threat)


def pointing(table: Table, quoted: Sequence[Section]) -> Table:
    """Add a note to a table that tables of published numbers stand beside."""
    if not quoted:
        return table
    note = published.pointer([section.stem for section in quoted])
    return replace(table, notes=(*table.notes, note))


def _evaluated(panel: evaluated.Panel, quoted: Quoted) -> Table:
    terms = panel.terms
    classes = sorted({arch_class(row.record.spec.arch) for row in panel.rows})
    each = (PublishedTerms(terms.dataset, one, terms.threat) for one in classes)
    beside = [section for one in each for section in quoted.get(one, [])]
    return pointing(evaluated.evaluated_table(panel), beside)
