"""No attack, FGSM and PGD: what every score and every validation measures."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from regmix_bench.attacks.noise import uniform_start
from regmix_bench.attacks.pgd import frozen, pgd
from regmix_bench.attacks.protocol import Attack
from regmix_bench.losses import cross_entropy
from regmix_bench.models.predictions import BATCH_SIZE, require_eval_mode
from regmix_bench.types import Frozen, ThreatModel


class Clean(Attack):
    """No attack: the images as they are."""

    name = "clean"
    passes = 0.0

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int
    ) -> Tensor:
        return x


class FGSM(Attack):
    """One step of ε on the cross-entropy from the image itself (Goodfellow et al. 2015)."""

    name = "fgsm"
    passes = 2.0

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int = 0
    ) -> Tensor:
        return climb(model, x, y, threat, torch.zeros_like(x), steps=1, step_ratio=1.0)


class PGD(Attack):
    """Projected gradient ascent on cross-entropy (Madry et al. 2018); pgd-50 takes 50 steps.

    The last of ``steps`` steps of ``step_ratio``·ε counts: 2/255 at 8/255, and enough to cross the
    ball at any budget. It starts uniformly in the ball or at the image itself.
    """

    name = "pgd"

    class Config(Frozen):
        """Steps, the length of one as a share of ε, and where they start."""

        steps: int = Field(20, ge=1, description="Steps of the attack")
        step_ratio: float = Field(0.25, gt=0, description="Size of a step as a multiple of ε")
        start: Literal["uniform", "image"] = "uniform"

    @property
    def passes(self) -> float:
        return float(2 * self.config.steps)

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int = 0
    ) -> Tensor:
        return self.climb(model, x, y, threat, self.start(x, threat, seed))

    def start(self, x: Tensor, threat: ThreatModel, seed: int = 0) -> Tensor:
        """Return the perturbations (N, C, H, W) to start from, which ``seed`` and ``x`` decide."""
        if self.config.start == "image":
            return torch.zeros_like(x)
        generator = torch.Generator(x.device).manual_seed(seed)
        return torch.cat([uniform_start(part, threat, generator) for part in x.split(BATCH_SIZE)])

    def climb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, start: Tensor
    ) -> Tensor:
        """Return the images (N, C, H, W) that are reached from ``start``."""
        steps, step_ratio = self.config.steps, self.config.step_ratio
        return climb(model, x, y, threat, start, steps=steps, step_ratio=step_ratio)


def climb(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    start: Tensor,
    *,
    steps: int,
    step_ratio: float,
) -> Tensor:
    """Return images (N, C, H, W) after ``steps`` steps of ``step_ratio``·ε, batch by batch.

    The cross-entropy is climbed from perturbations ``start``. Raises ``RuntimeError`` for a model
    in training mode.
    """
    require_eval_mode(model)
    step_size = step_ratio * float(threat.epsilon)

    def reached(images: Tensor, labels: Tensor, delta: Tensor) -> Tensor:
        def objective(z: Tensor) -> Tensor:
            return cross_entropy(model(z), labels, reduction="sum")

        return images + pgd(
            objective, images, threat, delta=delta, steps=steps, step_size=step_size
        )

    with frozen(model):
        return torch.cat(list(map(reached, *(part.split(BATCH_SIZE) for part in (x, y, start)))))
