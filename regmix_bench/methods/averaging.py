"""Exponential moving average of a model's weights and buffers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


class WeightAverage:
    """Averages of every parameter and buffer; integer buffers are copied.

    The first update takes the model as it is.
    """

    def __init__(self) -> None:
        self.average: dict[str, Tensor] = {}

    def update(self, model: nn.Module, decay: float | Tensor) -> None:
        """Set ``average ← decay·average + (1 − decay)·model``; ``decay`` is a scalar in [0, 1]."""
        weight = 1 - decay
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if name in self.average and value.is_floating_point():
                    average = self.average[name].to(value.device)  # after a resume
                    part = weight if isinstance(weight, float) else weight.to(value)
                    self.average[name] = average.lerp_(value, part)
                else:
                    self.average[name] = value.clone()

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
