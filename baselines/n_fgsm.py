"""N-FGSM: one step from strong noise, without projection on the ball.

de Jorge et al., "Make Some Noise: Reliable and Efficient Single-Step Adversarial Training",
NeurIPS 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from regmix_bench.attacks.ball import clip_pixels
from regmix_bench.attacks.pgd import input_gradient
from regmix_bench.losses import cross_entropy
from regmix_bench.methods.multi_step import attack_mode
from regmix_bench.methods.protocol import Citation, Method
from regmix_bench.types import NORMS, Batch, Frozen, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


def noisy_start(x: Tensor, threat: ThreatModel, generator: torch.Generator, ratio: float) -> Tensor:
    """Draw η ~ U(−ratio·ε, ratio·ε) for images ``x`` (B, C, H, W), clipped to valid pixels."""
    radius = ratio * float(threat.epsilon)
    return clip_pixels(NORMS[threat.norm].start(x, radius, generator), x, threat)


class NFGSM(Method):
    """Cross-entropy one step from noise that is larger than the ball, without projection.

    The noise is η ~ U(−kε, kε), clipped to valid pixels, and x' = x + δ with::

        δ = clip_[0,1](η + α·ε·sign ∇CE(f(x + η), ŷ))

    Nothing clips δ to the ball: it is as large as (k + α)·ε, 3ε by default, while attacks that
    score the model have ε. The authors take k = 2 and α = 1, k = 3 at 12/255 on SVHN, and k = 4
    with a WRN-28-10 at 16/255 on CIFAR-10.
    """

    name = "n-fgsm"
    title = "N-FGSM"
    symbols = {"noise_ratio": "k", "step_ratio": "α"}
    formula = "L = CE(f(x'), ŷ)"
    citation = Citation(
        "dejorge2022make",
        "de Jorge et al.",
        2022,
        "2202.01181",
        title="Make Some Noise: Reliable and Efficient Single-Step Adversarial Training",
        venue="NeurIPS",
    )
    rank = 42
    colour = 12
    norms = ("Linf",)
    smoothed = frozenset({"attack", "loss"})

    class Config(Frozen):
        """Sizes of the noise and of the step as multiples of ε."""

        noise_ratio: Annotated[float, Search(0, 4)] = Field(
            2.0, ge=0, description="Largest noise as a multiple of ε"
        )
        step_ratio: Annotated[float, Search(0.25, 2)] = Field(
            1.0, gt=0, description="Size of the step as a multiple of ε"
        )

    @property
    def largest_perturbation(self) -> float:
        return float(self.config.noise_ratio + self.config.step_ratio)

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        config, mass = self.config, self.true_class_mass
        start = noisy_start(batch.x, threat, generator, config.noise_ratio)
        with attack_mode(model, "train"):
            gradient = input_gradient(
                lambda x: cross_entropy(model(x), batch.y, mass, "sum"), batch.x + start
            )
        moved = start + config.step_ratio * float(threat.epsilon) * gradient.sign()
        x_adv = batch.x + clip_pixels(moved, batch.x, threat)

        def terms() -> dict[str, Tensor]:
            return {"ce": cross_entropy(model(x_adv), batch.y, mass)}

        return StepOutput.of(terms(), x_adv, again=terms)
