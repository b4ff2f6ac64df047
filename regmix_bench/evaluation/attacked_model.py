"""The model under attack: what attacks run on, what gives the verdicts, and the memory they share.

Attacks need thousands of gradients and a verdict one forward pass. So attacks run on a faster copy
of the model, and whatever they find is put to the model itself: no outcome hangs on the copy.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.execution import ModelRunner, prepare_compiler
from regmix_bench.models.fusion import TOLERANCE, FusedModel
from regmix_bench.models.logits import Float32Logits
from regmix_bench.records.schema import ScoredCopy
from regmix_bench.system.machine import choose_execution

#: Images on which a copy is compared with its model.
CHECKED = 500


class AttackedModel:
    """A model under attack: ``plain`` gives every verdict, and attacks run on ``attacked``.

    Both map images (B, C, H, W) in [0, 1] to logits (B, K) of float32, whatever the model returns,
    and are the same model where there is no ``copy`` of it; ``how`` says how that is run. Both take
    at most ``forward_batch_size`` images at once.
    """

    def __init__(
        self,
        model: nn.Module,
        copy: ModelRunner | None = None,
        how: ScoredCopy | None = None,
        forward_batch_size: int | None = None,
    ) -> None:
        self.chunks, self.how = Chunks(forward_batch_size), how
        self._verdicts = Float32Logits(model)
        self.plain = ChunkedModel(self._verdicts, self.chunks)
        self.attacked = ChunkedModel(
            self._verdicts if copy is None else Float32Logits(copy), self.chunks
        )

    def logits_dtype(self, images: Tensor) -> str:
        """Return the type in which the model itself returns logits of ``images``: ``float32``."""
        return self._verdicts.returned(images[:1])

    @classmethod
    def of(
        cls,
        model: nn.Module,
        images: Tensor,
        compile: bool = True,
        forward_batch_size: int | None = None,
    ) -> AttackedModel:
        """Return ``model`` with a :func:`faster_copy` to attack, if it agrees on ``images``.

        Call it once for all threats: where the copy is compiled, that takes a while.
        """
        copy, how = faster_copy(model, images, compile, forward_batch_size) or (None, None)
        return cls(model, copy, how, forward_batch_size)


def faster_copy(
    model: nn.Module, images: Tensor, compile: bool = True, forward_batch_size: int | None = None
) -> tuple[ModelRunner, ScoredCopy] | None:
    """Return a faster copy of ``model`` to attack, and how it is run; None where it would differ.

    Batch norm is folded; memory layout and, where ``compile`` lets it be, compilation suit the
    device of ``images`` (N, C, H, W), the first of which it is checked on: the logits may differ by
    ``TOLERANCE`` times the largest of them, the predictions not at all. A model that is not one of
    ours is never copied, because what makes it random or dynamic might not survive.
    """
    if not isinstance(model, ImageClassifier):
        return None
    execution = choose_execution(images.device, min(images.shape[2:]))
    folded = FusedModel(model)
    compiled = execution.compile and compile
    if compiled:
        prepare_compiler()
        # An attack drops the images it has broken: the batch has hundreds of sizes.
        folded.compile(dynamic=True)
    copy = ModelRunner(folded, replace(execution, compile=False)).eval()
    compared = AttackedModel(model, copy, forward_batch_size=forward_batch_size)
    if not _agree(compared, images[:CHECKED]):
        return None
    return copy, ScoredCopy(channels_last=execution.channels_last, compile=compiled)


@torch.no_grad()
def _agree(model: AttackedModel, images: Tensor) -> bool:
    expected = model.chunks.fit(lambda: model.plain(images))
    found = model.chunks.fit(lambda: model.attacked(images))
    close = (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
    return bool(close) and torch.equal(found.argmax(1), expected.argmax(1))
