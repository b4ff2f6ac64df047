"""Checkpoints of a training: of which weights each is, and how it did on the validation part."""

from __future__ import annotations

from typing import Literal

from regmix_bench.methods.declarations import averages_weights
from regmix_bench.records.overfitting import RawAccuracy
from regmix_bench.records.schema import RunRecord
from regmix_bench.types import Checkpoint, TrainedCheckpoint, Weights

#: The epoch that the recipe's rule selects, and the last one.
Choice = Literal["selected", "last"]


def weights_of(record: RunRecord, checkpoint: Checkpoint) -> Weights:
    """Return whether a checkpoint is of raw weights or of an average."""
    averages = averages_weights(record.spec)
    if record.tricks is not None:  # older records say nothing of them
        averages = record.tricks.average is not None
    return "averaged" if averages and not checkpoint.startswith("raw-") else "raw"


def checkpoint_of(record: RunRecord, weights: Weights, choice: Choice) -> TrainedCheckpoint:
    """Return the name of a checkpoint, which a record may yet have no score of."""
    if weights_of(record, choice) == weights:
        return choice
    return "raw-selected" if choice == "selected" else "raw-last"


def epoch_of(record: RunRecord, checkpoint: Checkpoint) -> int | None:
    """Return the epoch of a checkpoint; None of a model that was given or is not recorded."""
    if checkpoint == "selected":
        return record.selected_epoch
    if checkpoint == "last":
        return len(record.history) or None
    if checkpoint == "given" or checkpoint not in record.checkpoints:
        return None
    return record.checkpoints[checkpoint].epoch


def validation_accuracy(record: RunRecord, checkpoint: Checkpoint) -> float | None:
    """Return the accuracy (0 to 1) under PGD-10 of a checkpoint on the validation part."""
    epoch = epoch_of(record, checkpoint)
    if epoch is None or epoch > len(record.history):
        return None
    log = record.history[epoch - 1]
    return RawAccuracy.of(log).pgd if checkpoint.startswith("raw-") else log.val_pgd_acc


def last_beside(checkpoint: Checkpoint) -> Checkpoint:
    """Return the last checkpoint of the same weights."""
    return "raw-last" if checkpoint.startswith("raw-") else "last"
