"""FGSM with a random start.

Wong, Rice and Kolter, "Fast is better than free: Revisiting adversarial training", ICLR 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from regmix_bench.attacks.noise import uniform_start
from regmix_bench.attacks.pgd import pgd
from regmix_bench.losses import cross_entropy
from regmix_bench.methods.multi_step import attack_mode
from regmix_bench.methods.protocol import Citation, Method
from regmix_bench.types import Batch, Frozen, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class FGSMRS(Method):
    """Cross-entropy after one step from a random start.

    x' is one step of 1.25·ε from a uniform start.
    """

    name = "fgsm-rs"
    title = "FGSM-RS"
    formula = "L = CE(f(x'), ŷ)"
    citation = Citation(
        "wong2020fast",
        "Wong et al.",
        2020,
        "2001.03994",
        title="Fast is better than free: Revisiting adversarial training",
        venue="ICLR",
    )
    rank = 40
    colour = 4
    norms = ("Linf",)
    smoothed = frozenset({"attack", "loss"})

    class Config(Frozen):
        """Step size as a multiple of ε."""

        step_ratio: Annotated[float, Search(0.5, 2)] = Field(
            1.25, gt=0, description="Size of the step as a multiple of ε"
        )

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        mass = self.true_class_mass
        with attack_mode(model, "train"):
            delta = pgd(
                lambda x: cross_entropy(model(x), batch.y, mass, "sum"),
                batch.x,
                threat,
                delta=uniform_start(batch.x, threat, generator),
                steps=1,
                step_size=self.config.step_ratio * float(threat.epsilon),
            )
        x_adv = batch.x + delta

        def terms() -> dict[str, Tensor]:
            return {"ce": cross_entropy(model(x_adv), batch.y, self.true_class_mass)}

        return StepOutput.of(terms(), x_adv, again=terms)
