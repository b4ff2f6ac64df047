"""The places of all files in a results folder.

A record is one JSON file; the files beside it share its stem. Checkpoints, logs and adversarial
images lie under ``artifacts/<run_id>/``.
"""

from __future__ import annotations

from pathlib import Path

from regmix_bench.errors import UserError
from regmix_bench.records.schema import TransferRecord
from regmix_bench.specs import AnySpec, CorruptionSpec, EvalSpec, RunSpec
from regmix_bench.types import Checkpoint

LEADERBOARD = "leaderboard.json"
#: What no record knows of a study, and what others have published.
NOTES, PUBLISHED = "notes.yaml", "published.yaml"
ARTIFACTS = "artifacts"
#: The results folder, inside of one, that comes with the project.
SHIPPED = "shipped"
#: The studies of `tune`: a folder for those that were given the same.
TUNING = "tuning"
#: What lies beside data sets in a results folder.
NO_DATASETS = (ARTIFACTS, SHIPPED, TUNING)
EVALUATED = "evaluated"
TRANSFER = "transfer"
CORRUPTED = "corrupted"
#: The file in a run's artifacts that says who works on it.
LOCK = "lock"
#: That which says how far it is, and those beside all artifacts that say what a grid has to run.
PROGRESS, GRID = "progress.json", "grid-"


def record_path(results: Path, spec: RunSpec | EvalSpec) -> Path:
    """Return where the record of ``spec`` lies, or where a new one goes.

    That is ``<results>/<dataset>/<arch>/<stem>.json``; scores of a given model are in
    ``evaluated``. The record of a training keeps the file it has, whatever its label by now.
    """
    if isinstance(spec, EvalSpec):
        return results / spec.dataset / EVALUATED / f"{spec.stem}.json"
    return find_record(results, spec) or results / spec.dataset / spec.arch / f"{spec.stem}.json"


def find_record(results: Path, spec: AnySpec) -> Path | None:
    """Return the record of ``spec``, also under another label or with ε typed in another way."""
    if isinstance(spec, RunSpec):
        folder = results / spec.dataset / spec.arch
    else:
        kind = EVALUATED if isinstance(spec, EvalSpec) else CORRUPTED
        folder = results / spec.dataset / kind
    expected = folder / f"{spec.stem}.json"
    return expected if expected.exists() else next(folder.glob(f"*-{spec.run_id}.json"), None)


def transfer_path(results: Path, record: TransferRecord) -> Path:
    """Return ``<results>/<dataset>/transfer/<norm>-<epsilon>-<run_id>.json``."""
    threat = record.threat
    name = f"{threat.norm}-{threat.epsilon.slug}-{record.run_id}.json"
    return results / record.dataset / TRANSFER / name


def corruption_path(results: Path, spec: CorruptionSpec) -> Path:
    """Return ``<results>/<dataset>/corrupted/<stem>.json``, or the record of another label."""
    new = results / spec.dataset / CORRUPTED / f"{spec.stem}.json"
    return find_record(results, spec) or new


def run_id_of(record: Path) -> str:
    """Return the run_id in a record's file name."""
    return record.stem.rpartition("-")[2]


def results_of(record: Path) -> Path:
    """Return the results folder in which a record lies.

    Raises :class:`UserError` for a path with too few folders above it.
    """
    folders = record.absolute().parents
    if len(folders) < 3:
        raise UserError(f"{record} lies in no results folder: there is none two folders above it")
    return folders[2]


def outcomes_path(record: Path, checkpoint: Checkpoint) -> Path:
    """Return the file of per-image outcomes of one checkpoint, beside its record."""
    return record.with_name(f"{record.stem}.{checkpoint}.outcomes.parquet")


def own_outcomes_path(record: Path) -> Path:
    """Return the file of per-image outcomes of a transfer or of corruptions, beside its record.

    Of a transfer columns ``source`` and ``target`` (run_ids; no source means no attack), of
    corruptions ``corruption`` and ``severity`` (0 without one). In both ``index`` (position in the
    test split) and ``correct``, which under an attack means right without it too.
    """
    return record.with_suffix(".outcomes.parquet")


def outputs_path(record: Path) -> Path:
    """Return the file of outputs and features of the selected checkpoint, beside its record."""
    return record.with_name(f"{record.stem}.outputs.parquet")


def views_path(record: Path) -> Path:
    """Return the file of views of the selected checkpoint, beside its record."""
    return record.with_name(f"{record.stem}.views.safetensors")


def artifacts_dir(results: Path, run_id: str) -> Path:
    """Return the folder of a run's checkpoints, log and adversarial images."""
    return results / ARTIFACTS / run_id


def adversarial_path(results: Path, run_id: str, checkpoint: Checkpoint) -> Path:
    """Return the file of saved adversarial images of one checkpoint, in the run's artifacts."""
    return artifacts_dir(results, run_id) / f"adversarial-{checkpoint}.parquet"
