"""The nuclear norm, by the products that a device can record."""

from __future__ import annotations

import pytest
import torch
from support.formulas import network
from support.steps import batch, made, stepped
from torch import Tensor

from regmix_baselines.nuat import nuclear_norm


def matrix(rows: int, columns: int, reach: float = 0.0, seed: int = 0) -> Tensor:
    """Random singular vectors, and singular values from 1 down to 10^−reach."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    u, s, v = torch.linalg.svd(drawn, full_matrices=False)
    if reach:
        s = torch.logspace(0, -reach, len(s), dtype=torch.float64)
    return (u * s) @ v


@pytest.mark.parametrize(
    ("rows", "columns", "reach"),
    [(64, 10, 0), (6, 10, 0), (1, 10, 0), (12, 100, 0), (64, 10, 5), (6, 10, 5)],
)
def test_it_is_the_sum_of_the_singular_values_and_so_is_its_gradient(
    rows: int, columns: int, reach: float
) -> None:
    m = matrix(rows, columns, reach).requires_grad_()
    found, (gradient,) = nuclear_norm(m), torch.autograd.grad(nuclear_norm(m), m)
    u, s, v = torch.linalg.svd(m.detach(), full_matrices=False)
    torch.testing.assert_close(found, s.sum(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, u @ v, rtol=0, atol=1e-8)


def test_singular_values_that_are_next_to_nothing_count_for_less_than_they_are() -> None:
    found = nuclear_norm(matrix(64, 10, reach=9)).item()
    whole = sum(10.0**-k for k in range(10))
    assert whole * (1 - 1e-6) < found < whole


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_it_is_finite_at_nothing_and_at_any_scale(scale: float) -> None:
    m = (matrix(6, 4) * scale).float().requires_grad_()
    norm = nuclear_norm(m)
    assert norm.item() == pytest.approx(scale * nuclear_norm(matrix(6, 4)).item(), rel=1e-6)
    assert torch.autograd.grad(norm, m)[0].isfinite().all()


def test_it_falls_like_one_over_the_root_of_the_batch_size() -> None:
    """So a weight that was found at one batch size is another at another."""
    norms = {
        size: nuclear_norm(torch.randn(size, 10, generator=torch.Generator().manual_seed(0))) / size
        for size in (64, 256)
    }
    assert norms[64].item() == pytest.approx(1.25, abs=0.05)
    assert norms[64] / norms[256] == pytest.approx(2, abs=0.1)


def test_a_smaller_batch_is_divided_by_the_size_of_a_whole_one() -> None:
    data = batch()
    terms = []
    for size in (6, 12):
        method = made("nuat", epochs=100, batch_size=size)
        terms.append(stepped(method, network(), data, epoch=91).metrics["guidance"])
    torch.testing.assert_close(terms[0], 2 * terms[1])
