"""Class-balanced samples, the same for every run and method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regmix_bench.data.dataset import Labels

SEED = 0
MAX_VALIDATION = 1000


def balanced_sample(labels: Labels, n: int, share: float = 1.0) -> NDArray[np.int64]:
    """Draw ``n`` of the labels (N,) at random with one fixed seed; returns their sorted positions.

    Every class gives the same number, or all it may give where that is less; what does not divide
    evenly goes to random classes. A class gives at most ``share`` of its images, but at least one.
    A smaller sample of the same labels is part of a larger one.
    """
    rng = np.random.default_rng(SEED)
    counts = np.bincount(labels)
    shuffled = rng.permutation(len(labels))
    turn = rng.permutation(len(counts))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    rank = np.empty(len(labels), dtype=np.int64)
    rank[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    # Everyone's first image, then everyone's second: the first n of this order are balanced.
    order = np.lexsort((turn[labels], rank))
    limit = np.maximum(1, (counts * share).astype(np.int64))
    return np.sort(order[rank[order] < limit[labels[order]]][:n])


def hold_out(labels: Labels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split labels (N,) into positions to train on and positions to validate on, both sorted.

    The validation part is class-balanced: a tenth of the images, at most 1,000, at least one of
    each class and at most half of any. Every class must have two images.
    """
    num_classes = len(np.unique(labels))
    n = max(num_classes, min(MAX_VALIDATION, len(labels) // 10))
    validation = balanced_sample(labels, n, share=0.5)
    return np.setdiff1d(np.arange(len(labels)), validation), validation
