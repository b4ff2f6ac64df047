"""Perturbations: projections, starting points, the one PGD loop, and the per-image prior.

Training and evaluation share everything here. A perturbation ``delta`` has the shape (B, C, H, W)
and the dtype of its images ``x``, which lie in [0, 1]; ε is in the same units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from regmix_bench.attacks.norms import _l2_norm, project
from regmix_bench.distributed.collectives import all_sum, share
from regmix_bench.types import ThreatModel

if TYPE_CHECKING:
    from torch import Tensor


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
