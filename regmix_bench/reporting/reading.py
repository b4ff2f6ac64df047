"""The records that a report shows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from regmix_bench.analysis.cohorts import require_records
from regmix_bench.errors import UserError
from regmix_bench.records.outcomes import require_files
from regmix_bench.records.schema import AnyRecord
from regmix_bench.records.store import load_records
from regmix_bench.records.studies import study_files
from regmix_bench.records.unions import require_unions


def read_records(results: Path, only: Collection[str] | None) -> dict[Path, AnyRecord]:
    """Return the records below ``results`` by path, or those whose ids are among ``only``.

    There may be none where studies of ``tune`` alone are to be shown. Raises :class:`UserError`
    for none otherwise, and for a record, or a file of one, that cannot be read or is another.
    """
    alone = only is None and study_files(results)
    records = load_records(results) if alone else require_records(results)
    if only is not None:
        records = {path: record for path, record in records.items() if record.run_id in only}
        if not records:
            raise UserError(f"none of the {len(only)} runs asked for is recorded in {results}")
    for path, record in records.items():
        require_files(path, record)
        require_unions(path, record)
    return records
