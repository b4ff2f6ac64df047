"""GradAlign: gradients at the image and near it are to point the same way.

Andriushchenko and Flammarion, "Understanding and Improving Fast Adversarial Training", NeurIPS
2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from regmix_bench.attacks.ball import ascend
from regmix_bench.attacks.noise import chosen_mean
from regmix_bench.attacks.pgd import input_gradient
from regmix_bench.losses import cross_entropy
from regmix_bench.methods.multi_step import attack_mode
from regmix_bench.methods.protocol import Citation, Method
from regmix_bench.types import NORMS, Batch, Frozen, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


def misalignment(g: Tensor, h: Tensor) -> Tensor:
    """Return 1 − cos(g, h), a mean over the images whose gradients (B, C, H, W) are both not 0.

    It is 0 where no image is left.
    """

    def unit(gradient: Tensor) -> tuple[Tensor, Tensor]:
        rows = gradient.flatten(1)
        length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        there = length > 0
        return rows / torch.where(there, length, 1), there.squeeze(1)

    (first, one), (second, other) = unit(g), unit(h)
    return chosen_mean(1 - (first * second).sum(1), (one & other).to(first.dtype))


class GradAlign(Method):
    """Cross-entropy after one step of FGSM, and the misalignment of two gradients of each image.

    They are g = ∇CE(f(x), ŷ), which also makes x', and h = ∇CE(f(x + η), ŷ) with η ~ U(−ε, ε). g is
    constant and h alone is derived once more, with respect to the weights; images of which either
    is 0 are left out. x' is a step of 1.25·ε from x, projected on the ball, which makes it ε.

    λ grows with ε. The authors take, at 1 to 16/255 on CIFAR-10, 0.027, 0.036, 0.047, 0.063, 0.084,
    0.112, 0.15, 0.2, 0.267, 0.356, 0.474, 0.632, 0.843, 1.124, 1.5 and 2, and on SVHN 1.657 at
    1/255 to 3.162 at 12/255, 2.5 at 8/255. The default is that of 8/255 on CIFAR-10, whatever ε is.

    To derive h again is the work of two backward passes, of which the count has one. The model is
    trained uncompiled, as torch's compiler derives nothing twice; our kernels of batch norm leave
    second derivatives to torch, and attention is computed by plain products at x + η. A layer that
    torch itself does not derive twice, such as the hard sigmoid of timm's MobileNetV3, ends the run
    with torch's message. In bf16 the derivative of h points, by its cosine, 0.8 to 0.9 the way of
    that in float32; the authors keep batch norm in float32, as autocast does.
    """

    name = "grad-align"
    title = "GradAlign"
    symbols = {"lambda_": "λ"}
    formula = "L = CE(f(x'), ŷ) + λ·(1 − mean_i cos(sg(∇ℓ(x)), ∇ℓ(x+η)))"
    citation = Citation(
        "andriushchenko2020understanding",
        "Andriushchenko and Flammarion",
        2020,
        "2007.02617",
        title="Understanding and Improving Fast Adversarial Training",
        venue="NeurIPS",
    )
    rank = 44
    colour = 22
    norms = ("Linf",)
    smoothed = frozenset({"attack", "loss", "regulariser"})
    second_derivatives = True

    class Config(Frozen):
        """Weight of the misalignment, and step size as a multiple of ε."""

        lambda_: Annotated[float, Search(0.01, 5, log=True)] = Field(
            0.2, ge=0, description="Weight of the misalignment; grows with ε"
        )
        step_ratio: float = Field(1.25, gt=0, description="Size of the step as a multiple of ε")

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        x, epsilon = batch.x, float(threat.epsilon)

        def loss(images: Tensor) -> Tensor:
            return cross_entropy(model(images), batch.y, self.true_class_mass, "sum")

        def clean_gradient() -> Tensor:
            with attack_mode(model, "train"):
                return input_gradient(loss, x)

        g = clean_gradient()
        step = self.config.step_ratio * epsilon
        x_adv = x + ascend(torch.zeros_like(x), x, g, threat, step)
        near = x + NORMS[threat.norm].start(x, epsilon, generator)

        def terms(g: Tensor) -> dict[str, Tensor]:
            ce = cross_entropy(model(x_adv), batch.y, self.true_class_mass)
            variable = near.clone().requires_grad_()
            # The other kernels of attention have no second derivative.
            plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
            with torch.enable_grad(), plain:
                objective = loss(variable)
                (h,) = torch.autograd.grad(objective, variable, create_graph=True)
            return {"ce": ce, "alignment": self.config.lambda_ * misalignment(g, h)}

        return StepOutput.of(terms(g), x_adv, again=lambda: terms(clean_gradient()))
