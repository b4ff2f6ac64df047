"""Starting points, against the distributions that they are drawn from."""

from __future__ import annotations

import math

import pytest
import torch
from support.norms import in_dtype, size

from regmix_bench.attacks.noise import (
    chosen_mean,
    gaussian_start,
    radial_start,
    uniform_start,
)
from regmix_bench.types import ThreatModel


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("start", [uniform_start, radial_start, gaussian_start])
def test_starts_are_feasible_seeded_and_in_the_images_dtype(start, norm, dtype) -> None:
    threat = ThreatModel(norm, "8/255")
    x = torch.rand(64, 3, 4, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    first, again, other = (
        start(x, threat, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert first.dtype == dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    limit = in_dtype(8 / 255, dtype) * (1 + 8 * torch.finfo(dtype).eps)
    assert (size(first, norm) <= limit).all()
    assert ((x + first >= 0) & (x + first <= 1)).all()


def test_a_mean_over_chosen_images() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 8.0])
    assert chosen_mean(values, torch.tensor([1.0, 0.0, 1.0, 0.0])).item() == 2.5
    assert chosen_mean(values, torch.zeros(4)).item() == 0


def test_the_linf_start_is_uniform_in_the_ball() -> None:
    grey = torch.full((2000, 1, 2, 3), 0.5, dtype=torch.float64)
    start = uniform_start(grey, ThreatModel("Linf", "1/4"), torch.Generator().manual_seed(0))
    share = (start.flatten() + 0.25) / 0.5  # its distribution function, if uniform
    ranks = torch.linspace(0, 1, share.numel(), dtype=torch.float64)
    # Kolmogorov–Smirnov: 1.63/√n is passed by one seed in a hundred, and this seed is fixed.
    assert (share.sort().values - ranks).abs().max() < 1.63 / math.sqrt(share.numel())


def test_the_l2_start_is_uniform_in_the_ball() -> None:
    grey = torch.full((4000, 1, 2, 3), 0.5, dtype=torch.float64)
    start = uniform_start(grey, ThreatModel("L2", "1/4"), torch.Generator().manual_seed(0))
    radius = start.flatten(1).norm(dim=1) / 0.25
    share = radius.pow(6).sort().values  # six dimensions: the volume grows with the sixth power
    ranks = torch.linspace(0, 1, len(share), dtype=torch.float64)
    assert (share - ranks).abs().max() < 1.63 / math.sqrt(len(share))
    # No direction is preferred: the mean of unit vectors is near zero, their covariance is I/6.
    unit = (start.flatten(1) / start.flatten(1).norm(dim=1, keepdim=True)).double()
    assert unit.mean(0).abs().max() < 4 / math.sqrt(6 * len(unit))
    identity = torch.eye(6, dtype=torch.float64) / 6
    torch.testing.assert_close(unit.T @ unit / len(unit), identity, atol=0.02, rtol=0)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_length_of_a_radial_start_is_uniform(norm: str) -> None:
    grey = torch.full((4000, 1, 2, 3), 0.5, dtype=torch.float64)
    start = radial_start(grey, ThreatModel(norm, "1/4"), torch.Generator().manual_seed(0))
    share = size(start, norm).sort().values / 0.25
    ranks = torch.linspace(0, 1, len(share), dtype=torch.float64)
    assert (share - ranks).abs().max() < 1.63 / math.sqrt(len(share))


def test_the_gaussian_start_has_the_asked_scale() -> None:
    grey = torch.full((500, 1, 4, 4), 0.5, dtype=torch.float64)
    start = gaussian_start(grey, ThreatModel("Linf", "8/255"), torch.Generator().manual_seed(0))
    assert start.std().item() == pytest.approx(0.001, rel=0.03)
