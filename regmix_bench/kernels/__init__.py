"""Own kernels in Triton, which torch brings on CUDA, each beside the plain form of its work.

Importing a module of this room imports Triton: ask :func:`available` first.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def available(device: torch.device) -> bool:
    """Tell whether kernels can run on ``device``: on CUDA, where Triton is installed."""
    return device.type == "cuda" and find_spec("triton") is not None
