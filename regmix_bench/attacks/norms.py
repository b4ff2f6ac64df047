"""The norms: one object each, in which everything lies that depends on the norm.

A further one is an object here and a line in :data:`regmix_bench.types.NORMS`, or what a program
registers there. Planning and reporting ask for words and budgets where torch is slow to load, so it
is imported where tensors are computed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from regmix_bench.types import Norm

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


LINF = _Linf()
L2 = _L2()
