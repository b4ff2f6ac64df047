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

from regmix_bench.models.classifier import ImageClassifier

#: Only these very classes: what derives from one may do more with a weight than autocast knows.
_CAST = (nn.Conv2d, nn.Linear)


def cast_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers of ``model`` that autocast computes in bfloat16, and no other part reads.

    These are convolutions and linear layers, but for the classifier of an image classifier, which
    is computed in the dtype of its weight.
    """
    exact = {m.classifier for m in model.modules() if isinstance(m, ImageClassifier)}
    return [m for m in model.modules() if type(m) in _CAST and m not in exact]


class WeightCasts:
    """Copies in bfloat16 of the float32 weights of ``model``'s :func:`cast_layers`.

    They belong to the graph of the weights, as autocast's own casts do: gradients reach the
    weights, and may be asked for. A gradient is the sum of the branches' gradients in bfloat16:
    each of them was rounded so by the kernel that computed it, and a sum of three is rounded twice
    more.
    """

    def __init__(self, model: nn.Module) -> None:
        places: dict[nn.Parameter, list[tuple[nn.Module, str]]] = {}
        for module in model.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    places.setdefault(parameter, []).append((module, name))
        layers = set(cast_layers(model))
        # A weight of which another part has a use too, such as an embedding, stays one weight.
        self._places = {
            parameter: found
            for parameter, found in places.items()
            if parameter.dtype == torch.float32 and all(owner in layers for owner, _ in found)
        }
        self._copies: list[tuple[Tensor, Tensor]] = []  # in the graph of the weights, and outside
        self._versions: list[int] = []

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Cast the weights, for the passes inside :meth:`placed` while the block runs."""
        if self._places:
            copies = _Cast.apply(*self._places)
            self._copies = [(copy, copy.detach()) for copy in copies]
            self._versions = [weight._version for weight in self._places]
        try:
            yield
        finally:
            self._copies = []

    @contextlib.contextmanager
    def placed(self) -> Iterator[None]:
        """Give the model the copies that a step has made, to compute with while the block runs.

        Outside of a step, and once a weight has been changed in place within it, the model computes
        with the weights themselves. A change by way of ``.data`` is not noticed.
        """
        unchanged = [weight._version for weight in self._places] == self._versions
        if not self._copies or not unchanged:
            yield
            return
        for (weight, places), (copy, outside) in zip(
            self._places.items(), self._copies, strict=True
        ):
            for owner, name in places:
                used: Any = copy if weight.requires_grad else outside
                owner._parameters[name] = used
        try:
            yield
        finally:
            for weight, places in self._places.items():
                for owner, name in places:
                    owner._parameters[name] = weight


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
