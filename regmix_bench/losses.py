"""Losses that several methods share, in the dtype of their logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import torch

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(
    logits: Tensor,
    y: Tensor,
    true_class_mass: float = 1.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """Return CE(f, ŷ) for logits (B, K), ŷ giving ``true_class_mass`` to the true class.

    The other classes share the rest; below 1/K the true class would have less than each of them.

    ``y`` are labels (B,) int64, or class probabilities (B, K) of mixed images, which are smoothed
    alike. torch smooths towards the uniform distribution over all K classes, the true one included,
    so its parameter is (1 − mass)·K/(K − 1). ``"none"`` keeps one value per image, (B,).
    """
    classes = logits.shape[1]
    smoothing = (1 - true_class_mass) * classes / max(classes - 1, 1)
    return torch.nn.functional.cross_entropy(
        logits, y, label_smoothing=min(smoothing, 1.0), reduction=reduction
    )


def true_class(y: Tensor) -> Tensor:
    """Return labels (B,) int64 as they are; of class probabilities (B, K), the likeliest class."""
    return y if y.dim() == 1 else y.argmax(1)


#: What becomes of one value per image: their mean, their sum, or all of them (B,).
Reduction: TypeAlias = Literal["batchmean", "sum", "none"]


def kl_divergence(logits_p: Tensor, logits_q: Tensor, reduction: Reduction = "batchmean") -> Tensor:
    """Return KL(p‖q) of the softmax of logits (B, K), summed over classes and averaged over B.

    Differentiable in both arguments; ``"none"`` keeps one value per image, (B,).
    """
    pointwise = torch.nn.functional.kl_div(
        logits_q.log_softmax(1), logits_p.log_softmax(1), reduction="none", log_target=True
    ).sum(1)
    return _reduced(pointwise, reduction)


def weighted_squared_error(
    logits_p: Tensor,
    logits_q: Tensor,
    weights: Tensor | None = None,
    reduction: Reduction = "batchmean",
) -> Tensor:
    """Return ¼·Σ_jk w_j·w_k·((p_j − p_k) − (q_j − q_k))² of logits p and q (B, K).

    ``weights`` w (B, K) are above 0 in sum; without them they are the softmax of p, detached. With
    q detached this is one half of KL(p‖q), to whose gradients it contributes those of p;
    :func:`soft_cross_entropy` is the other half, and contributes those of q (Cui et al., "Decoupled
    Kullback-Leibler Divergence Loss", NeurIPS 2024). They improve on it by leaving q attached.
    """
    w = logits_p.detach().softmax(1) if weights is None else weights
    error = logits_p - logits_q
    total = w.sum(1, keepdim=True)
    # Half the sum over pairs, without the K² pairs: the weighted variance about the weighted mean.
    centred = error - (w * error).sum(1, keepdim=True) / total
    return _reduced(0.5 * total.squeeze(1) * (w * centred.square()).sum(1), reduction)


def soft_cross_entropy(
    logits_p: Tensor, logits_q: Tensor, reduction: Reduction = "batchmean"
) -> Tensor:
    """Return −Σ p·log q of the softmax of logits (B, K), p detached."""
    return _reduced(-(logits_p.detach().softmax(1) * logits_q.log_softmax(1)).sum(1), reduction)


def _reduced(values: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.mean()
