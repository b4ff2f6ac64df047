"""Losses that several methods share: labels may be classes or class probabilities."""

from __future__ import annotations

import pytest
import torch

from regmix_bench.losses import cross_entropy


@pytest.mark.parametrize("mass", [1.0, 0.6])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_mixed_labels_weigh_the_losses_of_their_classes(mass: float, reduction: str) -> None:
    """CutMix (Yun et al. 2019): λ·CE(first) + (1 − λ)·CE(second), smoothed or not."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    first, second = torch.randint(5, (2, 7), generator=generator)
    share = 0.3
    mixed = share * torch.eye(5, dtype=torch.float64)[first]
    mixed += (1 - share) * torch.eye(5, dtype=torch.float64)[second]
    expected = share * cross_entropy(logits, first, mass, reduction)
    expected += (1 - share) * cross_entropy(logits, second, mass, reduction)
    torch.testing.assert_close(cross_entropy(logits, mixed, mass, reduction), expected)
