"""Moves inside a threat model: projection and steepest ascent.

A perturbation ``delta`` has the shape (B, C, H, W) and the dtype of its images ``x``, which lie in
[0, 1]; ε is in the same units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regmix_bench.types import NORMS, ThreatModel, cut

if TYPE_CHECKING:
    from torch import Tensor


#: How far float32 may take a pixel beyond ε: ε and x ± ε are each rounded by at most 2⁻²⁵, because
#: what is above 1 is clipped, and an attack may do so twice. The valid range is exact: clipping
#: does not round.
PIXEL_ROUNDING = 2.0**-23


def project(delta: Tensor, x: Tensor, threat: ThreatModel, pixels_first: bool = False) -> Tensor:
    """Return the perturbation inside the ball around ``x`` and inside the valid range of pixels.

    It is projected on the ball and then clipped, which leaves its norm no larger; for L∞ that is
    the Euclidean projection on the intersection of both. With ``pixels_first`` it is clipped and
    then projected, which leaves its pixels valid: for L∞ that is the same, and under L2 it is never
    shorter, since nothing is scaled away for what the clip takes. Under L1 it is the Euclidean
    projection on the intersection, in either case.
    """
    low, high = threat.bounds
    epsilon = float(threat.epsilon)
    return NORMS[threat.norm].project(delta, low - x, high - x, epsilon, pixels_first)


def clip_pixels(delta: Tensor, x: Tensor, threat: ThreatModel) -> Tensor:
    """Return the perturbation cut to the valid range of pixels, whatever its length."""
    low, high = threat.bounds
    return cut(delta, low - x, high - x)


def ascend(
    delta: Tensor,
    x: Tensor,
    gradient: Tensor,
    threat: ThreatModel,
    step_size: float,
    pixels_first: bool = False,
) -> Tensor:
    """Take one steepest-ascent step of ``step_size`` in the threat's norm, projected.

    The step is ``sign(gradient)`` for L∞ and ``gradient/‖gradient‖₂`` per image for L2 (Madry et
    al. 2018); for L1 the signs of the steepest pixels share it (Tramèr & Boneh 2019). An image
    without gradient stays where it is. ``pixels_first`` is :func:`project`'s.
    """
    moved = delta + step_size * NORMS[threat.norm].direction(gradient)
    return project(moved, x, threat, pixels_first)


def ball_tolerance(threat: ThreatModel, n_pixels: int) -> float:
    """Return how far beyond ε rounding may take an image of ``n_pixels`` values.

    In L1 and L2 the errors of the pixels add up, and in L2 that of the rescaling is relative to
    ε ≤ √n. Images of PGD and AutoAttack on digits and CIFAR-10 were seen to use a quarter of it.
    """
    return PIXEL_ROUNDING * NORMS[threat.norm].diameter(n_pixels)
