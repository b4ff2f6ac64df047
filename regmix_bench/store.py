"""The results folder: where records lie, how they are written whole, and how they are read back.

A record is one JSON file; Parquet files beside it share its stem. Checkpoints and logs lie under
``artifacts/<run_id>/``, which git ignores. Nothing here imports torch, and pandas only where a
table is asked for.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from regmix_bench.errors import UserError
from regmix_bench.files import atomic_write, file_digest
from regmix_bench.records import SCHEMA_VERSION, AnyRecord, EvalRecord, RunRecord, TransferRecord
from regmix_bench.types import Checkpoint, EvalSpec, RunSpec

if TYPE_CHECKING:
    import pandas as pd

LEADERBOARD = "leaderboard.json"
ARTIFACTS = "artifacts"
EVALUATED = "evaluated"
TRANSFER = "transfer"

#: ``MIGRATIONS[n]`` turns the JSON of a record of schema n into that of schema n + 1.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: lambda content: {**content, "kind": "run"},
    2: lambda content: {**content, "schema_version": 3},  # a run may name its views
}


def write_json(path: Path, content: object) -> None:
    """Write ``content`` as indented JSON, atomically."""
    with atomic_write(path) as stream:
        stream.write(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())
        stream.write(b"\n")


def write_parquet(path: Path, frame: pd.DataFrame) -> str:
    """Write ``frame`` as compressed Parquet, atomically; returns the file's SHA-256."""
    with atomic_write(path) as stream:
        frame.to_parquet(stream, engine="pyarrow", compression="zstd", index=False)
    return file_digest(path)


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


def record_path(results: Path, spec: RunSpec | EvalSpec) -> Path:
    """``<results>/<dataset>/<arch>/<stem>.json``; scores of a given model in ``evaluated``."""
    folder = EVALUATED if isinstance(spec, EvalSpec) else spec.arch
    return results / spec.dataset / folder / f"{spec.stem}.json"


def transfer_path(results: Path, record: TransferRecord) -> Path:
    """``<results>/<dataset>/transfer/<norm>-<epsilon>-<run_id>.json``."""
    threat = record.threat
    name = f"{threat.norm}-{threat.epsilon.slug}-{record.run_id}.json"
    return results / record.dataset / TRANSFER / name


def outcomes_path(record: Path, checkpoint: Checkpoint) -> Path:
    """Per-image outcomes of one checkpoint, beside its record."""
    return record.with_name(f"{record.stem}.{checkpoint}.outcomes.parquet")


def transfer_outcomes_path(record: Path) -> Path:
    """Per-image outcomes of a transfer, beside its record.

    Columns ``source`` and ``target`` (run_ids; no source means no attack), ``index`` (position in
    the test split) and ``correct`` (right under the attack and without it).
    """
    return record.with_suffix(".outcomes.parquet")


def check_transfer_outcomes(path: Path, record: TransferRecord) -> None:
    """Raise :class:`UserError` unless the outcomes beside the record at ``path`` are its own."""
    if record.outcomes_digest is None:
        return
    file = transfer_outcomes_path(path)
    remade = f"remove {path} and `regmix-bench transfer` makes both anew"
    try:
        digest = file_digest(file)
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing, the outcomes of a transfer: {remade}") from error
    if digest != record.outcomes_digest:
        raise UserError(
            f"{file} is not the outcomes file of its record: its SHA-256 differs; {remade}"
        )


def outputs_path(record: Path) -> Path:
    """Softmax outputs and penultimate features of the selected checkpoint, beside its record."""
    return record.with_name(f"{record.stem}.outputs.parquet")


def views_path(record: Path) -> Path:
    """Example images, loss surfaces and curvature of the selected checkpoint, beside its record."""
    return record.with_name(f"{record.stem}.views.safetensors")


def artifacts_dir(results: Path, run_id: str) -> Path:
    """Where a run's checkpoints, log and adversarial images lie."""
    return results / ARTIFACTS / run_id


#: The file in a run's artifacts that says who works on it.
LOCK = "lock"


def adversarial_path(results: Path, run_id: str, checkpoint: Checkpoint) -> Path:
    """The saved adversarial images of one checkpoint, among the run's artifacts."""
    return artifacts_dir(results, run_id) / f"adversarial-{checkpoint}.parquet"


def save_record(results: Path, record: AnyRecord) -> Path:
    """Write a record in its place, atomically; returns the path."""
    if isinstance(record, TransferRecord):
        path = transfer_path(results, record)
    else:
        path = record_path(results, record.spec)
    write_json(path, record.model_dump(mode="json"))
    return path


def load_record(path: str | Path) -> AnyRecord:
    """Read one record of any kind, migrating an older schema.

    Raises :class:`UserError` for a file that is missing, not a record, or of a newer schema.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read record {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a record: {error}") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise UserError(f"{path} is not a record: it has no schema_version")
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema {version}, this version reads up to {SCHEMA_VERSION}:"
            " upgrade regmix-bench"
        )
    while version < SCHEMA_VERSION:
        if version not in MIGRATIONS:
            raise UserError(f"{path} has schema {version}, which no migration reads")
        content = MIGRATIONS[version](content)
        version += 1
    try:
        record = _RECORD.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        # The kind comes first, unless it is what is wrong.
        where = ".".join(str(part) for part in first["loc"][1:]) or "kind"
        raise UserError(f"{path} is not a record: {where}: {first['msg']}") from error
    except UserError as error:
        raise UserError(f"{path} is not a record: {error}") from error
    if not isinstance(record, TransferRecord) and record.run_id != record.spec.run_id:
        raise UserError(f"{path}: run_id {record.run_id!r} is not that of its specification")
    return record


def load_run(path: str | Path) -> RunRecord:
    """Read the record of a training; raises :class:`UserError` for a record of another kind."""
    record = load_record(path)
    if not isinstance(record, RunRecord):
        raise UserError(f"{path} is the record of {_KINDS[record.kind]}, not of a training")
    return record


_KINDS = {"evaluation": "an evaluation", "transfer": "a transfer"}
_RECORD: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord)


def record_files(results: Path) -> list[Path]:
    """Every record file below ``results``, sorted by path.

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
            if dataset.is_dir() and dataset.name != ARTIFACTS
            for folder in dataset.iterdir()
            if folder.is_dir()
            for path in folder.iterdir()
            if path.suffix == ".json" and not path.name.startswith(".")
        )
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error


def load_records(results: Path) -> dict[Path, AnyRecord]:
    """Every record below ``results``, by path.

    Raises :class:`UserError` where one is unreadable, or two record the same run, which would count
    a seed twice.
    """
    records = {path: load_record(path) for path in record_files(results)}
    seen: dict[str, Path] = {}
    for path, record in records.items():
        other = seen.setdefault(record.run_id, path)
        if other != path:
            raise UserError(f"{other} and {path} record the same run: remove one")
    return records


def find_record(results: Path, spec: RunSpec | EvalSpec) -> Path | None:
    """The record of this specification, also where ε was typed in another way."""
    expected = record_path(results, spec)
    if expected.exists():
        return expected
    return next(expected.parent.glob(f"*-{spec.run_id}.json"), None)


State = Literal["done", "failed", "to resume", "to run"]


def states(specs: Mapping[str, RunSpec], results: Path) -> dict[str, State]:
    """What a run of each specification would find below ``results``; both are by run_id.

    Lists the folders once, however many specifications there are. Raises :class:`UserError` where
    a folder or a record among them cannot be read.
    """
    recorded = {(path.parent, _run_id(path)): path for path in record_files(results)}
    found: dict[str, State] = {}
    for run_id, spec in specs.items():
        path = recorded.get((results / spec.dataset / spec.arch, run_id))
        if path is not None:
            found[run_id] = "done" if load_run(path).status == "success" else "failed"
        else:
            resumable = any(artifacts_dir(results, run_id).glob("state-*.pt"))
            found[run_id] = "to resume" if resumable else "to run"
    return found


def _run_id(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def resolve_run(run: str, results: Path) -> Path:
    """The record that ``run`` names: a path, a run_id, or a unique prefix of one."""
    as_path = Path(run)
    if as_path.suffix == ".json":
        try:
            if not as_path.is_file():
                raise UserError(f"no record at {run}")
        except OSError as error:
            raise UserError(f"cannot read record {run}: {error.strerror}") from error
        return as_path
    ids = {_run_id(path): path for path in record_files(results)}
    matches = [path for run_id, path in ids.items() if run and run_id.startswith(run)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(f"run {run!r} is ambiguous: {len(matches)} run_ids begin so")
    raise UserError(
        f"unknown run {run!r}: `regmix-bench list runs --results {shlex.quote(str(results))}`"
        f" shows all {len(ids)}"
    )


#: Columns of :func:`load_results`; a folder without a scored model has them too.
COLUMNS = (
    *("run_id", "group_id", "status", "dataset", "arch", "method", "label", "seed", "norm"),
    *("train_epsilon", "epochs", "selected_epoch", "alarms"),
    *("training_seconds", "scoring_seconds", "record"),
    *("checkpoint", "epsilon", "epsilon_value", "n_examples"),
    *("clean_acc", "pgd_acc", "autoattack_acc", "screened_acc"),
    *("autoattack_version", "checks"),
)


def load_results(results: str | Path = "results") -> pd.DataFrame:
    """All scored models below ``results`` as a table, one row per record and evaluation.

    Failed runs have one row with ``status`` "error" and no accuracies; a model that was not trained
    here has no ``method`` and nothing of a training. Accuracies are 0 to 1, ``epsilon`` is text as
    typed and ``epsilon_value`` its float. ``record`` is the file's path, relative to ``results``.
    Raises :class:`UserError` at the first unreadable record.
    """
    import pandas as pd

    results = Path(results)
    rows: list[dict[str, Any]] = []
    for path in record_files(results):
        record = load_record(path)
        if not isinstance(record, TransferRecord):
            rows += _rows(record, path.relative_to(results).as_posix())
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(record: RunRecord | EvalRecord, path: str) -> Iterator[dict[str, Any]]:
    spec = record.spec
    model = {
        "run_id": record.run_id,
        "group_id": spec.group_id,
        "status": record.status,
        "dataset": spec.dataset,
        "arch": spec.arch,
        "label": spec.label,
        "seed": spec.seed,
        "scoring_seconds": record.scoring_cost.seconds,
        "record": path,
    }
    if isinstance(record, RunRecord):
        model |= {
            "method": record.spec.method.name,
            "norm": record.spec.train_threat.norm,
            "train_epsilon": str(record.spec.train_threat.epsilon),
            "epochs": record.spec.recipe.epochs,
            "selected_epoch": record.selected_epoch,
            "alarms": ", ".join(alarm.kind for alarm in record.alarms),
            "training_seconds": record.training_cost.seconds,
        }
    if not record.evaluations:
        yield model
    for evaluation in record.evaluations:
        yield model | {
            "norm": evaluation.threat.norm,
            "checkpoint": evaluation.checkpoint,
            "epsilon": str(evaluation.threat.epsilon),
            "epsilon_value": float(evaluation.threat.epsilon),
            "n_examples": evaluation.n_examples,
            "clean_acc": evaluation.clean_acc,
            "pgd_acc": evaluation.pgd_acc,
            "autoattack_acc": evaluation.autoattack_acc,
            "screened_acc": evaluation.screened_acc,
            "autoattack_version": evaluation.autoattack_version,
            "checks": ", ".join(evaluation.checks),
        }
