"""The epoch of each checkpoint of a training, by its history."""

from __future__ import annotations

from collections.abc import Sequence

from regmix_bench.records.overfitting import RawAccuracy
from regmix_bench.records.schema import EpochLog
from regmix_bench.specs.recipe import SelectionRule
from regmix_bench.types import TRAINED, TrainedCheckpoint


def selected_epoch(history: Sequence[EpochLog]) -> int:
    """Return the epoch of highest validation PGD-10 accuracy, the earlier on a tie."""
    return max(history, key=lambda log: (log.val_pgd_acc, -log.epoch)).epoch


def chosen_epochs(history: Sequence[EpochLog], rule: SelectionRule) -> dict[TrainedCheckpoint, int]:
    """Return the epoch of each checkpoint of a training, by its history so far.

    Averaged weights are selected among the epochs that had an average, and raw ones among all, each
    by their own accuracy. Where nothing is averaged the two are the same.
    """
    last = history[-1].epoch
    if rule == "last":
        return dict.fromkeys(TRAINED, last)
    averaged = [log for log in history if log.raw_val_pgd_acc is not None]
    raw = {log.epoch: RawAccuracy.of(log).pgd for log in history}
    return {
        "selected": selected_epoch(averaged or history),
        "last": last,
        "raw-selected": max(raw, key=lambda epoch: (raw[epoch], -epoch)),
        "raw-last": last,
    }
