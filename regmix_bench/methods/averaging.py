"""Exponential moving average of a model's weights and buffers."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


class WeightAverage:
    """Averages of every parameter and buffer; integer buffers are copied.

    Where ``buffers`` are "live", those of the model at hand take the place of averages. The first
    update takes the model as it is; those after it fill the same tensors, so that a recorded step
    can be replayed.
    """

    def __init__(self, buffers: Literal["averaged", "live"] = "averaged") -> None:
        self.buffers = buffers
        self.average: dict[str, Tensor] = {}

    def update(self, model: nn.Module, decay: float | Tensor) -> None:
        """Set ``average ← decay·average + (1 − decay)·model``; ``decay`` is a scalar in [0, 1]."""
        weight = 1 - decay
        with torch.no_grad():
            for name, value in self._averaged(model):
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
        averaged.load_state_dict({**model.state_dict(), **self.average})
        return averaged

    def _averaged(self, model: nn.Module) -> Iterable[tuple[str, Tensor]]:
        if self.buffers == "averaged":
            return model.state_dict().items()
        return model.named_parameters(remove_duplicate=False)

    def is_of(self, model: nn.Module) -> bool:
        """Return whether there is an average of all that is averaged of ``model``, and no other."""
        shapes = {name: value.shape for name, value in self._averaged(model)}
        return {name: value.shape for name, value in self.average.items()} == shapes

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averages by the model's own names."""
        return self.average

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore saved averages."""
        self.average = {name: value.clone() for name, value in state.items()}
