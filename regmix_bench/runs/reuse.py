"""A training that a results folder holds already, for a run that is scored in another way alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from regmix_bench.errors import UserError
from regmix_bench.models.weights import check_digest
from regmix_bench.records.paths import artifacts_dir
from regmix_bench.records.schema import RunRecord
from regmix_bench.records.store import load_run
from regmix_bench.specs import RunSpec
from regmix_bench.system.files import copy_file, held_below

#: What an environment says of a training alone; all else is of whoever scores, too.
OF_TRAINING = "training"


def take_training(
    spec: RunSpec,
    results: Path,
    environment: Mapping[str, Any],
    data_digest: str,
    say: Callable[[str], None],
) -> RunRecord | None:
    """Copy the weights of a finished run of the same training; return its record, None without one.

    The training is the same if all that decides weights is, the seed too, and if it was done in
    ``environment``: with the same packages, source and processor, where training anew would give
    the same weights. One whose weights are gone, or altered, is none; ``say`` is told why one that
    fits is not taken.
    """
    for record in _same_training(spec, results):
        if record.spec.eval_examples == spec.eval_examples and record.data_digest != data_digest:
            continue
        if (difference := _elsewhere(record.environment, environment)) is not None:
            say(f"{record.run_id} is the same training with {difference}: training anew")
            continue
        source, target = (artifacts_dir(results, run) for run in (record.run_id, spec.run_id))
        try:
            for file in record.checkpoints.values():
                check_digest(held_below(source, file.file), file.sha256)
                if source != target:
                    copy_file(source / file.file, target / file.file)
                    check_digest(target / file.file, file.sha256)
        except UserError:  # of a clone, which has no weights, or damaged
            continue
        if source != target:
            say(f"trained already as {record.run_id}: its weights are scored")
        return record
    return None


def _same_training(spec: RunSpec, results: Path) -> Iterator[RunRecord]:
    """Yield the finished runs of a training, in the order of their files."""
    folder = results / spec.dataset / spec.arch
    for path in sorted(folder.glob(f"*-{spec.train_threat.slug}-s{spec.seed}-*.json")):
        try:
            record = load_run(path)
        except UserError:  # the commands that read all records say so
            continue
        same = record.spec.training_id == spec.training_id and record.spec.seed == spec.seed
        if same and record.status == "success" and record.checkpoints:
            yield record


def _elsewhere(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Return what tells two environments apart, such as ``torch 2.8``; None if nothing does."""
    if one.get("git_dirty") or other.get("git_dirty"):
        return "a source that was changed since its last commit"
    keys = sorted((one.keys() | other.keys()) - {OF_TRAINING})
    return next((f"{key} {one.get(key)}" for key in keys if one.get(key) != other.get(key)), None)
