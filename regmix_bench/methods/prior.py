"""Perturbations: projections, starting points, the one PGD loop, and the per-image prior.

Training and evaluation share everything here. A perturbation ``delta`` has the shape (B, C, H, W)
and the dtype of its images ``x``, which lie in [0, 1]; ε is in the same units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from regmix_bench.attacks.noise import batch_sum, noise
from regmix_bench.attacks.norms import ascend, project
from regmix_bench.distributed.collectives import Sharding
from regmix_bench.types import Batch, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor


class Prior:
    """The perturbation and momentum that prior-guided methods keep for every training image.

    Jia et al. (2022), "Prior-Guided Fast Adversarial Training", the variant with momentum over
    epochs (FGSM-MEP). The prior is in input coordinates and does not follow an image's crop or
    flip. Every ``reset`` epochs it starts again from ε·sign(U(−ε, ε)) with zero momentum.
    ``compact`` keeps it in bfloat16: half the memory, δ to 0.4 % of itself. In a group each process
    keeps that of its share of the training set, and every call is one of all.
    """

    momentum_decay = 0.3

    def __init__(
        self,
        dataset_size: int,
        image_shape: tuple[int, int, int],
        device: torch.device,
        reset: int,
        compact: bool = False,
    ) -> None:
        dtype = torch.bfloat16 if compact else torch.float32
        self._shards = Sharding(dataset_size)
        self.delta = self._shards.zeros(image_shape, device, dtype)
        self.momentum = torch.zeros_like(self.delta)
        self.reset = reset
        self.fresh = True

    def on_epoch_start(self, epoch: int) -> None:
        """Note whether ``epoch``, counted from 1, begins anew."""
        self.fresh = (epoch - 1) % self.reset == 0

    def initial(self, batch: Batch, threat: ThreatModel, generator: torch.Generator) -> Tensor:
        """The starting perturbation of a batch, inside the ball and the valid range."""
        if self.fresh:
            # Every image is visited once an epoch, so drawing on the visit resets them all.
            drawn = noise(torch.rand, batch.x.float(), generator)
            delta = float(threat.epsilon) * (drawn - 0.5).sign()
        else:
            delta = self._taken(self.delta, batch, batch.x.dtype)
        return project(delta.to(batch.x.dtype), batch.x, threat)

    def update(
        self,
        batch: Batch,
        delta: Tensor,
        gradient: Tensor,
        threat: ThreatModel,
        weight: float | Tensor = 1.0,
    ) -> None:
        """Store the next prior of a batch that was visited at ``delta`` with input ``gradient``.

        ``m ← weight·g/‖g‖₁ + 0.3·m`` with the norm over the whole batch, then
        ``δ ← Π(δ + ε·sign m)``. FGSM-PGK weighs the gradient; FGSM-PGI leaves the weight at 1.
        """
        tiny = torch.finfo(gradient.dtype).tiny
        momentum = weight * gradient / batch_sum(gradient.abs().sum()).clamp_min(tiny)
        if not self.fresh:
            before = self._taken(self.momentum, batch, momentum.dtype)
            momentum = momentum + self.momentum_decay * before
        following = ascend(delta, batch.x, momentum, threat, float(threat.epsilon))
        self._put(self.momentum, batch, momentum)
        self._put(self.delta, batch, following)

    def state_dict(self) -> dict[str, Tensor]:
        """The per-image state, of all images in the first process; the epoch tells if it is fresh.

        What the others return is not to be saved.
        """
        gather = self._shards.gather
        return {"delta": gather(self.delta), "momentum": gather(self.momentum)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over a saved state of the same shape, whatever the number of processes."""
        self._shards.load(self.delta, state["delta"])
        self._shards.load(self.momentum, state["momentum"])

    def _taken(self, rows: Tensor, batch: Batch, dtype: torch.dtype) -> Tensor:
        return self._shards.take(rows, batch.index, batch.total or len(batch.index), dtype)

    def _put(self, rows: Tensor, batch: Batch, values: Tensor) -> None:
        self._shards.put(rows, batch.index, batch.total or len(batch.index), values)
