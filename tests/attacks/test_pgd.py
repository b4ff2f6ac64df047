"""The gradient of an input, and the steps that follow it."""

from __future__ import annotations

import pytest
import torch

from regmix_bench.attacks.pgd import input_gradient, pgd
from regmix_bench.types import ThreatModel


def test_the_input_gradient_leaves_images_and_weights_alone() -> None:
    weight = torch.tensor([1.0, -2.0], requires_grad=True)
    x = torch.tensor([3.0, 5.0])
    gradient = input_gradient(lambda z: (weight * z.square()).sum(), x)
    assert torch.equal(gradient, torch.tensor([6.0, -20.0]))
    assert weight.grad is None
    assert not x.requires_grad


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_pgd_climbs_to_the_maximum_of_a_linear_function(norm: str) -> None:
    x = torch.full((3, 1, 2, 3), 0.5, dtype=torch.float64)
    slope = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    threat = ThreatModel(norm, "1/8")
    delta = pgd(
        lambda z: (slope * z).sum(), x, threat, delta=torch.zeros_like(x), steps=5, step_size=1 / 32
    )
    unit = slope / slope.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(delta, (slope.sign() if norm == "Linf" else unit) / 8)
    assert not delta.requires_grad
