"""Adversarial weight perturbation: a step of the optimiser that is taken at worse weights.

Wu, Xia and Wang, "Adversarial Weight Perturbation Helps Robust Generalization", NeurIPS 2020.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


class WeightPerturbation:
    """Perturbs the kernels of the convolutions and linear layers of ``model`` along gradients.

    ``v = γ·‖w‖·g/‖g‖`` for each kernel w by itself, with Frobenius norms (eq. 10 of the paper);
    scales and shifts of normalisations, and biases, stay as they are.
    """

    def __init__(self, model: nn.Module, gamma: float) -> None:
        self.model, self.gamma = model, gamma
        layers = [m for m in model.modules() if isinstance(m, (_ConvNd, nn.Linear))]
        kernels = [layer._parameters.get("weight") for layer in layers]  # others are computed
        found = dict.fromkeys(kernel for kernel in kernels if kernel is not None)
        self.kernels: list[Tensor] = list(found)

    def statistics(self) -> Statistics:
        """Copy the running statistics of the model."""
        buffers = list(self.model.buffers())
        return Statistics(buffers, [buffer.clone() for buffer in buffers])

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Have the weights at w + v while the block runs, for the gradients they have before it.

        What the block makes of them, such as a step of the optimiser, is left less the same v.
        """
        with torch.no_grad():
            moved = [kernel for kernel in self.kernels if kernel.grad is not None]
            v = self._along(moved, [kernel.grad for kernel in moved if kernel.grad is not None])
            _add(moved, v, 1)
        try:
            yield
        finally:
            with torch.no_grad():
                _add(moved, v, -1)

    def _along(self, kernels: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
        if not kernels:
            return []
        lengths = torch.stack(torch._foreach_norm(kernels))
        slopes = torch.stack(torch._foreach_norm(gradients))
        scales = self.gamma * lengths / (slopes + 1e-20)
        return list(torch._foreach_mul(gradients, list(scales.unbind())))


class Statistics(NamedTuple):
    """Buffers of a model and copies of what they held."""

    buffers: list[Tensor]
    held: list[Tensor]

    def put_back(self) -> None:
        """Give the buffers what they held, in place."""
        with torch.no_grad():
            for buffer, held in zip(self.buffers, self.held, strict=True):
                buffer.copy_(held)


def _add(kernels: list[Tensor], v: list[Tensor], sign: float) -> None:
    if kernels:
        torch._foreach_add_(kernels, v, alpha=sign)
