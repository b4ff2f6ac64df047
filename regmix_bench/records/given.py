"""Records of models that were given: the labels that they bear, and their outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from regmix_bench.errors import UserError, reason
from regmix_bench.records.outcomes import read_images
from regmix_bench.records.paths import find_record, outcomes_path, record_path
from regmix_bench.records.schema import CorruptionRecord, EvalRecord
from regmix_bench.records.store import load_record, save_record
from regmix_bench.specs import CorruptionSpec, EvalSpec
from regmix_bench.system.files import copy_file
from regmix_bench.system.reading import open_regular

if TYPE_CHECKING:
    import pandas as pd


Given = TypeVar("Given", EvalSpec, CorruptionSpec)


def named_before(spec: Given, results: Path) -> Given:
    """Return ``spec`` with the label that its record was given earlier, where there is one."""
    existing = find_record(results, spec)
    recorded = load_record(existing) if existing is not None else None
    if isinstance(recorded, EvalRecord | CorruptionRecord):
        return spec.model_copy(update={"label": recorded.spec.label})
    return spec


def with_label(record: EvalRecord, path: Path, spec: EvalSpec, results: Path) -> EvalRecord:
    """Return a record under the label of ``spec``, of which its file at ``path`` gets the name."""
    if record.spec.label == spec.label:
        return record
    record = record.model_copy(update={"spec": spec})
    new = record_path(results, spec)
    outcomes = outcomes_path(path, "given")
    if new != path and outcomes.exists():
        copy_file(outcomes, outcomes_path(new, "given"))
    save_record(results, record)
    if new != path:
        remove_given(path)
    return record


def remove_given(path: Path) -> None:
    """Remove a record, and the outcomes beside it."""
    outcomes_path(path, "given").unlink(missing_ok=True)
    path.unlink()


def read_table(record: EvalRecord, results: Path) -> pd.DataFrame | None:
    """Return the outcomes of a recorded scoring, all columns; None where their file is gone.

    Raises :class:`UserError` where it is another one than was recorded.
    """
    import pandas as pd

    path = find_record(results, record.spec)
    file = None if path is None else outcomes_path(path, "given")
    if file is None or not file.is_file():
        return None
    for evaluation in record.evaluations:
        read_images(file, evaluation)
    try:
        with open_regular(file) as stream:
            return pd.read_parquet(stream)
    except Exception as error:  # of columns that we did not write pandas may raise anything
        raise UserError(f"{file} is not an outcomes file: {reason(error)}") from error
