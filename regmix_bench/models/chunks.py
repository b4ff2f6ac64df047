"""Forward passes in as large chunks as memory allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

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
        call = self._again if torch.is_grad_enabled() else self.model
        return torch.cat([call(part) for part in x.split(size)])

    def _again(self, part: Tensor) -> Tensor:
        logits: Tensor = checkpoint(self.model, part, use_reentrant=False)
        return logits
