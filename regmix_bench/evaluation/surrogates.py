"""Surrogates: runs on which images are crafted that are to fool another model."""

from __future__ import annotations

from pathlib import Path

from regmix_bench.data import EvalData
from regmix_bench.evaluation.masking import Surrogate
from regmix_bench.loading.runs import find_checkpoint
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.records.paths import artifacts_dir
from regmix_bench.records.schema import RunRecord
from regmix_bench.records.store import load_record, record_files
from regmix_bench.specs import EvalSpec, RunSpec
from regmix_bench.system.files import file_digest


def choose_surrogate(
    results: Path, spec: RunSpec | EvalSpec, data_digest: str, sha256: str
) -> Path | None:
    """Choose the run on which images to attack ``spec``'s model with are best crafted.

    Returns its record's path. It is trained on the same data, another training than that of weights
    ``sha256``, which are scored, and has its weights on this machine. Another method is preferred,
    then one trained under the same threat, then the same architecture, and at last the path
    decides. None where there is no such run.
    """
    method, threat = (
        (spec.method.name, spec.train_threat)
        if isinstance(spec, RunSpec)
        else (None, spec.eval_threats[0])
    )
    itself = spec.run_id if isinstance(spec, RunSpec) else spec.model.name.partition(":")[0]
    found = []
    for path in record_files(results):
        record = load_record(path)
        if (
            isinstance(record, RunRecord)
            and record.status == "success"
            and record.spec.dataset == spec.dataset
            and record.data_digest == data_digest
            and record.run_id != itself
            # Runs share weights where their scoring alone differs, and a file may be a run's.
            and sha256 not in {file.sha256 for file in record.checkpoints.values()}
        ):
            other = record.spec
            strangeness = (
                other.method.name == method,
                other.train_threat != threat,
                other.arch != spec.arch,
            )
            found.append((strangeness, path, record))
    for _, path, record in sorted(found, key=lambda candidate: candidate[:2]):
        file = record.checkpoints["selected"]
        weights = artifacts_dir(results, record.run_id) / file.file
        if weights.is_file() and file_digest(weights) == file.sha256:
            return path
    return None


def load_surrogate(
    results: Path, spec: RunSpec | EvalSpec, test: EvalData, sha256: str
) -> Surrogate | None:
    """Load the model of :func:`choose_surrogate` onto the device of the images."""
    path = choose_surrogate(results, spec, test.digest, sha256)
    if path is None:
        return None
    record, file, weights = find_checkpoint(str(path), results, "selected")
    model = load_checkpoint(weights, file.sha256).to(test.x.device)
    chunked = ChunkedModel(model, Chunks(spec.scoring.forward_batch_size))
    return Surrogate(f"{record.spec.label} (run {record.run_id})", chunked)
