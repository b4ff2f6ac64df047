"""ZeroGrad: one step along the large entries of the gradient alone.

Golgooni et al., "ZeroGrad: Mitigating and Explaining Catastrophic Overfitting in FGSM Adversarial
Training", arXiv:2103.15476, 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from regmix_bench.attacks.ball import ascend
from regmix_bench.attacks.noise import uniform_start
from regmix_bench.attacks.pgd import input_gradient
from regmix_bench.losses import cross_entropy
from regmix_bench.methods.multi_step import attack_mode
from regmix_bench.methods.protocol import Citation, Method
from regmix_bench.types import Batch, Frozen, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


def image_quantile(values: Tensor, q: float) -> Tensor:
    """Return the ``q``-quantile (B, 1, 1, 1) of each image of ``values`` (B, C, H, W).

    All pixels and channels count, and between two of them it is interpolated, as torch's own does,
    which takes no batch of more than 16 million values.
    """
    ordered = values.flatten(1).sort(1).values
    place = q * (ordered.shape[1] - 1)
    low = int(place)
    high = min(low + 1, ordered.shape[1] - 1)
    return ordered[:, low].lerp(ordered[:, high], place - low)[:, None, None, None]


class ZeroGrad(Method):
    """Cross-entropy one step from a random start, in which small gradients do not count.

    The step is 2ε from a uniform start δ₀, and is projected on the ball. Of each image the entries
    of the gradient below the q-quantile of their sizes are set to 0, and keep δ₀. The authors take
    q = 0.35 on CIFAR-10, 0.45 on CIFAR-100 and 0.7 on SVHN.
    """

    name = "zero-grad"
    title = "ZeroGrad"
    symbols = {"quantile": "q"}
    formula = "L = CE(f(x'), ŷ)"
    citation = Citation(
        "golgooni2021zerograd",
        "Golgooni et al.",
        2021,
        "2103.15476",
        title=(
            "ZeroGrad: Mitigating and Explaining Catastrophic Overfitting in FGSM "
            "Adversarial Training"
        ),
    )
    rank = 42
    colour = 14
    norms = ("Linf",)
    smoothed = frozenset({"attack", "loss"})

    class Config(Frozen):
        """Step size as a multiple of ε, and the share of the gradient that is set to 0."""

        step_ratio: Annotated[float, Search(0.5, 2.5)] = Field(
            2.0, gt=0, description="Size of the step as a multiple of ε"
        )
        quantile: Annotated[float, Search(0, 0.8)] = Field(
            0.35, ge=0, le=1, description="Share of an image's gradient, the smallest, set to 0"
        )

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        config, mass = self.config, self.true_class_mass
        start = uniform_start(batch.x, threat, generator)
        with attack_mode(model, "train"):
            gradient = input_gradient(
                lambda x: cross_entropy(model(x), batch.y, mass, "sum"), batch.x + start
            )
        size = gradient.abs()
        gradient = torch.where(size < image_quantile(size, config.quantile), 0, gradient)
        step = config.step_ratio * float(threat.epsilon)
        x_adv = batch.x + ascend(start, batch.x, gradient, threat, step)

        def terms() -> dict[str, Tensor]:
            return {"ce": cross_entropy(model(x_adv), batch.y, mass)}

        return StepOutput.of(terms(), x_adv, again=terms)
