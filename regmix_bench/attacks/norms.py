"""The norms: one object each, in which everything lies that depends on the norm.

A further one is an object here and a line in :data:`regmix_bench.types.NORMS`, or what a program
registers there. Planning and reporting ask for words and budgets where torch is slow to load, so it
is imported where tensors are computed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from regmix_bench.types import Norm, cut

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class _Linf(Norm):
    """The largest change of a pixel."""

    symbol = "L∞"
    budget = "8/255"
    unit = 255
    largest = 1
    # Signs that agree add up: of two directions the ball holds |a| + |b| ≤ 1.
    corners = 4

    def diameter(self, dimensions: int) -> float:
        return 1.0

    def length(self, delta: Tensor) -> Tensor:
        import torch

        length: Tensor = torch.linalg.vector_norm(delta.flatten(1), torch.inf, dim=1)
        return length

    def direction(self, gradient: Tensor) -> Tensor:
        return gradient.sign()

    def shrink(self, delta: Tensor, epsilon: float) -> Tensor:
        return delta.clamp(-epsilon, epsilon)

    def start(self, x: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        import torch

        from regmix_bench.attacks.noise import noise

        return (noise(torch.rand, x, generator) * 2 - 1) * epsilon


class _L2(Norm):
    """The Euclidean length of a change."""

    symbol = "L2"
    budget = "128/255"

    def diameter(self, dimensions: int) -> float:
        return math.sqrt(dimensions)

    def length(self, delta: Tensor) -> Tensor:
        import torch

        length: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
        return length

    def direction(self, gradient: Tensor) -> Tensor:
        import torch

        return gradient / self._lengths(gradient).clamp_min(torch.finfo(gradient.dtype).tiny)

    def shrink(self, delta: Tensor, epsilon: float) -> Tensor:
        return delta * (epsilon / self._lengths(delta).clamp_min(epsilon))

    def start(self, x: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        """Draw the direction from a Gaussian, the radius as the d-th root of a uniform number."""
        import torch

        from regmix_bench.attacks.noise import noise

        delta = noise(torch.randn, x, generator)
        radius = noise(torch.rand, x, generator, (1, 1, 1)) ** (1 / x[0].numel()) * epsilon
        return delta / self._lengths(delta) * radius

    def _lengths(self, delta: Tensor) -> Tensor:
        import torch

        lengths: Tensor = torch.linalg.vector_norm(delta, dim=(1, 2, 3), keepdim=True)
        return lengths


class _L1(Norm):
    """The sum of all changes."""

    symbol = "L1"
    budget = "12"
    corners = 4
    sparse = True
    #: The share of the pixels that a step moves.
    share = 0.05

    def diameter(self, dimensions: int) -> float:
        return float(dimensions)

    def length(self, delta: Tensor) -> Tensor:
        return delta.flatten(1).abs().sum(1)

    def direction(self, gradient: Tensor) -> Tensor:
        """Share the step equally between the steepest pixels (SLIDE of Tramèr & Boneh 2019).

        Pixels as steep as the last of these move too, and those without a slope do not.
        """
        steepness = gradient.abs().flatten(1)
        moved = max(1, round(self.share * steepness.shape[1]))
        least = steepness.topk(moved, dim=1).values[:, -1].view(-1, 1, 1, 1)
        signs = gradient.sign() * (gradient.abs() >= least)
        return signs / self.length(signs).clamp_min(1).view(-1, 1, 1, 1)

    def shrink(self, delta: Tensor, epsilon: float) -> Tensor:
        infinite = delta.new_full(delta.shape, math.inf)
        return self.project(delta, -infinite, infinite, epsilon, pixels_first=False)

    def project(
        self, delta: Tensor, low: Tensor, high: Tensor, epsilon: float, pixels_first: bool
    ) -> Tensor:
        """Return the nearest perturbation in the ball and in the bounds, in whatever order.

        Each pixel loses the same λ of its size, down to 0, and is cut to its bounds: the λ ≥ 0 at
        which the lengths make ``epsilon``, 0 where they make less. It is found by going down the
        sizes at which a pixel begins to count and those at which it is full, between which the
        length is linear (Croce & Hein, ICML 2021, proposition 2.1).
        """
        import torch

        size = delta.abs().flatten(1)
        full = (size - high.where(delta > 0, -low).flatten(1)).clamp_min(0)
        ends, order = torch.cat([size, full], 1).sort(1, descending=True)
        ends = ends.double()  # as thousands of lengths are added up
        growing = (order < size.shape[1]).double().mul(2).sub(1).cumsum(1)
        grown = growing[:, :-1] * (ends[:, :-1] - ends[:, 1:])
        length = torch.nn.functional.pad(grown.cumsum(1), (1, 0))
        # The last end at which all of it is no longer than ε, and what is left from there.
        last = (length <= epsilon).sum(1, keepdim=True) - 1
        left = (epsilon - length.gather(1, last)) / growing.gather(1, last).clamp_min(1)
        loss = (ends.gather(1, last) - left).clamp_min(0).view(-1, 1, 1, 1)
        # In double too, as what is left of many like pixels is small beside what they lose.
        kept = (delta.abs().double() - loss).clamp_min(0).to(delta.dtype)
        return cut(delta.sign() * kept, low, high)

    def start(self, x: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        """Draw the direction from a Laplacian, the radius as the d-th root of a uniform number."""
        import torch

        from regmix_bench.attacks.noise import noise

        signs = (noise(torch.rand, x, generator) - 0.5).sign()
        delta = -torch.log1p(-noise(torch.rand, x, generator)) * signs
        radius = noise(torch.rand, x, generator, (1, 1, 1)) ** (1 / x[0].numel()) * epsilon
        return delta / self.length(delta).view(-1, 1, 1, 1) * radius


LINF = _Linf()
L2 = _L2()
L1 = _L1()
