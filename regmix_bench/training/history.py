"""The progress of a training, epoch by epoch, and its selected checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regmix_bench.records.schema import Alarm, CheckpointFile, Cost, EpochLog
from regmix_bench.types import Checkpoint


@dataclass
class TrainingProgress:
    """History, alarms, checkpoints and cost of a training so far; saved with every checkpoint."""

    history: list[EpochLog]
    alarms: list[Alarm]
    checkpoints: dict[Checkpoint, CheckpointFile]
    cost: Cost
    failure: str | None = None

    @property
    def epoch(self) -> int:
        """Number of epochs trained."""
        return len(self.history)

    @classmethod
    def restored(
        cls, state: Mapping[str, Any], checkpoints: dict[Checkpoint, CheckpointFile]
    ) -> TrainingProgress:
        """Restore the progress of a saved state, to which the weights ``checkpoints`` belong."""
        return cls(
            [EpochLog.model_validate(log) for log in state["history"]],
            [Alarm.model_validate(alarm) for alarm in state["alarms"]],
            checkpoints,
            Cost.model_validate(state["cost"]),
        )


def selected_epoch(history: list[EpochLog]) -> int:
    """Return the epoch of highest validation PGD-10 accuracy, the earlier on a tie."""
    return max(history, key=lambda log: (log.val_pgd_acc, -log.epoch)).epoch
