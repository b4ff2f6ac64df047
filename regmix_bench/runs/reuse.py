"""A training that a results folder holds already, for a run that is scored in another way alone.

Such a run gets the weights and, beside them, the record that they came with. From then on it goes
on by itself, as one that has trained does, whatever becomes of the other run or of the machine.
"""

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
from regmix_bench.system.files import copy_file, held_below, sweep
from regmix_bench.training.history import TrainingProgress

#: The record of the run that the weights of this one are of.
TRAINED_AS = "trained-as.json"
#: What of the execution of a training changes its weights.
_EXECUTED = ("channels_last", "compile", "sync_bn")


def find_training(
    spec: RunSpec,
    results: Path,
    environment: Mapping[str, Any],
    data_digest: str,
    say: Callable[[str], None],
) -> RunRecord | None:
    """Return the record whose training a run has, or takes now; None where it is to train.

    It takes the weights of a finished run if all that decides weights is the same, the seed too,
    and if they were trained in ``environment``: by the same packages, source, processor and
    execution, where training anew would give the same ones. ``say`` is told what is taken, or why
    something that fits is not. Raises :class:`~regmix_bench.system.files.CannotWrite` where the
    weights cannot be copied.
    """
    target = artifacts_dir(results, spec.run_id)
    taken = target / TRAINED_AS
    if (own := _read(taken)) is not None and _damage(own, target) is None:
        return own
    reasons = []
    for path, record in _same_training(spec, results):
        source = artifacts_dir(results, record.run_id)
        why = _difference(record, spec, environment, data_digest) or _damage(record, source)
        if why is not None:
            reasons.append(f"{record.run_id} is the same training, but {why}: training anew")
            continue
        sweep(target)
        for file in record.checkpoints.values():
            copy_file(source / file.file, target / file.file)
        TrainingProgress.finished(record).save_log(target)
        copy_file(path, taken)
        say(f"trained already as {record.run_id}: its weights are scored")
        return record
    if reasons:
        say(reasons[0])
    return None


def _same_training(spec: RunSpec, results: Path) -> Iterator[tuple[Path, RunRecord]]:
    """Yield the other finished runs of a training with their files, in the order of these."""
    folder = results / spec.dataset / spec.arch
    for path in sorted(folder.glob(f"*-{spec.train_threat.slug}-s{spec.seed}-*.json")):
        if (record := _read(path)) is None:
            continue
        same = record.spec.training_id == spec.training_id and record.spec.seed == spec.seed
        if same and record.run_id != spec.run_id and _is_whole(record):
            yield path, record


def _read(path: Path) -> RunRecord | None:
    """Return a record, or None for one that cannot be read, which other commands complain of."""
    try:
        return load_run(path)
    except UserError:
        return None


def _is_whole(record: RunRecord) -> bool:
    trained = len(record.history) == record.spec.recipe.epochs
    return record.status == "success" and trained and {"selected", "last"} <= {*record.checkpoints}


def _difference(
    record: RunRecord, spec: RunSpec, here: Mapping[str, Any], data_digest: str
) -> str | None:
    """Say what tells the training of a record from one that would be done here, if anything."""
    there = record.environment
    if record.spec.eval_examples == spec.eval_examples and record.data_digest != data_digest:
        return "of other data"
    if here.get("git_dirty"):
        return "this source has changes that are not committed"
    left_out = {"training"}
    if here.get("cuda") is not None:
        left_out.add("threads")
    if spec.method.code is not None:  # a file, whose name is no part of the method
        left_out.add("method_origin")
    pairs = {key: (there.get(key), here.get(key)) for key in {*there, *here} - left_out}
    for key in _EXECUTED:
        pairs[key] = (there.get("training", {}).get(key), here["training"].get(key))
    unlike = sorted(key for key, (one, other) in pairs.items() if one != other)
    return next((f"{key} was {pairs[key][0]} and is {pairs[key][1]}" for key in unlike), None)


def _damage(record: RunRecord, folder: Path) -> str | None:
    """Say what is wrong with the weights of a record, which lie in ``folder``, if anything."""
    try:
        for file in record.checkpoints.values():
            check_digest(held_below(folder, file.file), file.sha256)
    except UserError as error:
        return str(error)
    return None
