"""FGSM-PGI with momentum over epochs (FGSM-MEP).

Jia et al., "Prior-Guided Adversarial Initialization for Fast Adversarial Training", ECCV 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from regmix_bench.attacks.norms import ascend
from regmix_bench.losses import TrueClassMass, cross_entropy
from regmix_bench.methods.prior import Prior
from regmix_bench.methods.protocol import Method
from regmix_bench.types import Batch, Frozen, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class FGSMPGI(Method):
    """Cross-entropy one step of ε from a stored prior, and agreement with the output at the prior.

    With x' one step of ε from x+δ_prior::

        L = CE(f(x'), ŷ) + λ·mean((f(x') − f(x+δ_prior))²)

    The mean is over the batch and the classes, and both outputs carry gradient.
    """

    name = "fgsm-pgi"
    norms = ("Linf",)

    class Config(Frozen):
        """λ, epochs between resets of the prior, and the true class's share of the label."""

        lambda_: float = Field(10.0, ge=0)
        reset: int = Field(40, ge=1)
        true_class_mass: TrueClassMass = 0.6

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        self.prior = Prior(dataset_size, image_shape, device, self.config.reset, self.compact_state)

    def on_epoch_start(self, epoch: int) -> None:
        self.prior.on_epoch_start(epoch)

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        mass = self.config.true_class_mass
        initial = self.prior.initial(batch, threat, generator)
        x_prior = (batch.x + initial).requires_grad_()
        prior_logits = model(x_prior)
        # The same forward pass serves the attack and the regulariser.
        (gradient,) = torch.autograd.grad(
            cross_entropy(prior_logits, batch.y, mass, "sum"), x_prior, retain_graph=True
        )
        x_adv = batch.x + ascend(initial, batch.x, gradient, threat, float(threat.epsilon))
        logits = model(x_adv)
        weight = self.prior_weight(prior_logits, logits, batch.y)
        self.prior.update(batch, initial, gradient, threat, weight)
        ce = cross_entropy(logits, batch.y, mass)
        consistency = self.config.lambda_ * (logits - prior_logits).square().mean()
        metrics = {"ce": ce.detach(), "consistency": consistency.detach()}
        return StepOutput(ce + consistency, x_adv, metrics)

    def prior_weight(self, prior_logits: Tensor, logits: Tensor, y: Tensor) -> float | Tensor:
        """Weight of this batch's gradient in the momentum."""
        return 1.0

    def state_dict(self) -> dict[str, Any]:
        return self.prior.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.prior.load_state_dict(state)
