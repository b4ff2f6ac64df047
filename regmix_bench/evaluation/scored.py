"""The model under attack: what attacks run on, what gives the verdicts, and the memory they share.

Attacks need thousands of gradients and a verdict one forward pass. So attacks run on a faster copy
of the model, and whatever they find is put to the model itself: no outcome hangs on the copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from regmix_bench.machine import choose_execution
from regmix_bench.models.base import ImageClassifier
from regmix_bench.models.execution import Executed, prepare_compiler
from regmix_bench.models.folding import TOLERANCE, Folded
from regmix_bench.records import ScoredCopy

T = TypeVar("T")

#: Images on which a copy is compared with its model.
CHECKED = 500


class Chunks:
    """How many images a forward pass takes at once: all of them, until memory has run out.

    ``size`` is None as long as it has not; ``latest`` is what the last pass took.
    """

    def __init__(self) -> None:
        self.size: int | None = None
        self.latest = 1

    def fit(self, call: Callable[[], T]) -> T:
        """What ``call`` returns, which is repeated with chunks half as large where memory ran out.

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


class InChunks(nn.Module):
    """Splits a forward pass as ``chunks`` say; the batch that an attack sees stays whole.

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
        parts = x.split(size)
        return torch.cat([checkpoint(self.model, part, use_reentrant=False) for part in parts])


class Scored:
    """A model that is scored: ``plain`` gives every verdict, and attacks run on ``attacked``.

    Both map images (B, C, H, W) in [0, 1] to logits (B, K), and are the same model where there is
    no ``copy`` of it; ``how`` says how that is run.
    """

    def __init__(
        self, model: nn.Module, copy: Executed | None = None, how: ScoredCopy | None = None
    ) -> None:
        self.chunks = Chunks()
        self.plain = InChunks(model, self.chunks)
        self.attacked = InChunks(model if copy is None else copy, self.chunks)
        self.how = how

    @classmethod
    def of(cls, model: nn.Module, images: Tensor, compile: bool = True) -> Scored:
        """``model`` with a :func:`scored_copy` to attack, where ``images`` show it to be the same.

        To be made once for all threats: where the copy is compiled, that takes a while.
        """
        return cls(model, *(scored_copy(model, images, compile) or ()))


def scored_copy(
    model: nn.Module, images: Tensor, compile: bool = True
) -> tuple[Executed, ScoredCopy] | None:
    """A faster copy of ``model`` to attack, and how it is run; None where it would be another.

    Batch norm is folded; memory layout and, where ``compile`` lets it be, compilation suit the
    device of ``images`` (N, C, H, W), the first of which it is checked on: the logits may differ by
    ``TOLERANCE`` times the largest of them, the predictions not at all. A model that is not one of
    ours is never copied, because what makes it random or dynamic might not survive.
    """
    if not isinstance(model, ImageClassifier):
        return None
    execution = choose_execution(images.device, min(images.shape[2:]))
    folded = Folded(model)
    compiled = execution.compile and compile
    if compiled:
        prepare_compiler()
        # An attack drops the images it has broken: the batch has hundreds of sizes.
        folded.compile(dynamic=True)
    copy = Executed(folded, replace(execution, compile=False)).eval()
    if not _agree(Scored(model, copy), images[:CHECKED]):
        return None
    return copy, ScoredCopy(channels_last=execution.channels_last, compile=compiled)


@torch.no_grad()
def _agree(scored: Scored, images: Tensor) -> bool:
    expected = scored.chunks.fit(lambda: scored.plain(images))
    found = scored.chunks.fit(lambda: scored.attacked(images))
    close = (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
    return bool(close) and torch.equal(found.argmax(1), expected.argmax(1))
