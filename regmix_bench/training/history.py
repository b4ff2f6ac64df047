"""The progress of a training, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regmix_bench.records.schema import Alarm, CheckpointFile, Cost, EpochLog, RunRecord
from regmix_bench.system.files import atomic_write
from regmix_bench.types import TrainedCheckpoint


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

    def save_log(self, directory: Path) -> None:
        """Write a line of JSON for each epoch into ``train.jsonl`` of a run's folder."""
        with atomic_write(directory / "train.jsonl") as stream:
            for log in self.history:
                stream.write(log.model_dump_json().encode() + b"\n")

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

    @classmethod
    def finished(cls, record: RunRecord) -> TrainingProgress:
        """Return the progress of a training that is done, as its record has it."""
        history, alarms = list(record.history), list(record.alarms)
        return cls(history, alarms, dict(record.checkpoints), record.training_cost)
