"""Perturbations: projections, starting points, the one PGD loop, and the per-image prior.

Training and evaluation share everything here. A perturbation ``delta`` has the shape (B, C, H, W)
and the dtype of its images ``x``, which lie in [0, 1]; ε is in the same units.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch

from regmix_bench.distributed import Sharding, all_sum, share
from regmix_bench.types import Batch, Norm, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn

#: A loss to increase: images (B, C, H, W) → scalar, summed over the batch.
Objective: TypeAlias = "Callable[[Tensor], Tensor]"


def project(delta: Tensor, x: Tensor, threat: ThreatModel) -> Tensor:
    """The perturbation inside the ball around ``x`` and inside the valid range of pixels.

    For L∞ this is the Euclidean projection on the intersection of both; for L2 it projects on the
    ball and then clips, which leaves the ball's norm no larger.
    """
    low, high = threat.bounds
    epsilon = float(threat.epsilon)
    if threat.norm == "Linf":
        delta = delta.clamp(-epsilon, epsilon)
    else:
        delta = delta * (epsilon / _l2_norm(delta).clamp_min(epsilon))
    return torch.minimum(torch.maximum(delta, low - x), high - x)


def ascend(
    delta: Tensor, x: Tensor, gradient: Tensor, threat: ThreatModel, step_size: float
) -> Tensor:
    """One steepest-ascent step of ``step_size`` in the threat's norm, projected.

    The step is ``sign(gradient)`` for L∞ and ``gradient/‖gradient‖₂`` per image for L2 (Madry et
    al. 2018). An image without gradient stays where it is.
    """
    if threat.norm == "Linf":
        direction = gradient.sign()
    else:
        tiny = torch.finfo(gradient.dtype).tiny
        direction = gradient / _l2_norm(gradient).clamp_min(tiny)
    return project(delta + step_size * direction, x, threat)


def input_gradient(objective: Objective, x: Tensor) -> Tensor:
    """Gradient of ``objective`` at ``x``; no gradient of a weight is computed or kept."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(x), x)
    return gradient


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Keep the weights out of the graph, so that attacks compute input gradients alone."""
    required = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in required:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in required:
            parameter.requires_grad_(True)


def pgd(
    objective: Objective,
    x: Tensor,
    threat: ThreatModel,
    *,
    delta: Tensor,
    steps: int,
    step_size: float,
) -> Tensor:
    """Projected gradient ascent on ``objective`` from ``delta`` (Madry et al. 2018, eq. 2.1).

    One step of size ε is FGSM. Returns the last perturbation, detached.
    """
    for _ in range(steps):
        gradient = input_gradient(objective, x + delta)
        delta = ascend(delta, x, gradient, threat, step_size)
    return delta.detach()


def noise(
    draw: Callable[..., Tensor],
    x: Tensor,
    generator: torch.Generator,
    shape: Sequence[int] | None = None,
) -> Tensor:
    """What ``draw``, as ``torch.rand``, draws for each image of ``x`` (B, C, H, W): (B, …).

    Of the images' own shape or of ``shape``. Where several processes share a batch, the trainer's
    ``generator`` knows its ``total`` images: each draws for all and keeps what is its own, so that
    the noise of an image does not depend on the number of processes.
    """
    shape = x.shape[1:] if shape is None else shape
    total = getattr(generator, "total", None)
    rows = len(x) if total is None else total
    drawn = draw(rows, *shape, generator=generator, device=x.device, dtype=x.dtype)
    mine = drawn if total is None else drawn[share(total)]
    if len(mine) != len(x):
        raise ValueError(f"noise for {len(x)} images of a batch that has {len(mine)} here")
    return mine


def batch_sum(value: Tensor) -> Tensor:
    """The sum over a whole batch, given that over the images of this process; no gradient."""
    return all_sum(value)


def uniform_start(x: Tensor, threat: ThreatModel, generator: torch.Generator) -> Tensor:
    """A perturbation drawn uniformly from the ball, clipped to valid pixels."""
    if threat.norm == "Linf":
        delta = noise(torch.rand, x, generator) * 2 - 1
        return project(delta * float(threat.epsilon), x, threat)
    # A Gaussian gives the direction; the d-th root of a uniform number gives the radius.
    delta = noise(torch.randn, x, generator)
    radius = noise(torch.rand, x, generator, (1, 1, 1))
    radius = radius ** (1 / x[0].numel()) * float(threat.epsilon)
    return project(delta / _l2_norm(delta) * radius, x, threat)


def gaussian_start(
    x: Tensor, threat: ThreatModel, generator: torch.Generator, scale: float = 0.001
) -> Tensor:
    """A normal draw of standard deviation ``scale``, projected (Zhang et al. 2019)."""
    return project(noise(torch.randn, x, generator) * scale, x, threat)


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


def perturbation_norm(delta: Tensor, norm: Norm) -> Tensor:
    """L∞ or L2 norm (B,) of perturbations (B, C, H, W), in pixel units."""
    order = torch.inf if norm == "Linf" else 2
    found: Tensor = torch.linalg.vector_norm(delta.flatten(1), order, dim=1)
    return found


def _l2_norm(delta: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(delta, dim=(1, 2, 3), keepdim=True)
    return norm
