"""How far a perturbation goes, measured without the package."""

from __future__ import annotations

import torch
from torch import Tensor


def size(delta: Tensor, norm: str) -> Tensor:
    """Per image, in float64 so that measuring adds no rounding of its own."""
    flat = delta.double().flatten(1)
    measures = {"Linf": lambda: flat.abs().amax(1), "L1": lambda: flat.abs().sum(1)}
    return measures.get(norm, lambda: flat.square().sum(1).sqrt())()


def in_dtype(epsilon: float, dtype: torch.dtype) -> float:
    """ε as the nearest number of ``dtype``: 8/255 itself is not one."""
    return torch.tensor(epsilon, dtype=dtype).item()
