"""The progress of a training, epoch by epoch, and its selected checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regmix_bench.records.overfitting import RawAccuracy
from regmix_bench.records.schema import Alarm, CheckpointFile, Cost, EpochLog
from regmix_bench.specs.recipe import SelectionRule
from regmix_bench.types import TRAINED, TrainedCheckpoint


@dataclass
class TrainingProgress:
    """History, alarms, checkpoints and cost of a training so far; saved with every checkpoint."""

    history: list[EpochLog]
    alarms: list[Alarm]
    checkpoints: dict[TrainedCheckpoint, CheckpointFile]
    cost: Cost
    failure: str | None = None

    @property
    def epoch(self) -> int:
        """Number of epochs trained."""
        return len(self.history)

    @classmethod
    def restored(
        cls, state: Mapping[str, Any], checkpoints: dict[TrainedCheckpoint, CheckpointFile]
    ) -> TrainingProgress:
        """Restore the progress of a saved state, to which the weights ``checkpoints`` belong."""
        return cls(
            [EpochLog.model_validate(log) for log in state["history"]],
            [Alarm.model_validate(alarm) for alarm in state["alarms"]],
            checkpoints,
            Cost.model_validate(state["cost"]),
        )


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
