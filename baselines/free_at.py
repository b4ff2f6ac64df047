"""Free-AT: the gradient that trains the weights also moves the perturbation.

Shafahi et al., "Adversarial Training for Free!", NeurIPS 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field

from regmix_bench.losses import cross_entropy
from regmix_bench.methods.places import PlacedPerturbations
from regmix_bench.methods.protocol import Citation, Method
from regmix_bench.types import NORMS, Batch, Frozen, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class FreeAT(Method):
    """Cross-entropy at a perturbation that is carried on from step to step.

    Each batch is trained on m times in a row. One forward and one backward pass give the gradients
    of the weights and of δ: the weights take a step of the optimiser, and δ one of its own::

        δ ← clip_[−ε, ε](δ + ε·sign ∇CE(f(clip_[0,1](x + δ)), ŷ))

    δ starts at 0 and is never reset. It belongs to a place in the batch and not to an image: the
    next batch begins with what the last one left, and a smaller batch uses and moves its first
    rows. It is clipped to valid pixels where it is used, and no gradient comes from pixels that are
    clipped.

    An epoch has as many steps as with any other method, on 1/m of the images, so that the rate, the
    average of weights and milestones count steps taken. The paper trains with m = 8 on CIFAR, and
    shows m = 4 for ImageNet.
    """

    name = "free-at"
    title = "Free-AT"
    symbols = {"steps": "m"}
    formula = "L = CE(f(x'), ŷ)"
    citation = Citation(
        "shafahi2019adversarial",
        "Shafahi et al.",
        2019,
        "1904.12843",
        title="Adversarial Training for Free!",
        venue="NeurIPS",
    )
    rank = 38
    colour = 24
    norms = ("Linf",)
    smoothed = frozenset({"attack", "loss"})
    refuses = {"awp_gamma": "one backward pass moves weights and images, and AWP needs another"}

    class Config(Frozen):
        """Steps on each batch, and the step of δ as a multiple of ε."""

        steps: int = Field(8, ge=1, lt=2**31, description="Steps in a row on each batch")
        step_ratio: Annotated[float, Search(0.25, 2)] = Field(
            1.0, gt=0, description="Step of δ as a multiple of ε"
        )

    @property
    def repeats(self) -> int:
        return int(self.config.steps)

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        rows = max(self.batch_size, 3)  # of which a batch of two may have one more
        self.delta = PlacedPerturbations(rows, image_shape, device)
        self._used: tuple[Tensor, Batch, ThreatModel] | None = None

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        # Kept in float32, ε may be rounded to a little more.
        delta = NORMS[threat.norm].shrink(self.delta.of(batch), float(threat.epsilon))
        delta = delta.detach().requires_grad_()
        self._used = delta, batch, threat
        x_adv = (batch.x + delta).clamp(*threat.bounds)
        loss = cross_entropy(model(x_adv), batch.y, self.true_class_mass)
        return StepOutput(loss, x_adv.detach())

    @torch.no_grad()
    def after_update(self, model: nn.Module) -> None:
        """Move δ by the gradient that the backward pass of the weights left on it."""
        assert self._used is not None
        (delta, batch, threat), self._used = self._used, None
        if delta.grad is None:  # nobody has derived the loss
            return
        epsilon, norm = float(threat.epsilon), NORMS[threat.norm]
        moved = delta + self.config.step_ratio * epsilon * norm.direction(delta.grad)
        self.delta.put(batch, norm.shrink(moved, epsilon))

    def state_dict(self) -> dict[str, Any]:
        return self.delta.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.delta.load_state_dict(state)
