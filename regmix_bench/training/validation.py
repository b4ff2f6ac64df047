"""The accuracy on held-out images, after every epoch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from regmix_bench.attacks.white_box import FGSM, PGD
from regmix_bench.distributed.collectives import all_sum, share
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.execution import ModelRunner
from regmix_bench.models.fusion import FusedModel
from regmix_bench.models.predictions import correct
from regmix_bench.system.machine import Execution
from regmix_bench.types import ThreatModel


class HeldOutAccuracy(NamedTuple):
    """The shares, from 0 to 1, of held-out images that are right: clean, under FGSM and PGD-10."""

    clean: float
    fgsm: float
    pgd: float


class Validation:
    """Measures a model on held-out ``images`` (N, C, H, W) with ``labels`` (N,) under ``threat``.

    It is not trained on, so that it runs on a copy of ``model`` that needs no gradient of a weight,
    at most ``forward_batch_size`` images at once. In a group each process has its share of them.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        threat: ThreatModel,
        execution: Execution,
        forward_batch_size: int | None = None,
    ) -> None:
        self.images, self.labels, self.threat = images, labels, threat
        self.fused = FusedModel(model)
        self.chunks = Chunks(forward_batch_size)
        self._attacked = ChunkedModel(ModelRunner(self.fused, execution), self.chunks)

    def measure(self, model: nn.Module) -> HeldOutAccuracy:
        """Measure ``model``, of the structure of the first, from the same start each time."""
        self.fused.refresh(model)
        counts = all_sum(self.chunks.fit(self._count_right)).tolist()
        return HeldOutAccuracy(*(count / len(self.labels) for count in counts))

    def _count_right(self) -> Tensor:
        model, threat = self._attacked.eval(), self.threat
        mine = share(len(self.labels))
        attack = PGD.of(steps=10)
        start = attack.start(self.images, threat)[mine]
        x, y = self.images[mine], self.labels[mine]
        clean = correct(model, x, y)
        fgsm = clean & correct(model, FGSM().perturb(model, x, y, threat), y)
        pgd = clean & correct(model, attack.climb(model, x, y, threat, start), y)
        return torch.stack([flags.sum() for flags in (clean, fgsm, pgd)])
