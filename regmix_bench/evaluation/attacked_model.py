"""The model under attack: what attacks run on, what gives the verdicts, and the memory they share.

Attacks need thousands of gradients and a verdict one forward pass. So attacks run on a faster copy
of the model, in the precision that the scoring says, and whatever they find is put to the model
itself in exact float32: no outcome hangs on the copy.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from regmix_bench.errors import UserError
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.execution import ModelRunner, prepare_compiler
from regmix_bench.models.fusion import TOLERANCE, FusedModel
from regmix_bench.models.logits import Float32Logits, depend_on_batch
from regmix_bench.models.predictions import BATCH_SIZE
from regmix_bench.models.replayed import ReplayedModel
from regmix_bench.records.schema import ScoredCopy
from regmix_bench.replay.recorders import recorder_for
from regmix_bench.specs import Scoring
from regmix_bench.specs.scoring import SearchPrecision
from regmix_bench.system.machine import Execution, arithmetic, choose_execution

#: Images on which a copy is compared with its model.
CHECKED = 500

_STANDARD = Scoring()

#: The logits of a copy may differ from its model's by this share of the largest: in fp32 by what
#: folding rounds, and else by eight units of the last place.
_TOLERANCES: dict[SearchPrecision, float] = {"fp32": TOLERANCE, "tf32": 2**-7, "bf16": 2**-4}


class AttackedModel:
    """A model under attack: ``plain`` gives every verdict, and attacks run on ``attacked``.

    Both map images (B, C, H, W) in [0, 1] to logits (B, K) of float32, whatever the model returns,
    and are the same model where there is no ``copy`` of it; ``how`` says how that is run. Both take
    at most ``forward_batch_size`` images at once. Attacks are to run inside :meth:`searching`.
    """

    def __init__(
        self,
        model: nn.Module,
        copy: nn.Module | None = None,
        how: ScoredCopy | None = None,
        forward_batch_size: int | None = None,
        precision: SearchPrecision = "fp32",
    ) -> None:
        self.model, self.precision = model, precision
        self.chunks = Chunks(forward_batch_size)
        self._verdicts = Float32Logits(model)
        self.plain = ChunkedModel(self._verdicts, self.chunks)
        self.attacked = ChunkedModel(self._verdicts, self.chunks)
        self._copy, self._how = copy, how
        if copy is not None:
            self.attacked.model = Float32Logits(copy)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        images: Tensor,
        scoring: Scoring = _STANDARD,
        execution: Execution | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> AttackedModel:
        """Return ``model`` with a :func:`faster_copy` to attack, if it agrees on ``images``.

        It is run as ``execution`` says, and else as suits the device of the images. With graphs its
        passes are recorded and replayed; ``say`` gets a line if that cannot be. Call it once for
        all threats, as copies and recordings take a while. Raises as :func:`require_searchable`
        does.
        """
        require_searchable(model, scoring)
        execution = execution or choose_execution(images.device, min(images.shape[2:]))
        copy, how = faster_copy(model, images, scoring, execution) or (None, None)
        made = cls(model, copy, how, scoring.forward_batch_size, scoring.search_precision)
        if execution.graphs and copy is not None:
            made._replay(copy, images, scoring, say)
        if copy is None and isinstance(model, ImageClassifier):
            say("attacks run on the model itself: a faster copy gives other logits")
        return made

    @property
    def how(self) -> ScoredCopy | None:
        """Return how the copy is run that is attacked, if there is one."""
        replayed = isinstance(self._copy, ReplayedModel) and bool(self._copy.sizes)
        return self._how and self._how.model_copy(update={"graphs": replayed})

    def refresh(self, model: nn.Module, images: Tensor) -> bool:
        """Attack ``model`` from now on, of the structure of the one before, and keep recordings.

        Returns whether a copy of it agrees with it on ``images``; where it does not, or there was
        none of the one before, another :class:`AttackedModel` is needed.
        """
        copies = () if self._copy is None else self._copy.modules()
        folded = next((module for module in copies if isinstance(module, FusedModel)), None)
        if folded is None:
            return False
        folded.refresh(model)
        self.model = self._verdicts.model = model
        return _agree(self, images[:CHECKED])

    @property
    def recording_seconds(self) -> float:
        """Return the time that recordings have taken so far."""
        return self._copy.seconds if isinstance(self._copy, ReplayedModel) else 0.0

    def searching(self) -> AbstractContextManager[None]:
        """Return the context in which attacks compute: the arithmetic of the scoring."""
        return arithmetic(self.precision)

    def logits_dtype(self, images: Tensor) -> str:
        """Return the type in which the model itself returns logits of ``images``: ``float32``."""
        return self._verdicts.returned(images[:1])

    def _replay(
        self,
        copy: nn.Module,
        images: Tensor,
        scoring: Scoring,
        say: Callable[[str], None],
    ) -> None:
        few = images[:CHECKED]
        with arithmetic("fp32"):
            mixing = self.chunks.fit(lambda: depend_on_batch(self.plain, few))
        if mixing:  # and would see what a batch is filled up with
            say("attacks run without graphs: an image's logits depend on the rest of its batch")
            return
        largest = min(
            len(images),
            max(BATCH_SIZE, scoring.autoattack_batch_size),
            scoring.forward_batch_size or len(images),
        )
        self._copy = ReplayedModel(copy, recorder_for(images.device), largest, say)
        self.attacked.model = Float32Logits(self._copy)


def require_searchable(model: nn.Module, scoring: Scoring) -> None:
    """Raise :class:`UserError` for a search in bf16 of a model that is not one of ours.

    There is no copy of it, and what it computes in is its own: some of its layers may refuse.
    """
    if scoring.search_precision == "bf16" and not isinstance(model, ImageClassifier):
        raise UserError(
            "scoring.search_precision bf16 is for models of this package's architectures: use tf32"
            " or fp32"
        )


def faster_copy(
    model: nn.Module,
    images: Tensor,
    scoring: Scoring = _STANDARD,
    execution: Execution | None = None,
) -> tuple[ModelRunner, ScoredCopy] | None:
    """Return a faster copy of ``model`` to attack, and how it is run; None where it would differ.

    Batch norm is folded; memory layout and compilation are those of ``execution``, or else suit the
    device. It is checked on the first of ``images`` (N, C, H, W), in the precision of the search:
    the logits may differ by a share of the largest of them that suits the precision, and the
    predictions where the margin is no larger. A model that is not one of ours is never copied,
    because what makes it random or dynamic might not survive.
    """
    if not isinstance(model, ImageClassifier):
        return None
    precision, folded = scoring.search_precision, FusedModel(model)
    execution = execution or choose_execution(images.device, min(images.shape[2:]))
    if execution.compile:
        prepare_compiler()
        # An attack drops the images it has broken: the batch has hundreds of sizes.
        folded.compile(dynamic=True)
    inside: Literal["fp32", "bf16"] = "bf16" if precision == "bf16" else "fp32"
    copy = ModelRunner(folded, replace(execution, compile=False), inside).eval()
    if precision == "bf16" and not execution.compile:
        folded.cast()
    compared = AttackedModel(model, copy, None, scoring.forward_batch_size, precision)
    if not _agree(compared, images[:CHECKED]):
        return None
    return copy, ScoredCopy(
        channels_last=execution.channels_last, compile=execution.compile, precision=precision
    )


@torch.no_grad()
def _agree(model: AttackedModel, images: Tensor) -> bool:
    with arithmetic("fp32"):
        expected = model.chunks.fit(lambda: model.plain(images))
    with model.searching():
        found = model.chunks.fit(lambda: model.attacked(images))
    allowed = _TOLERANCES[model.precision] * expected.abs().max()
    first, second = expected.topk(2).values.T
    same = (found.argmax(1) == expected.argmax(1)) | (first - second <= allowed)
    return bool((found - expected).abs().max() <= allowed) and bool(same.all())
