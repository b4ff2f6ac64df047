"""A cheap look at robustness: APGD twice, on what the steps before it left.

A plan asks it where it is defined, so that torch is loaded where it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from regmix_bench.attacks.autoattack import APGDCE, APGDT
from regmix_bench.attacks.protocol import Attack, AttackedData
from regmix_bench.types import Frozen, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class QuickAPGD(Attack):
    """Short APGD on cross-entropy, then APGD on few target classes; it is not AutoAttack.

    Both are the authors' (:mod:`regmix_bench.attacks.autoattack`). An image that is found is
    attacked no more, so that the first run, of few steps, spares the dear one most of what falls
    easily. ``benchmarks/quick.py`` measures how far it agrees with AutoAttack, and at what cost.
    """

    name = "quick-apgd"
    norms = APGDT.norms

    class Config(Frozen):
        """Steps of the first run, and steps and target classes of the second."""

        first_steps: int = Field(20, ge=1, description="Steps on the cross-entropy")
        n_iter: int = Field(100, ge=1, description="Steps towards each target class")
        n_target_classes: int = Field(3, ge=1, description="Classes aimed at, the likeliest first")

    @property
    def passes(self) -> float:
        config = self.config
        return float(2 * (config.first_steps + config.n_iter * config.n_target_classes))

    def obstacle(self, threat: ThreatModel, data: AttackedData) -> str | None:
        # The targeted difference of logits ratio is made of the four largest logits.
        needed = max(3, self.config.n_target_classes) + 1
        if data.num_classes is None or data.num_classes >= needed:
            return None
        return f"it needs {needed} classes, and there are {data.num_classes}"

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int = 0
    ) -> Tensor:
        import torch

        from regmix_bench.models.predictions import correct

        config = self.config
        found, held = x.clone(), torch.arange(len(x), device=x.device)
        for attack in (
            APGDCE.of(n_iter=config.first_steps, n_restarts=1),
            APGDT.of(n_iter=config.n_iter, n_target_classes=config.n_target_classes),
        ):
            if len(held):
                found[held] = attack.perturb(model, x[held], y[held], threat, seed=seed)
                held = held[correct(model, found[held], y[held])]
        return found
