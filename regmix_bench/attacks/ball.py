"""Moves inside a threat model: projection and steepest ascent.

A perturbation ``delta`` has the shape (B, C, H, W) and the dtype of its images ``x``, which lie in
[0, 1]; ε is in the same units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from regmix_bench.types import NORMS, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor


def project(delta: Tensor, x: Tensor, threat: ThreatModel) -> Tensor:
    """Return the perturbation inside the ball around ``x`` and inside the valid range of pixels.

    It is projected on the ball and then clipped, which leaves its norm no larger; for L∞ that is
    the Euclidean projection on the intersection of both.
    """
    low, high = threat.bounds
    delta = NORMS[threat.norm].shrink(delta, float(threat.epsilon))
    return torch.minimum(torch.maximum(delta, low - x), high - x)


def ascend(
    delta: Tensor, x: Tensor, gradient: Tensor, threat: ThreatModel, step_size: float
) -> Tensor:
    """Take one steepest-ascent step of ``step_size`` in the threat's norm, projected.

    The step is ``sign(gradient)`` for L∞ and ``gradient/‖gradient‖₂`` per image for L2 (Madry et
    al. 2018). An image without gradient stays where it is.
    """
    return project(delta + step_size * NORMS[threat.norm].direction(gradient), x, threat)
