"""The results folder: where records lie, how they are written whole, and how they are read back.

A record is one JSON file; Parquet files beside it share its stem. Checkpoints and logs lie under
``artifacts/<run_id>/``, which git ignores. Nothing here imports torch, and pandas only where a
table is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regmix_bench.records.schema import (
    TransferRecord,
)
from regmix_bench.specs import EvalSpec, RunSpec
from regmix_bench.types import Checkpoint

if TYPE_CHECKING:
    pass

LEADERBOARD = "leaderboard.json"
ARTIFACTS = "artifacts"
EVALUATED = "evaluated"
TRANSFER = "transfer"


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
