"""The history of a training, epoch by epoch: its selected checkpoint and its alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regmix_bench.records.schema import Alarm, CheckpointFile, Cost, EpochLog
from regmix_bench.types import Checkpoint

#: PGD accuracy must fall this far below its best, and by three standard errors, to raise the alarm.
OVERFITTING_DROP = 0.05


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


def overfitting_alarm(history: list[EpochLog], n_validation: int) -> Alarm | None:
    """Return an alarm where FGSM accuracy has risen while PGD accuracy fell.

    Such catastrophic overfitting is described by Wong et al. (2020, section 5).

    The newest epoch is compared with the one of best PGD-10 accuracy so far. The fall must exceed
    ``OVERFITTING_DROP`` and three standard errors of the difference of two accuracies.
    """
    now = history[-1]
    best = history[selected_epoch(history) - 1]
    spread = best.val_pgd_acc * (1 - best.val_pgd_acc) + now.val_pgd_acc * (1 - now.val_pgd_acc)
    limit = max(OVERFITTING_DROP, 3 * math.sqrt(spread / n_validation))
    if best.val_pgd_acc - now.val_pgd_acc <= limit or now.val_fgsm_acc <= best.val_fgsm_acc:
        return None
    message = (
        f"from epoch {best.epoch} to {now.epoch} validation FGSM accuracy rose"
        f" from {best.val_fgsm_acc:.1%} to {now.val_fgsm_acc:.1%}"
        f" while PGD-10 fell from {best.val_pgd_acc:.1%} to {now.val_pgd_acc:.1%}"
    )
    return Alarm(kind="catastrophic-overfitting", epoch=now.epoch, message=message)
