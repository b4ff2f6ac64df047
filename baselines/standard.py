"""Ordinary training on clean images: the row that shows what robustness costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from regmix_bench.losses import TrueClassMass, cross_entropy
from regmix_bench.methods.protocol import Method
from regmix_bench.types import Batch, Frozen, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import nn


class Standard(Method):
    """Cross-entropy on clean images, without an attack."""

    name = "standard"
    title = "Standard"
    formula = "L = CE(f(x), ŷ)"
    rank = 0
    colour = 0

    class Config(Frozen):
        """The true class's share of the label."""

        true_class_mass: TrueClassMass = 1.0

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        loss = cross_entropy(model(batch.x), batch.y, self.config.true_class_mass)
        return StepOutput(loss, batch.x)
