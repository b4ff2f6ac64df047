"""Perturbations: projections, starting points, the one PGD loop, and the per-image prior.

Training and evaluation share everything here. A perturbation ``delta`` has the shape (B, C, H, W)
and the dtype of its images ``x``, which lie in [0, 1]; ε is in the same units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from regmix_bench.types import Norm, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor


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


def perturbation_norm(delta: Tensor, norm: Norm) -> Tensor:
    """L∞ or L2 norm (B,) of perturbations (B, C, H, W), in pixel units."""
    order = torch.inf if norm == "Linf" else 2
    found: Tensor = torch.linalg.vector_norm(delta.flatten(1), order, dim=1)
    return found


def _l2_norm(delta: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(delta, dim=(1, 2, 3), keepdim=True)
    return norm
