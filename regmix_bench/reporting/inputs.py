"""The files that a report is made of: what is stale where one of them has changed."""

from __future__ import annotations

from regmix_bench.analysis import verdicts
from regmix_bench.analysis.selection import selection_files
from regmix_bench.records import paths
from regmix_bench.records.studies import study_files
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.published import published_file
from regmix_bench.sheets import notes
from regmix_bench.system.files import file_digest


def input_digests(contents: Contents) -> dict[str, str]:
    """Return the SHA-256 of every file the report reads, by path relative to the results folder."""
    results = contents.results
    files = [*contents.records, *(paths.outputs_path(run.path) for run in contents.runs)]
    files += [paths.views_path(run.path) for run in contents.runs]
    files += study_files(results) if contents.studies else []
    files += verdicts.outcome_files(contents.blocks)
    files += [file for curves in contents.query_curves for file in curves.files]
    files += selection_files(contents.selections)
    files += [file for panel in contents.corrupted_methods for file in panel.files]
    named = {path.relative_to(results).as_posix(): path for path in sorted(files)}
    if (noted := notes.notes_file(results)) is not None:
        named[paths.NOTES] = noted
    if contents.published:
        named[paths.PUBLISHED] = published_file(results)
    return {name: file_digest(path) for name, path in named.items() if path.is_file()}
