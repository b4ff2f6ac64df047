"""Losses that several methods share, in the dtype of their logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field

if TYPE_CHECKING:
    from torch import Tensor

#: Probability that smoothed labels give the true class; the other classes share the rest.
TrueClassMass = Annotated[
    float,
    Field(
        ge=0.5, le=1, description="The true class's share of the label; the others share the rest"
    ),
]


def cross_entropy(
    logits: Tensor,
    y: Tensor,
    true_class_mass: float = 1.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Return CE(f, ŷ) for logits (B, K), ŷ giving ``true_class_mass`` to the true class.

    ``y`` are labels (B,) int64, or class probabilities (B, K) of mixed images, which are smoothed
    alike. torch smooths towards the uniform distribution over all K classes, the true one included,
    so its parameter is (1 − mass)·K/(K − 1).
    """
    classes = logits.shape[1]
    smoothing = (1 - true_class_mass) * classes / max(classes - 1, 1)
    return torch.nn.functional.cross_entropy(
        logits, y, label_smoothing=min(smoothing, 1.0), reduction=reduction
    )


def true_class(y: Tensor) -> Tensor:
    """Return labels (B,) int64 as they are; of class probabilities (B, K), the likeliest class."""
    return y if y.dim() == 1 else y.argmax(1)


def kl_divergence(
    logits_p: Tensor, logits_q: Tensor, reduction: Literal["batchmean", "sum", "none"] = "batchmean"
) -> Tensor:
    """Return KL(p‖q) of the softmax of logits (B, K), summed over classes and averaged over B.

    Differentiable in both arguments; ``"none"`` keeps one value per image, (B,).
    """
    pointwise = torch.nn.functional.kl_div(
        logits_q.log_softmax(1), logits_p.log_softmax(1), reduction="none", log_target=True
    ).sum(1)
    if reduction == "none":
        return pointwise
    return pointwise.sum() if reduction == "sum" else pointwise.mean()
