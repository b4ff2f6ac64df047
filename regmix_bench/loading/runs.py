"""The model of a run that was trained here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from regmix_bench.errors import UserError
from regmix_bench.loading.model import LoadedModel
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.records.find import resolve_run
from regmix_bench.records.paths import artifacts_dir, results_of
from regmix_bench.records.schema import CheckpointFile, RunRecord
from regmix_bench.records.store import load_run
from regmix_bench.specs import ModelSource
from regmix_bench.system.files import held_below
from regmix_bench.types import Checkpoint


def from_run(text: str, results: Path, checkpoint: Checkpoint) -> LoadedModel:
    """Load the weights of a run's ``checkpoint``; see :func:`find_checkpoint`."""
    record, file, path = find_checkpoint(text, results, checkpoint)
    model = load_checkpoint(path, file.sha256)
    spec = record.spec
    loaded = run_model(model, record.run_id, checkpoint, file.sha256, spec.arch, spec.label)
    return replace(loaded, component=spec.component("arch"))


def find_checkpoint(
    run: str, results: Path, checkpoint: Checkpoint
) -> tuple[RunRecord, CheckpointFile, Path]:
    """Return the record of ``run``, what it says of the checkpoint, and where the weights lie.

    A record given by its path is taken to lie in a results folder of its own. Raises
    :class:`UserError` for an unknown run and for one without that checkpoint.
    """
    record_file = resolve_run(run, results)
    record = load_run(record_file)
    return record, *recorded_weights(record, results_of(record_file), checkpoint)


def run_model(
    model: nn.Module, run_id: str, checkpoint: Checkpoint, sha256: str, arch: str, label: str
) -> LoadedModel:
    """Say of a trained ``model`` which run and checkpoint it is."""
    source = ModelSource(kind="run", name=f"{run_id}:{checkpoint}", sha256=sha256)
    return LoadedModel(
        model, source, arch, label if checkpoint == "selected" else f"{label} ({checkpoint})"
    )


def recorded_weights(
    record: RunRecord, results: Path, checkpoint: Checkpoint
) -> tuple[CheckpointFile, Path]:
    """Return what a record says of a checkpoint, and where its weights lie.

    Raises :class:`UserError` where it has no such checkpoint.
    """
    if checkpoint not in record.checkpoints:
        there = "there is " + " and ".join(record.checkpoints) if record.checkpoints else "none"
        raise UserError(
            f"run {record.run_id} has no checkpoint {checkpoint!r}: {record.error or there}"
        )
    file = record.checkpoints[checkpoint]
    return file, held_below(artifacts_dir(results, record.run_id), file.file)
