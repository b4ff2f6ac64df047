"""Losses of batches in which some images have no label, for methods that take such.

What needs a label is a mean over the images that have one, and what needs none is a mean over all
(virtual adversarial training on unlabelled data: Carmon et al., "Unlabeled Data Improves
Adversarial Robustness", NeurIPS 2019, who call it rVAT). An attack on an image without a label
climbs the divergence from what the model says of the image itself, KL(p(x)‖p(x+δ)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from regmix_bench.attacks.noise import chosen_mean
from regmix_bench.losses import cross_entropy, kl_divergence
from regmix_bench.types import Batch

if TYPE_CHECKING:
    from torch import Tensor


def known_cross_entropy(logits: Tensor, batch: Batch, true_class_mass: float = 1.0) -> Tensor:
    """Return the mean of CE(f, ŷ) over the images of ``batch`` that have a label; logits (B, K)."""
    if not batch.partly_labelled:
        return cross_entropy(logits, batch.y, true_class_mass)
    values = cross_entropy(logits, batch.y.clamp_min(0), true_class_mass, "none")
    return chosen_mean(values, (batch.y >= 0).to(values.dtype))


def attack_objective(
    logits: Tensor, batch: Batch, true_class_mass: float, clean_logits: Tensor | None
) -> Tensor:
    """Return what an attack on ``batch`` climbs, summed over images, for logits (B, K) at x + δ.

    That is CE(f, ŷ) of images with a label, and KL(p(x)‖p(x+δ)) of those without, for which
    ``clean_logits`` (B, K) at x are needed, as constants.
    """
    if not batch.partly_labelled:
        return cross_entropy(logits, batch.y, true_class_mass, "sum")
    assert clean_logits is not None
    labelled = cross_entropy(logits, batch.y.clamp_min(0), true_class_mass, "none")
    divergence = kl_divergence(clean_logits.detach(), logits, "none")
    return torch.where(batch.y >= 0, labelled, divergence).sum()
