"""Ordinary training on clean images: the row that shows what robustness costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from regmix_bench.losses import cross_entropy
from regmix_bench.methods.protocol import Method
from regmix_bench.types import Batch, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class Standard(Method):
    """Cross-entropy on clean images, without an attack."""

    name = "standard"
    title = "Standard"
    formula = "L = CE(f(x), ŷ)"
    rank = 0
    colour = 0
    smoothed = frozenset({"loss"})

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        def terms() -> dict[str, Tensor]:
            return {"ce": cross_entropy(model(batch.x), batch.y, self.true_class_mass)}

        return StepOutput.of(terms(), batch.x, again=terms)
