"""Predictions, PGD and FGSM for validation and scoring, per image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regmix_bench.attacks.noise import uniform_start
from regmix_bench.attacks.pgd import frozen, pgd
from regmix_bench.losses import cross_entropy
from regmix_bench.models.predictions import BATCH_SIZE, require_eval_mode
from regmix_bench.types import ThreatModel

#: Step of PGD as a multiple of ε: 2/255 at 8/255, and enough to cross the ball at any budget.
STEP_RATIO = 0.25


def fgsm_images(model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> Tensor:
    """One step of ε on the cross-entropy from the image itself (Goodfellow et al. 2015)."""
    return _attack(model, x, y, threat, torch.zeros_like(x), steps=1, step_ratio=1.0)


def pgd_start(x: Tensor, threat: ThreatModel, seed: int = 0) -> Tensor:
    """Uniform starts (N, C, H, W) of PGD on images ``x``, which ``seed`` and ``x`` decide."""
    generator = torch.Generator(x.device).manual_seed(seed)
    return torch.cat([uniform_start(part, threat, generator) for part in x.split(BATCH_SIZE)])


def pgd_images(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    steps: int,
    seed: int = 0,
    start: Tensor | None = None,
) -> Tensor:
    """PGD end points (N, C, H, W): cross-entropy, one uniform start, steps of ε/4.

    The start is that of :func:`pgd_start` with ``seed``, unless it is given.
    """
    start = pgd_start(x, threat, seed) if start is None else start
    return _attack(model, x, y, threat, start, steps, STEP_RATIO)


def _attack(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    start: Tensor,
    steps: int,
    step_ratio: float,
) -> Tensor:
    require_eval_mode(model)
    step_size = step_ratio * float(threat.epsilon)

    def attacked(images: Tensor, labels: Tensor, delta: Tensor) -> Tensor:
        def objective(z: Tensor) -> Tensor:
            return cross_entropy(model(z), labels, reduction="sum")

        return images + pgd(
            objective, images, threat, delta=delta, steps=steps, step_size=step_size
        )

    with frozen(model):
        return torch.cat(list(map(attacked, *(part.split(BATCH_SIZE) for part in (x, y, start)))))
