"""Forward passes in as large chunks as memory allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class Chunks:
    """Number of images that a forward pass takes at once: all of them, until memory has run out.

    ``size`` begins with a user's limit and is halved where memory runs out; None is no limit.
    ``latest`` is the number that the last pass took.
    """

    def __init__(self, size: int | None = None) -> None:
        self.size = size
        self.latest = 1

    def fit(self, call: Callable[[], T]) -> T:
        """Return the result of ``call``; where memory runs out, halve the chunks and call again.

        Raises ``torch.OutOfMemoryError`` where a single image does not fit.
        """
        while True:
            try:
                return call()
            except torch.OutOfMemoryError:
                if self.size == 1:
                    raise
            # Here, because the traceback of a handled error keeps its tensors alive.
            self.size = max(1, self.latest // 2)
            torch.cuda.empty_cache()


class ChunkedModel(nn.Module):
    """A model whose forward pass is split as ``chunks`` say; the batch an attack sees stays whole.

    A split pass is computed again on the way back, so that one chunk's graph is alive at a time.
    """

    def __init__(self, model: Callable[[Tensor], Tensor], chunks: Chunks) -> None:
        super().__init__()
        self.model, self.chunks = model, chunks
        self.training = False

    def forward(self, x: Tensor) -> Tensor:
        size = min(len(x), self.chunks.size or len(x))
        self.chunks.latest = size
        if size == len(x):
            logits: Tensor = self.model(x)
            return logits
        with_gradient = torch.is_grad_enabled() and x.requires_grad
        call = self._again if with_gradient else self.model
        return torch.cat([call(part) for part in x.split(size)])

    def _again(self, part: Tensor) -> Tensor:
        logits: Tensor = _Again.apply(part, self.model)
        return logits


class _Again(torch.autograd.Function):
    """A pass that keeps its images alone and is done again for their gradient; weights get none.

    Torch's own checkpoint keeps count of what a pass keeps, which is another number once a model
    begins to replay its passes. A model that draws numbers draws the same ones again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, model: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.model, ctx.drawn = model, _generators(x.device)
        ctx.save_for_backward(x)
        return model(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        twice = torch.is_grad_enabled()  # this gradient is to be differentiated in turn
        if not twice:
            x = x.detach().requires_grad_()
        with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
            for generator, state in ctx.drawn:
                generator.set_state(state)
            with torch.enable_grad():
                logits = ctx.model(x)
        (found,) = torch.autograd.grad(logits, x, gradients, create_graph=twice)
        return found, None


def _generators(device: torch.device) -> list[tuple[torch.Generator, Tensor]]:
    """Torch's own generators for work on ``device``, each with its state."""
    own = [torch.default_generator]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        own.append(torch.cuda.default_generators[index])
    return [(generator, generator.get_state()) for generator in own]
