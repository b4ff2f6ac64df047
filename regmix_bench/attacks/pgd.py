"""The one PGD loop, and the gradient that it climbs.

Training and evaluation share both. A perturbation ``delta`` has the shape (B, C, H, W)
and the dtype of its images ``x``, which lie in [0, 1]; ε is in the same units.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import torch

from regmix_bench.attacks.ball import ascend
from regmix_bench.types import ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn

#: A loss to increase: images (B, C, H, W) → scalar, summed over the batch.
Objective: TypeAlias = "Callable[[Tensor], Tensor]"


def input_gradient(objective: Objective, x: Tensor) -> Tensor:
    """Return the gradient (B, C, H, W) of ``objective`` at ``x``; none of a weight is kept."""
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
    pixels_first: bool = False,
) -> Tensor:
    """Climb ``objective`` from ``delta`` by projected gradient ascent (Madry et al. 2018, eq. 2.1).

    One step of size ε is FGSM. ``pixels_first`` is the order of the projection, as of
    :func:`~regmix_bench.attacks.ball.project`. Returns the last perturbation (B, C, H, W),
    detached.
    """
    for _ in range(steps):
        gradient = input_gradient(objective, x + delta)
        delta = ascend(delta, x, gradient, threat, step_size, pixels_first)
    return delta.detach()
