"""PGD adversarial training.

Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from regmix_bench.attacks.noise import radial_start, uniform_start
from regmix_bench.losses import cross_entropy
from regmix_bench.methods.multi_step import MultiStepMethod, PGDConfig
from regmix_bench.methods.protocol import Citation
from regmix_bench.types import Batch, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class PGDAT(MultiStepMethod):
    """Cross-entropy on the end point of PGD.

    x' is the end point of PGD on the cross-entropy from a uniform start. Rice et al. (ICML 2020)
    draw it under L2 with uniform length, which is the start "radial".
    """

    name = "pgd-at"
    title = "PGD-AT"
    formula = "L = CE(f(x'), ŷ)"
    citation = Citation(
        "madry2018towards",
        "Madry et al.",
        2018,
        "1706.06083",
        title="Towards Deep Learning Models Resistant to Adversarial Attacks",
        venue="ICLR",
    )
    rank = 10
    colour = 1
    smoothed = frozenset({"attack", "loss"})

    class Config(PGDConfig):
        """The attack and its start."""

        start: Literal["uniform", "radial"] = Field(
            "uniform", description="Uniform in the ball, or of uniform length"
        )

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        draw = radial_start if self.config.start == "radial" else uniform_start
        x_adv = self.attack(model, batch, threat, draw(batch.x, threat, generator))

        def terms() -> dict[str, Tensor]:
            return {"ce": cross_entropy(model(x_adv), batch.y, self.true_class_mass)}

        return StepOutput.of(terms(), x_adv, again=terms)
