"""The accuracy on held-out images, after every epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from regmix_bench.attacks.white_box import FGSM, PGD
from regmix_bench.distributed.collectives import all_sum, share
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.execution import ModelRunner
from regmix_bench.models.fusion import FusedModel
from regmix_bench.models.predictions import BATCH_SIZE, correct
from regmix_bench.models.replayed import ReplayedModel
from regmix_bench.replay.protocol import Recorder
from regmix_bench.system.machine import Execution, Precision, arithmetic
from regmix_bench.types import ThreatModel

_PGD = PGD.of(steps=10)


class HeldOutAccuracy(NamedTuple):
    """The shares, from 0 to 1, of held-out images that are right: clean, under FGSM and PGD-10."""

    clean: float
    fgsm: float
    pgd: float


class Validation:
    """Measures a model on held-out ``images`` (N, C, H, W) with ``labels`` (N,) under ``threat``.

    It is not trained on, so that it runs on a folded copy of ``model`` that needs no gradient of a
    weight, in ``precision``, at most ``forward_batch_size`` images at once. Its passes are recorded
    by ``recorder``, where there is one, and replayed in all epochs; ``say`` gets a line if that
    cannot be. The recorder is not that of the training, whose recordings one that fails would cost.
    In a group each process has its share of the images.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        threat: ThreatModel,
        execution: Execution,
        forward_batch_size: int | None = None,
        precision: Precision = "fp32",
        recorder: Recorder | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.threat, self.precision, self.size = threat, precision, len(labels)
        self.recorder = recorder
        mine = share(self.size)
        self.images, self.labels = images[mine], labels[mine]
        self._start = _PGD.start(images, threat)[mine]
        self.fused = FusedModel(model)
        self.chunks = Chunks(forward_batch_size)
        inside: Literal["fp32", "bf16"] = "bf16" if precision == "bf16" else "fp32"
        run: nn.Module = ModelRunner(self.fused, execution, inside).eval()
        largest = min(len(self.labels), BATCH_SIZE, forward_batch_size or BATCH_SIZE)
        if recorder is not None and largest:
            run = ReplayedModel(run, recorder, largest, say)
        self._attacked = ChunkedModel(run, self.chunks)

    @property
    def passes(self) -> int:
        """Return how many images a measurement passes through the model, both ways counted."""
        verdicts = 3
        return int(self.size * (FGSM.passes + _PGD.passes + verdicts))

    @property
    def capture_seconds(self) -> float:
        """Return the time that recording has taken so far."""
        return self.recorder.seconds if self.recorder is not None else 0.0

    def measure(self, model: nn.Module) -> HeldOutAccuracy:
        """Measure ``model``, of the structure of the first, from the same start each time."""
        self.fused.refresh(model)
        with arithmetic(self.precision):
            counts = all_sum(self.chunks.fit(self._count_right)).tolist()
        return HeldOutAccuracy(*(count / self.size for count in counts))

    def _count_right(self) -> Tensor:
        model, threat, x, y = self._attacked, self.threat, self.images, self.labels
        clean = correct(model, x, y)
        fgsm = clean & correct(model, FGSM().perturb(model, x, y, threat), y)
        pgd = clean & correct(model, _PGD.climb(model, x, y, threat, self._start), y)
        return torch.stack([flags.sum() for flags in (clean, fgsm, pgd)])
