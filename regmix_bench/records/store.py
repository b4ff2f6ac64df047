"""Records, written whole and read back, and the listing of a results folder.

Nothing here imports torch, and pandas only where a table is written.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from regmix_bench.errors import UserError, unknown
from regmix_bench.methods.configured import relabelled
from regmix_bench.records.migrations import RECORD
from regmix_bench.records.paths import (
    LEADERBOARD,
    NO_DATASETS,
    NOTES,
    PUBLISHED,
    corruption_path,
    own_outcomes_path,
    record_path,
    transfer_path,
)
from regmix_bench.records.schema import (
    AnyRecord,
    CorruptionRecord,
    EvalRecord,
    RunRecord,
    TransferRecord,
)
from regmix_bench.system.files import NoSuchFile, atomic_write, file_digest, require_apart
from regmix_bench.system.signatures import typed

if TYPE_CHECKING:
    import pandas as pd

_MODELS: dict[str, type[AnyRecord]] = {
    "run": RunRecord,
    "evaluation": EvalRecord,
    "transfer": TransferRecord,
    "corruptions": CorruptionRecord,
}


@typed
def load_record(path: str | Path) -> AnyRecord:
    """Read one record of any kind, migrating an older schema.

    Raises :class:`UserError` for a file that is missing, not a record, or of a newer schema.
    """
    path = Path(path)
    content = RECORD.load(path)
    kind = str(content.get("kind"))
    if kind not in _MODELS:
        raise UserError(f"{path} is not a record: {unknown('kind', kind, _MODELS)}")
    record = RECORD.parse(content, _MODELS[kind], path)
    if isinstance(record, TransferRecord):
        return record
    if record.run_id != record.spec.run_id:
        raise UserError(f"{path}: run_id {record.run_id!r} is not that of its specification")
    if isinstance(record, CorruptionRecord):
        return record
    return record.model_copy(update={"spec": relabelled(record.spec)})


def load_run(path: str | Path) -> RunRecord:
    """Read the record of a training; raises :class:`UserError` for a record of another kind."""
    record = load_record(path)
    if not isinstance(record, RunRecord):
        raise UserError(f"{path} is the record of {_other_than_run(record)}")
    return record


def _other_than_run(record: EvalRecord | TransferRecord | CorruptionRecord) -> str:
    """Say what a record is of, and which run that is made of, if it is one."""
    if isinstance(record, TransferRecord):
        return "a transfer, not of a training"
    kind = "corruptions" if isinstance(record, CorruptionRecord) else "an evaluation"
    run = record.spec.model.run_id
    return f"{kind}, not of a training" + ("" if run is None else f": that is run {run}")


def load_records(results: Path) -> dict[Path, AnyRecord]:
    """Return every record below ``results``, by path.

    Runs in a transfer bear the labels of their records. Raises :class:`UserError` where a record is
    unreadable, or two record the same run, which would count a seed twice.
    """
    records = {path: load_record(path) for path in record_files(results)}
    seen: dict[str, Path] = {}
    for path, record in records.items():
        other = seen.setdefault(record.run_id, path)
        if other != path:
            raise UserError(f"{other} and {path} record the same run: remove one")
    labels = {r.run_id: r.spec.label for r in records.values() if isinstance(r, RunRecord)}
    return {path: _transfer_relabelled(record, labels) for path, record in records.items()}


def _transfer_relabelled(record: AnyRecord, labels: Mapping[str, str]) -> AnyRecord:
    if not isinstance(record, TransferRecord):
        return record
    sides = tuple(
        side.model_copy(update={"label": labels.get(side.run_id, side.label)})
        for side in record.runs
    )
    return record.model_copy(update={"runs": sides})


def require_results(results: Path) -> None:
    """Raise :class:`UserError` where there is no results folder, which is not an empty one."""
    if not results.exists():
        raise UserError(f"there is no results folder {results}: `regmix-bench run` makes one")


def record_files(results: Path) -> list[Path]:
    """Return every record file below ``results``, sorted by path.

    What is shipped is a results folder of its own, and not read as part of the one it lies in.
    Raises :class:`UserError` where ``results`` or a folder below it cannot be listed.
    """
    try:
        if not results.exists():
            return []
        if not results.is_dir():
            raise UserError(f"results folder {results} is not a folder")
        # Not by glob, which passes over what it may not list.
        return sorted(
            path
            for dataset in results.iterdir()
            if dataset.is_dir() and dataset.name not in NO_DATASETS
            for folder in dataset.iterdir()
            if folder.is_dir()
            for path in folder.iterdir()
            if path.suffix == ".json" and not path.name.startswith(".")
        )
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error


def save_record(results: Path, record: AnyRecord) -> Path:
    """Write a record in its place, atomically; returns the path."""
    if isinstance(record, TransferRecord):
        path = transfer_path(results, record)
    elif isinstance(record, CorruptionRecord):
        path = corruption_path(results, record.spec)
    else:
        path = record_path(results, record.spec)
    write_json(path, record.model_dump(mode="json"))
    return path


def write_json(path: Path, content: object) -> None:
    """Write ``content`` as indented JSON, atomically."""
    with atomic_write(path) as stream:
        stream.write(json_bytes(content))


def json_bytes(content: object) -> bytes:
    """Return ``content`` as indented JSON, as files hold it."""
    return f"{json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)}\n".encode()


def write_parquet(path: Path, frame: pd.DataFrame) -> str:
    """Write ``frame`` as compressed Parquet, atomically; returns the file's SHA-256."""
    with atomic_write(path) as stream:
        frame.to_parquet(stream, engine="pyarrow", compression="zstd", index=False)
    return file_digest(path)


def require_beside(outputs: Mapping[str, Path], results: Path) -> None:
    """Raise :class:`UserError` where a file would be written over what ``results`` holds.

    Among records it would replace one, or be taken for one. ``outputs`` are by the options that
    name them.
    """
    require_apart(outputs, [results / name for name in (LEADERBOARD, NOTES, PUBLISHED)])
    folder = Path(os.path.realpath(results))
    for option, path in outputs.items():
        place = Path(os.path.realpath(path))
        if place.is_relative_to(folder) and len(place.relative_to(folder).parts) > 2:
            raise UserError(f"{option} {path} would lie among the records of {results}")


def check_writable(results: Path) -> None:
    """Raise :class:`UserError` unless files can be written below ``results``; leaves none."""
    existing = results
    try:
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise UserError(f"results folder {results}: {existing} is not a folder")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(f"results folder {results} cannot be written: {error.strerror}") from error


def check_own_outcomes(path: Path, record: TransferRecord | CorruptionRecord) -> None:
    """Raise :class:`UserError` unless the outcomes beside the record at ``path`` are its own."""
    if record.outcomes_digest is None:
        return
    file = own_outcomes_path(path)
    transfer = isinstance(record, TransferRecord)
    command, what = (
        ("transfer", "a transfer") if transfer else ("eval --corruptions", "corruptions")
    )
    remade = f"remove {path} and `regmix-bench {command}` makes both anew"
    try:
        digest = file_digest(file)
    except NoSuchFile as error:
        raise UserError(f"{file} is missing, the outcomes of {what}: {remade}") from error
    if digest != record.outcomes_digest:
        raise UserError(
            f"{file} is not the outcomes file of its record: its SHA-256 differs; {remade}"
        )
