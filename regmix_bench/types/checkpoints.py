"""Checkpoints of a training, and kinds of weights, by name."""

from __future__ import annotations

from typing import Literal, get_args

#: Of a training the epoch that its rule selects and the last one; where weights are averaged those
#: are averages, and the raw weights, which the optimiser moves, have checkpoints of their own.
TrainedCheckpoint = Literal["selected", "last", "raw-selected", "raw-last"]
TRAINED: tuple[TrainedCheckpoint, ...] = get_args(TrainedCheckpoint)
#: Those of a training, or else the model given.
Checkpoint = Literal[TrainedCheckpoint, "given"]
#: What the optimiser moves, or an average of that over the steps of a training.
Weights = Literal["raw", "averaged"]
#: Of which checkpoints AutoAttack scores; of raw weights beside averages only if of ``all``.
Evaluated = Literal["selected", "last", "both", "all"]
