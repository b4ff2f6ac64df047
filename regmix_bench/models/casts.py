"""Weights in bfloat16, cast once a step instead of in every pass of a network.

Autocast casts each float32 weight whenever a layer uses it, and each of those casts carries its
gradient back to float32 by itself: a step with three passes casts everything three times, both
ways. Here the passes of a step share one copy of each weight, in which their gradients meet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

#: Only these very classes: what derives from one may do more with a weight than autocast knows.
_CAST = (nn.Conv2d, nn.Linear)

_Copies = dict[str, Tensor]


class WeightCasts:
    """Copies in bfloat16 of the float32 weights of ``model``'s convolutions and linear layers.

    They belong to the graph of the weights, as autocast's own casts do: gradients reach the
    weights, and may be asked for. A gradient is the sum of the branches' gradients in bfloat16:
    each of them was rounded so by the kernel that computed it, and a sum of three is rounded twice
    more.

    A copy is there for the calls of its layer alone that autocast computes in bfloat16: whatever
    switches autocast off, or reads a weight itself, has the weight.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = [
            module
            for module in model.modules()
            if type(module) in _CAST and "forward" not in vars(module)
        ]
        mine = [p for layer in self._layers for p in layer.parameters(recurse=False)]
        self._weights = [p for p in dict.fromkeys(mine) if p.dtype == torch.float32]
        self._copies: list[tuple[Tensor, Tensor]] = []  # in the graph of the weights, and outside
        self._versions: list[int] = []

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Cast the weights, for the passes inside :meth:`placed` while the block runs."""
        if self._weights:
            copies = _Cast.apply(*self._weights)
            self._copies = [(copy, copy.detach()) for copy in copies]
            self._versions = [weight._version for weight in self._weights]
        try:
            yield
        finally:
            self._copies = []

    @torch.no_grad()
    def hold(self) -> None:
        """Cast the weights, which are frozen, for all passes until the next call.

        Each call fills the same memory, so that recorded passes compute with what it wrote.
        """
        if not self._copies:
            empty = [torch.empty_like(weight, dtype=torch.bfloat16) for weight in self._weights]
            self._copies = [(copy, copy) for copy in empty]
        if self._weights:
            torch._foreach_copy_([copy for copy, _ in self._copies], list(self._weights))
        self._versions = [weight._version for weight in self._weights]

    @contextlib.contextmanager
    def placed(self) -> Iterator[None]:
        """Give the layers the copies that were made, to compute with while the block runs.

        Without any, and once a weight has been changed in place, they compute with the weights
        themselves. A change by way of ``.data`` is not noticed.
        """
        unchanged = [weight._version for weight in self._weights] == self._versions
        if not self._copies or not unchanged:
            yield
            return
        used = {
            weight: copy if weight.requires_grad else outside
            for weight, (copy, outside) in zip(self._weights, self._copies, strict=True)
        }
        for layer in self._layers:
            found = layer._parameters.items()
            copies = {name: used[p] for name, p in found if p is not None and p in used}
            vars(layer)["forward"] = _CastCall(layer, copies)
        try:
            yield
        finally:
            for layer in self._layers:
                del vars(layer)["forward"]


class _CastCall:
    """The ``forward`` of ``layer``, with ``copies`` in place of its weights under autocast."""

    def __init__(self, layer: nn.Module, copies: _Copies) -> None:
        self.layer, self.copies = layer, copies

    def __call__(self, x: Tensor) -> Tensor:
        layer, kind = self.layer, x.device.type
        forward: Any = type(layer).forward
        bf16 = torch.get_autocast_dtype(kind) == torch.bfloat16
        if not bf16 or not torch.is_autocast_enabled(kind):
            exact: Tensor = forward(layer, x)
            return exact
        weights = {name: layer._parameters[name] for name in self.copies}
        copies: Any = self.copies
        layer._parameters.update(copies)
        try:
            found: Tensor = forward(layer, x)
        finally:
            layer._parameters.update(weights)
        return found


class _Cast(torch.autograd.Function):
    """Float32 tensors in bfloat16, and their gradients in float32 again, each way at once."""

    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        return tuple(_cast(weights, torch.bfloat16))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        there = [gradient for gradient in gradients if gradient is not None]
        # What is to be derived once more is cast by what autograd knows.
        derived = torch.is_grad_enabled()
        found = iter([g.float() for g in there] if derived else _cast(there, torch.float32))
        return tuple(None if gradient is None else next(found) for gradient in gradients)


def _cast(tensors: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    made = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    torch._foreach_copy_(made, list(tensors))
    return made
