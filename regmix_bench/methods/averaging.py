"""Exponential moving average of a model's weights and buffers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


class WeightAverage:
    """Averages of every parameter and buffer; integer buffers are copied.

    The first update takes the model as it is; those after it fill the same tensors, so that a
    recorded step can be replayed.
    """

    def __init__(self) -> None:
        self.average: dict[str, Tensor] = {}

    def update(self, model: nn.Module, decay: float | Tensor) -> None:
        """Set ``average ← decay·average + (1 − decay)·model``; ``decay`` is a scalar in [0, 1]."""
        weight = 1 - decay
        with torch.no_grad():
            for name, value in model.state_dict().items():
                average = self.average.get(name)
                if average is None:
                    self.average[name] = value.clone()
                    continue
                if average.device != value.device:  # after a resume
                    average = self.average[name] = average.to(value.device)
                if value.is_floating_point():
                    average.lerp_(value, weight if isinstance(weight, float) else weight.to(value))
                else:
                    average.copy_(value)

    def apply_to(self, model: nn.Module) -> nn.Module:
        """Return a copy of ``model`` with averaged weights; ``model`` itself before any update."""
        if not self.average:
            return model
        averaged = copy.deepcopy(model)
        averaged.load_state_dict(self.average)
        return averaged

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averages by the model's own names."""
        return self.average

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore saved averages."""
        self.average = {name: value.clone() for name, value in state.items()}
