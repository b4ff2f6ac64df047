"""Batch normalisation folded into the convolutions before it: the same function in fewer passes.

In evaluation mode a batch-norm layer is an affine map per channel, so that conv → norm is another
convolution (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", section 3.2). What cannot be folded, as the norm that opens a
pre-activation block, stays.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from regmix_bench.models.casts import WeightCasts

_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)

#: A folded copy may differ from its model by this share of the largest logit.
TOLERANCE = 1e-4


class FusedModel(nn.Module):
    """A copy of ``model`` for attacks in evaluation mode, its batch norm fused into convolutions.

    It maps (B, C, H, W) in [0, 1] to logits (B, K) as ``model.eval()`` does, up to rounding. It
    shares no memory with ``model``, which :meth:`refresh` copies anew, and needs no gradient.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.copy = copy.deepcopy(model).eval().requires_grad_(False)
        self._pairs = list(_pairs(self.copy))
        folded = {name for pair in self._pairs for name in pair}
        for conv, norm in self._pairs:
            layer: Any = self.copy.get_submodule(conv)
            layer.bias = nn.Parameter(layer.weight.new_zeros(layer.out_channels), False)
            self.copy.set_submodule(norm, nn.Identity())
        self._rest = [
            name for name in self.copy.state_dict() if name.rpartition(".")[0] not in folded
        ]
        self._casts = WeightCasts(self.copy)
        self._cast = False
        self.refresh(model)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, K) of ``x`` (B, C, H, W) in [0, 1]."""
        with self._casts.placed() if self._cast else contextlib.nullcontext():
            logits: Tensor = self.copy(x)
        return logits

    def cast(self) -> None:
        """Cast the weights whenever they are refreshed, and not in each pass under autocast.

        The layout in memory is to stay as it is from now on.
        """
        self._cast = True
        self._casts.hold()

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    @torch.no_grad()
    def refresh(self, model: nn.Module) -> None:
        """Copy the weights and statistics of ``model``, whose structure is that of the first."""
        for conv_name, norm_name in self._pairs:
            conv: Any = model.get_submodule(conv_name)
            norm: Any = model.get_submodule(norm_name)
            weight, bias = fuse_conv_bn_weights(
                conv.weight,
                conv.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            target: Any = self.copy.get_submodule(conv_name)
            target.weight.copy_(weight)
            target.bias.copy_(bias)
        theirs, ours = model.state_dict(), self.copy.state_dict()
        for name in self._rest:
            ours[name].copy_(theirs[name])
        if self._cast:
            self._casts.hold()


def _pairs(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of each convolution and the norm right behind it, in the sequences of ``model``."""
    for name, module in model.named_modules():
        # Only these very classes: what derives from one may compute something else.
        if type(module).forward is not nn.Sequential.forward:
            continue
        for (first, conv), (second, norm) in pairwise(module.named_children()):
            if type(conv) is nn.Conv2d and type(norm) in _NORMS and norm.track_running_stats:
                prefix = f"{name}." if name else ""
                yield prefix + first, prefix + second
